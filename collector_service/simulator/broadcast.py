"""The sender: merges the streams' schedules and hands due lines to the rooms' subscribers.

Streams are expanded when they begin and dropped when they are over, so memory holds the live ones only.
"""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from collector_service.clock import Clock
from collector_service.simulator.chat import Event, Kind, stream_events
from collector_service.simulator.lines import RoomLines, without_tags
from collector_service.simulator.world import Channel, Stream, World

TICK_SECONDS = 0.01
_LINES_BETWEEN_YIELDS = 2_000


class Subscriber(Protocol):
    """A connection, as the sender sees it."""

    tags: bool
    commands: bool

    def send(self, data: bytes) -> None:
        """Queue bytes; they are written with the next tick."""
        ...


@dataclass(slots=True, eq=False)
class Room:
    """A channel's chat room and its subscribers.

    ``joined`` holds the finished stretches (world seconds) with at least one subscriber.
    """

    channel: Channel
    subscribers: set[Subscriber] = field(default_factory=set)
    joined: list[tuple[float, float]] = field(default_factory=list)
    joined_since: float | None = None

    def subscribe(self, subscriber: Subscriber, now: float) -> None:
        """From now on the subscriber receives the room's lines."""
        self.subscribers.add(subscriber)
        if self.joined_since is None:
            self.joined_since = now

    def unsubscribe(self, subscriber: Subscriber, now: float) -> None:
        """From now on it does not."""
        self.subscribers.discard(subscriber)
        if not self.subscribers and self.joined_since is not None:
            self.joined.append((self.joined_since, now))
            self.joined_since = None


@dataclass(slots=True)
class Counts:
    """Counts of the sender so far; messages and mirrored copies are PRIVMSGs."""

    messages: int = 0
    messages_delivered: int = 0
    notices: int = 0
    mirrored: int = 0
    mirrored_delivered: int = 0
    lines_sent: int = 0
    max_lag_seconds: float = 0.0


class Broadcast:
    """One stream on the air.

    ``delivered`` and ``notices_delivered`` hold ranges of event numbers: messages need a joined
    connection, everything else one that also asked for commands.
    """

    def __init__(self, world: World, stream: Stream) -> None:
        self.stream = stream
        self.events = stream_events(world, stream)
        self.times = [event.ms for event in self.events]
        self.cursor = 0
        self.delivered: list[tuple[int, int]] = []
        self.notices_delivered: list[tuple[int, int]] = []
        self.lines = RoomLines(world, stream)
        session = stream.session
        self.mirrors = [
            (world.channels[world.streams[partner].channel], RoomLines(world, stream, channel))
            for partner in (session.streams if session else ())
            if partner != stream.index and (channel := world.channels[world.streams[partner].channel])
        ]


class Broadcaster:
    """Plays the world to the rooms in step with the clock.

    While ``paused`` the world stands still, but its time passes.

    Args:
        world: the planted world.
        clock: its clock.
        finished: called with each stream whose last event has been played.
        flush: called after each batch, so that connections write what they have queued.
    """

    def __init__(
        self,
        world: World,
        clock: Clock,
        finished: Callable[[Broadcast], None],
        flush: Callable[[], None],
    ) -> None:
        self.world = world
        self.clock = clock
        self.counts = Counts()
        self.rooms = [Room(channel) for channel in world.channels]
        self.on_air: dict[int, Broadcast] = {}
        self.paused = False
        self._finished = finished
        self._flush = flush
        self._by_login = {room.channel.login: room for room in self.rooms}
        self._due: list[tuple[int, int]] = []
        self._next_stream = 0
        self._renames = sorted(
            (room for room in self.rooms if room.channel.renamed_to),
            key=lambda room: room.channel.renamed_at,
        )

    def room(self, login: str) -> Room | None:
        """The room that has this login now."""
        return self._by_login.get(login)

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            if self.paused:
                self._flush()
            else:
                await self._play(self.clock.now())
            await asyncio.sleep(TICK_SECONDS)

    async def _play(self, now: float) -> None:
        self._rename(now)
        streams = self.world.streams
        while self._next_stream < len(streams) and streams[self._next_stream].started_at <= now:
            broadcast = Broadcast(self.world, streams[self._next_stream])
            self.on_air[self._next_stream] = broadcast
            heapq.heappush(self._due, (broadcast.times[0], self._next_stream))
            self._next_stream += 1
        now_ms, batch = int(now * 1_000), 0
        while self._due and self._due[0][0] <= now_ms:
            ms, index = heapq.heappop(self._due)
            lag = (self.clock.now() - ms / 1_000) / self.clock.rate
            self.counts.max_lag_seconds = max(self.counts.max_lag_seconds, lag)
            broadcast = self.on_air[index]
            stop = bisect_right(broadcast.times, now_ms, broadcast.cursor)
            batch += stop - broadcast.cursor
            self._deliver(broadcast, stop)
            if stop < len(broadcast.times):
                heapq.heappush(self._due, (broadcast.times[stop], index))
            else:
                self._finished(self.on_air.pop(index))
            if batch > _LINES_BETWEEN_YIELDS:
                batch = 0
                self._flush()
                await asyncio.sleep(0)
        self._flush()

    def _rename(self, now: float) -> None:
        """Move a renamed channel's chat to its new login, without the subscribers of the old one."""
        while self._renames and self._renames[0].channel.renamed_at <= now:
            room = self._renames.pop(0)
            for subscriber in list(room.subscribers):
                room.unsubscribe(subscriber, now)
            del self._by_login[room.channel.login]
            self._by_login[room.channel.login_at(now)] = room

    def _deliver(self, broadcast: Broadcast, stop: int) -> None:
        first, broadcast.cursor = broadcast.cursor, stop
        events = broadcast.events[first:stop]
        counts = self.counts
        messages = sum(1 for event in events if event.kind == Kind.MESSAGE)
        counts.messages += messages
        counts.notices += len(events) - messages
        room = self.rooms[broadcast.stream.channel]
        if room.subscribers:
            self._send(room, events, broadcast.lines.write(events, first))
            counts.messages_delivered += messages
            _extend(broadcast.delivered, first, stop)
            if any(subscriber.commands for subscriber in room.subscribers):
                _extend(broadcast.notices_delivered, first, stop)
        if broadcast.mirrors:
            self._mirror(broadcast, events, first)

    def _mirror(self, broadcast: Broadcast, events: Sequence[Event], first: int) -> None:
        """Copies to the partners of a shared chat: all messages, and notices except bans and raids."""
        session = broadcast.stream.session
        if session is None:
            return
        begin, end = session.started_at * 1_000, session.ended_at * 1_000
        for channel, lines in broadcast.mirrors:
            room = self._by_login[channel.login_at(broadcast.stream.started_at)]
            copied = [
                (first + offset, event)
                for offset, event in enumerate(events)
                if begin <= event.ms < end and event.kind not in (Kind.BAN, Kind.RAID)
            ]
            messages = sum(1 for _, event in copied if event.kind == Kind.MESSAGE)
            self.counts.mirrored += messages
            if copied and room.subscribers:
                self.counts.mirrored_delivered += messages
                written = [lines.write([event], number)[0] for number, event in copied]
                self._send(room, [event for _, event in copied], written)

    def _send(self, room: Room, events: Sequence[Event], lines: list[str]) -> None:
        """Queue the lines for all subscribers, formatted once for each set of capabilities."""
        payloads: dict[tuple[bool, bool], tuple[bytes, int]] = {}
        for subscriber in room.subscribers:
            wishes = (subscriber.tags, subscriber.commands)
            payload = payloads.get(wishes)
            if payload is None:
                payload = payloads[wishes] = _payload(events, lines, *wishes)
            subscriber.send(payload[0])
            self.counts.lines_sent += payload[1]


def _payload(events: Sequence[Event], lines: list[str], tags: bool, commands: bool) -> tuple[bytes, int]:
    if not commands:
        lines = [line for event, line in zip(events, lines, strict=True) if event.kind == Kind.MESSAGE]
    if not tags:
        lines = [without_tags(line) for line in lines]
    return "".join([line + "\r\n" for line in lines]).encode(), len(lines)


def _extend(ranges: list[tuple[int, int]], first: int, stop: int) -> None:
    if ranges and ranges[-1][1] == first:
        ranges[-1] = (ranges[-1][0], stop)
    else:
        ranges.append((first, stop))
