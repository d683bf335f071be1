"""The daily job on real files: what it writes, on good days and bad ones, and again."""

import base64
import io
import itertools
import json
import re
import zipfile
import zlib
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import networkx as nx
import polars as pl
import pytest
from PIL import Image

from collector_service.contract import encode_object, live_key
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OPT_OUTS_KEY, OptOuts
from tests.worlds.days import FIRST, FLOOR, planted_day, put_day, run_day, settings_for
from vieweratlas_dagster.commands.run_jobs import run_partition
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.lake.keys import analysis_key, channels_key, day_audience_key, presence_key
from vieweratlas_dagster.lake.manifests import previous_analysis_day
from vieweratlas_dagster.lake.redaction import without
from vieweratlas_dagster.lake.tables_io import read_table, write_table
from vieweratlas_dagster.tables import (
    CHANNELS,
    COMMUNITIES,
    DAY_AUDIENCES,
    EDGES,
    EVENTS,
    LEFT_OUT,
    NODES,
    PRESENCE,
)


@pytest.fixture(scope="module")
def three_days(tmp_path_factory):
    """Three planted days with faults in the second one, and the outcome of each day's run."""
    settings = settings_for(tmp_path_factory.mktemp("three"))
    lake = Lake.open(settings.storage)
    days = [FIRST + timedelta(days=offset) for offset in range(3)]
    for day in days:
        put_day(lake, day, planted_day(day))
    second = datetime(2026, 3, 2, tzinfo=UTC)
    good = encode_object(planted_day(days[1]))
    lake.put(live_key(second, "cut"), good[: len(good) // 2])
    lake.put(live_key(second, "text"), b"not gzip at all")
    lake.put(live_key(second, "strange").removesuffix(".gz"), b"{}")
    with dg.instance_for_test() as instance:
        outcomes = [run_day(settings, day, instance) for day in days]
        yield settings, lake, [day.isoformat() for day in days], outcomes, instance


def test_every_run_succeeds_and_only_the_quarantine_is_complained_about(three_days):
    *_, outcomes, _ = three_days
    assert [outcome.failures for outcome in outcomes] == [(), (), ()]
    assert all(outcome.success for outcome in outcomes)
    [complaint] = outcomes[1].failed_checks
    assert re.fullmatch(r"snapshots: 3 of \d+ lines refused: bad_gzip, unexpected_name", complaint)
    assert outcomes[0].failed_checks == outcomes[2].failed_checks == ()


def test_unusable_objects_are_in_quarantine_with_their_reason(three_days):
    _, lake, *_ = three_days
    notes = [
        json.loads(line)
        for info in lake.objects("quarantine/")
        if info.key.endswith(".reasons.ndjson")
        for line in lake.get(info.key).splitlines()
    ]
    assert {note["object"].rsplit("-", 1)[-1]: note["reason"] for note in notes} == {
        "cut.ndjson.gz": "bad_gzip",
        "text.ndjson.gz": "bad_gzip",
        "strange.ndjson": "unexpected_name",
    }
    copies = [info.key for info in lake.objects("quarantine/") if not info.key.endswith(".reasons.ndjson")]
    assert b"not gzip at all" in [lake.get(key) for key in copies]


def test_edges_equal_sets_intersected_by_hand(three_days):
    _, lake, days, *_ = three_days
    audience = defaultdict(set)
    for day in days:
        for record in planted_day(date.fromisoformat(day)):
            audience[record.channel] |= set(record.viewer_keys) - {7, 8}
    expected = {
        (first, second): len(audience[first] & audience[second])
        for first, second in itertools.combinations(sorted(audience), 2)
        if len(audience[first] & audience[second]) >= 2
    }
    edges = read_table(lake, analysis_key(days[2], "edges.parquet"), EDGES)
    found = {(a, b): shared for a, b, shared in edges.select("source", "target", "shared_viewers").rows()}
    assert found == expected
    nodes = read_table(lake, analysis_key(days[2], "nodes.parquet"), NODES)
    assert dict(nodes.select("channel", "viewers").rows()) == {
        channel: len(viewers) for channel, viewers in audience.items()
    }


def test_days_of_an_earlier_version_without_audiences_count_all_the_same(tmp_path):
    """A whole day that was made before audiences were kept is derived from its presence."""
    settings = settings_for(tmp_path)
    lake = Lake.open(settings.storage)
    days = [FIRST, FIRST + timedelta(days=1)]
    edges = analysis_key(f"{days[1]}", "edges.parquet")
    with dg.instance_for_test() as instance:
        for day in days:
            put_day(lake, day, planted_day(day)[:12])
            assert run_day(settings, day, instance).success
        expected = lake.get(edges)
        for day in days:
            frame = read_table(lake, day_audience_key(f"{day}"), DAY_AUDIENCES)
            pairs = {(one.channel_id, key) for one in planted_day(day)[:12] for key in one.viewer_keys}
            assert set(frame.select("channel_id", "viewer_key").rows()) == pairs
            assert set(frame.filter("known_bot")["viewer_key"]) == {7, 8}
            lake.delete(day_audience_key(f"{day}"))
        lake.delete(edges)
        assert run_partition(build_definitions(settings), "graph_daily", f"{days[1]}", instance).success
    assert lake.get(edges) == expected
    assert not lake.exists(day_audience_key(f"{days[1]}"))


def test_an_audience_without_presence_says_what_to_do(tmp_path):
    definitions = build_definitions(settings_for(tmp_path))
    with dg.instance_for_test() as instance:
        done = definitions.resolve_job_def("analysis_daily").execute_in_process(
            instance=instance,
            partition_key=f"{FIRST}",
            asset_selection=[dg.AssetKey("day_audiences")],
            raise_on_error=False,
        )
    [failure] = [event for event in done.all_events if event.is_step_failure]
    said = failure.event_specific_data.user_failure_data.description
    assert said.startswith(f"the presence tables of {FIRST} are missing in file:")
    assert said.endswith("materialize presence_snapshots")


def test_communities_are_the_planted_groups_with_names(three_days):
    _, lake, days, *_ = three_days
    nodes = read_table(lake, analysis_key(days[2], "nodes.parquet"), NODES)
    groups = defaultdict(set)
    for row in nodes.iter_rows(named=True):
        groups[row["language"], row["game_name"]].add((row["community"], row["label"]))
    assert all(len(found) == 1 for found in groups.values())
    labels = {group: next(iter(found))[1] for group, found in groups.items()}
    assert len(set(labels.values())) == 4
    assert "Minecraft" in labels["en", "Minecraft"]
    assert "Spanish" in labels["es", "Chess"]
    assert "Korean" in labels["ko", "VALORANT"] or "VALORANT" in labels["ko", "VALORANT"]
    communities = read_table(lake, analysis_key(days[2], "communities.parquet"), COMMUNITIES)
    assert not communities["generic"].any()
    assert communities["reason"].str.len_chars().min() > 10


def test_names_given_by_people_win_and_unknown_ids_are_reported(tmp_path):
    file = tmp_path / "labels.yaml"
    settings, day = settings_for(tmp_path, labels_file=file), FIRST.isoformat()
    lake = Lake.open(settings.storage)
    put_day(lake, FIRST, planted_day(FIRST))
    with dg.instance_for_test() as instance:
        file.write_text("community:\n  1: The first\n  77: Nobody\n")
        outcome = run_day(settings, FIRST, instance)
        assert outcome.success, outcome.failures
        record = instance.get_latest_materialization_event(dg.AssetKey("community_labels"))
        metadata = record.asset_materialization.metadata
        assert metadata["named_by_hand"].value == 1
        assert metadata["named_by_hand_not_on_the_map"].value == "community 77 (Nobody)"
        nodes = read_table(lake, analysis_key(day, "nodes.parquet"), NODES)
        assert set(nodes.filter(pl.col("community") == 1)["label"]) == {"The first"}

        file.write_text("community:\n  1: The first\n  2: 5\n")
        outcome = run_day(settings, FIRST, instance)
        assert not outcome.success
        assert any("labels.yaml, line 3: the name of community 2" in text for text in outcome.failures)


def test_ids_colours_and_places_stay_from_day_to_day(three_days):
    _, lake, days, *_ = three_days
    first, last = (
        read_table(lake, analysis_key(day, "nodes.parquet"), NODES) for day in (days[0], days[2])
    )
    assert first.select("channel", "community", "region", "color").equals(
        last.select("channel", "community", "region", "color")
    )
    assert read_table(lake, analysis_key(days[2], "events.parquet"), EVENTS).height == 0
    moved = ((first["x"] - last["x"]) ** 2 + (first["y"] - last["y"]) ** 2).sqrt()
    assert moved.median() < 0.3


def test_all_files_are_there_and_latest_is_the_newest_day(three_days):
    _, lake, days, *_ = three_days
    names = {info.key.rsplit("/", 1)[-1] for info in lake.objects(f"curated/analysis/date={days[2]}/")}
    assert names == {
        *("audiences.parquet", "left_out.parquet", "exclusions.parquet", "edges.parquet"),
        *("partition.parquet", "events.parquet", "communities.parquet", "nodes.parquet"),
        *("atlas.html", "atlas.png", "atlas.svg", "graph.gexf", "graph.graphml", "channels.zip"),
        *("nodes.csv", "edges.csv", "communities.csv", "published_edges.parquet"),
        "manifest.json",
    }
    manifest = json.loads(lake.get("curated/analysis/latest/manifest.json"))
    assert manifest["date"] == days[2]
    assert set(manifest["files"]) | {"manifest.json"} == names
    for name in names:
        assert lake.get(f"curated/analysis/latest/{name}") == lake.get(analysis_key(days[2], name))


def test_exports_hold_the_same_graph_above_the_privacy_floor(three_days):
    _, lake, days, *_ = three_days
    edges = read_table(lake, analysis_key(days[2], "edges.parquet"), EDGES)
    published = edges.filter(pl.col("shared_viewers") >= FLOOR)
    assert 0 < published.height < edges.height
    graph = nx.read_gexf(io.BytesIO(lake.get(analysis_key(days[2], "graph.gexf"))))
    assert {tuple(sorted(pair)) for pair in graph.edges} == set(published.select("source", "target").rows())
    listed = pl.read_csv(lake.get(analysis_key(days[2], "edges.csv")))
    assert listed.height == published.height
    assert pl.read_parquet(lake.get(analysis_key(days[2], "published_edges.parquet"))).equals(published)
    xml = nx.read_graphml(io.BytesIO(lake.get(analysis_key(days[2], "graph.graphml"))))
    assert {tuple(sorted(pair)) for pair in xml.edges} == set(published.select("source", "target").rows())
    told = set()
    with zipfile.ZipFile(io.BytesIO(lake.get(analysis_key(days[2], "channels.zip")))) as archive:
        for channel, file in json.loads(archive.read("index.json"))["channels"].items():
            for other in json.loads(archive.read(file))["neighbours"]:
                told.add((*sorted((channel, other["channel"])), other["shared_viewers"]))
    assert told == set(published.select("source", "target", "shared_viewers").rows())
    picture = Image.open(io.BytesIO(lake.get(analysis_key(days[2], "atlas.png"))))
    assert picture.width >= 1000
    assert len(set(picture.convert("RGB").resize((200, 200)).getdata())) > 50


def page_data(lake, day):
    text = lake.get(analysis_key(day, "atlas.html")).decode()
    today = re.search('id="atlas-data">(.*?)</script>', text, re.DOTALL)[1]
    block = re.search('id="atlas-history">(.*?)</script>', text)[1]
    return json.loads(today), json.loads(zlib.decompress(base64.b64decode(block))) if block else None


def test_the_page_goes_back_to_the_earlier_days_of_the_lake(three_days):
    _, lake, days, *_ = three_days
    today, past = page_data(lake, days[2])
    assert today["days"] == days
    assert [day["name"] for day in past["days"]] == [days[1], days[0]]
    nodes = read_table(lake, analysis_key(days[1], "nodes.parquet"), NODES).sort("channel")
    newest = past["days"][0]["channels"]
    assert [past["names"][at] for at in itertools.accumulate(newest["at"])] == nodes["channel"].to_list()
    assert [told - 1 for told in newest["viewers"]] == nodes["viewers"].to_list()
    first, nothing = page_data(lake, days[0])
    assert "days" not in first
    assert nothing is None


def test_the_page_says_how_good_the_map_is(three_days):
    _, lake, days, *_ = three_days
    edges = read_table(lake, analysis_key(days[2], "edges.parquet"), EDGES)
    nodes = read_table(lake, analysis_key(days[2], "nodes.parquet"), NODES).drop_nulls("community")
    graph = nx.Graph()
    graph.add_weighted_edges_from(edges.select("source", "target", "weight").rows())
    members = nodes.group_by("community").agg("channel")["channel"].to_list()
    told = page_data(lake, days[2])[0]["facts"]
    assert told["modularity"] == pytest.approx(nx.community.modularity(graph, members), rel=1e-3)
    assert 0 < told["neighbour_preservation"] <= 1


def test_a_channel_that_opted_out_is_in_no_earlier_day_and_in_no_list(tmp_path):
    settings = settings_for(tmp_path, min_channel_viewers=20)
    lake = Lake.open(settings.storage)
    put_day(lake, FIRST, planted_day(FIRST))
    put_day(lake, FIRST + timedelta(days=1), planted_day(FIRST + timedelta(days=1)))
    with dg.instance_for_test() as instance:
        assert run_day(settings, FIRST, instance).success
        nodes = read_table(lake, analysis_key(f"{FIRST}", "nodes.parquet"), NODES)
        gone = nodes["channel"][0]
        lake.put(OPT_OUTS_KEY, OptOuts(channels=frozenset({gone})).to_bytes())
        strict = settings_for(tmp_path, min_channel_viewers=1000)
        run_day(strict, FIRST + timedelta(days=1), instance)
    today, past = page_data(lake, f"{FIRST + timedelta(days=1)}")
    assert today["absent"]["name"]
    assert gone not in today["absent"]["name"]
    assert set(past["names"]) == set(nodes["channel"]) - {gone}


def test_a_channel_that_opted_out_is_on_no_map_made_since(tmp_path):
    settings = settings_for(tmp_path, min_channel_viewers=20)
    lake = Lake.open(settings.storage)
    put_day(lake, FIRST, planted_day(FIRST))
    gone = "en_chess_0"
    lake.put(OPT_OUTS_KEY, OptOuts(channels=frozenset({gone})).to_bytes())
    with dg.instance_for_test() as instance:
        assert run_day(settings, FIRST, instance).success
    folder = analysis_key(f"{FIRST}", "")
    made = {info.key: lake.get(info.key) for info in lake.objects(folder)}
    assert read_table(lake, analysis_key(f"{FIRST}", "nodes.parquet"), NODES).height == 23
    with zipfile.ZipFile(io.BytesIO(made.pop(f"{folder}channels.zip"))) as archive:
        made |= {name: archive.read(name) for name in archive.namelist()}
    assert [key for key, data in made.items() if gone in key or gone.encode() in data] == []
    for key in made:
        if key.endswith(".parquet"):
            assert gone not in pl.read_parquet(made[key]).write_ndjson(), key


def test_an_earlier_community_named_after_a_hidden_channel_has_a_number_for_a_name():
    told = [
        ("Around hidden_one", "hidden_one is one of its biggest channels"),
        ("Chess · hidden & other", "60% of the audience watches Chess"),
        ("Around hidden_one_too", "hidden_one_too is one of its biggest channels"),
    ]
    rows = [
        {"id": at, "level": "community", "label": label, "reason": reason, "parent": 1, "color": "#000000"}
        for at, (label, reason) in enumerate(told)
    ]
    communities = pl.DataFrame(rows, schema=COMMUNITIES.schema)
    shown = without(communities, OptOuts(channels=frozenset({"hidden", "hidden_one"})))
    assert shown.select("label", "reason").rows() == [
        ("community 0", "its former name is withheld"),
        ("community 1", "its former name is withheld"),
        told[2],
    ]
    assert shown.drop("label", "reason").equals(communities.drop("label", "reason"))
    assert without(communities, OptOuts()).equals(communities)


def test_a_rerun_gives_the_same_bytes(three_days):
    settings, lake, days, _, instance = three_days
    before = {info.key: lake.get(info.key) for info in lake.objects("curated/")}
    assert run_day(settings, date.fromisoformat(days[1]), instance).success
    after = {info.key: lake.get(info.key) for info in lake.objects("curated/")}
    assert [key for key in before if before[key] != after.get(key)] == []
    assert set(after) == set(before)


def test_materializations_carry_figures_and_a_picture(three_days):
    *_, instance = three_days
    [record] = instance.fetch_materializations(dg.AssetKey("atlas"), limit=1).records
    metadata = record.asset_materialization.metadata
    assert "data:image/png;base64," in metadata["preview"].value
    assert len(metadata["preview"].value) < 100_000
    assert metadata["dagster/partition_row_count"].value == 24
    for key in (
        *("snapshots", "presence_snapshots", "channels", "day_audiences"),
        *("overlap_graph", "community_partitions"),
    ):
        [record] = instance.fetch_materializations(dg.AssetKey(key), limit=1).records
        assert record.asset_materialization.metadata["dagster/partition_row_count"].value > 0


def test_an_empty_day_makes_empty_tables_and_publishes_nothing(tmp_path):
    settings = settings_for(tmp_path)
    lake = Lake.open(settings.storage)
    with dg.instance_for_test() as instance:
        outcome = run_day(settings, FIRST, instance)
    assert outcome.success, outcome.failures
    assert any("no usable record" in check for check in outcome.failed_checks)
    assert read_table(lake, presence_key(FIRST.isoformat(), "live"), PRESENCE).height == 0
    assert read_table(lake, analysis_key(FIRST.isoformat(), "nodes.parquet"), NODES).height == 0
    assert lake.objects("curated/analysis/latest/") == []


def test_a_day_with_one_channel_is_a_map_of_one(tmp_path):
    settings = settings_for(tmp_path)
    lake = Lake.open(settings.storage)
    put_day(lake, FIRST, planted_day(FIRST)[:1])
    with dg.instance_for_test() as instance:
        outcome = run_day(settings, FIRST, instance)
    assert outcome.success, outcome.failures
    [node] = read_table(lake, analysis_key(FIRST.isoformat(), "nodes.parquet"), NODES).rows(named=True)
    assert node["channel"] == "en_chess_0"
    assert node["community"] is None


def test_a_channel_that_is_left_out_says_why(tmp_path):
    settings = settings_for(tmp_path, min_channel_viewers=1000)
    lake = Lake.open(settings.storage)
    put_day(lake, FIRST, planted_day(FIRST))
    with dg.instance_for_test() as instance:
        run_day(settings, FIRST, instance)
    left_out = read_table(lake, analysis_key(FIRST.isoformat(), "left_out.parquet"), LEFT_OUT)
    assert left_out.height == 24
    assert left_out["reason"].str.contains("1,?000").all()
    channels = read_table(lake, f"curated/channels/date={FIRST}/channels.parquet", CHANNELS)
    assert channels["status"].unique().to_list() == ["observed"]


def test_the_same_day_on_s3_gives_the_same_tables(tmp_path, s3_storage):
    local = settings_for(tmp_path)
    remote = local.model_copy(update={"storage": s3_storage})
    lakes = [Lake.open(local.storage), Lake.open(s3_storage)]
    with dg.instance_for_test() as instance:
        for settings, lake in zip((local, remote), lakes, strict=True):
            put_day(lake, FIRST, planted_day(FIRST))
            assert run_day(settings, FIRST, instance).success
    for name in ("edges.parquet", "nodes.parquet", "communities.parquet", "atlas.html"):
        key = analysis_key(FIRST.isoformat(), name)
        assert lakes[0].get(key) == lakes[1].get(key)


def test_a_graph_is_refused_while_a_day_of_its_window_does_not_fit_together(tmp_path):
    settings = settings_for(tmp_path)
    lake = Lake.open(settings.storage)
    days = [FIRST, FIRST + timedelta(days=1)]
    for day in days:
        put_day(lake, day, planted_day(day)[:8])
    with dg.instance_for_test() as instance:
        assert run_day(settings, days[0], instance).success
        key = channels_key(f"{days[0]}")
        write_table(lake, key, read_table(lake, key, CHANNELS)[1:], CHANNELS)
        outcome = run_day(settings, days[1], instance)
        assert not outcome.success
        assert f"run analysis_daily for {days[0]} first" in outcome.failures[0]
        assert previous_analysis_day(lake, "2099-01-01") == f"{days[0]}"
        assert run_day(settings, days[0], instance).success
        assert run_day(settings, days[1], instance).success


def test_the_graph_of_a_day_without_curated_tables_is_refused(tmp_path):
    settings = settings_for(tmp_path)
    Lake.open(settings.storage)
    with dg.instance_for_test() as instance:
        outcome = run_partition(build_definitions(settings), "graph_daily", f"{FIRST}", instance)
    assert not outcome.success
    assert "run analysis_daily for the day" in outcome.failures[0]
