"""What the lake has of one VOD's chat: its raw objects, read back and written.

Belongs here: which of the days have an object, what part of the VOD they cover, and writing them. Does
not belong here: making records of comments (``collector_service.twitch.vod_records``), and the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from collector_service.contract import (
    MAX_PACKED_BYTES,
    SnapshotRecord,
    decode_lines,
    parse_record,
    vod_key,
)
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import NOBODY, OptOuts, read_opt_outs
from collector_service.privacy.populations import counting_since
from collector_service.privacy.redaction import record_without
from collector_service.support.limits import TooLargeError
from collector_service.twitch.vod_chat import Vod
from collector_service.twitch.vod_records import vod_objects

# Times in records are whole milliseconds.
_ROUNDING_SECONDS = 0.002
# Chat that goes on after the end may reach into the next window.
_BEYOND_END = timedelta(hours=1)


@dataclass(frozen=True)
class StoredChat:
    """A VOD's records in the order of time, and the stretch of it that they cover.

    ``covered`` is from and to, in seconds after the VOD's start; None when nothing is observed, or not in
    one stretch.
    """

    records: list[SnapshotRecord]
    covered: tuple[float, float] | None

    @property
    def messages(self) -> int:
        """Comments counted in the records."""
        return sum(record.messages for record in self.records)

    def covers(self, first: float, last: float) -> bool:
        """Whether the covered stretch holds this one."""
        return self.covered is not None and (
            self.covered[0] <= first + _ROUNDING_SECONDS and last <= self.covered[1] + _ROUNDING_SECONDS
        )

    def is_within(self, first: float, last: float) -> bool:
        """Whether this stretch holds the covered one."""
        return self.covered is not None and (
            first <= self.covered[0] + _ROUNDING_SECONDS and self.covered[1] <= last + _ROUNDING_SECONDS
        )


def stored_chat(lake: Lake, vod: Vod) -> StoredChat:
    """What the lake has of a VOD; nothing when a line of it cannot be used, since all can be read again."""
    records: list[SnapshotRecord] = []
    for day in _days(vod):
        try:
            data = lake.get(vod_key(day, vod.vod_id), MAX_PACKED_BYTES)
            records += [parse_record(line) for line in decode_lines(data)]
        except FileNotFoundError:
            continue
        except ValueError:
            return StoredChat([], None)
    records.sort(key=lambda record: record.window_start)
    return StoredChat(records, _covered(records, vod.created_at))


@dataclass(frozen=True)
class WrittenChat:
    """The keys of the objects, and how many windows of days before the present viewer key were left out."""

    keys: tuple[str, ...]
    before_key: int


def write_chat(
    lake: Lake,
    vod_id: str,
    records: Iterable[SnapshotRecord],
    *,
    secret: str,
    opt_outs: OptOuts = NOBODY,
    permitted: Callable[[], object] = lambda: None,
) -> WrittenChat:
    """Write a VOD's records, one object per UTC day, without those whom the lake lists as opted out by now.

    Args:
        lake: where to.
        vod_id: the VOD.
        records: in the order of time.
        secret: the key behind their viewer keys.
        opt_outs: others who are left out.
        permitted: raises when the objects are no longer ours to write. Whoever writes one between this
            question and our own writing is not overwritten: it is asked again. Only what is too large to be
            read is replaced.

    Raises:
        WrongKeyError: the lake has another viewer key by now.
        BadOptOutsError: the lake's list is unusable.
    """

    def unless_forbidden(_: bytes | None, data: bytes) -> bytes:
        permitted()
        return data

    counted = list(records)
    first = counting_since(lake, secret)
    ours = [record for record in counted if first is None or record.window_start.date() >= first]
    written: set[str] = set()
    while True:
        gone = opt_outs | read_opt_outs(lake)
        left = (record_without(record, gone) for record in ours)
        objects = vod_objects(vod_id, [record for record in left if record is not None])
        for key, data in objects.items():
            try:
                lake.update(key, partial(unless_forbidden, data=data), MAX_PACKED_BYTES)
            except TooLargeError:
                lake.put(key, unless_forbidden(None, data))
        for key in written - objects.keys():
            lake.delete(key)
        written = set(objects)
        # Who opted out while we wrote may have been looked for, and not found, before we had done so.
        if opt_outs | read_opt_outs(lake) == gone:
            return WrittenChat(tuple(objects), len(counted) - len(ours))


def _days(vod: Vod) -> list[str]:
    # A window may begin the day before.
    first = (vod.created_at - _BEYOND_END).date()
    last = (vod.created_at + timedelta(seconds=vod.duration_seconds) + _BEYOND_END).date()
    return [f"{first + timedelta(days=number)}" for number in range((last - first).days + 1)]


def _covered(records: list[SnapshotRecord], begin: datetime) -> tuple[float, float] | None:
    found: tuple[float, float] | None = None
    for record in records:
        at = (record.window_start - begin).total_seconds()
        for since, until in record.observed_intervals or ():
            if found is None:
                found = (at + since, at + until)
            elif abs(at + since - found[1]) <= _ROUNDING_SECONDS:
                found = (found[0], at + until)
            else:
                return None
    return found
