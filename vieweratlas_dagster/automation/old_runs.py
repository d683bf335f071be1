"""Removes old runs of Dagster with their events and logs.

Ticks expire by ``retention`` in dagster.yaml, and logs on S3 by lifecycle rules of the bucket.

A partition counts as materialized because of its newest materialization event, and events are removed with
their run. So a run with the newest event of any partition stays, however old it is, and so does the first
run of a group while one of its retries exists.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

import dagster as dg

from vieweratlas_dagster.alerts.run_log import ENDED_STATUSES
from vieweratlas_dagster.resources.dagster_internals import (
    ROOT_RUN_ID_TAG,
    delete_check_history,
    delete_local_files,
    newest_check_run,
)

_BATCH = 100
_PLACE = "vieweratlas/maintenance/examined_until"
_EVENTS = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
}


@dataclass
class Removal:
    """The result of a pass.

    Attributes:
        removed: runs removed, by reason.
        examined: runs examined.
        kept: runs that stay because of the newest state.
        complete: False if time ran out; the next pass continues from there.
    """

    removed: Counter[str] = field(default_factory=Counter)
    examined: int = 0
    kept: int = 0
    complete: bool = True


def remove_old_runs(
    instance: dg.DagsterInstance,
    *,
    check_jobs: Collection[str],
    checks_before: datetime,
    others_before: datetime,
    seconds: float,
    dry_run: bool,
    report: Callable[[str], object],
) -> Removal:
    """Remove finished runs that nothing depends on, oldest first.

    Args:
        instance: whose runs.
        check_jobs: names of jobs that only run checks.
        checks_before: runs of these jobs that were created earlier are removed.
        others_before: other runs that were created earlier are removed if they failed, were cancelled, or
            all their results have been made again.
        seconds: after this time no further run is examined.
        dry_run: count, but remove nothing.
        report: called with one line for each run that is removed.
    """
    end = time.monotonic() + seconds
    done, newest = Removal(), _Newest(instance)
    place = _place(instance)
    while batch := _runs_after(instance, place, max(checks_before, others_before)):
        for record in batch:
            if time.monotonic() >= end:
                done.complete = False
                _keep_place(instance, place)
                return done
            run, created = record.dagster_run, record.create_timestamp
            is_check = run.job_name in check_jobs
            if created < (checks_before if is_check else others_before):
                done.examined += 1
                if newest.is_held_by(run.run_id) or _was_retried(instance, run.run_id):
                    done.kept += 1
                else:
                    reason = "checks" if is_check else "superseded" if run.is_success else "failed"
                    done.removed[reason] += 1
                    report(f"{run.job_name} {run.run_id} of {created:%Y-%m-%d} ({reason})")
                    if not dry_run:
                        _remove(instance, run.run_id)
            place = created
    _keep_place(instance, None)
    return done


def _runs_after(
    instance: dg.DagsterInstance, after: datetime | None, before: datetime
) -> list[dg.RunRecord]:
    filters = dg.RunsFilter(statuses=ENDED_STATUSES, created_after=after, created_before=before)
    return list(
        instance.get_run_records(filters, limit=_BATCH, order_by="create_timestamp", ascending=True)
    )


def _place(instance: dg.DagsterInstance) -> datetime | None:
    text = instance.daemon_cursor_storage.get_cursor_values({_PLACE}).get(_PLACE)
    return datetime.fromisoformat(text) if text else None


def _keep_place(instance: dg.DagsterInstance, place: datetime | None) -> None:
    instance.daemon_cursor_storage.set_cursor_values({_PLACE: place.isoformat() if place else ""})


class _Newest:
    """The runs with the newest materialization of a partition or the newest evaluation of a check.

    Each is looked up once: later events could only supersede more runs.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._made_by: dict[tuple[dg.AssetKey, str | None], str] = {}
        self._checked_by: dict[tuple[dg.AssetCheckKey, str | None], str] = {}

    def is_held_by(self, run_id: str) -> bool:
        """Whether any of the run's events is the newest of its kind."""
        cursor, more = None, True
        while more:
            page = self._instance.get_records_for_run(run_id, cursor=cursor, of_type=_EVENTS, limit=_BATCH)
            cursor, more = page.cursor, page.has_more
            events = (record.event_log_entry.dagster_event for record in page.records)
            if any(event is not None and self._run_of_newest(event) == run_id for event in events):
                return True
        return False

    def _run_of_newest(self, event: dg.DagsterEvent) -> str:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            asset = event.step_materialization_data.materialization
            place = (asset.asset_key, asset.partition)
            if place not in self._made_by:
                partitions = None if asset.partition is None else [asset.partition]
                wanted = dg.AssetRecordsFilter(asset_key=asset.asset_key, asset_partitions=partitions)
                [record] = self._instance.fetch_materializations(wanted, limit=1).records
                self._made_by[place] = record.run_id
            return self._made_by[place]
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
            planned = event.asset_check_planned_data
            return self._run_of_newest_check(dg.AssetCheckKey(planned.asset_key, planned.check_name), None)
        data = event.asset_check_evaluation_data
        return self._run_of_newest_check(dg.AssetCheckKey(data.asset_key, data.check_name), data.partition)

    def _run_of_newest_check(self, key: dg.AssetCheckKey, partition: str | None) -> str:
        """The run of the newest evaluation, of one partition or, without one, of all."""
        if (key, partition) not in self._checked_by:
            self._checked_by[key, partition] = newest_check_run(self._instance, key, partition)
        return self._checked_by[key, partition]


def _was_retried(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a retry of the run exists: Dagster finds the runs of a group by their first one."""
    retries = dg.RunsFilter(tags={ROOT_RUN_ID_TAG: run_id})
    return bool(instance.get_runs(retries, limit=1))


def _remove(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove a run's events, check history, local files and, last of all, its row.

    In this order a pass after a killed one finds the run again, with less to remove.
    """
    instance.event_log_storage.delete_events(run_id)
    delete_check_history(instance, run_id)
    delete_local_files(instance, run_id)
    instance.run_storage.delete_run(run_id)
