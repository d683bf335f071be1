"""From the simulated Twitch to the atlas: what came out, held against the oracle by other means."""

import csv
import gzip
import io
import itertools
import re
import subprocess
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from collector_service.contract import viewer_key
from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from tests.conftest import VIEWERATLAS
from vieweratlas_dagster.automation.late_plan import scan
from vieweratlas_dagster.commands.demo.run import run_demo
from vieweratlas_dagster.commands.demo.stage import DemoError, DemoOptions

WINDOW_SECONDS = 300
# Of the world: a recording counts as whole when its broadcast ended that long ago.
UNFINISHED_SECONDS = 1800


def latest(demo, name):
    return demo.folder / "lake" / "curated" / "analysis" / "latest" / name


def oracle_rows(demo, name):
    data = (demo.folder / "oracle" / name).read_bytes()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    return list(csv.DictReader(io.StringIO(text.decode())))


def presences(demo, source):
    """What the lake has of a source: channel id, second in which the window starts, viewer key."""
    tables = demo.folder / "lake" / "curated" / "presence_snapshots"
    return {
        (channel, int(start.timestamp()), key)
        for path in tables.rglob(f"source={source}/*.parquet")
        for channel, start, key in pl.read_parquet(path)
        .select("channel_id", "window_start", "viewer_key")
        .rows()
    }


def test_the_report_is_the_truth_we_want(finished_demo):
    report = finished_demo.report
    assert report["success"]
    assert report["failed_runs"] == report["failed_checks"] == 0
    collection = report["collection"]
    assert collection["lost"] == collection["lost_messages"] == collection["invented"] == 0
    assert collection["undeclared"] == 0
    # Of 48 hours, the collector was away for three or four, and one more was not on its disk.
    assert collection["coverage"] > 0.6
    assert report["ami_communities"] >= 0.9
    assert report["ami_regions"] >= 0.9
    assert str(latest(finished_demo, "atlas.html")) in finished_demo.output.replace("\n", "")


def test_recordings_restored_what_was_missed_of_broadcasts_that_ended(finished_demo):
    streams = oracle_rows(finished_demo, "streams.csv")
    # The desk reads recordings once they are whole; those at the end of the world never are. How much of
    # them was missed depends on the machine.
    whole_before = max(int(row["ended_at"]) for row in streams) - UNFINISHED_SECONDS
    recorded = defaultdict(list)
    for row in streams:
        if int(row["ended_at"]) <= whole_before:
            recorded[row["channel_id"]].append((int(row["started_at"]), int(row["ended_at"])))
    secret = (finished_demo.folder / "viewer_key.secret").read_text().strip()
    live, vod = presences(finished_demo, "live"), presences(finished_demo, "vod")
    happened, missed = set(), set()
    for row in oracle_rows(finished_demo, "presence.csv.gz"):
        start = int(row["window_start"])
        place = (int(row["channel_id"]), start, viewer_key(secret, row["user_id"]))
        happened.add(place)
        spans = recorded[row["channel_id"]]
        # Recordings have messages and no notices.
        if (
            place not in live
            and int(row["messages"])
            and any(began <= start and start + WINDOW_SECONDS <= ended for began, ended in spans)
        ):
            missed.add(place)
    assert len(missed) > 1000
    assert len(missed & vod) / len(missed) > 0.95
    assert finished_demo.report["collection"]["restored"] == len(vod & happened - live)


def test_recordings_restored_the_hours_in_which_the_collector_was_down(finished_demo):
    outage = finished_demo.report["outage"]
    killed_at, back_at = (
        datetime.fromisoformat(outage[name]).timestamp() for name in ("killed_at", "back_at")
    )
    # The report leaves out parts of a second; the kill came after the second that it names.
    assert 2.0 < outage["hours"] < 8.0
    assert outage["hours"] == pytest.approx((back_at - killed_at) / 3600, abs=0.01)
    found = {
        source: {
            place
            for place in presences(finished_demo, source)
            if killed_at < place[1] <= back_at - WINDOW_SECONDS
        }
        for source in ("live", "vod")
    }
    assert found["live"] == set()
    secret = (finished_demo.folder / "viewer_key.secret").read_text().strip()
    truth = {
        (int(row["channel_id"]), int(row["window_start"]), viewer_key(secret, row["user_id"]))
        for row in oracle_rows(finished_demo, "presence.csv.gz")
        if killed_at < int(row["window_start"]) <= back_at - WINDOW_SECONDS
    }
    assert found["vod"] <= truth
    assert (outage["restored"], outage["missed"]) == (len(found["vod"]), len(truth))
    assert len(truth) > 1000
    assert outage["restored"] / outage["missed"] > 0.8
    assert f"VODs restored {outage['restored']:,} of {outage['missed']:,}" in finished_demo.output


def test_what_the_kill_cost_is_one_second_of_the_machine(finished_demo):
    log = (finished_demo.folder / "logs" / "collector.log").read_text()
    assert "recovered the window of" in log
    assert log.count("stopped; everything collected is in the lake") == 1
    collection = finished_demo.report["collection"]
    assert 0 < collection["cut_off"] < collection["happened"] * 0.1


def test_edges_never_exceed_the_oracles_overlaps_and_miss_little(finished_demo):
    bots = {row["user_id"] for row in oracle_rows(finished_demo, "bots.csv")}
    names = {row["channel_id"]: row["login"] for row in oracle_rows(finished_demo, "channels.csv")}
    audience = defaultdict(set)
    for row in oracle_rows(finished_demo, "presence.csv.gz"):
        if row["user_id"] not in bots:
            audience[names[row["channel_id"]]].add(row["user_id"])
    nodes = pl.read_parquet(latest(finished_demo, "nodes.parquet"))
    edges = pl.read_parquet(latest(finished_demo, "edges.parquet"))
    found = {(a, b): shared for a, b, shared in edges.select("source", "target", "shared_viewers").rows()}
    # What was missed live and not restored from a VOD can only make a number smaller.
    short = 0
    for first, second in itertools.combinations(sorted(nodes["channel"]), 2):
        true = len(audience[first] & audience[second])
        got = found.get((first, second), 0)
        assert got <= true
        if true >= 5:
            short += true - got
    total = sum(found.values())
    assert total > 1000
    assert short / (total + short) < 0.1


def test_the_unlisted_bots_are_found_by_what_they_do(finished_demo):
    exclusions = pl.read_parquet(latest(finished_demo, "exclusions.parquet"))
    bots = oracle_rows(finished_demo, "bots.csv")
    assert exclusions["viewers"].sum() >= len(bots) * 0.9
    assert exclusions.height == 3


def test_no_day_was_made_before_its_last_chat_came(finished_demo):
    lake = Lake.open(StorageSettings(dir=finished_demo.folder / "lake"))
    found = scan(lake, first=date(2020, 1, 1), today=datetime.now(UTC).date() + timedelta(days=1))
    assert len(found.made) == finished_demo.report["days"]
    assert found.late == ()


def test_labels_name_games_and_languages(finished_demo):
    communities = pl.read_parquet(latest(finished_demo, "communities.parquet"))
    assert not communities["generic"].any()
    games = {row["game_name"] for row in oracle_rows(finished_demo, "channels.csv")}
    fine = communities.filter(level="community")
    named = sum(any(game in label for game in games) for label in fine["label"])
    assert named / fine.height > 0.5
    assert not any(re.search(r"[Cc]ommunity \d", label) for label in communities["label"])


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("important")
    done = subprocess.run(
        [VIEWERATLAS, "demo", "--data-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "contains files that are not a demo's" in " ".join(done.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_simulator_that_does_not_start_is_an_error_with_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    options = DemoOptions(1, 50, 500, 1, tmp_path / "data", date(2026, 1, 1))
    with pytest.raises(DemoError, match=r"ended early with code 1; see .*simulator\.log"):
        run_demo(options, Path("config/config.yaml"), Console(quiet=True))
