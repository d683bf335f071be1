"""The channels that the collector wanted in a span of time, read from raw live objects.

Channels that it wanted but had not joined count too: their recordings fill the gap.
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

# Only every sixth window is read, which costs a sixth and may miss a shorter broadcast.
_EVERY = 6
# The time at the beginning of a live object's name.
_STAMP = "%Y%m%dT%H%M%SZ"
# A longer gap in live chat may hide whole broadcasts.
_OUTAGE = timedelta(minutes=30)
# Channels seen within this time before an outage may have broadcast during it.
_KNOWN_BEFORE = timedelta(hours=24)


@dataclass(frozen=True)
class CollectedChannel:
    """A channel of the collector in a span of time.

    Attributes:
        channel_id: Twitch's id.
        login: its latest login.
        seen_at: the end of the last window in which it was live; None when it was not seen live.
        running: one broadcast was seen, and it was still running at the end of the span.
        hidden: live chat was missing for a while, so a broadcast may have been missed.
    """

    channel_id: int
    login: str
    seen_at: datetime | None = None
    running: bool = False
    hidden: bool = False


def collected_channels(lake: Lake, start: datetime, end: datetime) -> list[CollectedChannel]:
    """The channels with live records, from every sixth window and the last, ordered by id.

    If the span has an outage, channels of the 24 hours before it are included.

    Args:
        lake: where the raw objects are.
        start: of the span, aware, UTC.
        end: of the span; windows that start before it count.
    """
    keys = _keys(lake, start, end)
    found = _channels(lake, keys, end)
    if not _has_outage(keys, start, end):
        return sorted(found.values(), key=lambda channel: channel.channel_id)
    before = start - _KNOWN_BEFORE
    earlier = _channels(lake, _keys(lake, before, start), start)
    every = {**{key: CollectedChannel(key, channel.login) for key, channel in earlier.items()}, **found}
    return [replace(every[key], hidden=True) for key in sorted(every)]


def _keys(lake: Lake, start: datetime, end: datetime) -> dict[str, datetime]:
    """The keys of a span's live objects, in order, with the start of their windows."""
    count = ((end - timedelta(seconds=1)).date() - start.date()).days + 1
    days = [f"{start + timedelta(days=offset):%Y-%m-%d}" for offset in range(count)]
    found: dict[str, datetime] = {}
    for info in (info for day in days for info in lake.objects(live_day_prefix(day))):
        # Other names are not the collector's: such an object is not a window.
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
    # Oldest first, so that later windows win.
    for key in _sampled(keys):
        try:
            data = lake.get(key, MAX_PACKED_BYTES)
        except TooLargeError:
            continue  # the snapshots asset reports it
        records = [
            record
            for record in usable_records(key, data, day=f"{keys[key]:%Y-%m-%d}", now=end)
            if not isinstance(record, Rejection) and record.channel_id < DERIVED_ID_BASE
        ]
        # Without Helix no record has a start time; then a channel with messages counts as live.
        helix_answered = any(record.started_at for record in records)
        for record in records:
            known = found.get(record.channel_id, CollectedChannel(record.channel_id, record.channel))
            until = record.window_start + timedelta(seconds=record.window_seconds)
            if record.started_at:
                broadcasts.setdefault(record.channel_id, set()).add(record.started_at)
            live = record.started_at if helix_answered else record.messages
            found[record.channel_id] = replace(
                known,
                login=record.channel,
                seen_at=until if live else known.seen_at,
                running=record.started_at is not None and until >= end - _OUTAGE,
            )
    return {
        key: replace(channel, running=channel.running and len(broadcasts.get(key, ())) == 1)
        for key, channel in found.items()
    }


def _sampled(keys: dict[str, datetime]) -> list[str]:
    starts = sorted(set(keys.values()))
    chosen = {*starts[::_EVERY], *starts[-1:]}
    return [key for key, start in keys.items() if start in chosen]
