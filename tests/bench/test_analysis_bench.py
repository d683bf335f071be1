"""The benchmark of the daily analysis: that it compares the same edges. Never how fast anything is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from vieweratlas_dagster.lake.keys import analysis_key, day_audience_key
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.tables import DAY_AUDIENCES, EDGES, NODES

from . import analysis
from .overlap_world import DAYS, write_world
from .subject import BenchError

_REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    lake = Lake.open(StorageSettings(dir=folder))
    write_world(lake, channels=200, viewers=5_000, presence=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.analysis_run", str(folder)],
        cwd=_REPOSITORY,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return lake, json.loads(done.stdout)


@pytest.fixture
def joined(analysed):
    """Shared viewers of every two channels, by a join, as the rival writes them."""
    lake, _ = analysed
    pairs = pl.concat([read_table(lake, day_audience_key(day), DAY_AUDIENCES) for day in DAYS])
    one = pairs.select("viewer_key", source=pl.col("channel_id").cast(pl.Int32)).unique()
    return (
        one.join(one.rename({"source": "target"}), on="viewer_key")
        .filter(pl.col("source") < pl.col("target"))
        .group_by("source", "target")
        .agg(shared_viewers=pl.len())
        .filter(pl.col("shared_viewers") >= 5)
        .sort("source", "target")
    )


def test_the_run_makes_a_whole_atlas_and_tells_every_step(analysed):
    lake, told = analysed
    nodes = read_table(lake, analysis_key(DAYS[-1], "nodes.parquet"), NODES)
    edges = read_table(lake, analysis_key(DAYS[-1], "edges.parquet"), EDGES)
    assert (told["channels"], told["edges"]) == (nodes.height, edges.height)
    assert NODES.problems(nodes) == []
    assert {name.removesuffix(" seconds") for name in told if "seconds" in name} == set(analysis.STEPS)
    assert all(told[f"{step} seconds"] > 0 for step in analysis.STEPS)
    assert told["peak_gb"] > 0.05
    assert lake.get(analysis_key(DAYS[-1], "atlas.png")).startswith(b"\x89PNG")
    assert b"<html" in lake.get(analysis_key(DAYS[-1], "atlas.html"))[:200]


def test_the_same_edges_are_accepted_and_others_refused(analysed, joined):
    lake, _ = analysed
    analysis.compare(lake, joined)
    for other in (joined[1:], joined.with_columns(pl.col("shared_viewers") + 1)):
        with pytest.raises(BenchError, match=f"are not the {other.height:,} of"):
            analysis.compare(lake, other)


def test_what_cannot_be_measured_misses_the_bar(monkeypatch, capsys):
    def offline(folder):
        raise BenchError("is the machine offline?")

    monkeypatch.setattr(analysis, "install_rival", offline)
    monkeypatch.setattr(sys, "argv", ["analysis", "--quick"])
    assert analysis.main() == 1
    assert "is the machine offline?" in capsys.readouterr().out
