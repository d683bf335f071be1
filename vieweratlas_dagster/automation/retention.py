"""Which raw objects of the lake have been kept long enough.

Belongs here: the rule for a key, as S3 lifecycle rules have it. Does not belong here: removing anything,
curated data (never removed), and Dagster's own records (``old_runs``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from collector_service.contract import LIVE_PREFIX, VOD_PREFIX
from collector_service.lake import Lake, ObjectInfo
from vieweratlas_dagster.lake_layout import quarantine_prefix
from vieweratlas_dagster.settings import RetentionSettings

_QUARANTINE = quarantine_prefix("").rpartition("date=")[0]


def days_kept(retention: RetentionSettings) -> dict[str, int]:
    """The prefixes that expire, and after how many days."""
    return {
        f"{LIVE_PREFIX}/": retention.raw_snapshots_days,
        f"{VOD_PREFIX}/": retention.raw_vod_chat_days,
        _QUARANTINE: retention.quarantine_days,
    }


def expired_objects(lake: Lake, prefix: str, days: int, *, now: datetime) -> Iterator[ObjectInfo]:
    """Objects of days that ended ``days`` days ago or earlier, and that are at least as old themselves.

    The second condition keeps history that was imported and spools that were uploaded late, as a
    lifecycle rule does: it counts from the day an object was written.

    Args:
        lake: where to look; only folders ``date=YYYY-MM-DD`` below the prefix count.
        prefix: ends in ``/``.
        days: how long objects are kept.
        now: timezone-aware; the ages are measured to here.
    """
    last = now.astimezone(UTC).date() - timedelta(days=days + 1)
    for name in lake.folders(prefix):
        day = _day(name)
        if day is not None and day <= last:
            for info in lake.objects(f"{prefix}{name}/"):
                if info.modified <= now - timedelta(days=days):
                    yield info


def _day(folder: str) -> date | None:
    try:
        return date.fromisoformat(folder.removeprefix("date=")) if folder.startswith("date=") else None
    except ValueError:
        return None
