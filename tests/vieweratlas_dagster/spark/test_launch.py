"""The Spark engine as Dagster starts it: spark-submit here, and EMR Serverless."""

import dagster as dg
import pytest

from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from tests.worlds.memberships import (
    OPTIONS,
    ROLE,
    SMALL,
    assert_same_graph,
    local_graph,
    needs_spark,
    planted_days,
)
from vieweratlas_dagster.lake.keys import day_audience_key
from vieweratlas_dagster.lake.tables_io import write_table
from vieweratlas_dagster.settings import SparkSettings
from vieweratlas_dagster.spark import launch
from vieweratlas_dagster.tables import DAY_AUDIENCES

from .emr_double import EmrDouble

DAYS = ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]
LEFT_BY_A_KILLED_RUN = "state/spark/date=2026-03-04/killed-0/out/pairs/part-0.parquet"
# Of three days, 18 hours a day.
JUDGED = OPTIONS | {"max_windows": 648}


def materialize(lake, storage, channels, derived, spark):
    """Materialize an asset that calls the engine; its result, and the graph it got."""
    graphs = []

    @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2026-01-01"))
    def graph(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        graphs.append(
            launch.overlap_graph_on_spark(
                context, lake, DAYS, channels, derive=derived.get, spark=spark, storage=storage, **JUDGED
            )
        )
        return dg.MaterializeResult(metadata={"edges": graphs[0].edges.height})

    with dg.instance_for_test() as instance:
        result = dg.materialize([graph], partition_key=DAYS[-1], instance=instance, raise_on_error=False)
        events = instance.all_logs(result.run_id)
    errors = [
        getattr(event.dagster_event.event_specific_data, "error", None)
        for event in events
        if event.dagster_event
    ]
    return (
        result,
        graphs,
        [event.user_message for event in events] + [str(error) for error in errors if error],
    )


def planted_lake(lake):
    """Two days in the lake, one to be derived, one of which nothing is known."""
    frames, channels = planted_days()
    for day, frame in zip(DAYS[:2], frames[:2], strict=True):
        write_table(lake, day_audience_key(day), frame, DAY_AUDIENCES)
    lake.put(LEFT_BY_A_KILLED_RUN, b"half a row")
    return frames, channels, {DAYS[2]: frames[2]}


@needs_spark
def test_spark_submit_through_pipes_gives_the_local_engines_graph(lake, tmp_path):
    frames, channels, derived = planted_lake(lake)
    storage = StorageSettings(dir=tmp_path / "lake")
    result, [graph], told = materialize(lake, storage, channels, derived, SparkSettings(submit_args=SMALL))
    assert result.success
    expected = local_graph(frames, channels, **JUDGED)
    assert expected.edges.height > 100
    assert dict(expected.exclusions.select("reason", "viewers").iter_rows()) == {
        "known bot": 1,
        "too many channels": 1,
        "too many hours": 1,
    }
    assert_same_graph(graph, expected)
    assert any("counted the overlaps of" in text for text in told)
    assert lake.objects("state/") == []


@needs_spark
def test_a_job_that_fails_leaves_nothing_and_says_so(lake, tmp_path):
    _, channels, derived = planted_lake(lake)
    lake.put(day_audience_key(DAYS[0]), b"no Parquet at all")
    storage = StorageSettings(dir=tmp_path / "lake")
    result, graphs, told = materialize(lake, storage, channels, derived, SparkSettings(submit_args=SMALL))
    assert not result.success
    assert graphs == []
    assert any(f"date={DAYS[0]}/audience.parquet is not a Parquet file" in text for text in told), told
    assert lake.objects("state/") == []


@pytest.mark.long
@needs_spark
def test_emr_serverless_through_pipes_gives_the_local_engines_graph(s3_storage, tmp_path):
    lake = Lake.open(s3_storage)
    frames, channels, derived = planted_lake(lake)
    before = {info.key for info in lake.objects("curated/")}
    with EmrDouble(s3_storage.endpoint_url, tmp_path) as emr:
        spark = SparkSettings(
            emr_application_id=emr.application_id,
            execution_role_arn=ROLE,
            submit_args=SMALL,
            timeout_minutes=30,
            poll_seconds=0.5,
        )
        result, graphs, told = materialize(lake, s3_storage, channels, derived, spark)
    assert result.success, (tmp_path / "job.log").read_text()
    assert_same_graph(graphs[0], local_graph(frames, channels, **JUDGED))
    assert any("counted the overlaps of" in text for text in told)
    assert {info.key for info in Lake.open(s3_storage).objects("")} == before
    [job] = emr.jobs
    assert job.execution_role_arn == ROLE
    assert job.execution_timeout_minutes == 30
    assert job.name == "vieweratlas overlap 2026-03-04"
    assert job.job_driver["sparkSubmit"]["entryPoint"].startswith(
        f"{lake.uri}/state/spark/date=2026-03-04/"
    )
    assert job.tags["dagster/run-id"] == result.run_id


@pytest.mark.parametrize(
    ("environment", "error"),
    [
        (
            {"JAVA_HOME": "/nowhere", "SPARK_HOME": "old"},
            "needs Java 17 or newer, but /nowhere has none: install it",
        ),
        (
            {"JAVA_HOME": "old", "SPARK_HOME": "old"},
            "needs Java 17 or newer, but .*/old/bin/java is version 8: install it",
        ),
        (
            {"PATH": "/nowhere", "SPARK_HOME": "/nowhere"},
            r"install the extra \(pip install 'vieweratlas\[spark",
        ),
    ],
)
def test_what_is_missing_is_named_with_what_to_install(environment, error, tmp_path, monkeypatch):
    programs = tmp_path / "old" / "bin"
    programs.mkdir(parents=True)
    for name in ("java", "spark-submit"):
        (programs / name).write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_392\"' >&2\n")
        (programs / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, str(tmp_path / "old") if value == "old" else value)
    if "PATH" in environment:
        monkeypatch.setattr(launch.sys, "executable", "/nowhere/python")
    with pytest.raises(RuntimeError, match=error):
        launch.find_spark_submit()


def test_a_lake_in_memory_is_refused(tmp_path):
    lake = Lake.in_memory()
    _, channels, derived = planted_lake(lake)
    result, graphs, told = materialize(lake, StorageSettings(), channels, derived, SparkSettings())
    assert not result.success
    assert graphs == []
    assert any("use a lake of type file or s3" in text for text in told), told


def test_an_application_without_its_role_is_refused():
    with pytest.raises(ValueError, match=r"execution_role_arn must name the job's role.*it is ''"):
        SparkSettings(emr_application_id="00f1abc")
