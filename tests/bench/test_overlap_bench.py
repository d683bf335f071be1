"""The overlap benchmark: that world and measurements are what they say. Never how fast anything is."""

from __future__ import annotations

import polars as pl
import pytest

from collector_service.lake import Lake
from vieweratlas_dagster.analysis.audiences import day_audience, window_audience
from vieweratlas_dagster.lake.keys import channels_key, day_audience_key, presence_key
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.tables import CHANNELS, DAY_AUDIENCES, PRESENCE

from . import overlap
from .overlap_world import DAYS, MOST_CHANNELS, write_world
from .subject import BenchError


@pytest.fixture(scope="module")
def written():
    lake = Lake.in_memory()
    return lake, write_world(lake, channels=1_000, viewers=20_000, presence=True)


def test_the_world_is_what_it_says(written):
    lake, world = written
    days = [read_table(lake, day_audience_key(day), DAY_AUDIENCES) for day in DAYS]
    assert sum(day.height for day in days) == world.rows
    window = window_audience(days)
    assert window.height == world.pairs
    degrees = window.group_by("viewer_key").len()["len"].cast(pl.Int64)
    assert len(degrees) == 20_000
    assert int((degrees * (degrees - 1) // 2).sum()) == world.increments
    assert degrees.max() <= MOST_CHANNELS
    # A heavy tail: most viewers are in one or two channels, and some in a hundred.
    assert degrees.median() <= 2
    assert degrees.max() > 100
    channels = read_table(lake, channels_key(DAYS[0]), CHANNELS)
    assert set(window["channel_id"]) == set(channels["channel_id"])
    sizes = window.group_by("channel_id").len()["len"]
    assert sizes.max() > 10 * sizes.median()


def test_its_presence_rows_give_its_audiences(written):
    lake, _ = written
    for day in DAYS[:2]:
        sources = [read_table(lake, presence_key(day, source), PRESENCE) for source in ("live", "vod")]
        kept = read_table(lake, day_audience_key(day), DAY_AUDIENCES)
        assert day_audience(sources).equals(kept)


def test_the_same_seed_gives_the_same_files(written):
    lake, world = written
    again = Lake.in_memory()
    assert write_world(again, channels=1_000, viewers=20_000, presence=True) == world
    assert {info.key for info in again.objects("")} == {info.key for info in lake.objects("")}
    assert all(again.get(info.key) == lake.get(info.key) for info in lake.objects(""))


@pytest.mark.long
def test_a_sample_of_the_full_world_has_its_calibrated_proportions():
    world = write_world(Lake.in_memory(), channels=10_000, viewers=500_000, days=DAYS[:1])
    scale = 7_130_000 / 500_000
    assert world.pairs * scale == pytest.approx(37e6, rel=0.01)
    assert world.increments * scale == pytest.approx(926e6, rel=0.03)


@pytest.mark.parametrize(
    "part",
    [
        pytest.param("sets", marks=pytest.mark.long),
        pytest.param("growth", marks=pytest.mark.long),
        "new day",
    ],
)
def test_every_part_measures(part, monkeypatch):
    monkeypatch.setattr(overlap, "_ROUNDS", 1)
    rows = overlap.measure(quick=True, only=part)
    assert rows
    assert all(row.part == part and row.value is not None and row.value > 0 for row in rows)
    assert [row for row in rows if row.least or row.most]


@pytest.mark.parametrize(
    ("part", "broken", "text"),
    [
        ("sets", "_by_sets", "edges are not the"),
        pytest.param("new day", "window_audience", "are not what", marks=pytest.mark.long),
    ],
)
def test_a_wrong_result_is_no_measurement(part, broken, text, monkeypatch):
    results = iter(range(100))
    strange = pl.DataFrame({"number": [1]})
    monkeypatch.setattr(overlap, broken, lambda days: {(1, next(results)): 1} if part == "sets" else
                        strange * next(results))  # fmt: skip
    [row] = overlap.measure(quick=True, only=part)
    assert row.value is None
    assert row.missed
    assert text in row.note


def test_a_process_that_fails_says_how():
    with pytest.raises(BenchError, match="no such thing"):
        overlap.timed(["python3", "-c", "raise SystemExit('no such thing')"])
