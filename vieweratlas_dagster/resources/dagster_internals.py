"""The only module that imports Dagster's private API.

Each part names the issue of dagster-io/dagster that makes it needed;
tests/vieweratlas_dagster/test_dagster_internals.py proves the behaviour that the platform relies on. The
storages are imported where they are used, so that loading the code location stays quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.execution.api import execute_run

# The argument of `EcsRunLauncher.launch_run`, overridden to move retries off Spot capacity (#12442).
from dagster._core.launcher.base import LaunchRunContext as LaunchRunContext
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

# Automatic retries can be lost (#33741). Tags are the only record of Dagster's decisions: this one names
# the retry of a failed run,
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG as AUTO_RETRY_RUN_ID_TAG
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG

# this one marks an automatic retry (also for #12442),
from dagster._core.storage.tags import RETRY_NUMBER_TAG as RETRY_NUMBER_TAG

# this one says at which step a retry begins,
from dagster._core.storage.tags import RETRY_STRATEGY_TAG as RETRY_STRATEGY_TAG

# this one names the first run of a group, without which Dagster retries none of them (#28053),
from dagster._core.storage.tags import ROOT_RUN_ID_TAG as ROOT_RUN_ID_TAG

# and this one says whether a failed run will be retried.
from dagster._core.storage.tags import WILL_RETRY_TAG as WILL_RETRY_TAG

# The argument of `EcsRunLauncher.from_config_value`, overridden because dagster.yaml cannot take a list of
# subnets from the environment (#18729).
from dagster._serdes import ConfigurableClassData as ConfigurableClassData


def all_steps_strategy() -> str:
    """The value of `RETRY_STRATEGY_TAG` with which a retry begins at the first step.

    A run that was killed after its last step leaves no step to resume from, and Dagster refuses to retry it
    from the failure (#31227). The strategies are a private enumeration.
    """
    from dagster._core.execution.plan.resume_retry import ReexecutionStrategy

    return ReexecutionStrategy.ALL_STEPS.value


def execute_as_code_location(
    definition: dg.JobDefinition,
    instance: dg.DagsterInstance,
    *,
    location: str,
    partition: str,
    run_config: Mapping[str, object],
) -> dg.JobExecutionResult:
    """Run one partition of a job in this process, as a run of a code location.

    The UI cannot re-execute a run of ``job.execute_in_process``, which has an empty origin (#19458), and
    a run without the repository's label is missing from the job's page (#17707).

    Args:
        definition: the job.
        instance: where the run is stored.
        location: the name of the code location; each machine knows by itself where the location is served.
        partition: a partition key of the job.
        run_config: configuration of the run.

    Returns:
        How the run ended; a failure is not raised.
    """
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")
    run = instance.create_run_for_job(
        definition,
        run_config=run_config,
        tags={
            **definition.run_tags,
            **definition.get_tags_for_partition_key(partition, selected_asset_keys=None),
            REPOSITORY_LABEL_TAG: repository.get_label(),
        },
        remote_job_origin=repository.get_job_origin(definition.name),
    )
    return execute_run(InMemoryJob(definition), run, instance)


def newest_check_run(instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition: str | None) -> str:
    """The id of the run that evaluated a check last: for one partition, or for any when it is None.

    Partitions of checks have no public query yet (#17005).
    """
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [key], PartitionKeyFilter(key=partition) if partition else None
    )
    return latest[key].run_id


def delete_check_history(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete the check evaluations of a run.

    Dagster prunes no runs by itself (#33785, #4100), and deleting a run leaves these rows, whose run then
    cannot be found (#18236).
    """
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

    if isinstance(instance.event_log_storage, SqlEventLogStorage):
        with instance.event_log_storage.index_connection() as connection:
            rows = AssetCheckExecutionsTable.c.run_id == run_id
            connection.execute(AssetCheckExecutionsTable.delete().where(rows))


def delete_local_files(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run's own event database and its logs, where the instance keeps them in files.

    Deleting a run empties the database and leaves the file (no upstream issue is known), and it leaves the
    logs (#4498).
    """
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
    from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

    if isinstance(instance.event_log_storage, SqliteEventLogStorage):
        shard = instance.event_log_storage.path_for_shard(run_id)
        for path in (shard, f"{shard}-wal", f"{shard}-shm"):
            Path(path).unlink(missing_ok=True)
    if isinstance(instance.compute_log_manager, LocalComputeLogManager):
        instance.compute_log_manager.delete_logs(prefix=[run_id])
