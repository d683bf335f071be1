"""The raw objects of one VOD's chat in the lake, read back and written."""

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
# Chat continues for a while after the end, perhaps in the next window.
_BEYOND_END = timedelta(hours=1)


@dataclass(frozen=True)
class StoredChat:
    """A VOD's records in the lake.

    Attributes:
        records: in the order of time.
        covered: begin and end of the stretch that they cover, in seconds after the VOD's start; None when
            they cover nothing or more than one stretch.
    """

    records: list[SnapshotRecord]
    covered: tuple[float, float] | None

    @property
    def messages(self) -> int:
        """Comments counted in the records."""
        return sum(record.messages for record in self.records)

    def covers(self, first: float, last: float) -> bool:
        """Whether the covered stretch contains this one."""
        return self.covered is not None and (
            self.covered[0] <= first + _ROUNDING_SECONDS and last <= self.covered[1] + _ROUNDING_SECONDS
        )

    def is_within(self, first: float, last: float) -> bool:
        """Whether this stretch contains the covered one."""
        return self.covered is not None and (
            first <= self.covered[0] + _ROUNDING_SECONDS and self.covered[1] <= last + _ROUNDING_SECONDS
        )


def stored_chat(lake: Lake, vod: Vod) -> StoredChat:
    """A VOD's records; none if any line is unusable, because the VOD can be read again."""
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
    """The keys of the objects, and the number of windows dropped as older than the present viewer key."""

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
    """Write a VOD's records, one object per UTC day, without anything on the lake's list of opt-outs.

    Args:
        lake: where the objects are.
        vod_id: the VOD.
        records: in the order of time.
        secret: the key behind their viewer keys.
        opt_outs: further viewers and channels that have opted out.
        permitted: raises when this process may no longer write the objects. If an object changes between
            this call and the write, it is called again before the next try. Only an object that is too
            large to be read is replaced without that.

    Raises:
        WrongKeyError: the lake has a different viewer key.
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
        opted_out = opt_outs | read_opt_outs(lake)
        remaining = (record_without(record, opted_out) for record in ours)
        objects = vod_objects(vod_id, [record for record in remaining if record is not None])
        for key, data in objects.items():
            try:
                lake.update(key, partial(unless_forbidden, data=data), MAX_PACKED_BYTES)
            except TooLargeError:
                lake.put(key, unless_forbidden(None, data))
        for key in written - objects.keys():
            lake.delete(key)
        written = set(objects)
        # `forget` may have searched these objects before they were written: write again without them.
        if opt_outs | read_opt_outs(lake) == opted_out:
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
