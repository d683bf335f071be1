"""The channels to watch, from settings, a file or Helix, with Helix's metadata of their streams.

This module has the refreshes and their hysteresis, and this collector's share of the list; ``roster`` and
``pool`` join the channels.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from collector_service.clock import Clock, SystemClock
from collector_service.contract import LOGIN, ChannelStatus
from collector_service.live.windows import StreamInfo
from collector_service.logins import read_logins
from collector_service.metrics import Stats
from collector_service.privacy.opt_outs import OptOuts
from collector_service.settings import CollectionSettings, SettingsError, TwitchSettings
from collector_service.twitch.helix import (
    PAGE,
    CredentialsRefusedError,
    Helix,
    HelixError,
    Stream,
    User,
)

# World seconds between two looks at the accounts behind a given list.
CHECK_SECONDS = 3600.0

# As many logins as a list may have.
_REMEMBERED_OWNERS = 100_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """The channels that this collector has to watch, and what is known of them.

    Attributes:
        logins: their logins of today, the most important first.
        channel_ids: from login to channel id, as far as it is known.
        stream_infos: metadata by channel id.
        statuses: why wanted logins are not in ``logins``.
        renames: from a given login to the one under which the same channel is watched now.
    """

    logins: list[str]
    channel_ids: dict[str, int] = field(default_factory=dict)
    stream_infos: dict[int, StreamInfo] = field(default_factory=dict)
    statuses: dict[str, ChannelStatus] = field(default_factory=dict)
    renames: dict[str, str] = field(default_factory=dict)


class NoChannelsError(SettingsError):
    """There is neither a list of channels nor a way to ask Twitch for it."""


def needs_helix(twitch: TwitchSettings, collection: CollectionSettings) -> bool:
    """Whether there are credentials for Helix, which then gives the list or the metadata of a given list.

    Raises:
        NoChannelsError: there is neither a list nor a way to ask for it.
    """
    if twitch.has_credentials:
        return True
    if not (collection.channels or collection.channels_file):
        raise NoChannelsError(
            "no channels to collect: set TWITCH_CHANNELS (logins, comma-separated), or CHANNELS_FILE "
            "(a login a line), or TWITCH_CLIENT_ID with TWITCH_CLIENT_SECRET to find the biggest streams"
        )
    return False


def given_logins(collection: CollectionSettings) -> list[str] | None:
    """The logins that the settings list, themselves or in a file; None when Helix chooses them.

    Raises:
        SettingsError: the file cannot be read or is empty, or an entry is not a login.
    """
    if collection.channels:
        logins = list(dict.fromkeys(name.strip().lower().removeprefix("#") for name in collection.channels))
        for login in logins:
            if not LOGIN.fullmatch(login):
                raise SettingsError(
                    f"collection.channels (TWITCH_CHANNELS): {login[:60]!r} is not a login (a-z, 0-9 and _)"
                )
        return logins
    if collection.channels_file is None:
        return None
    logins = read_logins(collection.channels_file, "collection.channels_file")
    if not logins:
        raise SettingsError(f"collection.channels_file: {collection.channels_file} lists no channel")
    return logins


def owner(login: str, collectors: int) -> int:
    """The 0-based number of the collector that watches a channel.

    The collector with the highest lot has the channel (rendezvous hashing). Each collector can draw the
    lots of all, so they need not talk, and a new collector takes over only the channels for which its own
    lot is the highest.
    """
    return _highest_lot(login, collectors) if collectors > 1 else 0


@lru_cache(maxsize=_REMEMBERED_OWNERS)
def _highest_lot(login: str, collectors: int) -> int:
    def lot(collector: int) -> bytes:
        return hashlib.blake2b(f"{collector}/{login}".encode(), digest_size=8).digest()

    return max(range(collectors), key=lot)


class ChannelList:
    """The list of channels, as of the last `refresh` or `recheck`.

    Args:
        collection: where the list comes from, and this collector's share of it.
        helix: None without credentials.
        stats: counters.
        clock: the world's clock, for the hourly checks.
    """

    def __init__(
        self,
        collection: CollectionSettings,
        helix: Helix | None,
        stats: Stats,
        clock: Clock | None = None,
    ) -> None:
        self._collection = collection
        self._stats = stats
        self._opt_outs = OptOuts()
        self._turn = asyncio.Lock()
        given = collection.channels or collection.channels_file is not None
        self._source = (
            _GivenList(collection, helix, clock or SystemClock()) if given else _TopList(collection, helix)
        )

    def obey(self, opt_outs: OptOuts) -> None:
        """List none of these channels."""
        self._opt_outs = opt_outs

    async def refresh(self) -> Listing:
        """The list of now. A given list gets its metadata if it can, a fault of Helix leaves the last.

        Raises:
            SettingsError: the list's file cannot be read.
            CredentialsRefusedError: Twitch refuses the credentials.
            HelixError: the list needs Helix, and Helix gave no usable answer.
        """
        async with self._turn:
            try:
                await self._source.refresh()
            except CredentialsRefusedError:
                raise
            except HelixError as error:
                if self._source.needs_helix:
                    raise
                self._count_failure(error)
        return self.listing()

    async def recheck(self, logins: Iterable[str]) -> Listing:
        """Ask Helix at once about watched channels with which something is wrong.

        Twitch does not answer their JOINs, or their id is not the expected one. A fault of Helix leaves
        the last answers.

        Raises:
            CredentialsRefusedError: Twitch refuses the credentials.
        """
        async with self._turn:
            try:
                await self._source.recheck(set(logins))
            except CredentialsRefusedError:
                raise
            except HelixError as error:
                self._count_failure(error)
        return self.listing()

    def listing(self) -> Listing:
        """The list as of the last answers, with the opt-outs of now; asks for nothing."""
        logins: dict[str, None] = {}
        channel_ids: dict[str, int] = {}
        statuses: dict[str, ChannelStatus] = {}
        renames: dict[str, str] = {}
        for wanted, login, channel_id in self._source.entries():
            if any(self._opt_outs.has_channel(name, channel_id) for name in (wanted, login or wanted)):
                statuses[wanted] = ChannelStatus.OPTED_OUT
                continue
            if login is None:
                statuses[wanted] = ChannelStatus.NOT_FOUND
                continue
            if login != wanted:
                statuses[wanted] = ChannelStatus.RENAMED
                renames[wanted] = login
            logins[login] = None
            if channel_id is not None:
                channel_ids[login] = channel_id
        # Two channels of a list may have swapped their names; then both are watched.
        statuses = {wanted: status for wanted, status in statuses.items() if wanted not in logins}
        known = self._source.stream_infos
        infos = {
            channel_id: known[channel_id] for channel_id in channel_ids.values() if channel_id in known
        }
        return Listing(list(logins), channel_ids, infos, statuses, renames)

    def _count_failure(self, error: HelixError) -> None:
        self._stats.refresh_failures += 1
        _log.warning("channels not checked, the last answers stay: %s", error)


class _Entry(NamedTuple):
    """A wanted channel of this collector's share.

    ``login`` is its login of today, None if the channel does not exist; ``channel_id`` is its id, if known.
    """

    wanted: str
    login: str | None
    channel_id: int | None


class _GivenList:
    """A list from the settings, and the accounts behind its logins.

    A login means the account that had it when it was first looked up. That account is followed through
    renames; only when it no longer exists does the login mean its present owner.

    ``_ids`` maps wanted logins to such accounts, ``_names`` accounts that exist to their logins of today;
    ``_unknown`` has the wanted logins without an account.
    """

    needs_helix = False

    def __init__(self, collection: CollectionSettings, helix: Helix | None, clock: Clock) -> None:
        self._collection = collection
        self._helix = helix
        self._clock = clock
        self._logins: list[str] = []
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._unknown: set[str] = set()
        self._checked = float("-inf")
        self.stream_infos: Mapping[int, StreamInfo] = {}

    def entries(self) -> Iterator[_Entry]:
        for wanted in self._logins:
            channel_id = self._ids.get(wanted)
            if channel_id is None:
                yield _Entry(wanted, None if wanted in self._unknown else wanted, None)
            else:
                yield _Entry(wanted, self._names.get(channel_id), channel_id)

    async def refresh(self) -> None:
        number, count = self._collection.shard_number
        self._logins = [
            login for login in given_logins(self._collection) or () if owner(login, count) == number
        ]
        self._forget_others()
        if self._helix is None:
            return
        now = self._clock.now()
        # A clock that was set back must not put the next check off.
        due = not 0 <= now - self._checked < CHECK_SECONDS
        await self._look_up(
            self._helix,
            [
                login
                for login in self._logins
                if login not in self._ids and (due or login not in self._unknown)
            ],
            set(self._ids.values()) if due else set(),
        )
        if due:
            self._checked = now
        streams = await self._helix.streams(self._names)
        # A stream has the login of today, so these renames need not wait for the next check.
        self._names |= {stream.user_id: stream.login for stream in streams}
        self.stream_infos = {stream.user_id: _info(stream) for stream in streams}

    async def recheck(self, logins: set[str]) -> None:
        if self._helix is None:
            return
        asked = [entry for entry in self.entries() if entry.login in logins]
        await self._look_up(
            self._helix,
            [entry.wanted for entry in asked if entry.channel_id is None],
            {entry.channel_id for entry in asked if entry.channel_id is not None},
        )

    async def _look_up(self, helix: Helix, logins: list[str], ids: set[int]) -> None:
        """Bring up to date what is known of these; all of it, or nothing when Helix fails."""
        users = await _accounts(helix, logins, ids, self._names)
        found = {user.id: user.login for user in users}
        lost = ids - found.keys()
        orphaned = [login for login, channel_id in self._ids.items() if channel_id in lost]
        if orphaned:
            users += await _accounts(helix, orphaned, (), self._names.keys() - lost | found.keys())
        owners = {user.login: user.id for user in users}
        for login in (*logins, *orphaned):
            if login in owners:
                self._ids[login] = owners[login]
                self._unknown.discard(login)
            elif login not in self._ids:
                self._unknown.add(login)
        self._names = {
            channel_id: name for channel_id, name in self._names.items() if channel_id not in lost
        }
        self._names |= {user.id: user.login for user in users}
        self._forget_others()
        if len(set(self._names.values())) < len(self._names):
            # A login has a new owner, so its former owner must have a different login by now.
            self._checked = float("-inf")

    def _forget_others(self) -> None:
        """Drop logins that are not wanted any more."""
        wanted = set(self._logins)
        self._ids = {login: channel_id for login, channel_id in self._ids.items() if login in wanted}
        self._unknown &= wanted
        ids = set(self._ids.values())
        self._names = {channel_id: name for channel_id, name in self._names.items() if channel_id in ids}


class _TopList:
    """The biggest streams; a channel leaves when it was not among them several times in a row.

    ``_tracked`` maps the channels' ids to their logins, ``_misses`` counts for how many refreshes in a row
    a channel was missed, ``_gone`` has those whose account was deleted since they were last seen live.
    """

    needs_helix = True

    def __init__(self, collection: CollectionSettings, helix: Helix | None) -> None:
        self._collection = collection
        self._helix = helix
        self._tracked: dict[int, str] = {}
        self._misses: dict[int, int] = {}
        self._gone: set[int] = set()
        self.stream_infos: Mapping[int, StreamInfo] = {}

    def entries(self) -> Iterator[_Entry]:
        for channel_id, login in self._tracked.items():
            if self._is_mine(login):
                yield _Entry(login, None if channel_id in self._gone else login, channel_id)

    async def refresh(self) -> None:
        if self._helix is None:
            raise HelixError("the biggest streams are only known to Helix")
        streams = await self._helix.top_streams(self._collection.top_channels_limit)
        if not streams and self._tracked:
            raise HelixError("Helix lists no streams at all")
        if not streams:
            _log.warning("Helix lists no streams yet; the next refresh asks again")
        live = {stream.user_id: stream.login for stream in streams}
        # A login with a new owner does not mean its former owner's channel.
        taken = set(live.values())
        misses = {
            channel_id: self._misses.get(channel_id, 0) + 1
            for channel_id, login in self._tracked.items()
            if channel_id not in live and login not in taken
        }
        misses = {
            channel_id: count
            for channel_id, count in misses.items()
            if count < self._collection.missed_refreshes
        }
        kept = {channel_id: self._tracked[channel_id] for channel_id in misses}
        mine = [channel_id for channel_id, login in kept.items() if self._is_mine(login)]
        still_live = await self._helix.streams(mine) if mine else []
        # A rename shows as a new login of the same id; keyed by id, the old one vanishes at once.
        kept |= {stream.user_id: stream.login for stream in still_live}
        self._tracked = live | kept
        self._misses = misses
        self._gone &= kept.keys() - {stream.user_id for stream in still_live}
        self.stream_infos = {
            stream.user_id: _info(stream)
            for stream in (*streams, *still_live)
            if self._is_mine(stream.login)
        }

    async def recheck(self, logins: set[str]) -> None:
        if self._helix is None:
            return
        ids = {channel_id for channel_id, login in self._tracked.items() if login in logins}
        users = await _accounts(self._helix, (), ids, self._tracked.keys() - self._gone)
        found = {user.id: user.login for user in users}
        self._gone = (self._gone | ids) - found.keys()
        self._tracked |= {
            channel_id: login for channel_id, login in found.items() if channel_id in self._tracked
        }

    def _is_mine(self, login: str) -> bool:
        number, count = self._collection.shard_number
        return owner(login, count) == number


async def _accounts(
    helix: Helix, logins: Collection[str], ids: Collection[int], existing: Collection[int]
) -> list[User]:
    """The accounts with these logins or ids; those without an account are absent.

    Helix has given empty answers to good questions before. So missing accounts are asked for again,
    together with an account that exists: an answer without the latter proves nothing.

    Args:
        helix: the client.
        logins: logins.
        ids: ids.
        existing: accounts that are believed to exist.

    Raises:
        HelixError: the answer is unusable or not credible.
    """
    users = await helix.users(logins=logins, ids=ids)
    missing_logins = set(logins) - {user.login for user in users}
    missing_ids = set(ids) - {user.id for user in users}
    missing: list[str | int] = [*sorted(missing_logins), *sorted(missing_ids)]
    if not missing:
        return users
    witnesses = [user.id for user in users] or sorted(set(existing) - missing_ids)
    if not witnesses:
        raise HelixError(f"Helix knows none of the {len(missing)} accounts that were asked for")
    witness = random.choice(witnesses)  # noqa: S311 - any of them will do
    for at in range(0, len(missing), PAGE - 1):
        chunk = missing[at : at + PAGE - 1]
        again = await helix.users(
            logins=[account for account in chunk if isinstance(account, str)],
            ids=[witness, *(account for account in chunk if isinstance(account, int))],
        )
        if all(user.id != witness for user in again):
            raise HelixError("Helix does not know an account that it knew before")
        users += [user for user in again if user.id != witness]
    return users


def _info(stream: Stream) -> StreamInfo:
    return StreamInfo(
        viewer_count=stream.viewer_count,
        game_id=stream.game_id,
        game_name=stream.game_name,
        language=stream.language,
        title=stream.title,
        started_at=stream.started_at,
    )
