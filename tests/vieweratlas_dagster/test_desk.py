"""What operators read in the UI: every asset, check, job, schedule and sensor explains itself."""

import base64
import re
from datetime import timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from collector_service.lake import Lake
from tests.worlds.days import FIRST, planted_day, put_day, settings_for
from vieweratlas_dagster.commands.run_jobs import run_partition
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.resources.catalog import column_schema, preview_table, rounded
from vieweratlas_dagster.resources.lineage import ASSET_OF, SOURCES
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import (
    ALL_TABLES,
    CHANNELS,
    COMMUNITIES,
    DAY_AUDIENCES,
    EDGES,
    NODES,
    PARTITION,
    PRESENCE,
)

ROOT = Path(__file__).parents[2]
GROUPS = {
    "raw": {"domain": "chat", "tier": "raw"},
    "curated": {"domain": "chat", "tier": "curated"},
    "graph": {"domain": "audience", "tier": "analysis"},
    "communities": {"domain": "audience", "tier": "analysis"},
    "atlas": {"domain": "map", "tier": "published"},
}
TABLE_OF = {
    "presence_snapshots": PRESENCE,
    "channels": CHANNELS,
    "day_audiences": DAY_AUDIENCES,
    "overlap_graph": EDGES,
    "community_partitions": PARTITION,
    "community_labels": COMMUNITIES,
    "atlas": NODES,
}
SENTENCE = re.compile(r"[A-Z0-9].{20,}[.?)]", re.DOTALL)


@pytest.fixture(scope="module")
def definitions():
    return build_definitions(Settings())


def nodes(definitions):
    return {node.key.to_user_string(): node for node in definitions.resolve_asset_graph().asset_nodes}


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_asset_says_what_it_is_and_where_to_read_on(definitions):
    for name, node in nodes(definitions).items():
        assert SENTENCE.fullmatch(node.description.strip()), name
        assert node.owners == ["team:vieweratlas"], name
        assert node.kinds, name
        assert GROUPS[node.group_name].items() <= node.tags.items(), name
        assert bool(node.code_version) == node.is_executable, name
        page, _, section = node.metadata["docs"].path.partition("#")
        assert not section or section in anchors(page), f"{name}: {page}#{section}"
        assert (ROOT / page).is_file(), name


def test_every_table_shows_its_columns(definitions):
    schemas = {
        name: node.metadata["dagster/column_schema"]
        for name, node in nodes(definitions).items()
        if "dagster/column_schema" in node.metadata
    }
    assert schemas.keys() == TABLE_OF.keys()
    for name, schema in schemas.items():
        assert [
            (column.name, column.description, column.constraints.nullable) for column in schema.columns
        ] == [(column.name, column.description, column.nullable) for column in TABLE_OF[name].columns]


def test_column_lineage_names_columns_of_assets_further_up(definitions):
    found = nodes(definitions)
    graph = definitions.resolve_asset_graph()
    for name in TABLE_OF.keys() - {"presence_snapshots", "channels"}:
        lineage = found[name].metadata["dagster/column_lineage"].deps_by_column
        assert lineage.keys() == set(TABLE_OF[name].schema), name
        above = graph.get_ancestor_asset_keys(dg.AssetKey(name))
        for column, sources in lineage.items():
            assert sources, f"{name}.{column}"
            for source in sources:
                assert source.asset_key in above, f"{name}.{column}: {source}"
                assert source.column_name in TABLE_OF[source.asset_key.to_user_string()].schema, source
    assert "dagster/column_lineage" not in found["channels"].metadata


def test_column_types_read_like_those_of_a_table():
    types = {
        column.type
        for table in ALL_TABLES
        for column in column_schema(table)["dagster/column_schema"].columns
    }
    assert types == {
        *("string", "boolean", "int64", "uint64", "uint32", "double"),
        *("timestamp[ms, UTC]", "list<string>", "list<int64>"),
    }


def test_a_table_in_the_ui_has_empty_cells_where_nothing_is_known():
    frame = pl.DataFrame({"reason": ["bot", None], "limit": [None, 100], "share": [0.25, None]})
    lines = preview_table(frame).value.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["reason", "limit", "share"]
    assert cells[2:] == [["bot", "", "0.25"], ["", "100", ""]]


def test_numbers_are_short_enough_to_read():
    assert [rounded(number) for number in (0.7930681529238774, 0.00012345678, 123456.7, 0, 1)] == [
        *(0.7931, 0.0001235, 123500.0, 0.0, 1.0)
    ]


def test_column_lineage_passes_through_tables_that_are_no_asset(definitions):
    lineage = nodes(definitions)["atlas"].metadata["dagster/column_lineage"].deps_by_column
    told = {
        column: {f"{source.asset_key.to_user_string()}.{source.column_name}" for source in lineage[column]}
        for column in ("viewers", "label", "game_name", "x")
    }
    assert told == {
        "viewers": {
            f"day_audiences.{name}" for name in ("channel_id", "viewer_key", "known_bot", "windows")
        },
        "label": {"community_labels.label"},
        "game_name": {"channels.game_name"},
        "x": {"overlap_graph.jaccard", "community_partitions.community", "community_partitions.region"},
    }


def test_column_sources_name_tables_and_columns_that_exist():
    schemas = {table.name: set(table.schema) for table in ALL_TABLES}
    assert ASSET_OF.keys() <= schemas.keys()
    for table, columns in SOURCES.items():
        assert columns.keys() == schemas[table], table
        for sources in columns.values():
            for source in sources.split():
                origin, _, column = source.partition(".")
                assert column in schemas[origin], source


def test_every_check_says_what_it_looks_at(definitions):
    graph = definitions.resolve_asset_graph()
    keys = list(graph.asset_check_keys)
    assert len(keys) >= 10
    for key in keys:
        assert SENTENCE.fullmatch((graph.get_check_spec(key).description or "").strip()), key


def test_every_job_schedule_and_sensor_says_what_it_does(definitions):
    repository = definitions.get_repository_def()
    told = {
        one.name: one.description
        for one in [*repository.get_all_jobs(), *repository.schedule_defs, *repository.sensor_defs]
        if not one.name.startswith("__")
    }
    assert {"analysis_daily", "vod_6h", "freshness", "maintenance"} <= told.keys()
    for name, description in told.items():
        assert SENTENCE.fullmatch((description or "").strip()), name


def test_every_field_of_run_configuration_is_documented(definitions):
    def undocumented(type_, path):
        for name, field in (getattr(type_, "fields", None) or {}).items():
            if not hasattr(field.config_type, "fields") and not field.description:
                yield f"{path}.{name}"
            yield from undocumented(field.config_type, f"{path}.{name}")

    jobs = [job for job in definitions.get_repository_def().get_all_jobs() if not job.name.startswith("__")]
    for job in jobs:
        ops = job.run_config_schema.config_type.fields.get("ops")
        if ops is not None:
            missing = [path for path in undocumented(ops.config_type, job.name) if ".config." in path]
            assert missing == []


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the assets and checks said of an ordinary day and of a day without any data."""
    settings = settings_for(tmp_path_factory.mktemp("desk"))
    put_day(Lake.open(settings.storage), FIRST, planted_day(FIRST))
    definitions = build_definitions(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        return [
            _told(instance, run_partition(definitions, "analysis_daily", f"{day}", instance).run_id)
            for day in (FIRST, FIRST + timedelta(days=30))
        ]


def _told(instance, run_id):
    found = {}
    for event in instance.all_logs(run_id):
        data = event.dagster_event and event.dagster_event.event_specific_data
        if isinstance(data, dg.AssetCheckEvaluation):
            found |= {(data.asset_check_key, label): value for label, value in data.metadata.items()}
        elif event.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            made = data.materialization
            found |= {(made.asset_key, label): value for label, value in made.metadata.items()}
    return found


def test_a_key_of_metadata_always_has_the_same_type(told):
    ordinary, empty = told
    common = ordinary.keys() & empty.keys()
    assert len(common) > 40
    assert {key: type(ordinary[key]) for key in common} == {key: type(empty[key]) for key in common}
    numbers = {
        key
        for key, value in ordinary.items()
        if isinstance(key[0], dg.AssetKey)
        and isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue)
    }
    assert len(numbers) > 30
    assert numbers <= empty.keys(), "a plot needs its number every time"


def test_the_page_is_named_by_a_path_that_can_be_copied(told):
    ordinary, _ = told
    page = ordinary[dg.AssetKey("atlas"), "page"]
    assert isinstance(page, dg.PathMetadataValue)
    assert Path(page.value).read_bytes().startswith(b"<!")


def test_the_map_has_a_small_picture_and_others_have_tables(told):
    ordinary, _ = told
    picture = ordinary[dg.AssetKey("atlas"), "preview"].value
    png = base64.b64decode(re.fullmatch(r"!\[atlas of [\d-]+\]\(data:image/png;base64,(.*)\)", picture)[1])
    assert png.startswith(b"\x89PNG")
    assert len(picture) < 100_000
    for asset, label in [
        ("channels", "largest"),
        ("overlap_graph", "strongest"),
        ("overlap_graph", "exclusions"),
        ("overlap_graph", "left_out"),
        ("community_partitions", "events"),
        ("community_labels", "communities"),
        ("atlas", "communities"),
    ]:
        lines = ordinary[dg.AssetKey(asset), label].value.splitlines()
        assert lines[0].startswith("| "), (asset, label)
        assert set(lines[1]) <= set("|-: "), (asset, label)
