"""Windows: the viewers of each channel in each window, and for how long the channel was really watched.

This module has aligned windows of event time, counting, observed seconds, and the snapshot records of a
closed window. It is plain memory, touched by the event loop's thread alone until a share is closed;
``journal`` and ``spool`` have the files.

All instants are seconds since 1970 of the world clock.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from collector_service.clock import Clock, utc
from collector_service.contract import ChannelStatus, SnapshotRecord
from collector_service.twitch.irc import MESSAGE, MIRRORED

# Real seconds that a window stays open after its end, and after each later event of it, for messages that
# are still on their way; and how much longer at most, for such events or for a connection that has to prove
# that it was alive at the window's end. So a window closes within the sum of both after its end.
GRACE_SECONDS = 2.0
SETTLE_SECONDS = 15.0
# Real seconds by which a line may still be on its way to us: a crash loses those, too.
LATENCY_SECONDS = 1.0
# Real seconds by which an event's own time may be older than its arrival.
MAX_LATENESS_SECONDS = 120.0
# Real seconds without a tick that mean the machine slept; nothing was observed in that time.
MAX_PAUSE_SECONDS = 15.0
# Real seconds by which the clock may be set back without notice; time stands still until it catches up.
MAX_STEP_BACK_SECONDS = 5.0
# (channel, viewer) pairs in one share; a pair takes about 200 bytes. Ten times what 5,000 channels show in
# a busy window.
MAX_PAIRS = 2_000_000

_BOT_BIT = 4


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Helix's metadata of a channel's stream; all null when it is offline or unknown."""

    viewer_count: int | None = None
    game_id: str | None = None
    game_name: str | None = None
    language: str | None = None
    title: str | None = None
    started_at: datetime | None = None


_UNKNOWN = StreamInfo()


class Reader(Protocol):
    """The connections, as the windows need them."""

    def heard_until(self) -> float:
        """The world time up to which every connection is known to have delivered what was sent."""

    def quiet(self, since: float) -> Mapping[int, float]:
        """The channels of which nothing was heard since that world time, by id, and when it last was."""

    def probe(self) -> None:
        """Ask the connections for a sign of life."""

    def statuses(self) -> Mapping[int, tuple[str, ChannelStatus]]:
        """Login and status of every wanted channel whose id is known, by id."""


class _NoReader:
    """Stands for the connections while there are none."""

    def heard_until(self) -> float:
        return math.inf

    def quiet(self, since: float) -> Mapping[int, float]:  # noqa: ARG002 - without connections
        return {}

    def probe(self) -> None:
        pass

    def statuses(self) -> Mapping[int, tuple[str, ChannelStatus]]:
        return {}


class Tally:
    """One channel in one share of a window.

    ``viewers`` maps viewer keys to their messages; ``stretches`` holds from when until when the channel
    was joined, in order, and ``since`` when it was joined last, or None while it is not.
    """

    __slots__ = ("bots", "login", "messages", "mirrored", "since", "stretches", "viewers")

    def __init__(self, login: str) -> None:
        self.login = login
        self.messages = 0
        self.mirrored = 0
        self.viewers: dict[int, int] = {}
        self.bots: set[int] = set()
        self.stretches: list[tuple[float, float]] = []
        self.since: float | None = None

    def watched(self, begin: float, end: float) -> list[tuple[float, float]]:
        """The stretches between two instants, in seconds from ``begin``, to the millisecond."""
        stretches = self.stretches if self.since is None else [*self.stretches, (self.since, end)]
        clipped = ((max(since, begin), min(until, end)) for since, until in stretches)
        return [
            (round(since - begin, 3), round(until - begin, 3)) for since, until in clipped if since < until
        ]


class WindowShare:
    """The share of one process in one window: the content of one snapshot object.

    A window has one share, and further ones after a restart or for events that arrived too late.

    Attributes:
        start: the window's start, a multiple of its length.
        end: the window's end.
        sequence: number of the share, unique within the state directory.
        close_at: when the share closes. An event that arrives after the window's end puts this off.
        close_by: the latest time at which it closes, whether or not every connection was heard.
        until: watching counts up to here.
        partial: whether it may lack a part of the window.
        full: whether it has stopped counting, for lack of memory.
        supplementary: whether it only takes events that arrived after its window had closed.
        tallies: by channel id.
        stream_infos: by channel id, as known at the window's end.
        statuses: login and status of the wanted channels by channel id, at the share's end.
        events: the counts since the journal last took them: pairs of a code and a viewer key.
        coverage: the joins and leaves since then: channel id, instant, whether joined.
        new_channels: channel ids whose tally is new since then.
    """

    __slots__ = (
        "close_at", "close_by", "coverage", "end", "events", "full", "new_channels", "partial", "seconds",
        "sequence", "start", "statuses", "stream_infos", "supplementary", "tallies", "until",
    )  # fmt: skip

    def __init__(
        self,
        start: int,
        seconds: int,
        sequence: int,
        *,
        close_at: float = 0.0,
        partial: bool = False,
        supplementary: bool = False,
    ) -> None:
        self.start = start
        self.end = start + seconds
        self.seconds = seconds
        self.sequence = sequence
        self.close_at = self.close_by = close_at
        self.until = float(self.end)
        self.partial = partial or supplementary
        self.supplementary = supplementary
        self.tallies: dict[int, Tally] = {}
        self.stream_infos: Mapping[int, StreamInfo] = {}
        self.statuses: Mapping[int, tuple[str, ChannelStatus]] = {}
        self.full = False
        self.events = array("Q")
        self.coverage: list[tuple[int, float, bool]] = []
        self.new_channels: list[int] = []

    @property
    def pairs(self) -> int:
        """(channel, viewer) pairs."""
        return sum(len(tally.viewers) for tally in self.tallies.values())

    def tally(self, channel_id: int, login: str) -> Tally:
        """The channel's tally, new when there was none."""
        tally = self.tallies.get(channel_id)
        if tally is None:
            tally = self.tallies[channel_id] = Tally(login)
            self.new_channels.append(channel_id)
        return tally

    def count(self, channel_id: int, kind: int, key: int, bot: bool) -> None:
        """Count one chat line of a channel that has a tally."""
        if self.full:
            return
        tally = self.tallies[channel_id]
        if kind == MIRRORED:
            tally.mirrored += 1
        else:
            viewers = tally.viewers
            if kind == MESSAGE:
                tally.messages += 1
                viewers[key] = viewers.get(key, 0) + 1
            elif key not in viewers:
                viewers[key] = 0
            if bot:
                tally.bots.add(key)
                kind |= _BOT_BIT
        events = self.events
        events.append(channel_id << 3 | kind)
        events.append(key)

    def count_again(self, events: Iterable[int]) -> None:
        """Count again, from journalled events."""
        numbers = iter(events)
        for code, key in zip(numbers, numbers, strict=True):
            self.count(code >> 3, code & 3, key, bool(code & _BOT_BIT))

    def joined(self, channel_id: int, login: str, instant: float) -> None:
        """Begin to watch the channel, at ``instant``."""
        tally = self.tally(channel_id, login)
        tally.login = login  # it may have a new one
        if tally.since is None and not self.full:
            tally.since = instant
            self.coverage.append((channel_id, instant, True))

    def left(self, channel_id: int, instant: float) -> None:
        """End watching the channel, at ``instant``."""
        tally = self.tallies.get(channel_id)
        if tally is None or tally.since is None:
            return
        if tally.since < instant:
            tally.stretches.append((tally.since, instant))
        tally.since = None
        self.coverage.append((channel_id, instant, False))

    def stop_counting(self, instant: float) -> None:
        """End counting and watching, at ``instant``."""
        for channel_id in self.tallies:
            self.left(channel_id, instant)
        self.full = True
        self.partial = True

    def records(
        self, collector_id: str, user_ids: Mapping[int, bytes] | None = None
    ) -> Iterator[SnapshotRecord]:
        """The share's records, ordered by channel id, viewers by key.

        Args:
            collector_id: the collector.
            user_ids: Twitch's ids by key, if the records must have them.

        Yields:
            A record for each channel that was wanted, was watched for a moment, or had a chat line.
        """
        for channel_id in sorted(self.tallies.keys() | self.statuses.keys()):
            login, status = self.statuses.get(channel_id, ("", None))
            tally = self.tallies.get(channel_id) or Tally(login)
            intervals = tally.watched(self.start, min(self.until, self.end))
            if not (intervals or tally.viewers or tally.mirrored or status):
                continue
            keys = sorted(tally.viewers)
            info = self.stream_infos.get(channel_id, _UNKNOWN)
            yield SnapshotRecord(
                source="live",
                channel=tally.login,
                channel_id=channel_id,
                collector_id=collector_id,
                window_start=utc(self.start),
                window_seconds=self.seconds,
                observed_seconds=round(sum(until - since for since, until in intervals), 3),
                partial=self.partial,
                viewer_count=info.viewer_count,
                game_id=info.game_id,
                game_name=info.game_name,
                language=info.language,
                title=info.title,
                started_at=info.started_at,
                messages=tally.messages,
                mirrored_messages=tally.mirrored,
                viewer_keys=keys,
                viewer_messages=[tally.viewers[key] for key in keys],
                known_bots=sorted(tally.bots),
                user_ids=None if user_ids is None else [_text(user_ids.get(key)) for key in keys],
                observed_intervals=intervals,
                status=status,
                part=self.sequence,
            )


def _text(user_id: bytes | None) -> str | None:
    return None if user_id is None else user_id.decode("ascii")


class Windows:
    """The open shares, and which channels are being watched now.

    Args:
        clock: the world's clock.
        window_seconds: length of a window; windows start at multiples of it.
        first_sequence: number of the first share.
        max_pairs: (channel, viewer) pairs at which a share stops counting.
    """

    def __init__(
        self, clock: Clock, window_seconds: int, first_sequence: int = 0, max_pairs: int = MAX_PAIRS
    ) -> None:
        self._clock = clock
        self._seconds = window_seconds
        self._grace = GRACE_SECONDS * clock.rate
        self._max_lateness = MAX_LATENESS_SECONDS * clock.rate
        self._next_sequence = first_sequence
        self._max_pairs = max_pairs
        self._now = clock.now()
        self._last_tick = self._now
        self._started = self._now
        self._next_start = self._align(self._now)
        self._open: dict[int, WindowShare] = {}
        self._watched: dict[int, tuple[str, float]] = {}
        self._stream_infos: Mapping[int, StreamInfo] = {}
        self.closed = 0
        self.supplementary_shares = 0
        self.pauses = 0
        self.overflows = 0
        self.reader: Reader = _NoReader()
        self.tick()

    @property
    def open_shares(self) -> list[WindowShare]:
        """The shares that still take events, oldest window first."""
        return [self._open[start] for start in sorted(self._open)]

    @property
    def viewers(self) -> int:
        """(channel, viewer) pairs in the open shares."""
        return sum(share.pairs for share in self._open.values())

    @property
    def rate(self) -> float:
        """World seconds per real second."""
        return self._clock.rate

    def now(self) -> float:
        """The world's time. It stands still while the machine's clock is set back, until the next tick."""
        self._now = max(self._now, self._clock.now())
        return self._now

    def describe(self, stream_infos: Mapping[int, StreamInfo]) -> None:
        """Take new metadata, by channel id, for windows that have not ended."""
        self._stream_infos = stream_infos
        for share in self._open.values():
            if share.end > self._now:
                share.stream_infos = stream_infos

    def joined(self, channel_id: int, login: str, instant: float) -> None:
        """Begin to watch the channel, at ``instant``."""
        self._watched[channel_id] = (login, instant)
        for share in self._open.values():
            if share.end > instant and not share.supplementary:
                share.joined(channel_id, login, instant)

    def left(self, channel_id: int, ago: float = 0.0) -> None:
        """The channel is not watched any more, since ``ago`` real seconds."""
        self._stop_watching(channel_id, self.now() - ago * self.rate)

    def share_at(self, sent: float, now: float) -> WindowShare:
        """The share that an event belongs to.

        Args:
            sent: when Twitch sent it; brought into [now - 120 real seconds, now].
            now: the result of `now` at its arrival.
        """
        if sent > now:
            sent = now
        elif sent < now - self._max_lateness:
            sent = now - self._max_lateness
        start = self._align(sent)
        share = self._open.get(start) or self._open_for(start, now)
        if now >= share.end:
            # More may be on its way: reading on costs less than a further object of the window.
            share.close_at = min(now + self._grace, share.close_by)
        return share

    def tick(self) -> list[WindowShare]:
        """Open the windows that have begun; take out and return the shares that are over, oldest first.

        A share is over when every connection was heard after its window's end: only then it is certain
        that none of them was dead in the window. It waits for that until ``close_by`` at most. Must be
        called often: a longer pause (the machine slept) does not count as watched. When the clock was set
        back, all shares are over.
        """
        if self._clock.now() < self._now - MAX_STEP_BACK_SECONDS * self.rate:
            return self._start_again()
        now = self.now()
        if now - self._last_tick > MAX_PAUSE_SECONDS * self.rate:
            self._skip_pause(now)
        self._last_tick = now
        self._open_up_to(now)
        for share in self._open.values():
            if not share.full and share.pairs > self._max_pairs:
                share.stop_counting(now)
                self.overflows += 1
        over = [share for share in self.open_shares if self._is_over(share, now)]
        for share in over:
            self._take_out(share)
            self.closed += not share.supplementary
        return over

    def close_all(self, instant: float) -> list[WindowShare]:
        """Take out every share, as it is at ``instant``; those of unfinished windows become partial."""
        shares = self.open_shares
        for share in shares:
            share.partial |= share.end > instant
            share.until = min(share.until, instant)
            self._take_out(share)
        return shares

    def _is_over(self, share: WindowShare, now: float) -> bool:
        if now < share.end + self._grace:
            return False
        heard = share.supplementary or self.reader.heard_until() >= share.end + self._grace
        if not heard:
            self.reader.probe()
        return now >= share.close_by or (heard and now >= share.close_at)

    def _take_out(self, share: WindowShare) -> None:
        del self._open[share.start]
        if not share.supplementary:
            share.statuses = self.reader.statuses()

    def _align(self, instant: float) -> int:
        return int(instant // self._seconds) * self._seconds

    def _open_for(self, start: int, now: float) -> WindowShare:
        self._open_up_to(now)
        if share := self._open.get(start):
            return share
        self.supplementary_shares += 1
        return self._add(start, close_at=now + self._grace, supplementary=True)

    def _open_up_to(self, now: float) -> None:
        while self._next_start <= now:
            start = self._next_start
            self._next_start += self._seconds
            close_at = start + self._seconds + self._grace
            share = self._add(start, close_at=close_at, partial=start < self._started)
            for channel_id, (login, since) in self._watched.items():
                share.joined(channel_id, login, since)

    def _add(
        self, start: int, *, close_at: float, partial: bool = False, supplementary: bool = False
    ) -> WindowShare:
        share = WindowShare(
            start,
            self._seconds,
            self._next_sequence,
            close_at=close_at,
            partial=partial,
            supplementary=supplementary,
        )
        share.close_by = close_at + SETTLE_SECONDS * self.rate
        share.stream_infos = self._stream_infos
        self._next_sequence += 1
        self._open[start] = share
        return share

    def _stop_watching(self, channel_id: int, instant: float) -> None:
        if self._watched.pop(channel_id, None) is not None:
            for share in self._open.values():
                share.left(channel_id, instant)

    def _skip_pause(self, now: float) -> None:
        watched = self._stop_watching_all(self._last_tick)
        self._next_start = max(self._next_start, self._align(now))
        self._open_up_to(now)
        for channel_id, login in watched.items():
            self.joined(channel_id, login, now)

    def _start_again(self) -> list[WindowShare]:
        """The clock was set back: end all shares, and continue at its new time.

        A window that begins a second time has further shares.
        """
        watched = self._stop_watching_all(self._last_tick)
        shares = self.close_all(self._last_tick)
        self._now = self._last_tick = self._started = self._clock.now()
        self._next_start = self._align(self._now)
        self._open_up_to(self._now)
        for channel_id, login in watched.items():
            self.joined(channel_id, login, self._now)
        return shares

    def _stop_watching_all(self, instant: float) -> dict[int, str]:
        """End watching all channels, at ``instant``; returns them: logins by channel id."""
        self.pauses += 1
        watched = {channel_id: login for channel_id, (login, _) in self._watched.items()}
        for channel_id in watched:
            self._stop_watching(channel_id, instant)
        return watched
