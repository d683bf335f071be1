"""Freshness by data time: how old is what was collected, and is yesterday's atlas there.

Belongs here: checks that run on a schedule of their own, because silence makes no event. Does not
belong here: freshness by materialization time (the assets' FreshnessPolicy).
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from collector_service.contract import live_day_prefix
from collector_service.lake import Lake
from vieweratlas_dagster.checks.rules import age_minutes
from vieweratlas_dagster.lake_layout import analysis_key
from vieweratlas_dagster.presence_import import IMPORT_ORIGIN
from vieweratlas_dagster.resources.lake import LakeResource
from vieweratlas_dagster.settings import Settings


def newest_live_snapshot(lake: Lake, now: datetime) -> datetime | None:
    """Start of the newest live window of the last eight days, read from the objects' names."""
    for back in range(8):
        objects = lake.objects(live_day_prefix(f"{now - timedelta(days=back):%Y-%m-%d}"))
        starts = [_window_start(info.key) for info in objects]
        if found := [start for start in starts if start is not None]:
            return max(found)
    return None


def _window_start(key: str) -> datetime | None:
    stamp, _, origin = key.rsplit("/", 1)[-1].partition("-")
    if origin.startswith(IMPORT_ORIGIN):
        return None
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


@dg.asset_check(asset=dg.AssetKey("live_chat"))
def live_chat_is_fresh(lake: LakeResource, settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """The collector wrote a snapshot not long ago."""
    now = datetime.fromtimestamp(settings.clock.now(), UTC)
    newest = newest_live_snapshot(lake.lake, now)
    age = age_minutes(newest, now)
    limit = settings.checks.max_snapshot_age_minutes
    if age is None:
        text = "no live snapshot in the last eight days; is the collector running?"
    else:
        text = f"the newest window started {age:.0f} minutes ago (limit {limit:g})"
    return dg.AssetCheckResult(
        passed=age is not None and age <= limit,
        severity=dg.AssetCheckSeverity.WARN,
        description=text,
        metadata={"age_minutes": age} if age is not None else {},
    )


@dg.asset_check(asset="atlas")
def atlas_of_yesterday_exists(
    lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Yesterday's map is there (the day before's until 05:00 UTC, while yesterday's is being made)."""
    now = datetime.fromtimestamp(settings.clock.now(), UTC)
    day = f"{now - timedelta(days=2 if now.hour < 5 else 1):%Y-%m-%d}"
    there = lake.lake.exists(analysis_key(day, "nodes.parquet"))
    return dg.AssetCheckResult(
        passed=there,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"the atlas of {day} is {'there' if there else 'missing'}",
    )
