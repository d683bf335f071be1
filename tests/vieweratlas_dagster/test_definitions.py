"""The code location as Dagster sees it: assets, dependencies, schedules, settings."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster_dg_cli.cli import create_dg_cli
from pydantic import ValidationError

from collector_service.settings import SettingsError
from vieweratlas_dagster.assets import atlas
from vieweratlas_dagster.automation.schedules import vieweratlas_analysis_daily, vieweratlas_vod_6h
from vieweratlas_dagster.definitions import build_definitions, defs
from vieweratlas_dagster.resources.source_links import with_source_links
from vieweratlas_dagster.settings import Settings

# Loading the code location must not load them: they are needed when a step runs.
HEAVY = {"aiohttp", "boto3", "matplotlib", "networkx", "numba", "pandas", "PIL", "scipy",
         "sklearn", "sqlalchemy", "twitchio"}  # fmt: skip

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


def test_wrong_settings_stop_the_code_location_with_one_line(tmp_path, monkeypatch):
    config = tmp_path / "config.yaml"
    config.write_text("analysis: {resolution: 0}\n")
    monkeypatch.setenv("VIEWERATLAS_CONFIG", str(config))
    with pytest.raises(SettingsError) as stopped:
        defs()
    [line] = str(stopped.value).splitlines()
    assert line.endswith("analysis.resolution: 0: input should be greater than 0")


@pytest.fixture(scope="module")
def loaded():
    """A fresh interpreter that has loaded the code location: its modules, and its warnings."""
    code = "import sys; from vieweratlas_dagster.definitions import defs; defs(); print(*sys.modules)"
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True
    )


def test_loading_shows_no_warnings(loaded):
    assert [line for line in loaded.stderr.splitlines() if "vieweratlas_dagster" in line] == []


def test_loading_the_code_location_loads_no_heavy_library(loaded):
    modules = set(loaded.stdout.split())
    assert "dagster" in modules
    assert modules & HEAVY == set()


def test_dg_finds_and_lists_the_definitions(capsys):
    """`dg check defs` and `dg list defs`, which read [tool.dg] of pyproject.toml."""
    create_dg_cli().main(["check", "defs"], standalone_mode=False)
    assert "All definitions loaded successfully" in capsys.readouterr().out
    create_dg_cli().main(["list", "defs", "--json"], standalone_mode=False)
    listed = json.loads(capsys.readouterr().out)
    assert {asset["asset_key"] for asset in listed["assets"]} == set(ASSETS)
    jobs = {job["name"] for job in listed["jobs"]}
    assert jobs >= {"analysis_daily", "graph_daily", "vod_6h", "freshness", "maintenance"}


MADE = ASSETS.keys() - {"live_chat"}


def links(definitions):
    """The one link to the source of each asset."""
    found = {}
    for node in graph(definitions).asset_nodes:
        if references := node.metadata.get("dagster/code_references"):
            [found[node.key.to_user_string()]] = references.code_references
    return found


def test_an_asset_links_to_the_line_where_it_begins(definitions):
    found = links(definitions)
    assert found.keys() == MADE
    for name, link in found.items():
        line = Path(link.file_path).read_text().splitlines()[link.line_number - 1]
        assert line.strip().startswith("@"), f"{name}: {line}"


def test_with_a_repository_assets_link_to_it():
    settings = Settings(source={"git_url": "https://github.com/owner/name", "git_branch": "v1"})
    found = links(build_definitions(settings))
    assert found.keys() == MADE
    assert found["atlas"].url.startswith(
        "https://github.com/owner/name/tree/v1/vieweratlas_dagster/assets/atlas.py#L"
    )
    with pytest.raises(ValidationError, match="git_url"):
        Settings(source={"git_url": "https://example.org/owner/name"})


def test_an_installed_package_names_no_files(tmp_path):
    """In an image the paths of the sources lead nowhere."""
    assert with_source_links([atlas.atlas], "", "main", tmp_path) == [atlas.atlas]
    assert "dagster/code_references" not in atlas.atlas.metadata_by_key[dg.AssetKey("atlas")]
