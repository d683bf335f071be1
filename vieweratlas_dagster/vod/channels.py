"""Which channels' recordings to look for: those that the collector wanted, even where it was not joined.

Belongs here: reading channel ids and names off the raw live objects of a span of time. Does not belong
here: anything about the recordings themselves.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from collector_service.contract import live_day_prefix
from collector_service.lake import Lake
from vieweratlas_dagster.curation.validation import Rejection, usable_records
from vieweratlas_dagster.presence_import import DERIVED_ID_BASE

# A broadcast shorter than this many windows may be overlooked; reading all of them would cost more.
_EVERY = 6
# How the name of a live object begins.
_STAMP = "%Y%m%dT%H%M%SZ"


def collected_channels(lake: Lake, start: datetime, end: datetime) -> list[tuple[int, str]]:
    """(channel_id, latest login) of the channels with live records, from every sixth window and the last.

    Args:
        lake: where the raw objects are.
        start: of the span, aware, UTC.
        end: of the span; windows that start before it count.
    """
    found: dict[int, str] = {}
    for day in _days(start, end):
        stamps = {info.key: info.key.rsplit("/", 1)[-1][:16] for info in lake.objects(live_day_prefix(day))}
        inside = [key for key, stamp in stamps.items() if f"{start:{_STAMP}}" <= stamp < f"{end:{_STAMP}}"]
        for key in sorted({*inside[::_EVERY], *inside[-1:]}):
            for item in usable_records(key, lake.get(key), day=day, now=end):
                if not isinstance(item, Rejection) and item.channel_id < DERIVED_ID_BASE:
                    found[item.channel_id] = item.channel
    return sorted(found.items())


def _days(start: datetime, end: datetime) -> list[str]:
    count = ((end - timedelta(seconds=1)).date() - start.date()).days + 1
    return [f"{start + timedelta(days=offset):%Y-%m-%d}" for offset in range(count)]
