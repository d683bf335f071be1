"""The pool: the connections, the channels that each of them serves, and the JOINs at the allowed pace.

``irc_client`` has the protocol, ``roster`` the state of each channel, ``channel_list`` the choice of
channels.

Timers are real: seconds of the event loop's clock. Only the instants given to the windows are world time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from collector_service.contract import ChannelStatus
from collector_service.live.intake import Intake
from collector_service.live.roster import Channel, Roster
from collector_service.live.windows import Windows
from collector_service.metrics import Stats
from collector_service.settings import CollectionSettings, TwitchSettings
from collector_service.support.pace import Pace
from collector_service.support.retry import NETWORK, RetryPolicy
from collector_service.twitch.irc_client import ConnectError, Connection, ConnectionTimings

JOIN_TRIES = 3

_log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


@dataclass(frozen=True)
class PoolTimings:
    """Real seconds.

    Attributes:
        reconcile_seconds: between two comparisons of wanted and joined channels.
        no_answer_retry_seconds: before the next JOIN of a channel whose JOINs got no answer. Renamed and
            deleted channels never answer.
        stable_seconds: after which a connection that ends does not count as a failure.
        handover_seconds: the longest time for which two connections serve the same channels, after a
            RECONNECT.
        linger_seconds: for which the old connection then stays, for lines that are still on their way.
        drain_seconds: the longest wait for lines on their way when a connection is ended.
        drain_silence_seconds: the longest such wait without a sign of life.
        retry: the waits after connections that failed.
        connection: those of each connection.
    """

    reconcile_seconds: float = 15.0
    no_answer_retry_seconds: float = 300.0
    stable_seconds: float = 60.0
    handover_seconds: float = 120.0
    linger_seconds: float = 2.0
    drain_seconds: float = 8.0
    drain_silence_seconds: float = 4.0
    retry: RetryPolicy = NETWORK
    connection: ConnectionTimings = field(default_factory=ConnectionTimings)

    @property
    def remember_seconds(self) -> float:
        """For how long two connections may bring the same line after a JOIN."""
        return self.handover_seconds + 60.0


class ConnectionSlot:
    """A limited number of channels, and the connection that serves them.

    ``wanted`` has the channels that must stay joined, in order of importance.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._timings = pool.timings
        self._changed = asyncio.Event()
        self._connections: list[Connection] = []
        self.wanted: dict[str, Channel] = {}

    @property
    def connections(self) -> list[Connection]:
        """The open connections, the oldest first: one, or more during a handover."""
        self._connections = _open(self._connections)
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
                failures = 0 if loop.time() - opened >= self._timings.stable_seconds else failures + 1
            self._pool.stats.reconnects[cause] += 1
            if cause == "reconnect":
                # The first time at once, since the connection is about to be closed.
                await asyncio.sleep(self._timings.retry.wait_seconds(failures - 1) if failures > 1 else 0.0)
                continue
            delay = self._timings.retry.wait_seconds(failures) if failures else random.random()  # noqa: S311 - jitter, no secret
            _log.warning("no connection to %s: %s; next try in %.1f s", self._pool.url, cause, delay)
            await asyncio.sleep(delay)

    async def _serve(self, connection: Connection) -> str:
        """Use a connection until it ends or the server wants a new one; returns the cause."""
        # Only the newest of the replaced connections is worth keeping.
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
                connection.leave(surplus)
            due = self._due(connection, tries, asked)
            while due:
                granted = await pace.take(len(due))
                batch, due = due[:granted], due[granted:]
                batch = [login for login in batch if login in self.wanted]
                for login in batch:
                    tries[login] += 1
                    asked[login] = loop.time()
                    self._pool.roster.asking(
                        self.wanted[login], loop.time() + self._timings.remember_seconds
                    )
                connection.join(batch)
            try:
                async with asyncio.timeout(self._timings.reconcile_seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _due(self, connection: Connection, tries: Counter[str], asked: Mapping[str, float]) -> list[str]:
        now = asyncio.get_running_loop().time()
        due = []
        for login, channel in self.wanted.items():
            if login in connection.joined:
                tries[login] = 0
            elif (
                channel.retry_at > now
                or asked.get(login, -math.inf) > now - self._timings.reconcile_seconds
            ):
                continue
            elif tries[login] < JOIN_TRIES:
                due.append(login)
            else:
                tries[login] = 0
                self._pool.roster.give_up(channel, now + self._timings.no_answer_retry_seconds)
        return due

    async def _retire_older(self, connection: Connection) -> None:
        """Close older connections once the new one has taken over their channels."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timings.handover_seconds
        while older := [old for old in self.connections if old is not connection]:
            await asyncio.sleep(0.1)
            replaced = [
                old
                for old in older
                if old.joined & self.wanted.keys() <= connection.joined or loop.time() >= deadline
            ]
            if replaced:
                await asyncio.sleep(self._timings.linger_seconds)
                await drain(replaced, self._timings)


def _open(connections: Sequence[Connection]) -> list[Connection]:
    return [connection for connection in connections if not connection.ended.done()]


async def drain(connections: Sequence[Connection], timings: PoolTimings) -> None:
    """Read the lines on their way to these connections, then end them.

    A connection that has fallen silent counts as watched until it was last heard.
    """
    draining = list(connections)
    for connection in draining:
        connection.drain()
    loop = asyncio.get_running_loop()
    began = loop.time()
    # A cancelled drain is repeated by its caller: closed here, they would lose the lines on their way.
    while draining and loop.time() < began + timings.drain_seconds:
        await asyncio.wait([connection.ended for connection in draining], timeout=0.1)
        heard_since = loop.time() - timings.drain_silence_seconds
        for connection in draining:
            if max(connection.last_received, began) < heard_since:
                connection.close("stopped", silent=True)
        draining = _open(draining)
    for connection in draining:
        connection.close("stopped", silent=True)


class Pool:
    """All connection slots, and the windows' reader.

    Args:
        twitch: where to connect.
        collection: limits and paces.
        windows: get the watched channels.
        intake: gets the chat lines.
        stats: counters.
        timings: how long to wait for what.

    Attributes:
        roster: the wanted channels.
    """

    def __init__(
        self,
        twitch: TwitchSettings,
        collection: CollectionSettings,
        windows: Windows,
        intake: Intake,
        stats: Stats,
        timings: PoolTimings = PoolTimings(),
    ) -> None:
        self._twitch = twitch
        self._collection = collection
        self._windows = windows
        self._start: Spawn | None = None
        self.timings = timings
        self._slots: dict[ConnectionSlot, asyncio.Task[None]] = {}
        self._of: dict[str, ConnectionSlot] = {}
        self._ending: list[Connection] = []
        self._last_heard = 0.0
        self.roster = Roster(windows, intake, stats, lambda login: self._of[login].change())
        self.stats = stats
        self.connection_pace = Pace(1, collection.connection_interval_seconds)
        self.join_pace = self.new_join_pace() if collection.join_rate.scope == "global" else None
        windows.reader = self

    @property
    def url(self) -> str:
        """Where the connections go."""
        return self._twitch.irc_url

    @property
    def last_heard(self) -> float:
        """When anything last arrived on any connection, as of this call (loop's clock; 0 for never)."""
        heard = [connection.last_received for connection in self._connections()]
        self._last_heard = max([self._last_heard, *heard])
        return self._last_heard

    def new_join_pace(self) -> Pace:
        """A JOIN limit of its own."""
        return Pace(self._collection.join_rate.joins, self._collection.join_rate.seconds)

    async def connect(self) -> Connection:
        """A new connection.

        Raises:
            ConnectError: it could not be made.
        """
        return await Connection.connect(self._twitch, self.roster, self.stats, self.timings.connection)

    def start(self, spawn: Spawn) -> None:
        """Let the pool start tasks; before that it must not be given channels to want."""
        self._start = spawn

    def want(self, logins: Sequence[str], channel_ids: Mapping[str, int]) -> None:
        """Set the wanted channels; without effect once the pool is stopping.

        Args:
            logins: all wanted channels, the most important first.
            channel_ids: the ids that are known.
        """
        if self.roster.is_frozen:
            return
        added, removed = self.roster.want(logins, channel_ids)
        changed: set[ConnectionSlot] = set()
        for channel in removed:
            slot = self._of.pop(channel.login)
            del slot.wanted[channel.login]
            changed.add(slot)
        for channel in added:
            slot = self._with_room()
            self._of[channel.login] = slot
            slot.wanted[channel.login] = channel
            changed.add(slot)
        for slot in changed:
            if slot.wanted:
                slot.change()
            else:
                self._slots.pop(slot).cancel()
                self.end(slot.connections)

    async def stop(self) -> None:
        """Read the lines on their way, then end every connection; watching ends with the last line read."""
        self.roster.freeze()
        for task in self._slots.values():
            task.cancel()
        await drain(self._connections(), self.timings)

    def end(self, connections: Sequence[Connection]) -> None:
        """Drain these connections in the background."""
        if connections:
            self._ending.extend(connections)
            self._spawn(drain(connections, self.timings))

    def probe(self) -> None:
        """Ask every connection for a sign of life: it, or the machine, may have slept."""
        for connection in self._connections():
            connection.ping()

    def heard_until(self) -> float:
        """The world time up to which every connection is known to have delivered what was sent."""
        heard = (self._heard(connection) for connection in self._connections() if connection.joined)
        return min(heard, default=self._windows.now())

    def quiet(self, since: float) -> dict[int, float]:
        """The channels of which nothing was heard since that world time, by id, and when it last was."""
        return self.roster.quiet(self._connections(), self._heard, since)

    def statuses(self) -> dict[int, tuple[str, ChannelStatus]]:
        """Login and status of every wanted channel whose id is known, by id."""
        return self.roster.statuses()

    def connection_counts(self) -> dict[str, int]:
        """Open connections, and slots without any."""
        up = [len(slot.connections) for slot in self._slots]
        return {"open": sum(up), "missing": up.count(0)}

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._start is None:
            raise RuntimeError("the pool has not been started")
        return self._start(work)

    def _heard(self, connection: Connection) -> float:
        """The world time at which anything last arrived on the connection."""
        silence = asyncio.get_running_loop().time() - connection.last_received
        return self._windows.now() - silence * self._windows.rate

    def _connections(self) -> list[Connection]:
        self._ending = _open(self._ending)
        return list(
            dict.fromkeys([*chain.from_iterable(slot.connections for slot in self._slots), *self._ending])
        )

    def _with_room(self) -> ConnectionSlot:
        for slot in self._slots:
            if len(slot.wanted) < self._collection.channels_per_connection:
                return slot
        slot = ConnectionSlot(self)
        self._slots[slot] = self._spawn(slot.run())
        return slot
