"""Queue entries and leases with defaults."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from vieweratlas_dagster.vod import queue
from vieweratlas_dagster.vod.queue import VodItem

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def item(number, *, hours=1.0, **changes):
    plain = VodItem(
        vod_id=str(number),
        channel=f"channel{number}",
        channel_id=number,
        title=f"title {number}",
        created_at=NOW - timedelta(hours=hours),
        duration_seconds=1800.0,
        view_count=5,
    )
    return replace(plain, **changes)


def queued(*items):
    return {one.vod_id: one for one in items}


def take(items, *, now=NOW, limit=1, lease_seconds=900, max_attempts=5, lease_id="me"):
    return queue.lease(
        items,
        now=now,
        limit=limit,
        lease_seconds=lease_seconds,
        max_attempts=max_attempts,
        lease_id=lease_id,
    )


def at(seconds):
    return NOW + timedelta(seconds=seconds)
