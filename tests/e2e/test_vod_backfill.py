"""A backfill of past 6-hour partitions, requested as the UI requests it, and made by the real daemon."""

import json
import time
import urllib.request
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
import yaml

from collector_service.contract import live_key, viewer_key
from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from collector_service.simulator.oracle import comments
from collector_service.simulator.planting import plant
from collector_service.simulator.world import WorldOptions
from tests.e2e.ui import ask, running_ui
from tests.worlds.twitch_thread import twitch_in_thread, unseen
from vieweratlas_dagster.commands.run_jobs import open_instance, quarters_of
from vieweratlas_dagster.lake.keys import presence_key
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.tables import PRESENCE
from vieweratlas_dagster.vod.queue_store import QueueStore

# Backfills take their time, more so when other tests share the machine.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

# The world's second day is no part of the range.
DAY = date(2026, 3, 1)
SECRET = "b" * 32
ASSETS = ("vod_chat", "snapshots", "presence_snapshots", "channels")


@pytest.fixture(scope="module")
def world():
    start = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp()
    return plant(WorldOptions(seed=5, channels=6, viewers=200, days=2, start=start))


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    """The folder in which a backfill of the day's four quarters and of the day has ended, and its word."""
    folder = tmp_path_factory.mktemp("backfill")
    (folder / "logs").mkdir()
    settings = {
        "storage": {"dir": str(folder / "lake")},
        "vod": {"enabled": True, "vod_limit_per_channel": 100},
        "analysis": {"first_day": DAY},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    lake = Lake.open(StorageSettings(dir=folder / "lake"))
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    lake.put(live_key(midnight, "c1"), unseen(world, midnight))
    with twitch_in_thread(world, world.end + 3600) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in (environment | {"VIEWER_KEY_SECRET": SECRET}).items():
            patch.setenv(name, value)
        with running_ui(folder) as url:
            return folder, backfill(url, quarters_of(DAY))


def backfill(url, quarters):
    """Ask for a backfill as the dialog *Materialize* does, and wait for its end; its final status."""
    launch = """mutation Backfill($params: LaunchBackfillParams!) {
        launchPartitionBackfill(backfillParams: $params) {
          __typename
          ... on LaunchBackfillSuccess { backfillId }
          ... on PythonError { message } } }"""
    params = {"assetSelection": [{"path": [name]} for name in ASSETS], "partitionNames": quarters}
    body = json.dumps({"query": launch, "variables": {"params": params}}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        launched = json.load(response)["data"]["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    status = f"""{{ partitionBackfillOrError(backfillId: "{launched["backfillId"]}") {{
        ... on PartitionBackfill {{ status }} }} }}"""
    for _ in range(800):
        answer = ask(url, status)["partitionBackfillOrError"]["status"]
        if answer not in ("REQUESTED", "COMPLETING", "FAILING", "CANCELING"):
            break
        time.sleep(1)
    return answer


def in_range(world):
    """The broadcasts whose recordings the range reads: those that ended in it, but for its last minutes."""
    end = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=1)
    return [one for one in world.streams if one.ended_at <= end.timestamp() - 300]


def oracle(world):
    """Messages by channel, window and viewer in those broadcasts; deleted accounts are not in VODs."""
    counts = Counter()
    for stream in in_range(world):
        channel_id = world.channels[stream.channel].channel_id
        for comment in comments(world, stream):
            account = world.accounts[comment.account]
            if not account.deleted:
                start = datetime.fromtimestamp(comment.ms // 300_000 * 300, UTC)
                counts[channel_id, start, viewer_key(SECRET, str(account.user_id))] += 1
    return counts


def test_each_quarter_is_made_once_and_then_its_day(finished):
    folder, status = finished
    assert status == "COMPLETED_SUCCESS"
    with open_instance(folder / "dagster") as instance:
        made = {name: instance.get_materialized_partitions(dg.AssetKey(name)) for name in ASSETS}
        records = instance.get_run_records()
    runs = [record for record in records if "dagster/backfill" in record.dagster_run.tags]
    assert made == {"vod_chat": set(quarters_of(DAY))} | {name: {DAY.isoformat()} for name in ASSETS[1:]}
    order = sorted(runs, key=lambda record: record.start_time)
    partitions = [record.dagster_run.tags["dagster/partition"] for record in order]
    assert sorted(partitions[:4]) == quarters_of(DAY)
    assert partitions[4:] == [DAY.isoformat()]
    # The day began when the last of its quarters had ended.
    assert order[4].start_time >= max(record.end_time for record in order[:4])


def test_the_presence_of_the_range_is_the_oracles(finished, world):
    folder, _ = finished
    lake = Lake.open(StorageSettings(dir=folder / "lake"))
    assert 2 < len(in_range(world)) < len(world.streams)
    items = QueueStore(lake).load()
    assert {(key, item.status) for key, item in items.items()} == {
        (stream.video_id, "done") for stream in in_range(world)
    }
    table = read_table(lake, presence_key(DAY.isoformat(), "vod"), PRESENCE)
    found = Counter(
        {
            (channel_id, start, key): messages
            for channel_id, start, key, messages in table.select(
                "channel_id", "window_start", "viewer_key", "messages"
            ).iter_rows()
        }
    )
    assert found == oracle(world)
    assert len(found) == table.height > 100
