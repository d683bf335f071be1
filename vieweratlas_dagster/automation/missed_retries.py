"""Killed runs that Dagster should have retried and did not: finds them and lets Dagster look again.

dagster.yaml decides which runs are retried, and how often.

- A dying run stores its failure as an event first and its status after that. A daemon that reads the event
  in between believes that the run is still running and never returns to it: the run is marked to be
  retried, and nothing happens. Reading the same failure again does no harm: a run is retried only once.
- A run that was killed after its last step leaves no step to resume from. Dagster gives it up, and it stays
  failed. Such a run is retried from its beginning.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterEventType as Kind

from vieweratlas_dagster.alerts.run_log import ended_all_steps
from vieweratlas_dagster.resources.dagster_internals import (
    AUTO_RETRY_RUN_ID_TAG,
    RETRY_STRATEGY_TAG,
    WILL_RETRY_TAG,
    all_steps_strategy,
)

# The daemon's place in the log of failures, as its event log consumer names it.
_CURSOR = f"EVENT_LOG_CONSUMER_CURSOR-{Kind.RUN_FAILURE.value}"
_PATIENCE = timedelta(seconds=30)
_FORGOTTEN_AFTER = timedelta(hours=6)


def look_again(instance: dg.DagsterInstance, now: datetime) -> list[str]:
    """Set the daemon back to before the oldest of the last six hours' failures that it should retry.

    Returns:
        The ids of these runs.
    """
    failed = _failed_lately(instance, now)
    given_up = [run for run in failed if _was_given_up_at_its_end(instance, run)]
    for run in given_up:
        # Its retries have these tags too, so this happens once, and dagster.yaml says how often they come.
        tags = {RETRY_STRATEGY_TAG: all_steps_strategy(), WILL_RETRY_TAG: "true"}
        instance.add_run_tags(run.run_id, tags)
    missed = given_up + [run for run in failed if _is_overlooked(run)]
    ids = [run.run_id for run in missed]
    if ids:
        _set_back(instance, ids)
    return ids


def _failed_lately(instance: dg.DagsterInstance, now: datetime) -> list[dg.DagsterRun]:
    recent = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        updated_after=now - _FORGOTTEN_AFTER,
        updated_before=now - _PATIENCE,
    )
    return list(instance.get_runs(recent))


def _is_overlooked(run: dg.DagsterRun) -> bool:
    return run.tags.get(WILL_RETRY_TAG) == "true" and AUTO_RETRY_RUN_ID_TAG not in run.tags


def _was_given_up_at_its_end(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    refused = run.tags.get(WILL_RETRY_TAG) == "false" and RETRY_STRATEGY_TAG not in run.tags
    return refused and ended_all_steps(instance, run)


def _set_back(instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    """Have the daemon read the log of failures again from before the first one of these runs."""
    # The log over all runs: on SQLite each run's own log counts from 1.
    failures = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
        dagster_event_type={Kind.RUN_FAILURE}
    )
    places = [place - 1 for place, entry in failures.items() if entry.run_id in run_ids]
    now_at = instance.daemon_cursor_storage.get_cursor_values({_CURSOR}).get(_CURSOR)
    if now_at:
        places.append(int(now_at))
    instance.daemon_cursor_storage.set_cursor_values({_CURSOR: str(min(places))})


@dg.sensor(
    name="vieweratlas_missed_retries",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Every minute: hands killed runs that the daemon overlooked or gave up on back to it for a retry. "
        "The sensor itself starts no runs. While it is stopped, some killed runs stay failed until an "
        "operator re-executes them."
    ),
)
def vieweratlas_missed_retries(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """One look at the failed runs."""
    missed = look_again(context.instance, datetime.now(UTC))
    return dg.SkipReason(f"shown to the daemon again: {', '.join(missed)}" if missed else "none overlooked")
