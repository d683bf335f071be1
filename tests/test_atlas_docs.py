"""docs/ATLAS.md: its examples run on a real map, and its tables name every file and column."""

import re
from pathlib import Path

import polars as pl
import pytest

from vieweratlas_dagster.commands.map_list import map_overlap_list
from vieweratlas_dagster.tables import COMMUNITIES, EDGES, NODES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "ATLAS.md").read_text()
EXAMPLE = ROOT / "examples" / "twitch-atlas-2020-08"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("map") / "out"
    map_overlap_list(EXAMPLE / "edges.csv", EXAMPLE / "nodes.csv", out, min_shared_published=400)
    return out


def test_the_examples_run_and_print_what_the_map_says(folder, capsys):
    place = {"folder": folder}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(code, "docs/ATLAS.md", "exec"), place)
    printed = capsys.readouterr().out
    nodes, edges = pl.read_parquet(folder / "nodes.parquet"), pl.read_csv(folder / "edges.csv")
    largest = nodes.sort("viewers", descending=True, nulls_last=True)["channel"][0]
    strongest = edges.sort("weight", descending=True).row(0, named=True)
    assert largest in printed
    assert any(
        {strongest["source"], strongest["target"]} <= set(line.split()) for line in printed.splitlines()
    )
    assert len([line for line in printed.splitlines() if line.startswith(f"{largest} ")]) >= 3


@pytest.mark.parametrize("table", [NODES, EDGES, COMMUNITIES], ids=lambda table: table.name)
def test_every_column_is_explained(table):
    section = TEXT.partition(f"<!-- columns: {table.name} -->")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == [
        column.name for column in table.columns
    ]


def test_every_file_that_may_be_shown_is_made_and_holds_no_pair_below_the_floor(folder):
    table = TEXT.partition("| file | for |")[2].partition("\n\n")[0]
    names = {
        name for row in table.splitlines()[2:] for name in re.findall(r"`([\w.]+)`", row.split("|")[1])
    }
    made = {path.name for path in folder.iterdir()}
    assert names == made - {"edges.parquet", "events.parquet", "atlas.json"}
    whole = pl.read_parquet(folder / "edges.parquet")
    shown = pl.read_parquet(folder / "published_edges.parquet")
    assert 0 < shown.height < whole.height
    assert shown["shared_viewers"].min() >= 400
