"""The roster: the wanted channels, the connections on which each of them is joined, and its status.

It turns the reports of the connections into the watching times of the windows.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from collector_service.contract import ChannelStatus
from collector_service.live.intake import Intake
from collector_service.live.status_table import Row
from collector_service.live.windows import Windows
from collector_service.metrics import Stats
from collector_service.twitch.irc import Chat
from collector_service.twitch.irc_client import Connection

# Most suspensions take at least a day.
REFUSED_RETRY_SECONDS = 3600.0

_log = logging.getLogger(__name__)


class Channel:
    """A channel that is wanted, or that must still be left.

    Attributes:
        login: its login.
        channel_id: its id, once known.
        listed_id: the id that the list has for it, if any.
        status: its state, or the reason why Twitch refuses it.
        changed_at: world time of the last change of ``status``.
        holders: the connections on which it is joined, and since which world time.
    """

    __slots__ = (
        "asked_at",
        "changed_at",
        "channel_id",
        "holders",
        "listed_id",
        "login",
        "retry_at",
        "status",
    )  # fmt: skip

    def __init__(self, login: str, now: float) -> None:
        self.login = login
        self.channel_id: int | None = None
        self.listed_id: int | None = None
        self.status: ChannelStatus = ChannelStatus.JOINING
        self.changed_at = now
        self.holders: dict[Connection, float] = {}
        self.asked_at = 0.0
        self.retry_at = 0.0

    def become(self, status: ChannelStatus, now: float) -> None:
        """Take this status, as of the world time ``now``."""
        if status != self.status:
            self.status, self.changed_at = status, now


@dataclass(frozen=True)
class _Frozen:
    """The state when the collection was stopped."""

    statuses: dict[int, tuple[str, ChannelStatus]]
    table: list[Row]


class Roster:
    """The wanted channels, and those that must still be left. It is the listener of all connections.

    Args:
        windows: get the watched channels.
        intake: gets the chat lines.
        stats: counters.
        lost: called with each wanted login that is not joined any more.
    """

    def __init__(self, windows: Windows, intake: Intake, stats: Stats, lost: Callable[[str], None]) -> None:
        self._windows = windows
        self._intake = intake
        self._stats = stats
        self._lost = lost
        self._channels: dict[str, Channel] = {}
        self._wanted: set[str] = set()
        self._owners: dict[int, Channel] = {}
        self._opted_out: frozenset[int] = frozenset()
        self._frozen: _Frozen | None = None
        self.chats: Callable[[Sequence[Chat]], None] = intake.chats

    @property
    def is_frozen(self) -> bool:
        """Whether nothing changes any more."""
        return self._frozen is not None

    def freeze(self) -> None:
        """Keep `statuses` and `table` as they are: the connections are about to end."""
        self._frozen = _Frozen(self.statuses(), self.table())

    def want(
        self, logins: Sequence[str], channel_ids: Mapping[str, int]
    ) -> tuple[list[Channel], list[Channel]]:
        """Set the wanted channels.

        Args:
            logins: all wanted channels, the most important first.
            channel_ids: the ids that are known.

        Returns:
            The channels that are newly wanted, and those that are not wanted any more.
        """
        removed = [self._channels[login] for login in sorted(self._wanted.difference(logins))]
        added = []
        for channel in removed:
            self._wanted.discard(channel.login)
            if not channel.holders:
                self._forget(channel)
        for login in logins:
            if login not in self._channels:
                self._channels[login] = Channel(login, self._windows.now())
            channel = self._channels[login]
            if login not in self._wanted:
                self._wanted.add(login)
                added.append(channel)
            channel.listed_id = channel_ids.get(login)
            # Twitch's own word about a joined channel is newer than any list.
            if channel.listed_id is not None and not channel.holders:
                self.identified(login, channel.listed_id)
        return added, removed

    def obey(self, channel_ids: frozenset[int]) -> None:
        """Leave channels with these ids, as soon as their id is known."""
        self._opted_out = channel_ids
        for channel in self._channels.values():
            if channel.channel_id in channel_ids:
                self._leave(channel)

    def quiet(
        self,
        connections: Iterable[Connection],
        heard: Callable[[Connection], float],
        since: float,
    ) -> dict[int, float]:
        """The channels of which nothing was heard since a world time, by id, and when it last was.

        Args:
            connections: the open ones.
            heard: gives the world time at which a connection was last heard.
            since: the time.
        """
        found = {}
        for connection in connections:
            if heard(connection) >= since:
                continue
            for login in connection.joined:
                channel = self._channels.get(login)
                if channel is not None and channel.channel_id is not None and channel.holders:
                    last = max(map(heard, channel.holders))
                    if last < since:
                        found[channel.channel_id] = last
        return found

    def statuses(self) -> dict[int, tuple[str, ChannelStatus]]:
        """Login and status of every wanted channel whose id is known, by id; after `freeze`, as of then."""
        if self._frozen is not None:
            return self._frozen.statuses
        wanted = (self._channels[login] for login in self._wanted)
        return {
            channel.channel_id: (channel.login, channel.status)
            for channel in wanted
            if channel.channel_id is not None and channel.channel_id not in self._opted_out
        }

    def table(self) -> list[Row]:
        """Every wanted channel, ordered by login; after `freeze`, as of then."""
        if self._frozen is not None:
            return self._frozen.table
        wanted = (self._channels[login] for login in sorted(self._wanted))
        return [
            Row(channel.login, channel.channel_id, channel.status, channel.changed_at) for channel in wanted
        ]

    def counts(self) -> Counter[ChannelStatus]:
        """How many wanted channels are in which status."""
        return Counter(self._channels[login].status for login in self._wanted)

    def doubtful(self) -> list[str]:
        """The wanted channels whose JOINs get no answer, or whose id differs from the listed channel."""
        wanted = (self._channels[login] for login in sorted(self._wanted))
        return [
            channel.login
            for channel in wanted
            if channel.status == ChannelStatus.NO_ANSWER
            or (channel.holders and channel.listed_id not in (None, channel.channel_id))
        ]

    def asking(self, channel: Channel, remember_until: float) -> None:
        """A JOIN for the channel is about to be sent.

        Args:
            channel: the channel.
            remember_until: until when a second connection may bring the same lines (loop's clock).
        """
        channel.asked_at = asyncio.get_running_loop().time()
        if not channel.holders:
            channel.become(ChannelStatus.JOINING, self._windows.now())
        elif channel.channel_id is not None:
            self._intake.duplicates.watch(channel.channel_id, remember_until)

    def give_up(self, channel: Channel, retry_at: float) -> None:
        """Several JOINs for the channel got no answer; the next one is at ``retry_at``."""
        channel.retry_at = retry_at
        if not channel.holders:
            channel.become(ChannelStatus.NO_ANSWER, self._windows.now())

    # Listener

    def joined(self, connection: Connection, login: str) -> None:
        """The channel is joined on this connection."""
        channel = self._channels.get(login)
        if channel is None:
            return
        self._stats.join_latency.observe(asyncio.get_running_loop().time() - channel.asked_at)
        now = self._windows.now()
        if channel.channel_id in self._opted_out:
            connection.leave([login])
            return
        channel.become(ChannelStatus.JOINED, now)
        if not channel.holders and channel.channel_id is not None:
            self._windows.joined(channel.channel_id, login, now)
        channel.holders[connection] = now

    def left(self, connection: Connection, login: str, ago: float) -> None:
        """The channel is not joined on this connection, for ``ago`` seconds."""
        channel = self._channels.get(login)
        if channel is None or connection not in channel.holders:
            return
        first = min(channel.holders.values())
        channel.holders.pop(connection)
        rest = min(channel.holders.values(), default=math.inf)
        left_at = self._windows.now() - ago * self._windows.rate
        # The channel was not watched between the silence of this connection and the next one's JOIN.
        if channel.channel_id is not None and first < rest and left_at < rest:
            self._windows.left(channel.channel_id, ago)
            if channel.holders:
                self._windows.joined(channel.channel_id, login, rest)
        if channel.holders:
            return
        if channel.status == ChannelStatus.JOINED:
            channel.become(ChannelStatus.JOINING, self._windows.now())
        if login in self._wanted:
            self._lost(login)
        else:
            self._forget(channel)

    def identified(self, login: str, channel_id: int) -> None:
        """The channel has this id."""
        channel = self._channels.get(login)
        if channel is None or channel.channel_id == channel_id:
            return
        if channel.holders and channel.channel_id is not None:
            # The login belongs to a different channel now.
            self._windows.left(channel.channel_id, 0.0)
            channel.holders = dict.fromkeys(channel.holders, self._windows.now())
        former = self._owners.get(channel_id)
        if former is not None and former is not channel:
            # The channel has a new login; the connections that joined the old one show nothing of it.
            former.channel_id = None
            if former.holders:
                self._windows.left(channel_id, 0.0)
        self._owners[channel_id] = channel
        channel.channel_id = channel_id
        if channel_id in self._opted_out:
            self._leave(channel)
        elif channel.holders:
            self._windows.joined(channel_id, login, min(channel.holders.values()))

    def refused(self, login: str, why: ChannelStatus) -> None:
        """The channel cannot be joined."""
        if channel := self._channels.get(login):
            channel.become(why, self._windows.now())
            channel.retry_at = asyncio.get_running_loop().time() + REFUSED_RETRY_SECONDS
            _log.info("%s cannot be joined: %s", login, why)

    def _forget(self, channel: Channel) -> None:
        del self._channels[channel.login]
        if channel.channel_id is not None and self._owners.get(channel.channel_id) is channel:
            del self._owners[channel.channel_id]

    def _leave(self, channel: Channel) -> None:
        """Leave a channel whose id, and not its login, is among the opt-outs."""
        channel.become(ChannelStatus.OPTED_OUT, self._windows.now())
        channel.retry_at = math.inf
        for connection in list(channel.holders):
            connection.leave([channel.login])
