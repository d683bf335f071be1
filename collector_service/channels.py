"""Channels: which ones to watch, and what Helix says about their streams.

Belongs here: the list from settings, file or Helix, its refreshes and its hysteresis. Does not belong
here: joining them (``shards``) and Helix's requests (``twitch.helix``).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from collector_service.contract import LOGIN
from collector_service.logins import read_logins
from collector_service.settings import CollectionSettings, SettingsError, TwitchSettings
from collector_service.stats import Stats
from collector_service.twitch.helix import CredentialsRefusedError, Helix, HelixError, Stream
from collector_service.windows import StreamInfo

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """The channels to watch: their logins, the most important first, and what is known of them.

    ``room_ids`` maps logins to channel ids, ``stream_infos`` channel ids to metadata.
    """

    logins: list[str]
    room_ids: dict[str, int] = field(default_factory=dict)
    stream_infos: dict[int, StreamInfo] = field(default_factory=dict)


class NoChannelsError(SettingsError):
    """There is neither a list of channels nor a way to ask Twitch for one."""


def needs_helix(twitch: TwitchSettings, collection: CollectionSettings) -> bool:
    """Whether Helix is to be asked: for the list, or for the metadata of a given list.

    Raises:
        NoChannelsError: there is neither a list nor a way to ask for one.
    """
    token = bool(twitch.oauth_token.get_secret_value())
    pair = bool(twitch.client_id and twitch.client_secret.get_secret_value())
    if token or pair:
        return True
    if not (collection.channels or collection.channels_file):
        raise NoChannelsError(
            "no channels to collect: set TWITCH_CHANNELS (logins, comma-separated), or CHANNELS_FILE "
            "(a login a line), or TWITCH_CLIENT_ID with TWITCH_CLIENT_SECRET to find the biggest streams"
        )
    return False


def given_logins(collection: CollectionSettings) -> list[str] | None:
    """The logins that the settings list, themselves or in a file; None when Helix is to choose.

    Raises:
        SettingsError: the file cannot be read, one of them is no login, or there is none.
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


class ChannelList:
    """The list of channels, as of the last `refresh`.

    Args:
        collection: where the list comes from.
        helix: None without credentials.
        stats: counters.
    """

    def __init__(self, collection: CollectionSettings, helix: Helix | None, stats: Stats) -> None:
        self._collection = collection
        self._helix = helix
        self._stats = stats
        self._ids: dict[str, int] = {}
        self._tracked: dict[int, str] = {}
        self._misses: dict[int, int] = {}
        self._infos: dict[int, StreamInfo] = {}

    async def refresh(self) -> Listing:
        """The list of now.

        Raises:
            SettingsError: the list's file cannot be read.
            CredentialsRefusedError: Twitch refuses the credentials.
            HelixError: there is no list without Helix, and Helix gave no usable answer.
        """
        logins = given_logins(self._collection)
        if logins is None:
            return await self._biggest()
        await self._look_up(logins)
        return Listing(
            logins, {login: self._ids[login] for login in logins if login in self._ids}, self._infos
        )

    async def _look_up(self, logins: list[str]) -> None:
        """Metadata of a given list; a fault of Helix leaves the last known."""
        if self._helix is None:
            return
        try:
            unknown = [login for login in logins if login not in self._ids]
            for user in await self._helix.users(logins=unknown) if unknown else ():
                self._ids[user.login] = user.id
            wanted = [self._ids[login] for login in logins if login in self._ids]
            self._infos = {stream.user_id: _info(stream) for stream in await self._helix.streams(wanted)}
        except CredentialsRefusedError:
            raise
        except HelixError as error:
            self._stats.refresh_failures += 1
            _log.warning("metadata not refreshed: %s", error)

    async def _biggest(self) -> Listing:
        if self._helix is None:
            raise HelixError("the biggest streams are only known to Helix")
        streams = await self._helix.top_streams(self._collection.top_channels_limit)
        if not streams and self._tracked:
            raise HelixError("Helix says that nobody streams")
        if not streams:
            _log.warning("nobody streams yet; the next refresh asks again")
        live = {stream.user_id for stream in streams}
        missed = [user_id for user_id in self._tracked if user_id not in live]
        for user_id in missed:
            self._misses[user_id] = self._misses.get(user_id, 0) + 1
        kept = [user_id for user_id in missed if self._misses[user_id] < self._collection.missed_refreshes]
        streams += await self._helix.streams(kept) if kept else []
        # A rename shows as a new login of the same id; keyed by id, the old one goes at once.
        tracked = {user_id: self._tracked[user_id] for user_id in kept}
        latest = {stream.user_id: stream.login for stream in streams}
        self._tracked = {user_id: latest[user_id] for user_id in latest if user_id in live} | tracked
        self._tracked |= {user_id: latest[user_id] for user_id in kept if user_id in latest}
        self._misses = {user_id: self._misses[user_id] for user_id in kept}
        self._infos = {stream.user_id: _info(stream) for stream in streams}
        room_ids = {login: user_id for user_id, login in self._tracked.items()}
        return Listing(list(room_ids), room_ids, self._infos)


def _info(stream: Stream) -> StreamInfo:
    return StreamInfo(
        viewer_count=stream.viewer_count,
        game_id=stream.game_id,
        game_name=stream.game_name,
        language=stream.language,
        title=stream.title,
        started_at=stream.started_at,
    )
