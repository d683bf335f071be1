"""Runs without a daemon: Dagster knows whose they are (what the UI does with them: ``tests/e2e``)."""

import dagster as dg
import pytest
import yaml

from vieweratlas_dagster.commands.run_jobs import open_instance, run_partition
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.settings import Settings

QUARTER = "2026-03-01-06:00"


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    with open_instance(tmp_path / "dagster") as instance:
        yield instance


def test_a_run_belongs_to_the_code_location_of_the_workspace(tmp_path, instance):
    definitions = build_definitions(Settings(storage={"dir": tmp_path / "lake"}))
    outcome = run_partition(definitions, "vod_6h", QUARTER, instance)
    assert outcome.success
    run = instance.get_run_by_id(outcome.run_id)
    with open("workspace.yaml") as workspace:
        [target] = yaml.safe_load(workspace)["load_from"]
    assert run.remote_job_origin.location_name == target["python_module"]["location_name"]
    assert run.remote_job_origin.job_name == "vod_6h"
    repository = definitions.get_repository_def().name
    assert run.remote_job_origin.repository_origin.repository_name == repository
    assert run.tags["dagster/partition"] == QUARTER
    assert instance.get_materialized_partitions(dg.AssetKey("vod_chat")) == {QUARTER}


def test_a_partition_that_does_not_exist_leaves_no_run(tmp_path, instance):
    definitions = build_definitions(Settings(storage={"dir": tmp_path / "lake"}))
    with pytest.raises(
        ValueError, match=r"2019-01-01 is not a partition of analysis_daily, which has 2020-01-01 to \d{4}-"
    ):
        run_partition(definitions, "analysis_daily", "2019-01-01", instance)
    assert instance.get_runs() == []
