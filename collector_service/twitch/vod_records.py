"""From the comments of one VOD to snapshot records, in the same windows as live chat.

A window starts at a multiple of its length on the UTC clock, not at the VOD's start. The VOD's game
and language are unknown (they may change during it), so they stay null.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from collector_service.clock import utc
from collector_service.contract import SnapshotRecord, encode_object, viewer_key, vod_key
from collector_service.twitch.vod_chat import Vod, VodComment

COLLECTOR_ID = "vod"
# Lengths are rounded, and chat continues while the stream ends.
_BEYOND_END_SECONDS = 60.0


class VodWindows:
    """Counts the comments of one VOD by window and viewer; memory grows with presence, not with chat.

    Attributes:
        comments: comments counted, those of `resume` included.
        mirrored: comments of a different channel in a shared chat; they prove no presence in this one.
        null_commenters: comments of deleted accounts; they prove no presence.
        opted_out: comments of viewers who have opted out.
        outside: comments before the VOD's start or well after its end; they are not counted.
    """

    def __init__(
        self,
        vod: Vod,
        *,
        window_seconds: int,
        secret: str,
        bots: Collection[str] = frozenset(),
        opted_out: Collection[int] = frozenset(),
    ) -> None:
        """An empty count.

        Args:
            vod: the VOD.
            window_seconds: length of a window; a divisor of a day.
            secret: the key behind viewer keys.
            bots: logins (lower case) to mark as known bots.
            opted_out: keys of viewers who have opted out; they are not counted.
        """
        self._vod = vod
        self._window_seconds = window_seconds
        self._secret = secret
        self._bot_logins = bots
        self._opted_out = opted_out
        self._begin = vod.created_at.timestamp()
        self._windows: defaultdict[int, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._mirrored: defaultdict[int, int] = defaultdict(int)
        self._keys: dict[str, int] = {}
        self._bots: set[int] = set()
        self.comments = 0
        self.mirrored = 0
        self.null_commenters = 0
        self.opted_out = 0
        self.outside = 0

    @property
    def viewers(self) -> int:
        """Distinct viewers, known bots included."""
        return len(set[int]().union(*self._windows.values()))

    def resume(self, records: Iterable[SnapshotRecord]) -> None:
        """Continue from the records of an earlier count of the same VOD, as if it had never ended.

        Viewers who have opted out since then are removed from these records too.
        """
        for record in records:
            start = int(record.window_start.timestamp())
            for key, messages in zip(record.viewer_keys, record.viewer_messages, strict=True):
                if key in self._opted_out:
                    self.opted_out += messages
                    continue
                self._windows[start][key] += messages
                self.comments += messages
            self._mirrored[start] += record.mirrored_messages
            self._bots.update(record.known_bots)
            self.mirrored += record.mirrored_messages

    def add(self, comment: VodComment) -> None:
        """Count one comment; the caller gives each comment once."""
        if comment.user_id is None:
            self.null_commenters += 1
            return
        if not 0 <= comment.offset_seconds <= self._vod.duration_seconds + _BEYOND_END_SECONDS:
            self.outside += 1
            return
        start = self._window_of(self._begin + comment.offset_seconds)
        if comment.mirrored:
            self._mirrored[start] += 1
            self.mirrored += 1
            return
        key = self._keys.get(comment.user_id)
        if key is None:
            key = self._keys[comment.user_id] = viewer_key(self._secret, comment.user_id)
        if key in self._opted_out:
            self.opted_out += 1
            return
        if comment.is_bot or (comment.login or "").lower() in self._bot_logins:
            self._bots.add(key)
        self._windows[start][key] += 1
        self.comments += 1

    def records(self, covered: tuple[float, float]) -> list[SnapshotRecord]:
        """One record for each window that was observed or has a comment, in the order of time.

        Args:
            covered: the part of the VOD whose chat was read, from and to, in seconds after its start.

        Returns:
            Records whose ``observed_intervals`` is the part of the window within ``covered`` and the
            VOD, in whole milliseconds. ``partial`` marks windows of which the VOD has more than was read.
        """
        begin, end = self._begin, self._begin + self._vod.duration_seconds
        first, last = max(begin, begin + covered[0]), min(end, begin + covered[1])
        starts = {*self._windows, *self._mirrored}
        if last > first:
            stop = math.ceil(last / self._window_seconds) * self._window_seconds
            starts.update(range(self._window_of(first), stop, self._window_seconds))
        return [
            self._record(start, self._within(start, first, last), self._within(start, begin, end))
            for start in sorted(starts)
        ]

    def _window_of(self, instant: float) -> int:
        return math.floor(instant / self._window_seconds) * self._window_seconds

    def _within(self, start: int, begin: float, end: float) -> list[tuple[float, float]]:
        """The part of a span that lies in a window, in seconds from the window's start."""
        since = round(max(0.0, begin - start), 3)
        until = round(min(float(self._window_seconds), end - start), 3)
        return [(since, until)] if since < until else []

    def _record(
        self, start: int, observed: list[tuple[float, float]], broadcast: list[tuple[float, float]]
    ) -> SnapshotRecord:
        counts: Mapping[int, int] = self._windows.get(start, {})
        keys = sorted(counts)
        return SnapshotRecord(
            source="vod",
            channel=self._vod.channel,
            channel_id=self._vod.channel_id,
            collector_id=COLLECTOR_ID,
            window_start=utc(start),
            window_seconds=self._window_seconds,
            observed_seconds=_length(observed),
            partial=_length(observed) < _length(broadcast),
            title=self._vod.title,
            started_at=self._vod.created_at,
            messages=sum(counts.values()),
            mirrored_messages=self._mirrored.get(start, 0),
            viewer_keys=keys,
            viewer_messages=[counts[key] for key in keys],
            known_bots=[key for key in keys if key in self._bots],
            observed_intervals=observed,
        )


def _length(intervals: list[tuple[float, float]]) -> float:
    return round(sum(until - since for since, until in intervals), 3)


def vod_objects(vod_id: str, records: Iterable[SnapshotRecord]) -> dict[str, bytes]:
    """The raw objects of a VOD by key, one per UTC day of its windows, in the order of days."""
    days: defaultdict[str, list[SnapshotRecord]] = defaultdict(list)
    for record in records:
        days[f"{record.window_start:%Y-%m-%d}"].append(record)
    return {vod_key(day, vod_id): encode_object(days[day]) for day in sorted(days)}
