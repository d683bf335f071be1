"""Nothing that is published describes fewer viewers than the floor, whatever the graph holds."""

import json

import polars as pl

from collector_service.lake import Lake
from tests.worlds import full_lake as world
from tests.worlds.full_lake import DAYS
from vieweratlas_dagster.lake.keys import analysis_key
from vieweratlas_dagster.lake.tables_io import read_table, write_table
from vieweratlas_dagster.maps.drawing import draw_exports, draw_pages
from vieweratlas_dagster.maps.stored import ShownMap
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import COMMUNITIES, EDGES, LEFT_OUT, NODES, Table

DAY = DAYS[0]


def published(lake, settings: Settings) -> dict[str, bytes]:
    shown = ShownMap(lake, DAY)
    pages = draw_pages(shown, shown.read("nodes.parquet", NODES), settings).files
    return {**pages, **draw_exports(shown, settings).files}


def change(lake, name: str, table: Table, **columns: pl.Expr) -> None:
    key = analysis_key(DAY, f"{name}.parquet")
    write_table(lake, key, read_table(lake, key, table).with_columns(**columns), table)


def test_channels_pairs_and_communities_below_the_floor_are_in_no_published_file(tmp_path):
    settings = world.settings_for(tmp_path)
    lake = Lake.open(settings.storage)
    world.plant_map(lake, settings, DAY)
    floor = settings.privacy.min_shared_published
    named = {name for name, data in published(lake, settings).items() if name != "atlas.png"}
    assert world.holding(published(lake, settings), b"beta_two") == named
    small = pl.col("channel") == "beta_two"
    its = (pl.col("source") == "beta_two") | (pl.col("target") == "beta_two")
    change(lake, "nodes", NODES, viewers=pl.when(small).then(floor - 1).otherwise("viewers"))
    change(lake, "edges", EDGES, shared_viewers=pl.when(its).then(floor - 1).otherwise("shared_viewers"))
    change(
        lake,
        "communities",
        COMMUNITIES,
        label=pl.col("label").str.replace("beta_two", "alpha_one"),
        reason=pl.col("reason").str.replace("beta_two", "alpha_one"),
    )
    change(lake, "nodes", NODES, label=pl.col("label").str.replace("beta_two", "alpha_one"))
    # Known as a channel that is not on the map; how many viewers it has is not told.
    change(lake, "left_out", LEFT_OUT, viewers=pl.lit(floor - 1))
    files = published(lake, settings)
    assert world.holding(files, b"beta_two") == {"atlas.html"}
    text = files["atlas.html"].decode()
    told = json.loads(
        text.split('<script type="application/json" id="atlas-data">')[1].split("</script>")[0]
    )
    assert (told["absent"]["name"], told["absent"]["viewers"]) == (["beta_two"], [None])
    assert told["channels"]["name"] == ["alpha_one", "gamma_three"]
    # Sums are of the channels that are shown: with others in them, the difference would tell of these.
    for level in ("communities", "regions"):
        assert (told[level]["size"], told[level]["viewers"]) == ([2], [14])
    assert told["communities"]["label"] == ["Around alpha_one"]
    assert told["communities"]["short"] == ["alpha_one"]
    assert told["regions"]["reason"] == ["its name is of all its channels, of which some are not shown"]
    assert min(told["edges"]["amounts"]) >= floor
