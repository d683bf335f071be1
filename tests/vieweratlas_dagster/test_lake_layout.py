"""Which map is the latest, which one a new map continues, and what stands there in between."""

import hashlib
import io
import json

import polars as pl
import pytest

from vieweratlas_dagster.lake.keys import LATEST_MANIFEST, LATEST_PREFIX, analysis_key, days_up_to
from vieweratlas_dagster.lake.manifests import (
    begin_map,
    finish_map,
    previous_analysis_day,
    publish_latest,
    read_map_manifest,
)
from vieweratlas_dagster.lake.tables_io import read_table, write_table
from vieweratlas_dagster.tables import NODES


def nodes(*names):
    values = {"viewers": 1, "x": 0.0, "y": 0.0, "degree": 0, "color": "#808080"}
    rows = [{"channel": name} | values for name in names]
    return pl.DataFrame(rows, schema=NODES.schema)


def put_map(lake, day, *names, extra=()):
    write_table(lake, analysis_key(day, "nodes.parquet"), nodes(*names), NODES)
    for name in ("atlas.html", *extra):
        lake.put(analysis_key(day, name), f"{name} of {day}".encode())
    finish_map(lake, day, len(names))


def latest(lake):
    return {info.key.removeprefix(LATEST_PREFIX) for info in lake.objects(LATEST_PREFIX)}


def test_latest_holds_one_day_and_only_moves_forward(any_lake):
    put_map(any_lake, "2026-03-02", "a", extra=("old.csv",))
    assert publish_latest(any_lake, "2026-03-02")
    assert latest(any_lake) == {"nodes.parquet", "atlas.html", "old.csv", "manifest.json"}
    put_map(any_lake, "2026-03-01", "a")
    assert not publish_latest(any_lake, "2026-03-01")
    assert any_lake.get(f"{LATEST_PREFIX}atlas.html") == b"atlas.html of 2026-03-02"
    put_map(any_lake, "2026-03-03", "a")
    assert publish_latest(any_lake, "2026-03-03")
    assert latest(any_lake) == {"nodes.parquet", "atlas.html", "manifest.json"}
    assert json.loads(any_lake.get(LATEST_MANIFEST))["date"] == "2026-03-03"


def test_a_publication_that_breaks_off_says_so_and_no_older_day_takes_its_place(lake, monkeypatch):
    for day in ("2026-03-01", "2026-03-02", "2026-03-03"):
        put_map(lake, day, "a")
    publish_latest(lake, "2026-03-02")
    put = lake.put

    def fail_in_the_middle(key, data):
        if key == f"{LATEST_PREFIX}nodes.parquet":
            raise OSError("gone")
        put(key, data)

    monkeypatch.setattr(lake, "put", fail_in_the_middle)
    with pytest.raises(OSError, match="gone"):
        publish_latest(lake, "2026-03-03")
    monkeypatch.undo()
    manifest = read_map_manifest(lake, LATEST_MANIFEST)
    assert (manifest["date"], manifest["complete"]) == ("2026-03-03", False)
    assert not publish_latest(lake, "2026-03-01")
    assert publish_latest(lake, "2026-03-03")
    manifest = read_map_manifest(lake, LATEST_MANIFEST)
    assert (manifest["date"], manifest["complete"]) == ("2026-03-03", True)
    assert manifest["files"] == {
        name: hashlib.sha256(lake.get(LATEST_PREFIX + name)).hexdigest()
        for name in ("atlas.html", "nodes.parquet")
    }


def test_an_unfinished_map_is_not_published(lake):
    put_map(lake, "2026-03-01", "a")
    begin_map(lake, "2026-03-01")
    with pytest.raises(FileNotFoundError):
        publish_latest(lake, "2026-03-01")
    assert latest(lake) == set()


def test_a_map_continues_the_newest_finished_one_with_channels(any_lake):
    assert previous_analysis_day(any_lake, "2026-03-05") is None
    put_map(any_lake, "2026-03-01", "a")
    put_map(any_lake, "2026-03-02", "a")
    put_map(any_lake, "2026-03-03")
    put_map(any_lake, "2026-03-06", "a")
    assert previous_analysis_day(any_lake, "2026-03-05") == "2026-03-02"
    begin_map(any_lake, "2026-03-02")
    assert previous_analysis_day(any_lake, "2026-03-05") == "2026-03-01"
    assert previous_analysis_day(any_lake, "2026-03-01") is None


def test_a_table_that_lacks_a_column_is_named(lake):
    path, data = "x/nodes.parquet", io.BytesIO()
    nodes("a").drop("degree").write_parquet(data)
    lake.put(path, data.getvalue())
    with pytest.raises(ValueError, match=r"x/nodes\.parquet lacks degree; materialize nodes again"):
        read_table(lake, path, NODES)


def test_a_column_that_older_objects_lack_is_null_in_them(lake):
    data = io.BytesIO()
    nodes("a").drop("game_name").write_parquet(data)
    lake.put("x/nodes.parquet", data.getvalue())
    assert read_table(lake, "x/nodes.parquet", NODES)["game_name"].to_list() == [None]


def test_days_are_counted_backwards_over_months():
    assert days_up_to("2026-03-01", 3) == ["2026-02-27", "2026-02-28", "2026-03-01"]
