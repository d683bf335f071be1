"""The schedules: cron times, and the partition of each tick. They start with the daemon."""

from datetime import timedelta

import dagster as dg

from vieweratlas_dagster.automation.jobs import analysis_daily, freshness, vod_6h
from vieweratlas_dagster.automation.maintenance import maintenance
from vieweratlas_dagster.resources.partitions import QUARTER_FORMAT


@dg.schedule(
    name="vieweratlas_analysis_daily",
    job=analysis_daily,
    cron_schedule="0 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="At 03:00 UTC: yesterday, from raw snapshots to the atlas.",
)
def vieweratlas_analysis_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Yesterday's partition."""
    day = f"{context.scheduled_execution_time - timedelta(days=1):%Y-%m-%d}"
    return dg.RunRequest(run_key=day, partition_key=day)


@dg.schedule(
    name="vieweratlas_vod_6h",
    job=vod_6h,
    cron_schedule="0 */6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every six hours: chat of the broadcasts that ended in the six hours before.",
)
def vieweratlas_vod_6h(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The quarter of a day that has just ended."""
    quarter = f"{context.scheduled_execution_time - timedelta(hours=6):{QUARTER_FORMAT}}"
    return dg.RunRequest(run_key=quarter, partition_key=quarter)


freshness_schedule = dg.ScheduleDefinition(
    name="vieweratlas_freshness",
    job=freshness,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every 15 minutes: is data still coming in, and does yesterday's atlas exist?",
)

maintenance_schedule = dg.ScheduleDefinition(
    name="vieweratlas_maintenance",
    job=maintenance,
    cron_schedule="30 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="At 04:30 UTC: removes old runs with their events, and expired raw data.",
)

ALL_SCHEDULES = (vieweratlas_analysis_daily, vieweratlas_vod_6h, freshness_schedule, maintenance_schedule)
