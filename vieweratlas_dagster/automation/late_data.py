"""The sensor that makes days again after raw objects arrived late.

``late_plan`` decides which objects are late and which runs they need; this module asks Dagster how the last
request ended, and makes the next one.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from vieweratlas_dagster.automation.jobs import analysis_daily, graph_daily
from vieweratlas_dagster.automation.late_plan import GRAPH_ONLY, WHOLE_DAY, LateDay, Plan, Step, scan
from vieweratlas_dagster.forgetting.ledger import entries
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import Settings

_RUN_KEY = "dagster/run_key"
_PARTITION = "dagster/partition"
# The first and the last asset of each job.
_ENDS = {WHOLE_DAY: ("snapshots", "graph_exports"), GRAPH_ONLY: ("overlap_graph", "graph_exports")}
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    name="vieweratlas_late_data",
    jobs=[analysis_daily, graph_daily],
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Every 10 minutes: did raw objects (live or VOD) arrive or change after their day was made? Once "
        "they are 30 minutes old (late_data.quiet_minutes), the whole day is made again, and then, in "
        "order, the graphs and maps of the later days whose window contains it. A failed run stops the "
        "chain until it has been re-executed; the ticks report it. Days whose raw data have expired stay "
        "as they are. After `vieweratlas forget`, the graphs of the days that it rewrote are made again "
        "too."
    ),
)
def vieweratlas_late_data(
    context: dg.SensorEvaluationContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.SensorResult:
    """Request the next run of the plan in the cursor once the run before has ended."""
    today = datetime.fromtimestamp(settings.clock.now(), UTC).date()
    # One day less than the retention of raw data, since a run may wait in the queue.
    first = max(
        settings.analysis.first_day, today - timedelta(days=settings.retention.raw_snapshots_days - 1)
    )
    found = scan(lake.lake, first=first, today=today)
    # The store's own time, which a simulated clock does not affect.
    quiet_since = datetime.now(UTC) - timedelta(minutes=settings.late_data.quiet_minutes)
    plan = Plan.parse(context.cursor)
    notes = [note for late in found.late if (note := _why_not(late, quiet_since))]
    plan = plan.add(
        [late for late in found.late if not _why_not(late, quiet_since)],
        found.made,
        window_days=settings.analysis.window_days,
        first_day=f"{first}",
    )
    plan = plan.add_forgotten(
        entries(lake.lake, but=plan.settled), found.made, window_days=settings.analysis.window_days
    )
    plan, obstacle = _settle(context.instance, plan)
    step = plan.running
    if obstacle or step is None:
        reasons = [reason for reason in (obstacle, *notes) if reason]
        skipped = "; ".join(reasons) or "all raw objects are in the maps of their days"
        return dg.SensorResult(skip_reason=skipped, cursor=plan.text())
    context.log.info("%s of %s, because of late raw objects", step.job, step.day)
    request = dg.RunRequest(
        run_key=step.run_key,
        job_name=step.job,
        partition_key=step.day,
        tags={"vieweratlas/late_data": step.cause},
    )
    return dg.SensorResult(run_requests=[request], cursor=plan.text())


def _why_not(late: LateDay, quiet_since: datetime) -> str:
    """The reason not to make a late day again now; empty without one."""
    if late.removed:
        return (
            f"{late.day} has {late.objects} late objects, but stays as it is: {late.removed} objects that "
            "it was made from have been removed since"
        )
    if late.newest > quiet_since:
        return (
            f"{late.day} has {late.objects} late objects, the newest of {late.newest:%H:%M:%S} UTC; waiting"
        )
    return ""


def _settle(instance: dg.DagsterInstance, plan: Plan) -> tuple[Plan, str]:
    """The plan with its next step running, and the obstacle to requesting it; empty without one."""
    step = plan.running
    if step:
        requested = instance.get_runs(dg.RunsFilter(tags={_RUN_KEY: step.run_key}))
        if not requested:
            # The daemon was stopped between the request and the launch.
            plan = plan.take_back()
        else:
            run = _newest_run(instance, step) or requested[0]
            where = f"{step.job} of {step.day} (run {run.run_id})"
            later = f"{len(plan.waiting)} later runs wait"
            if not run.is_finished or run.is_complete_and_waiting_to_retry:
                return plan, f"{where} is not finished; {later}"
            # A cancelled run is not wanted; the days after it are made without it.
            given_up = run.status == dg.DagsterRunStatus.CANCELED or plan.is_replaced(step)
            if not (run.is_success or given_up or _is_made(instance, step, requested[-1])):
                return (
                    plan,
                    f"{where} did not succeed: re-execute it from the failed step; until then {later}",
                )
            plan = plan.finish()
    if plan.waiting and (other := _unfinished(instance)):
        return plan, f"{len(plan.waiting)} runs wait for {other.job_name} (run {other.run_id})"
    return plan.advance(), ""


def _is_made(instance: dg.DagsterInstance, step: Step, requested: dg.DagsterRun) -> bool:
    """Whether other runs have made the assets of the step since, in a larger job or from their pages."""
    [request] = instance.get_run_records(dg.RunsFilter(run_ids=[requested.run_id]))
    return all(
        instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey(asset),
                asset_partitions=[step.day],
                after_timestamp=request.create_timestamp.timestamp(),
            ),
            limit=1,
        ).records
        for asset in _ENDS[step.job]
    )


def _newest_run(instance: dg.DagsterInstance, step: Step) -> dg.DagsterRun | None:
    """The job's newest run of the day: the requested one, its retry, or one that an operator started."""
    filters = dg.RunsFilter(job_name=step.job, tags={_PARTITION: step.day})
    return next(iter(instance.get_runs(filters, limit=1)), None)


def _unfinished(instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    """A run that is making any day's map, however it was started: each day depends on the map before it."""
    for job in (analysis_daily, graph_daily):
        filters = dg.RunsFilter(job_name=job.name, statuses=_UNFINISHED)
        for run in instance.get_runs(filters, limit=1):
            return run
    return None
