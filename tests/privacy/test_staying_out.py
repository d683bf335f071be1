"""Whoever was forgotten stays out, whatever brings them back: collector, imports, backups, old tables."""

import gzip
import json

import dagster as dg
import polars as pl
import pytest

from collector_service.contract import SnapshotRecord, decode_lines, encode_object, live_key, parse_record
from collector_service.lake import Lake
from collector_service.live.spool import DiskSpool, MemorySpool, ShareName
from collector_service.privacy.opt_outs import OptOuts, add_opt_outs
from collector_service.privacy.redaction import line_without, object_without, record_without
from tests.worlds import full_lake as world
from tests.worlds.full_lake import CHANNEL, DAYS, KEY, KEY_IN_ANY_FORM, NOW, VIEWER
from vieweratlas_dagster.assets.atlas import atlas, graph_exports
from vieweratlas_dagster.assets.curated import curated_tables, day_audiences
from vieweratlas_dagster.assets.raw import snapshots
from vieweratlas_dagster.curation.imported_ids import imported_viewer_key
from vieweratlas_dagster.imports.csv_rows import FileError
from vieweratlas_dagster.imports.presence import import_presence
from vieweratlas_dagster.lake.keys import (
    LATEST_PREFIX,
    analysis_key,
    channels_key,
    day_audience_key,
    presence_key,
)
from vieweratlas_dagster.lake.manifests import begin_map
from vieweratlas_dagster.lake.tables_io import read_table, write_table
from vieweratlas_dagster.maps import drawing
from vieweratlas_dagster.maps.stored import ShownMap
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.tables import CHANNELS, DAY_AUDIENCES, EDGES, PRESENCE

DAY = DAYS[1]
BOTH = VIEWER.opt_outs | CHANNEL.opt_outs


def test_a_spool_that_is_uploaded_late_holds_nobody_who_opted_out_meanwhile(tmp_path):
    lake = Lake.open(world.settings_for(tmp_path).storage)
    for spool in (DiskSpool(tmp_path / "spool", lake), MemorySpool(lake)):
        name = ShareName(int(NOW.timestamp()), "c1" if isinstance(spool, DiskSpool) else "c2", 0)
        spool.add(name, encode_object(world.records_of(DAY, 20)))
        spool.obey(BOTH)
        key = spool.upload(name)
        assert world.holding({key: lake.get(key)}, *KEY_IN_ANY_FORM, b"beta_two") == set()
        kept = [parse_record(line).channel for line in decode_lines(lake.get(key))]
        assert kept == ["alpha_one", "gamma_three"]


def test_only_windows_that_began_before_the_opt_out_are_searched(tmp_path, monkeypatch):
    searched = []
    monkeypatch.setattr(
        "collector_service.live.spool.object_without",
        lambda *arguments: searched.append(1) or object_without(*arguments),
    )
    spool = DiskSpool(tmp_path / "spool", Lake.in_memory())
    spool.obey(BOTH, NOW.timestamp())
    data = encode_object(world.records_of(DAY, 20))
    for seconds, number in ((-300, 1), (0, 2), (300, 2)):
        name = ShareName(int(NOW.timestamp()) + seconds, "c1", 0)
        spool.add(name, data)
        left = spool.lake.get(spool.upload(name))
        assert (len(searched), left == data) == (number, seconds > 0)


def test_a_spool_of_nobody_but_them_becomes_an_empty_object(tmp_path):
    lake = Lake.open(world.settings_for(tmp_path).storage)
    spool = DiskSpool(tmp_path / "spool", lake)
    name = ShareName(int(NOW.timestamp()), "c1", 0)
    spool.add(name, encode_object(world.records_of(DAY, 20, "vod")))
    spool.obey(CHANNEL.opt_outs)
    assert gzip.decompress(lake.get(spool.upload(name))) == b""
    assert spool.names() == []


def test_a_restored_backup_of_raw_data_does_not_bring_them_into_curated_tables(tmp_path):
    settings = world.settings_for(tmp_path)
    lake = Lake.open(settings.storage)
    for hour in (20, 21):
        start = NOW.replace(day=2, hour=hour)
        lake.put(live_key(start, "c1"), encode_object(world.records_of(DAY, hour)))
    add_opt_outs(lake, BOTH, may_begin=True)
    done = dg.materialize(
        [snapshots, curated_tables, day_audiences],
        partition_key=DAY,
        resources={"lake": LakeResource.of(settings.storage), "settings": settings},
    )
    assert done.success
    keys = (presence_key(DAY, "live"), channels_key(DAY), day_audience_key(DAY))
    assert world.holding({key: lake.get(key) for key in keys}, *KEY_IN_ANY_FORM, b"beta_two") == set()
    presence = read_table(lake, keys[0], PRESENCE)
    expected = {
        (channel, key)
        for channel in (9000011, 9000013)
        for key in world.keys_of(channel, DAY)
        if key != KEY
    }
    assert set(presence.select("channel_id", "viewer_key").rows()) == expected
    assert read_table(lake, keys[1], CHANNELS)["channel"].to_list() == ["alpha_one", "gamma_three"]
    assert read_table(lake, keys[2], DAY_AUDIENCES).height == len(expected)


def test_tables_of_a_map_that_is_being_made_are_read_without_a_channel_that_has_opted_out_since(tmp_path):
    settings = world.settings_for(tmp_path)
    lake = Lake.open(settings.storage)
    world.plant_map(lake, settings, DAY)
    name = "edges.parquet"
    whole = read_table(lake, analysis_key(DAY, name), EDGES)
    assert ShownMap(lake, DAY).read(name, EDGES).equals(whole)
    # By its id alone, as people may list it: the map's own tables tell its login.
    add_opt_outs(lake, OptOuts(channel_ids=CHANNEL.opt_outs.channel_ids), may_begin=True)
    ends = (pl.col("source") != "beta_two") & (pl.col("target") != "beta_two")
    assert ShownMap(lake, DAY).read(name, EDGES).equals(whole.filter(ends))
    assert whole.filter(ends).height == 1


def test_an_import_leaves_them_out_and_says_how_many_rows(tmp_path):
    lake = Lake.open(world.settings_for(tmp_path).storage)
    rows = ["alpha_one,7007", "alpha_one,8", "Beta_Two,8", "renamed,8", "alpha_one,Somebody"]
    (tmp_path / "p.csv").write_text("channel,viewer\n" + "\n".join(rows) + "\n")
    (tmp_path / "c.csv").write_text("channel,channel_id\nrenamed,9000012\nalpha_one,9000011\n")
    gone = BOTH | OptOuts(frozenset({imported_viewer_key(world.SECRET, "Somebody")}))
    arguments = (lake, world.SECRET, tmp_path / "p.csv", tmp_path / "c.csv", NOW.date())
    report = import_presence(*arguments, opt_outs=gone)
    assert (report.opted_out, report.memberships, report.channels) == (4, 1, 1)
    text = gzip.decompress(lake.get(report.key))
    assert not any(name in text for name in (b"beta_two", b"renamed", b"9000012", str(KEY).encode()))
    (tmp_path / "p.csv").write_text("channel,viewer\nbeta_two,8\n")
    with pytest.raises(FileError, match="every row is of a viewer or channel that has opted out"):
        import_presence(lake, world.SECRET, tmp_path / "p.csv", None, NOW.date(), opt_outs=gone)


def test_a_record_and_its_line_lose_the_same():
    for record in [*world.records_of(DAY, 20), *world.records_of(DAY, 22, "vod")]:
        for gone in (VIEWER.opt_outs, CHANNEL.opt_outs, BOTH, OptOuts()):
            left = record_without(record, gone)
            line, _ = line_without(record.to_json().encode(), gone)
            assert line == (left.to_json().encode() if isinstance(left, SnapshotRecord) else None)


def test_lines_that_are_no_records_go_when_they_mention_somebody_and_stay_when_not():
    packed = gzip.compress(b'{"x": 1}\nnot json of anybody\n["42"]\n')
    left = object_without(packed, OptOuts(frozenset({42})), lambda line: b"42" in line)
    assert gzip.decompress(left.data) == b'{"x": 1}\nnot json of anybody\n'
    assert (left.lines, left.cut) == (1, False)


def test_adding_an_opt_out_keeps_all_that_are_listed(lake):
    assert add_opt_outs(lake, VIEWER.opt_outs, may_begin=True)
    assert add_opt_outs(lake, CHANNEL.opt_outs, may_begin=False)
    assert not add_opt_outs(lake, VIEWER.opt_outs, may_begin=False)
    assert OptOuts.from_bytes(lake.get("state/opt_outs.json")) == BOTH


def test_curated_tables_written_before_are_read_without_them_too(tmp_path):
    from vieweratlas_dagster.assets.graph import _days

    lake = Lake.open(world.settings_for(tmp_path).storage)
    world.plant(lake, world.settings_for(tmp_path), maps=False)
    add_opt_outs(lake, BOTH, may_begin=True)
    [audience] = _days(lake, [DAY])
    assert KEY not in audience["viewer_key"]
    assert set(audience["channel_id"]) == {9000011, 9000013}
    assert write_table(lake, "curated/x.parquet", audience, DAY_AUDIENCES).equals(audience)


def _analysis_of(lake, day):
    return {
        info.key: lake.get(info.key)
        for prefix in (analysis_key(day, ""), LATEST_PREFIX)
        for info in lake.objects(prefix)
    }


@pytest.fixture
def unfinished_map(tmp_path, monkeypatch):
    """An unfinished map with pages, and an earlier one, both with the channel; and who makes its assets."""
    for name in ("draw_atlas", "draw_svg", "draw_preview"):  # they take a second each
        monkeypatch.setattr(drawing, name, lambda nodes, *_, **__: repr(nodes.rows()).encode())
    settings = world.settings_for(tmp_path)
    lake = Lake.open(settings.storage)
    for day in DAYS[:2]:
        world.plant_map(lake, settings, day)
    begin_map(lake, DAY)
    assert analysis_key(DAY, "atlas.html") in world.holding(_analysis_of(lake, DAY), b"beta_two")

    def make(*assets):
        resources = {"lake": LakeResource.of(settings.storage), "settings": settings}
        assert dg.materialize(list(assets), partition_key=DAY, resources=resources).success
        return _analysis_of(lake, DAY)

    return lake, make


@pytest.mark.parametrize("passed", ["not at all", "its tables", "its tables and pages"])
def test_a_channel_that_opts_out_between_page_and_exports_is_not_published(unfinished_map, passed):
    lake, make = unfinished_map
    add_opt_outs(lake, CHANNEL.opt_outs, may_begin=True)
    if passed != "not at all":
        assert ShownMap(lake, DAY).write_tables()
        assert not ShownMap(lake, DAY).write_tables()
    if passed == "its tables and pages":
        for name in ("atlas.html", "atlas.png", "atlas.svg"):
            lake.delete(analysis_key(DAY, name))
    made = make(graph_exports)
    assert world.holding(made, b"beta_two", b"9000012") == set()
    for place in (analysis_key(DAY, ""), LATEST_PREFIX):
        assert {f"{place}{name}" for name in ("atlas.html", "atlas.png", "nodes.parquet")} <= made.keys()
        assert json.loads(made[f"{place}manifest.json"])["channels"] == 2
    assert b"gamma_three" in made[analysis_key(DAY, "atlas.html")]


def test_a_page_is_not_drawn_again_when_nobody_has_opted_out_since(unfinished_map):
    lake, make = unfinished_map
    before = lake.modified(analysis_key(DAY, "atlas.html"))
    made = make(graph_exports)
    assert lake.modified(analysis_key(DAY, "atlas.html")) == before
    assert b"beta_two" in made[analysis_key(DAY, "atlas.html")]


@pytest.mark.parametrize(("asset", "step"), [(atlas, "draw_pages"), (graph_exports, "draw_exports")])
def test_a_channel_that_opts_out_while_a_map_is_drawn_is_not_in_it(
    unfinished_map, monkeypatch, asset, step
):
    lake, make = unfinished_map
    draw = getattr(drawing, step)

    def meanwhile(*arguments):
        drawn = draw(*arguments)
        add_opt_outs(lake, CHANNEL.opt_outs, may_begin=True)
        return drawn

    monkeypatch.setattr(drawing, step, meanwhile)
    made = make(asset)
    if asset is atlas:  # the others' files are theirs to make
        own = ("/atlas.html", "/atlas.png", "/atlas.svg", "/nodes.parquet")
        made = {key: data for key, data in made.items() if key.endswith(own)}
        assert len(made) == len(own)
    assert world.holding(made, b"beta_two", b"9000012") == set()
