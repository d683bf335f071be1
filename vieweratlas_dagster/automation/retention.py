"""The retention of raw objects in the lake, by the same rule as S3 lifecycle rules; it removes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

from collector_service.contract import LIVE_PREFIX, VOD_PREFIX
from collector_service.lake import Lake, ObjectInfo
from vieweratlas_dagster.lake.keys import QUARANTINE_PREFIX
from vieweratlas_dagster.settings import RetentionSettings


def days_kept(retention: RetentionSettings) -> dict[str, int]:
    """The days after which objects expire, by prefix."""
    return {
        f"{LIVE_PREFIX}/": retention.raw_snapshots_days,
        f"{VOD_PREFIX}/": retention.raw_vod_chat_days,
        QUARANTINE_PREFIX: retention.quarantine_days,
    }


def expires_at(info: ObjectInfo, days: int) -> datetime:
    """When an object that is kept for ``days`` days expires: at the first midnight (UTC) after them.

    Days count from the last write, so imported history, spools that were uploaded late and rewritten
    objects have their full time.
    """
    over = info.modified.astimezone(UTC) + timedelta(days=days)
    midnight = datetime.combine(over.date(), time(), UTC)
    return midnight if midnight == over else midnight + timedelta(days=1)


def expired_objects(lake: Lake, prefix: str, days: int, *, now: datetime) -> Iterator[ObjectInfo]:
    """Everything below a prefix that has expired.

    Args:
        lake: where to look.
        prefix: ends in ``/``.
        days: how long objects are kept.
        now: timezone-aware; the ages are measured to here.
    """
    for info in lake.objects(prefix):
        if expires_at(info, days) <= now:
            yield info
