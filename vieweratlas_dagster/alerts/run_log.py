"""The ends of runs and the verdicts of their checks, read from Dagster's run storage and event log.

Runs are read by the time of their last change, which works on any storage. The hosts that write those times
have clocks of their own, and a row may appear later than its time suggests, so each reading begins some
minutes before the end of the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterEventType as Kind

from vieweratlas_dagster.alerts.incidents import CheckEvaluated, Failure, RunEnded, made_name
from vieweratlas_dagster.alerts.messages import one_line
from vieweratlas_dagster.resources.dagster_internals import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

RUN_ANCHOR = "run_failed"
_RUNS_PER_READING = 100
_OVERLAP = timedelta(minutes=10)
# How far back the first reading looks: a failure of yesterday is still worth a message.
_FIRST_LOOK_BACK = timedelta(days=1)
# Dagster writes the status first and the tag that announces a retry a moment later.
_RETRY_IS_DECIDED_AFTER = timedelta(minutes=2)
# A retry that was announced and does not exist after this time will never be created.
_RETRY_COMES_WITHIN = timedelta(minutes=10)
_MOST_NUMBERS = 8
_LONGEST_NUMBER = 120
ENDED_STATUSES = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_EVENTS = {
    Kind.ASSET_CHECK_EVALUATION,
    Kind.ASSET_MATERIALIZATION,
    Kind.ASSET_MATERIALIZATION_PLANNED,
    Kind.STEP_SUCCESS,
    Kind.STEP_FAILURE,
    Kind.RUN_FAILURE,
}
_NUMBERS = (
    dg.BoolMetadataValue,
    dg.FloatMetadataValue,
    dg.IntMetadataValue,
    dg.TextMetadataValue,
)


@dataclass(frozen=True)
class Reading:
    """Events of the runs that ended, the start of the next reading, and whether more runs wait there."""

    events: tuple[RunEnded | CheckEvaluated, ...]
    runs: int
    read_up_to: datetime
    more: bool


@dataclass(frozen=True)
class Rules:
    """Which events cause alerts: ``all_warnings``, or ERROR and freshness only. ``secrets`` are removed."""

    all_warnings: bool = True
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


def read(instance: dg.DagsterInstance, read_up_to: datetime | None, now: datetime, rules: Rules) -> Reading:
    """The next runs that ended, at most a hundred, with the verdicts of their checks."""
    start = now - _FIRST_LOOK_BACK if read_up_to is None else read_up_to
    records = instance.get_run_records(
        dg.RunsFilter(statuses=ENDED_STATUSES, updated_after=start),
        limit=_RUNS_PER_READING,
        order_by="update_timestamp",
        ascending=True,
    )
    broken_promises = {run.dagster_run.run_id: run for run in _without_their_retry(instance, now)}
    ended = {record.dagster_run.run_id: record for record in records} | broken_promises
    events = tuple(
        event
        for run_id, record in ended.items()
        if not _retry_is_undecided(instance, record, now)
        for event in _EndedRun.read(instance, record, rules, final=run_id in broken_promises).events()
    )
    more = len(records) == _RUNS_PER_READING
    # One tick of the storage's clock back: other runs may have the same time as the last one.
    tie = timedelta(microseconds=1)
    next_start = records[-1].update_timestamp - tie if more else now - _OVERLAP
    return Reading(events, len(records), next_start, more)


def last_success(instance: dg.DagsterInstance, job: str) -> datetime | None:
    """The end of the last successful run of the job; None if it never succeeded."""
    records = instance.get_run_records(
        dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS]),
        limit=1,
        order_by="update_timestamp",
    )
    return _ended_at(records[0]) if records else None


def ended_all_steps(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether every step of the run's plan has succeeded or was skipped."""
    if run.execution_plan_snapshot_id is None:
        return False
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    ended = instance.all_logs(run.run_id, of_type={Kind.STEP_SUCCESS, Kind.STEP_SKIPPED})
    return set(plan.step_keys_to_execute) <= {event.step_key for event in ended}


def _retry_is_undecided(instance: dg.DagsterInstance, record: dg.RunRecord, now: datetime) -> bool:
    run = record.dagster_run
    return (
        run.status == dg.DagsterRunStatus.FAILURE
        and instance.run_retries_enabled
        and WILL_RETRY_TAG not in run.tags
        and now - _ended_at(record) < _RETRY_IS_DECIDED_AFTER
    )


def _without_their_retry(instance: dg.DagsterInstance, now: datetime) -> list[dg.RunRecord]:
    """Failed runs of the last day whose retry was never created, and that no later run has made good."""
    promised = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={WILL_RETRY_TAG: "true"},
        updated_after=now - _FIRST_LOOK_BACK,
        updated_before=now - _RETRY_COMES_WITHIN,
    )
    return [
        record
        for record in instance.get_run_records(promised, limit=_RUNS_PER_READING)
        if AUTO_RETRY_RUN_ID_TAG not in record.dagster_run.tags and not _is_made_good(instance, record)
    ]


def _is_made_good(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    run = record.dagster_run
    later = dg.RunsFilter(
        job_name=run.job_name,
        statuses=[dg.DagsterRunStatus.SUCCESS],
        tags={key: run.tags[key] for key in ("dagster/partition",) if key in run.tags},
        created_after=record.create_timestamp,
    )
    return bool(instance.get_run_records(later, limit=1))


def _ended_at(record: dg.RunRecord) -> datetime:
    return record.update_timestamp if record.end_time is None else _utc(record.end_time)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True)
class _EndedRun:
    """One ended run with its relevant events; ``final``: no retry follows."""

    run: dg.DagsterRun
    at: datetime
    logged: Sequence[dg.EventLogRecord]
    rules: Rules
    final: bool
    ended_all_steps: bool

    @classmethod
    def read(
        cls, instance: dg.DagsterInstance, record: dg.RunRecord, rules: Rules, *, final: bool
    ) -> _EndedRun:
        run = record.dagster_run
        logged = instance.get_records_for_run(run.run_id, of_type=_EVENTS).records
        return cls(run, _ended_at(record), logged, rules, final, ended_all_steps(instance, run))

    @property
    def partition(self) -> str:
        """The run's partition, ``first...last`` of a range, or nothing."""
        tags = self.run.tags
        first = tags.get("dagster/asset_partition_range_start")
        last = tags.get("dagster/asset_partition_range_end")
        return tags.get("dagster/partition") or (f"{first}...{last}" if first and last else "")

    @property
    def job(self) -> str:
        """The name of the job, or the assets or checks of a run that the UI or a backfill put together."""
        if not self.run.job_name.startswith("__"):
            return self.run.job_name
        assets = {key.to_user_string() for key in self.run.asset_selection or ()}
        checks = {key.name for key in self.run.asset_check_selection or ()}
        return f"run of {','.join(sorted(assets or checks)) or 'all assets'}"

    @property
    def will_retry(self) -> bool:
        return not self.final and self.run.tags.get(WILL_RETRY_TAG) == "true"

    def events(self) -> Iterator[RunEnded | CheckEvaluated]:
        """The end of the run, and each of its checks."""
        done = {event.step_key for event, _ in self._of(Kind.STEP_SUCCESS)}
        for event, at in self._of(Kind.ASSET_CHECK_EVALUATION):
            evaluation = event.asset_check_evaluation_data
            partition = evaluation.partition or ""
            if evaluation.passed or self._causes_alert(
                evaluation, partition, again=event.step_key not in done
            ):
                failure = None if evaluation.passed else self._check_failure(evaluation, partition)
                asset = evaluation.asset_key.to_user_string()
                yield CheckEvaluated(asset, evaluation.check_name, partition, at, failure)
        made = self._materializations(Kind.ASSET_MATERIALIZATION)
        planned = self._materializations(Kind.ASSET_MATERIALIZATION_PLANNED)
        yield RunEnded(
            self.job,
            self.partition,
            self.at,
            whole=not (self.run.asset_selection or self.run.step_keys_to_execute),
            succeeded=self.run.status == dg.DagsterRunStatus.SUCCESS,
            made=made,
            unmade=planned - made,
            failure=self._run_failure(),
        )

    def _of(self, kind: Kind) -> Iterator[tuple[dg.DagsterEvent, datetime]]:
        for record in self.logged:
            event = record.event_log_entry.dagster_event
            if event is not None and event.event_type == kind:
                yield event, _utc(record.timestamp)

    def _materializations(self, kind: Kind) -> frozenset[str]:
        return frozenset(
            made_name(
                event.asset_key.to_user_string() if event.asset_key else "",
                event.partition or self.partition,
            )
            for event, _ in self._of(kind)
        )

    def _causes_alert(self, evaluation: dg.AssetCheckEvaluation, partition: str, *, again: bool) -> bool:
        """Whether a failed check causes an alert: not if a retry repeats it, and not every warning."""
        if again and self.will_retry:
            return False
        # A check without a partition judges the present, such as the age of the newest data.
        return (
            self.rules.all_warnings or not partition or evaluation.severity == dg.AssetCheckSeverity.ERROR
        )

    def _line(self, text: str, longest: int = 300) -> str:
        return one_line(text, self.rules.secrets, longest)

    def _check_failure(self, evaluation: dg.AssetCheckEvaluation, partition: str) -> Failure:
        warning = evaluation.severity == dg.AssetCheckSeverity.WARN
        place = "/".join(evaluation.asset_key.path)
        lines = [f"Severity: {evaluation.severity.value}"]
        if evaluation.description:
            lines.insert(0, f"Verdict: {self._line(evaluation.description)}")
        if numbers := self._numbers(evaluation):
            lines.append(f"Numbers: {numbers}")
        if evaluation.blocking and not warning:
            lines.append("The run stopped here: the assets that depend on this one were not made.")
        return Failure(
            name=f"{evaluation.check_name} of {place} {partition}".strip(),
            what="did not pass",
            lines=tuple(lines),
            path=f"/assets/{place}?view=checks&checkDetail={evaluation.check_name}",
            anchor=evaluation.check_name,
            digest=partition if warning else "",
        )

    def _numbers(self, evaluation: dg.AssetCheckEvaluation) -> str:
        shown = []
        for name, value in evaluation.metadata.items():
            if isinstance(value, _NUMBERS):
                text = f"{value.value:.4g}" if isinstance(value.value, float) else str(value.value)
                shown.append(f"{name} {self._line(text, _LONGEST_NUMBER)}")
        return ", ".join(shown[:_MOST_NUMBERS])

    def _run_failure(self) -> Failure | None:
        if self.run.status != dg.DagsterRunStatus.FAILURE or self.will_retry:
            return None
        failed = [event for event, _ in self._of(Kind.STEP_FAILURE)]
        if self.run.job_name.startswith("__") and not self._materializations(
            Kind.ASSET_MATERIALIZATION_PLANNED
        ):
            # Only checks, started by hand: the operator looks at them, and no later run repeats them.
            return None
        if self.ended_all_steps:
            # Killed between its last step and its end: it is retried, and nothing is missing.
            return None
        own = [event for event in failed if not _is_blocking_check(event)]
        if failed and not own:
            return None
        what = "failed"
        if own:
            others = f" and {len(own) - 1} more" if len(own) > 1 else ""
            what += f" at {own[0].step_key}{others}"
        ends = own or [event for event, _ in self._of(Kind.RUN_FAILURE)]
        reason = _reason(ends[0]) if ends else "the run ended without an error message"
        return Failure(
            name=self._line(f"{self.job} {self.partition}"),
            what=what,
            lines=(f"Error: {self._line(reason)}",),
            path=f"/runs/{self.run.run_id}",
            anchor=RUN_ANCHOR,
        )


def _is_blocking_check(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    return error is not None and error.cls_name == "DagsterAssetCheckFailedError"


def _reason(event: dg.DagsterEvent) -> str:
    """The error as the code raised it, or Dagster's message about the end of the run."""
    error = getattr(event.event_specific_data, "error", None)
    error = getattr(error, "cause", None) or error
    return str(error.message if error else event.message)
