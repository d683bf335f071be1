"""Which channels' recordings to look for: those that the collector wanted, even where it was not joined.

Belongs here: reading channels, and when they were live, off the raw live objects of a span of time. Does
not belong here: anything about the recordings themselves, and which channels were asked before
(``discovery``).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from collector_service.contract import MAX_PACKED_BYTES, live_day_prefix
from collector_service.lake import Lake
from collector_service.support.limits import TooLargeError
from vieweratlas_dagster.curation.imported_ids import DERIVED_ID_BASE
from vieweratlas_dagster.curation.validation import Rejection, usable_records

# A broadcast shorter than this many windows may be overlooked; reading all of them would cost more.
_EVERY = 6
# How the name of a live object begins.
_STAMP = "%Y%m%dT%H%M%SZ"
# Live chat that is missing for so long may hide whole broadcasts.
_OUTAGE = timedelta(minutes=30)
# Who was known in this time before an outage may have had a broadcast in it.
_KNOWN_BEFORE = timedelta(hours=24)


@dataclass(frozen=True)
class CollectedChannel:
    """A channel of the collector in a span of time.

    ``seen_at`` is the end of the last window in which it was live; None when it was not seen live.
    ``running`` says that one broadcast of it was seen, and goes on at the end of the span. ``hidden`` says
    that live chat was missing for a while, so that it may have had a broadcast that nobody saw.
    """

    channel_id: int
    login: str
    seen_at: datetime | None = None
    running: bool = False
    hidden: bool = False


def collected_channels(lake: Lake, start: datetime, end: datetime) -> list[CollectedChannel]:
    """The channels with live records, from every sixth window and the last; in the order of their ids.

    After an outage, those of the 24 hours before the span are in it too.

    Args:
        lake: where the raw objects are.
        start: of the span, aware, UTC.
        end: of the span; windows that start before it count.
    """
    keys = _keys(lake, start, end)
    found = _channels(lake, keys, end)
    if not _has_outage(keys, start, end):
        return sorted(found.values(), key=lambda one: one.channel_id)
    before = start - _KNOWN_BEFORE
    earlier = _channels(lake, _keys(lake, before, start), start)
    every = {**{key: CollectedChannel(key, one.login) for key, one in earlier.items()}, **found}
    return [replace(every[key], hidden=True) for key in sorted(every)]


def _keys(lake: Lake, start: datetime, end: datetime) -> dict[str, datetime]:
    """The live objects of a span with the start of their window, in order."""
    count = ((end - timedelta(seconds=1)).date() - start.date()).days + 1
    days = [f"{start + timedelta(days=offset):%Y-%m-%d}" for offset in range(count)]
    found: dict[str, datetime] = {}
    for info in (info for day in days for info in lake.objects(live_day_prefix(day))):
        # What the collector did not name is no window of its.
        with suppress(ValueError):
            at = datetime.strptime(info.key.rsplit("/", 1)[-1][:16], _STAMP).replace(tzinfo=UTC)
            if start <= at < end:
                found[info.key] = at
    return found


def _has_outage(keys: dict[str, datetime], start: datetime, end: datetime) -> bool:
    moments = [start, *sorted(keys.values()), end]
    return any(later - earlier > _OUTAGE for earlier, later in pairwise(moments))


def _channels(lake: Lake, keys: dict[str, datetime], end: datetime) -> dict[int, CollectedChannel]:
    found: dict[int, CollectedChannel] = {}
    broadcasts: dict[int, set[datetime]] = {}
    # In the order of time: what is seen later counts.
    for key in _sampled(keys):
        try:
            data = lake.get(key, MAX_PACKED_BYTES)
        except TooLargeError:
            continue  # the snapshots asset tells of it
        records = [
            item
            for item in usable_records(key, data, day=f"{keys[key]:%Y-%m-%d}", now=end)
            if not isinstance(item, Rejection) and item.channel_id < DERIVED_ID_BASE
        ]
        # Without Helix the collector cannot say who is live; then chat has to do.
        told = any(record.started_at for record in records)
        for item in records:
            known = found.get(item.channel_id, CollectedChannel(item.channel_id, item.channel))
            until = item.window_start + timedelta(seconds=item.window_seconds)
            if item.started_at:
                broadcasts.setdefault(item.channel_id, set()).add(item.started_at)
            found[item.channel_id] = replace(
                known,
                login=item.channel,
                seen_at=until if (item.started_at if told else item.messages) else known.seen_at,
                running=item.started_at is not None and until >= end - _OUTAGE,
            )
    return {
        key: replace(one, running=one.running and len(broadcasts.get(key, ())) == 1)
        for key, one in found.items()
    }


def _sampled(keys: dict[str, datetime]) -> list[str]:
    starts = sorted(set(keys.values()))
    chosen = {*starts[::_EVERY], *starts[-1:]}
    return [key for key, start in keys.items() if start in chosen]
