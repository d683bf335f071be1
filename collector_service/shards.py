"""Shards: which connection serves which channels, and wanted against joined.

Belongs here: spreading the wanted channels over connections, joining them at the allowed pace, trying
again, replacing connections. Does not belong here: the protocol (``connection``) and choosing the
channels (``channels``).

Timers are real: seconds of the event loop's clock. Only the instants that go to the windows are world time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from collector_service.connection import ConnectError, Connection
from collector_service.intake import Intake
from collector_service.pacing import Pace, backoff
from collector_service.settings import CollectionSettings, TwitchSettings
from collector_service.stats import Stats
from collector_service.status_table import Row
from collector_service.twitch.irc import Chat
from collector_service.windows import Windows

RECONCILE_SECONDS = 15.0
JOIN_TRIES = 3
# Renamed and deleted channels never answer; a suspension takes at least a day, most often.
NO_ANSWER_RETRY_SECONDS = 300.0
REFUSED_RETRY_SECONDS = 3600.0
STABLE_SECONDS = 60.0
# After RECONNECT: the longest time for which two connections serve the same channels, and how long the
# old one stays after the new one has them all, for lines that are still on their way.
HANDOVER_SECONDS = 120.0
LINGER_SECONDS = 2.0
# The longest time to wait, when stopping, for what is on its way: in all, and without a sign of life.
DRAIN_SECONDS = 8.0
DRAIN_SILENCE_SECONDS = 2.0
_REMEMBER_SECONDS = HANDOVER_SECONDS + 60.0

_log = logging.getLogger(__name__)

JOINING = "joining"
JOINED = "joined"
NO_ANSWER = "no answer"
OPTED_OUT = "opted out"

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Channel:
    """A channel that is wanted, or that still has to be left.

    Attributes:
        login: its login.
        room_id: its id, once known.
        listed_id: the id that the list has for it, if any.
        status: joining, joined, no answer, or the reason why Twitch refuses it.
        changed_at: world time of the last change of ``status``.
        holders: the connections on which it is joined, and the world time since when it is.
    """

    __slots__ = (
        "asked_at", "changed_at", "holders", "listed_id", "login", "retry_at", "room_id", "status",
    )  # fmt: skip

    def __init__(self, login: str, now: float) -> None:
        self.login = login
        self.room_id: int | None = None
        self.listed_id: int | None = None
        self.status = JOINING
        self.changed_at = now
        self.holders: dict[Connection, float] = {}
        self.asked_at = 0.0
        self.retry_at = 0.0

    def become(self, status: str, now: float) -> None:
        """Have this status from the world time ``now`` on."""
        if status != self.status:
            self.status, self.changed_at = status, now


class Shard:
    """A slot for a limited number of channels, and the connection that serves them.

    ``wanted`` holds the channels that it has to keep joined, in order of importance.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._changed = asyncio.Event()
        self._connections: list[Connection] = []
        self.wanted: dict[str, Channel] = {}

    @property
    def connections(self) -> list[Connection]:
        """The connections that are up, the oldest first: one, or more during a handover."""
        self._connections = [one for one in self._connections if not one.ended.done()]
        return self._connections

    def change(self) -> None:
        """Compare wanted and joined soon: ``wanted`` has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Keep a connection up and its channels joined, until cancelled."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            await self._pool.connection_pace.take()
            try:
                connection = await self._pool.connect()
            except ConnectError as error:
                cause = error.cause
                failures += 1
            else:
                opened = loop.time()
                cause = await self._serve(connection)
                failures = 0 if loop.time() - opened >= STABLE_SECONDS else failures + 1
            self._pool.stats.reconnects[cause] += 1
            if cause == "reconnect":
                # The first time at once, since the connection is about to be closed.
                await asyncio.sleep(backoff(failures - 1) if failures > 1 else 0.0)
                continue
            delay = backoff(failures) if failures else random.random()
            _log.warning("no connection to %s: %s; next try in %.1f s", self._pool.url, cause, delay)
            await asyncio.sleep(delay)

    async def _serve(self, connection: Connection) -> str:
        """Use a connection until it ends or the server wants a new one; returns the cause."""
        # Of those that were to be replaced, only the newest is worth keeping.
        self._pool.end(self.connections[:-1])
        self._connections.append(connection)
        async with asyncio.TaskGroup() as tasks:
            joining = tasks.create_task(self._keep_joined(connection))
            retiring = tasks.create_task(self._retire_older(connection))
            cause = await connection.over()
            joining.cancel()
            retiring.cancel()
        return cause

    async def _keep_joined(self, connection: Connection) -> None:
        pace = self._pool.join_pace or self._pool.new_join_pace()
        tries: Counter[str] = Counter()
        asked: dict[str, float] = {}
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            if surplus := sorted(connection.joined - self.wanted.keys()):
                connection.part(surplus)
            due = self._due(connection, tries, asked)
            while due:
                granted = await pace.take(len(due))
                batch, due = due[:granted], due[granted:]
                batch = [login for login in batch if login in self.wanted]
                for login in batch:
                    tries[login] += 1
                    asked[login] = loop.time()
                    self._pool.asking(self.wanted[login])
                connection.join(batch)
            try:
                async with asyncio.timeout(RECONCILE_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _due(self, connection: Connection, tries: Counter[str], asked: Mapping[str, float]) -> list[str]:
        now = asyncio.get_running_loop().time()
        due = []
        for login, channel in self.wanted.items():
            if login in connection.joined:
                tries[login] = 0
            elif channel.retry_at > now or asked.get(login, -math.inf) > now - RECONCILE_SECONDS:
                continue
            elif tries[login] < JOIN_TRIES:
                due.append(login)
            else:
                tries[login] = 0
                self._pool.give_up(channel, now + NO_ANSWER_RETRY_SECONDS)
        return due

    async def _retire_older(self, connection: Connection) -> None:
        """Close older connections once the new one has taken over their channels."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + HANDOVER_SECONDS
        while older := [one for one in self.connections if one is not connection]:
            await asyncio.sleep(0.1)
            replaced = [
                one
                for one in older
                if one.joined & self.wanted.keys() <= connection.joined or loop.time() >= deadline
            ]
            if replaced:
                await asyncio.sleep(LINGER_SECONDS)
                await drain(replaced)


async def drain(connections: Sequence[Connection]) -> None:
    """Read what is on its way to these connections, then end them.

    One that says nothing any more counts as watched until it was last heard.
    """
    open_ones = list(connections)
    for connection in open_ones:
        connection.drain()
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        while open_ones and loop.time() < began + DRAIN_SECONDS:
            await asyncio.wait([one.ended for one in open_ones], timeout=0.1)
            heard_since = loop.time() - DRAIN_SILENCE_SECONDS
            for connection in open_ones:
                if max(connection.last_received, began) < heard_since:
                    connection.close("stopped", silent=True)
            open_ones = [one for one in open_ones if not one.ended.done()]
    finally:
        for connection in open_ones:
            connection.close("stopped", silent=True)


class Pool:
    """All shards. It is the listener of their connections, and the windows' reader.

    Args:
        twitch: where to connect.
        collection: limits and paces.
        windows: told what is being watched.
        intake: gets the chat lines.
        stats: counters.
        spawn: starts a task of the service.
    """

    def __init__(
        self,
        twitch: TwitchSettings,
        collection: CollectionSettings,
        windows: Windows,
        intake: Intake,
        stats: Stats,
        spawn: Spawn,
    ) -> None:
        self._twitch = twitch
        self._collection = collection
        self._windows = windows
        self._intake = intake
        self._spawn = spawn
        self._channels: dict[str, Channel] = {}
        self._shards: dict[Shard, asyncio.Task[None]] = {}
        self._last_heard = 0.0
        self._of: dict[str, Shard] = {}
        self._owners: dict[int, Channel] = {}
        self._last_statuses: dict[int, tuple[str, str]] | None = None
        self._last_table: list[Row] | None = None
        self._left_out: frozenset[int] = frozenset()
        self.stats = stats
        self.connection_pace = Pace(1, collection.connection_interval_seconds)
        self.join_pace = self.new_join_pace() if collection.join_rate.scope == "global" else None
        self.chats: Callable[[Sequence[Chat]], None] = intake.chats
        windows.reader = self

    def new_join_pace(self) -> Pace:
        """A JOIN limit of its own."""
        return Pace(self._collection.join_rate.joins, self._collection.join_rate.seconds)

    async def connect(self) -> Connection:
        """A new connection.

        Raises:
            ConnectError: it could not be made.
        """
        return await Connection.connect(self._twitch, self, self.stats)

    def want(self, logins: Sequence[str], room_ids: Mapping[str, int]) -> None:
        """Set the wanted channels.

        Args:
            logins: all that are wanted, the most important first.
            room_ids: the ids that are known.
        """
        if self._last_table is not None:
            return
        changed: set[Shard] = set()
        wanted = set(logins)
        for login in [login for login in self._of if login not in wanted]:
            shard = self._of.pop(login)
            channel = shard.wanted.pop(login)
            if not channel.holders:
                self._forget(channel)
            changed.add(shard)
        for login in logins:
            if login not in self._channels:
                self._channels[login] = Channel(login, self._windows.now())
            channel = self._channels[login]
            if login not in self._of:
                shard = self._with_room()
                self._of[login] = shard
                shard.wanted[login] = channel
                changed.add(shard)
            channel.listed_id = room_ids.get(login)
            # What Twitch itself says of a channel that is joined is newer than any list.
            if channel.listed_id is not None and not channel.holders:
                self.room(login, channel.listed_id)
        for shard in changed:
            if shard.wanted:
                shard.change()
            else:
                self._shards.pop(shard).cancel()
                self.end(shard.connections)

    def leave_out(self, channel_ids: frozenset[int]) -> None:
        """From now on leave channels with these ids as soon as their id is known."""
        self._left_out = channel_ids
        for channel in self._channels.values():
            if channel.room_id in channel_ids:
                self._leave(channel)

    async def stop(self) -> None:
        """Read what is on its way, then end every connection; watching ends with what was read."""
        self._last_statuses, self._last_table = self.statuses(), self.table()
        for task in self._shards.values():
            task.cancel()
        await drain(self._connections())

    def end(self, connections: Sequence[Connection]) -> None:
        """Read what is on its way to these connections, then end them, in the background."""
        if connections:
            self._spawn(drain(connections))

    def probe(self) -> None:
        """Ask every connection for a sign of life: it, or the machine, may have slept."""
        for connection in self._connections():
            connection.ping()

    def heard_until(self) -> float:
        """The world time up to which every connection is known to have delivered what was sent."""
        heard = (self._heard(one) for one in self._connections() if one.joined)
        return min(heard, default=self._windows.now())

    def quiet(self, since: float) -> dict[int, float]:
        """The channels of which nothing was heard since that world time, by id, and when it last was."""
        found = {}
        for connection in self._connections():
            if self._heard(connection) >= since:
                continue
            for login in connection.joined:
                channel = self._channels.get(login)
                if channel is not None and channel.room_id is not None and channel.holders:
                    heard = max(map(self._heard, channel.holders))
                    if heard < since:
                        found[channel.room_id] = heard
        return found

    def statuses(self) -> dict[int, tuple[str, str]]:
        """Login and status of every wanted channel whose id is known, by id; after `stop`, as of then."""
        if self._last_statuses is not None:
            return self._last_statuses
        wanted = (self._channels[login] for login in self._of)
        return {
            one.room_id: (one.login, one.status)
            for one in wanted
            if one.room_id is not None and one.room_id not in self._left_out
        }

    def doubtful(self) -> list[str]:
        """The wanted channels whose JOINs Twitch does not answer, or that have another id than listed."""
        wanted = (self._channels[login] for login in self._of)
        return [
            one.login
            for one in wanted
            if one.status == NO_ANSWER or (one.holders and one.listed_id not in (None, one.room_id))
        ]

    def table(self) -> list[Row]:
        """Every wanted channel, ordered by login; after `stop`, as of then."""
        if self._last_table is not None:
            return self._last_table
        wanted = (self._channels[login] for login in sorted(self._of))
        return [Row(one.login, one.room_id, one.status, one.changed_at) for one in wanted]

    def counts(self) -> Counter[str]:
        """How many wanted channels are in which status."""
        return Counter(self._channels[login].status for login in self._of)

    def connection_counts(self) -> dict[str, int]:
        """Connections that are up, and shards that have none now."""
        up = [len(shard.connections) for shard in self._shards]
        return {"open": sum(up), "missing": up.count(0)}

    @property
    def url(self) -> str:
        """Where the connections go."""
        return self._twitch.irc_url

    @property
    def last_heard(self) -> float:
        """When anything last arrived on any connection, as far as was asked (loop's clock; 0 for none)."""
        heard = [one.last_received for one in self._connections()]
        self._last_heard = max([self._last_heard, *heard])
        return self._last_heard

    def asking(self, channel: Channel) -> None:
        """A JOIN for the channel is about to be sent."""
        now = asyncio.get_running_loop().time()
        channel.asked_at = now
        if not channel.holders:
            channel.become(JOINING, self._windows.now())
        elif channel.room_id is not None:
            self._intake.duplicates.watch(channel.room_id, now + _REMEMBER_SECONDS)

    def give_up(self, channel: Channel, retry_at: float) -> None:
        """Several JOINs for the channel got no answer; the next one is at ``retry_at``."""
        channel.retry_at = retry_at
        if not channel.holders:
            channel.become(NO_ANSWER, self._windows.now())

    def _forget(self, channel: Channel) -> None:
        del self._channels[channel.login]
        if channel.room_id is not None and self._owners.get(channel.room_id) is channel:
            del self._owners[channel.room_id]

    def _leave(self, channel: Channel) -> None:
        """Leave a channel that has opted out; its name did not tell, its id does."""
        channel.become(OPTED_OUT, self._windows.now())
        channel.retry_at = math.inf
        for connection in list(channel.holders):
            connection.part([channel.login])

    def _heard(self, connection: Connection) -> float:
        """The world time at which anything last arrived on the connection."""
        silence = asyncio.get_running_loop().time() - connection.last_received
        return self._windows.now() - silence * self._windows.rate

    def _connections(self) -> list[Connection]:
        return [one for shard in self._shards for one in shard.connections]

    # Listener

    def joined(self, connection: Connection, login: str) -> None:
        """The channel is joined on this connection."""
        channel = self._channels.get(login)
        if channel is None:
            return
        self.stats.join_latency.observe(asyncio.get_running_loop().time() - channel.asked_at)
        now = self._windows.now()
        if channel.room_id in self._left_out:
            connection.part([login])
            return
        channel.become(JOINED, now)
        if not channel.holders and channel.room_id is not None:
            self._windows.joined(channel.room_id, login, now)
        channel.holders[connection] = now

    def left(self, connection: Connection, login: str, ago: float) -> None:
        """The channel is not joined on this connection, for ``ago`` seconds."""
        channel = self._channels.get(login)
        if channel is None or connection not in channel.holders:
            return
        first = min(channel.holders.values())
        channel.holders.pop(connection)
        rest = min(channel.holders.values(), default=math.inf)
        gone = self._windows.now() - ago * self._windows.rate
        # Nobody watched from when this one fell silent until the next one had joined.
        if channel.room_id is not None and first < rest and gone < rest:
            self._windows.left(channel.room_id, ago)
            if channel.holders:
                self._windows.joined(channel.room_id, login, rest)
        if channel.holders:
            return
        if channel.status == JOINED:
            channel.become(JOINING, self._windows.now())
        if login in self._of:
            self._of[login].change()
        else:
            self._forget(channel)

    def room(self, login: str, room_id: int) -> None:
        """The channel has this id."""
        channel = self._channels.get(login)
        if channel is None or channel.room_id == room_id:
            return
        if channel.holders and channel.room_id is not None:
            # The login belongs to another channel now.
            self._windows.left(channel.room_id, 0.0)
            channel.holders = dict.fromkeys(channel.holders, self._windows.now())
        former = self._owners.get(room_id)
        if former is not None and former is not channel:
            # The channel has another login now; what is joined under the old one shows nothing of it.
            former.room_id = None
            if former.holders:
                self._windows.left(room_id, 0.0)
        self._owners[room_id] = channel
        channel.room_id = room_id
        if room_id in self._left_out:
            self._leave(channel)
        elif channel.holders:
            self._windows.joined(room_id, login, min(channel.holders.values()))

    def refused(self, login: str, why: str) -> None:
        """The channel cannot be joined."""
        if channel := self._channels.get(login):
            channel.become(why, self._windows.now())
            channel.retry_at = asyncio.get_running_loop().time() + REFUSED_RETRY_SECONDS
            _log.info("%s cannot be joined: %s", login, why)

    def _with_room(self) -> Shard:
        for shard in self._shards:
            if len(shard.wanted) < self._collection.channels_per_connection:
                return shard
        shard = Shard(self)
        self._shards[shard] = self._spawn(shard.run())
        return shard
