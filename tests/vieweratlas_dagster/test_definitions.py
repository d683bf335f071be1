"""The code location as Dagster sees it: assets, dependencies, schedules, settings."""

import subprocess
import sys
from datetime import UTC, datetime

import dagster as dg
import pytest

from vieweratlas_dagster.automation.schedules import vieweratlas_analysis_daily, vieweratlas_vod_6h
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.settings import Settings

ASSETS = {
    "live_chat": ("raw", set()),
    "vod_chat": ("raw", {"live_chat"}),
    "snapshots": ("raw", {"live_chat", "vod_chat"}),
    "presence_snapshots": ("curated", {"snapshots"}),
    "channels": ("curated", {"snapshots"}),
    "day_audiences": ("curated", {"presence_snapshots"}),
    "overlap_graph": ("graph", {"day_audiences", "channels"}),
    "community_partitions": ("communities", {"overlap_graph"}),
    "community_labels": ("communities", {"community_partitions"}),
    "atlas": ("atlas", {"community_labels"}),
    "graph_exports": ("atlas", {"atlas"}),
}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(Settings())


def graph(definitions):
    return definitions.resolve_asset_graph()


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_is_there_and_explains_itself(definitions, name):
    node = graph(definitions).get(dg.AssetKey(name))
    group, parents = ASSETS[name]
    assert node.group_name == group
    assert {key.to_user_string() for key in node.parent_keys} == parents
    assert node.owners == ["team:vieweratlas"]
    assert node.kinds
    assert len(node.description) > 40
    assert node.partitions_def is not None


def test_there_are_no_other_assets(definitions):
    assert {key.to_user_string() for key in graph(definitions).get_all_asset_keys()} == set(ASSETS)


@pytest.mark.parametrize("parent", ["day_audiences", "channels"])
def test_a_graph_depends_on_its_window_of_days(definitions, parent):
    assets = graph(definitions)
    mapping = assets.get_partition_mapping(dg.AssetKey("overlap_graph"), dg.AssetKey(parent))
    daily = assets.get(dg.AssetKey(parent)).partitions_def
    wanted = mapping.get_upstream_mapped_partitions_result_for_partitions(
        daily.subset_with_partition_keys(["2026-03-10"]), daily, daily, datetime(2026, 4, 1, tzinfo=UTC)
    )
    keys = sorted(wanted.partitions_subset.get_partition_keys())
    assert keys == [f"2026-03-{day:02d}" for day in range(4, 11)]


def test_a_day_of_snapshots_depends_on_its_four_quarters_of_vod_chat(definitions):
    assets = graph(definitions)
    child, parent = dg.AssetKey("snapshots"), dg.AssetKey("vod_chat")
    wanted = assets.get_partition_mapping(
        child, parent
    ).get_upstream_mapped_partitions_result_for_partitions(
        assets.get(child).partitions_def.subset_with_partition_keys(["2026-03-10"]),
        assets.get(child).partitions_def,
        assets.get(parent).partitions_def,
        datetime(2026, 4, 1, tzinfo=UTC),
    )
    assert sorted(wanted.partitions_subset.get_partition_keys()) == [
        f"2026-03-10-{hour:02d}:00" for hour in (0, 6, 12, 18)
    ]


@pytest.mark.parametrize(
    ("schedule", "now", "key"),
    [
        (vieweratlas_analysis_daily, datetime(2026, 3, 2, 3, tzinfo=UTC), "2026-03-01"),
        (vieweratlas_vod_6h, datetime(2026, 3, 2, 0, tzinfo=UTC), "2026-03-01-18:00"),
        (vieweratlas_vod_6h, datetime(2026, 3, 2, 18, tzinfo=UTC), "2026-03-02-12:00"),
    ],
)
def test_schedules_take_the_partition_that_has_just_ended(definitions, schedule, now, key):
    with dg.build_schedule_context(
        scheduled_execution_time=now, repository_def=definitions.get_repository_def()
    ) as context:
        request = schedule(context)
    assert (request.partition_key, request.run_key) == (key, key)


def test_schedules_are_running_by_default(definitions):
    schedules = {schedule.name: schedule for schedule in definitions.get_repository_def().schedule_defs}
    assert {name: schedule.cron_schedule for name, schedule in schedules.items()} == {
        "vieweratlas_analysis_daily": "0 3 * * *",
        "vieweratlas_vod_6h": "0 */6 * * *",
        "vieweratlas_freshness": "*/15 * * * *",
        "vieweratlas_maintenance": "30 4 * * *",
    }
    assert {schedule.default_status.value for schedule in schedules.values()} == {"RUNNING"}


def test_wrong_settings_stop_the_code_location_with_one_line(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("analysis: {resolution: 0}\n")
    done = subprocess.run(
        [sys.executable, "-c", "from vieweratlas_dagster.definitions import defs; defs()"],
        env={"VIEWERATLAS_CONFIG": str(config), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .endswith("analysis.resolution: 0: input should be greater than 0")
    )


def test_loading_shows_no_warnings():
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", "from vieweratlas_dagster.definitions import defs; defs()"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in done.stderr.splitlines() if "vieweratlas_dagster" in line] == []
