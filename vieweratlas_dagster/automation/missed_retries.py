"""Failed runs that Dagster meant to retry and then overlooked.

Belongs here: finding them and having Dagster look again. Does not belong here: which runs are retried, and
how often; dagster.yaml says that.

A dying run stores its failure as an event first and its status after that. A daemon that reads the event
in between takes the run for a running one and never comes back to it: the run says that it will be retried,
and nothing happens. Reading the same failure again does no harm, since a run is retried once only.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

# The daemon's place in the log of failures, as its event log consumer names it.
_CURSOR = f"EVENT_LOG_CONSUMER_CURSOR-{dg.DagsterEventType.RUN_FAILURE.value}"
_PATIENCE = timedelta(seconds=30)
_FORGOTTEN_AFTER = timedelta(hours=6)


def look_again(instance: dg.DagsterInstance, now: datetime) -> list[str]:
    """Set the daemon back to before the oldest failure that it overlooked in the last six hours.

    Returns:
        The ids of the overlooked runs.
    """
    missed = [run for run in _failed_lately(instance, now) if _is_overlooked(run)]
    failures = [_place_of_failure(instance, run.run_id) for run in missed]
    if failures:
        instance.daemon_cursor_storage.set_cursor_values({_CURSOR: str(min(failures) - 1)})
    return [run.run_id for run in missed]


def _failed_lately(instance: dg.DagsterInstance, now: datetime) -> list[dg.DagsterRun]:
    recent = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        updated_after=now - _FORGOTTEN_AFTER,
        updated_before=now - _PATIENCE,
    )
    return list(instance.get_runs(recent))


def _is_overlooked(run: dg.DagsterRun) -> bool:
    return run.tags.get(WILL_RETRY_TAG) == "true" and AUTO_RETRY_RUN_ID_TAG not in run.tags


def _place_of_failure(instance: dg.DagsterInstance, run_id: str) -> int:
    page = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    return page.records[-1].storage_id


@dg.sensor(
    name="vieweratlas_missed_retries",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Every minute: a run that was killed and says that it will be retried, but was overlooked by the "
        "daemon, is shown to it again. It starts no runs itself. Stopped, a killed run now and then stays "
        "failed until somebody re-executes it."
    ),
)
def vieweratlas_missed_retries(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """One look at the failed runs."""
    missed = look_again(context.instance, datetime.now(UTC))
    return dg.SkipReason(f"shown to the daemon again: {', '.join(missed)}" if missed else "none overlooked")
