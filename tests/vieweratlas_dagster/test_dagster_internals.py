"""What the platform relies on in Dagster's private API, symbol by symbol.

After an upgrade of Dagster a failure here shows which part of ``resources/dagster_internals.py`` to adapt.
"""

import ast
import inspect
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from dagster_aws.ecs import EcsRunLauncher

from vieweratlas_dagster.resources import dagster_internals as internals

DAY = "2026-03-01"
LOCATION = "house"
RETRIES = {"run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": True}}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
days = dg.DailyPartitionsDefinition(DAY, end_offset=10_000)


@dg.asset(partitions_def=days)
def first() -> None:
    print("in the logs of the step")


@dg.asset(partitions_def=days, deps=[first])
def second() -> None:
    raise RuntimeError("planted")


@dg.asset_check(asset=first, partitions_def=days)
def small() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


definitions = dg.Definitions(
    assets=[first, second],
    asset_checks=[small],
    jobs=[
        dg.define_asset_job("both", [first, second]),
        dg.define_asset_job("half", dg.AssetSelection.assets(first)),
    ],
    executor=dg.in_process_executor,
)


def run(instance: dg.DagsterInstance, job: str = "half", day: str = DAY) -> dg.DagsterRun:
    done = internals.execute_as_code_location(
        definitions.resolve_job_def(job), instance, location=LOCATION, partition=day, run_config=QUIET
    )
    return instance.get_run_by_id(done.run_id)


def daemon_looks(instance: dg.DagsterInstance) -> None:
    """One round of the real daemon's part that retries runs, over a code location of this file."""
    here = LoadableTargetOrigin(python_file=__file__, attribute="definitions")
    target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(here, location_name=LOCATION))
    with WorkspaceProcessContext(instance, target) as workspace:
        list(EventLogConsumerDaemon().run_iteration(workspace))


@pytest.fixture(scope="module")
def retried():
    """Failed runs and their retries by the daemon: one from the failure, one from the first step."""
    with dg.instance_for_test(overrides=RETRIES) as instance:
        instance.submit_run = lambda run_id, workspace: None  # the retry is not launched
        daemon_looks(instance)
        runs = {"plain": run(instance, "both"), "whole": run(instance, "both", "2026-03-02")}
        strategy = {internals.RETRY_STRATEGY_TAG: internals.all_steps_strategy()}
        instance.add_run_tags(runs["whole"].run_id, strategy)
        daemon_looks(instance)
        yield SimpleNamespace(
            instance=instance,
            failed={name: instance.get_run_by_id(run.run_id) for name, run in runs.items()},
            retries={name: retry_of(instance, run) for name, run in runs.items()},
        )


def retry_of(instance: dg.DagsterInstance, failed: dg.DagsterRun) -> dg.DagsterRun:
    [retry] = [run for run in instance.get_runs() if run.parent_run_id == failed.run_id]
    return retry


def test_will_retry_says_whether_a_failed_run_will_be_retried():
    settings = {"run_retries": RETRIES["run_retries"] | {"retry_on_asset_or_op_failure": False}}
    reasons = {RunFailureReason.UNEXPECTED_TERMINATION: "true", RunFailureReason.STEP_FAILURE: "false"}
    with dg.DagsterInstance.ephemeral(settings=settings) as instance:
        for reason, expected in reasons.items():
            failed = instance.create_run_for_job(definitions.resolve_job_def("half"))
            instance.report_run_failed(failed, "over", JobFailureData(None, failure_reason=reason))
            assert instance.get_run_by_id(failed.run_id).tags[internals.WILL_RETRY_TAG] == expected


def test_auto_retry_run_id_names_the_retry_of_a_failed_run(retried):
    failed, retry = retried.failed["plain"], retried.retries["plain"]
    assert failed.tags[internals.AUTO_RETRY_RUN_ID_TAG] == retry.run_id


def test_retry_number_marks_an_automatic_retry(retried):
    assert retried.retries["plain"].tags[internals.RETRY_NUMBER_TAG] == "1"
    assert internals.RETRY_NUMBER_TAG not in retried.failed["plain"].tags


def test_root_run_id_names_the_first_run_of_a_group(retried):
    assert retried.retries["plain"].tags[internals.ROOT_RUN_ID_TAG] == retried.failed["plain"].run_id


def test_without_its_root_a_group_is_not_retried(retried):
    instance, root = retried.instance, retried.failed["plain"].run_id
    retry = retried.retries["plain"]
    instance.report_run_failed(retry, "over")
    instance.delete_run(root)
    daemon_looks(instance)
    assert [run for run in instance.get_runs() if run.parent_run_id == retry.run_id] == []


def test_the_retry_strategy_is_read_from_its_tag(retried):
    assert retried.retries["plain"].step_keys_to_execute == ["second"]


def test_all_steps_begins_a_retry_at_the_first_step(retried):
    assert retried.retries["whole"].step_keys_to_execute is None


def test_a_run_belongs_to_the_registered_location_and_its_repository():
    """`RegisteredCodeLocationOrigin` and `RemoteRepositoryOrigin`."""
    with dg.DagsterInstance.ephemeral() as instance:
        origin = run(instance).remote_job_origin
    assert origin.location_name == LOCATION
    assert origin.repository_origin.repository_name == definitions.get_repository_def().name
    assert origin.job_name == "half"


def test_the_repository_label_lists_a_run_on_its_jobs_page():
    """`REPOSITORY_LABEL_TAG`: the page asks for the runs with this tag."""
    with dg.DagsterInstance.ephemeral() as instance:
        made = run(instance)
        asked = dg.RunsFilter(tags={".dagster/repository": f"__repository__@{LOCATION}"})
        assert [found.run_id for found in instance.get_runs(asked)] == [made.run_id]


def test_a_run_in_this_process_ends_with_its_outcome_and_its_partition():
    """`execute_run` and `InMemoryJob`."""
    with dg.DagsterInstance.ephemeral() as instance:
        done, failed = run(instance), run(instance, "both")
        assert (done.status, failed.status) == (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
        assert instance.get_materialized_partitions(dg.AssetKey("first")) == {DAY}
        assert done.tags["dagster/partition"] == DAY


def test_the_newest_run_of_a_check_is_known_by_partition_and_over_all():
    """`PartitionKeyFilter`."""
    key = dg.AssetCheckKey(dg.AssetKey("first"), "small")
    with dg.DagsterInstance.ephemeral() as instance:
        runs = {day: run(instance, day=day).run_id for day in (DAY, "2026-03-02")}
        for day in runs:
            assert internals.newest_check_run(instance, key, day) == runs[day]
        assert internals.newest_check_run(instance, key, None) == runs["2026-03-02"]


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """A folder with a SQLite instance, in which a run was deleted as Dagster deletes it; and its id."""
    folder = tmp_path_factory.mktemp("instance")
    with dg.instance_for_test(temp_dir=str(folder)) as instance:
        run_id = run(instance).run_id
        instance.delete_run(run_id)
        yield folder, instance, run_id


def test_check_history_outlives_its_run_until_it_is_deleted(on_disk):
    """`AssetCheckExecutionsTable` and `SqlEventLogStorage`."""
    _, instance, run_id = on_disk
    key = dg.AssetCheckKey(dg.AssetKey("first"), "small")
    history = instance.event_log_storage.get_asset_check_execution_history
    assert [row.run_id for row in history(key, limit=10)] == [run_id]
    internals.delete_check_history(instance, run_id)
    assert history(key, limit=10) == []


def test_files_outlive_their_run_until_they_are_deleted(on_disk):
    """`SqliteEventLogStorage` and `LocalComputeLogManager`."""
    folder, instance, run_id = on_disk
    left = {path.name for path in folder.rglob(f"*{run_id}*")}
    assert {f"{run_id}.db", run_id} <= left, "the event database and the folder of the logs"
    internals.delete_local_files(instance, run_id)
    assert list(folder.rglob(f"*{run_id}*")) == []


def test_the_launcher_is_built_and_started_with_these_types():
    """`ConfigurableClassData` and `LaunchRunContext`: `FargateRunLauncher` overrides the two methods."""
    built = inspect.signature(EcsRunLauncher.from_config_value).parameters
    assert list(built) == ["inst_data", "config_value"]
    data = internals.ConfigurableClassData(
        "vieweratlas_dagster.automation.fargate", "FargateRunLauncher", "{}"
    )
    assert data.class_name == "FargateRunLauncher"
    started = inspect.signature(EcsRunLauncher.launch_run).parameters
    assert started["context"].annotation is internals.LaunchRunContext
    with dg.DagsterInstance.ephemeral() as instance:
        made = run(instance)
    context = internals.LaunchRunContext(dagster_run=made, workspace=None)
    retry = made.with_tags({internals.RETRY_NUMBER_TAG: "1"})
    assert context._replace(dagster_run=retry).dagster_run is retry


def imported(path: Path) -> list[str]:
    """The names of the modules that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def test_no_other_module_imports_private_modules_of_dagster():
    private = {
        path.name
        for folder in ("vieweratlas_dagster", "collector_service")
        for path in Path(folder).rglob("*.py")
        if any(name.startswith("dagster") and "._" in name for name in imported(path))
    }
    assert private == {"dagster_internals.py"}
