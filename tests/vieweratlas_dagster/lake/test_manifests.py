"""Which map is the latest, which one a new map continues, and the manifests that say so."""

import hashlib
import json

import polars as pl
import pytest

from collector_service.support.state_object import UnreadableStateError
from vieweratlas_dagster.curation.validation import ObjectReport
from vieweratlas_dagster.lake.keys import LATEST_MANIFEST, LATEST_PREFIX, analysis_key, manifest_key
from vieweratlas_dagster.lake.manifests import (
    begin_map,
    finish_map,
    previous_analysis_day,
    publish_latest,
    read_day_manifest,
    read_map_manifest,
    write_day_manifest,
)
from vieweratlas_dagster.lake.tables_io import write_table
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
    assert (f"{manifest.date}", manifest.complete) == ("2026-03-03", False)
    assert not publish_latest(lake, "2026-03-01")
    assert publish_latest(lake, "2026-03-03")
    manifest = read_map_manifest(lake, LATEST_MANIFEST)
    assert (f"{manifest.date}", manifest.complete) == ("2026-03-03", True)
    assert manifest.files == {
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


def test_manifests_are_written_byte_for_byte_and_read_back(lake):
    report = ObjectReport("raw/live_chat/date=2026-03-01/x.ndjson.gz", 9, None, 3, 7, 2, {"late", "early"})
    write_day_manifest(lake, "2026-03-01", [report])
    assert lake.get(manifest_key("2026-03-01")).decode() == DAY_MANIFEST
    assert read_day_manifest(lake, "2026-03-01") == (report.summary(),)
    put_map(lake, "2026-03-01", "a")
    assert lake.get(analysis_key("2026-03-01", "manifest.json")).decode() == MAP_MANIFEST.format(
        *(
            hashlib.sha256(lake.get(analysis_key("2026-03-01", name))).hexdigest()
            for name in ("atlas.html", "nodes.parquet")
        )
    )


DAY_MANIFEST = """{
 "day": "2026-03-01",
 "objects": [
  {
   "bytes": 9,
   "key": "raw/live_chat/date=2026-03-01/x.ndjson.gz",
   "presences": 7,
   "reasons": [
    "early",
    "late"
   ],
   "records": 3,
   "rejected": 2,
   "sha256": null
  }
 ],
 "schema_version": 1
}
"""
MAP_MANIFEST = """{{
 "channels": 1,
 "complete": true,
 "date": "2026-03-01",
 "files": {{
  "atlas.html": "{}",
  "nodes.parquet": "{}"
 }}
}}
"""


def test_a_days_manifest_that_is_absent_or_of_an_unknown_version_is_named(lake):
    with pytest.raises(FileNotFoundError):
        read_day_manifest(lake, "2026-03-01")
    lake.put(manifest_key("2026-03-01"), b'{"schema_version": 2}')
    with pytest.raises(UnreadableStateError, match=r"2026-03-01\.json cannot be read .*schema_version"):
        read_day_manifest(lake, "2026-03-01")
