"""What the jobs hold, that maintenance runs, and what a changed code version shows."""

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from typer.testing import CliRunner

from collector_service.lake import Lake
from vieweratlas_dagster.automation.maintenance import ExpiryConfig, OldRunsConfig
from vieweratlas_dagster.cli import app
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.resources.catalog import CODE_VERSIONS
from vieweratlas_dagster.settings import Settings

FROM_THE_GRAPH = {"overlap_graph", "community_partitions", "community_labels", "atlas", "graph_exports"}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(Settings())


def test_graph_daily_holds_the_graph_and_everything_below_it(definitions):
    job = definitions.resolve_job_def("graph_daily")
    keys = {key.to_user_string() for key in job.asset_layer.selected_asset_keys}
    assert keys == FROM_THE_GRAPH
    daily = definitions.resolve_job_def("analysis_daily")
    checks = {key.name for key in job.asset_layer.asset_graph.asset_check_keys}
    every = {key.name for key in daily.asset_layer.asset_graph.asset_check_keys}
    assert {"overlap_is_possible", "atlas_is_complete"} <= checks < every
    assert not {"live_chat_is_fresh", "atlas_of_yesterday_exists", "day_has_data"} & checks


def test_everything_that_a_day_is_made_of_waits_in_one_queue(definitions):
    daily = definitions.resolve_job_def("analysis_daily")
    made = [
        asset
        for asset in daily.asset_layer.asset_graph.assets_defs
        if asset.keys & daily.asset_layer.selected_asset_keys
    ]
    assert {asset.op.name: asset.op.pool for asset in made} == dict.fromkeys(
        (asset.op.name for asset in made), "maps"
    )


def test_maintenance_runs_as_scheduled_and_tells_what_it_did(tmp_path):
    settings = Settings(storage={"dir": tmp_path / "lake"})
    Lake.open(settings.storage)
    job = build_definitions(settings).resolve_job_def("maintenance")
    with dg.instance_for_test() as instance:
        done = job.execute_in_process(instance=instance)
    facts = {
        event.step_key: set(event.step_output_data.metadata)
        for event in done.all_node_events
        if event.is_successful_output
    }
    assert {"removed_superseded_runs", "kept_newest", "complete"} <= facts["old_runs"]
    assert {"raw_snapshots_objects", "raw_vod_chat_bytes"} <= facts["expired_raw_data"]


@pytest.mark.parametrize("config", [OldRunsConfig, ExpiryConfig])
def test_every_field_of_the_run_configuration_is_explained(config):
    assert all(len(field.description) > 20 for field in config.model_fields.values())


def test_a_group_s_new_code_version_shows_on_its_partitions_and_then_below(definitions):
    """The rule that CODE_VERSIONS rests on, with Dagster's own resolver."""
    groups = {node.group_name for node in definitions.resolve_asset_graph().asset_nodes}
    assert set(CODE_VERSIONS) == groups
    day = "2026-01-01"

    def chain(middle: str) -> list[dg.AssetsDefinition]:
        days = dg.DailyPartitionsDefinition(day)
        versions, made = {"first": "1", "second": middle, "third": "1"}, []
        for name, version in versions.items():

            @dg.asset(name=name, partitions_def=days, code_version=version, deps=made[-1:])
            def one() -> None:
                pass

            made.append(one)
        return made

    def stale(instance: dg.DagsterInstance) -> list[str]:
        graph = dg.Definitions(assets=chain("2")).resolve_asset_graph()
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        names = ("first", "second", "third")
        return [name for name in names if resolver.get_status(dg.AssetKey(name), day).value == "STALE"]

    with dg.instance_for_test() as instance:
        dg.materialize(chain("1"), instance=instance, partition_key=day)
        assert stale(instance) == ["second"]
        dg.materialize(chain("2"), instance=instance, partition_key=day, selection=["second"])
        assert stale(instance) == ["third"]


def test_a_range_may_begin_with_from_or_with_day():
    for option in ("--from", "--day"):
        result = CliRunner().invoke(app, ["analyze", option, "2022-01-12", "--to", "2022-01-10"])
        assert result.exit_code == 2
        assert "is before --from" in " ".join(result.stderr.replace("│", " ").split())
