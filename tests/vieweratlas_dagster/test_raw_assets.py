"""The group raw: a day that is made again when raw objects have gone, and what vod_chat tells the UI."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from collector_service.clock import ScaledClock
from collector_service.contract import encode_object, live_key, vod_key
from collector_service.simulator.oracle import comments
from collector_service.simulator.planting import plant
from collector_service.simulator.world import WorldOptions
from tests.worlds.records import snapshot
from tests.worlds.twitch_thread import twitch_in_thread, unseen
from tests.worlds.vod_items import item
from vieweratlas_dagster.assets import raw
from vieweratlas_dagster.lake.keys import manifest_key
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.queue_store import QueueStore

DAY = "2026-03-01"
START = datetime(2026, 3, 1, 20, tzinfo=UTC)


def window(start):
    record = snapshot(
        1,
        channel="c1",
        window_start=start,
        viewer_keys=[1, 2],
        viewer_messages=[1, 1],
    )
    return encode_object([record])


@pytest.fixture
def resource(tmp_path):
    resource = LakeResource(type="file", dir=str(tmp_path / "lake"))
    for hour in range(3):
        start = START + timedelta(hours=hour)
        resource.lake.put(live_key(start, "c1"), window(start))
    resource.lake.put(vod_key(DAY, "77"), b"not gzip")
    return resource


def make(resource):
    return dg.materialize(
        [raw.snapshots],
        partition_key=DAY,
        resources={"lake": resource, "settings": Settings()},
        raise_on_error=False,
    )


def contents(lake):
    return {info.key: lake.get(info.key) for info in lake.objects("")}


def test_a_day_is_made_again_from_the_same_objects_and_from_more(resource):
    assert make(resource).success
    before = contents(resource.lake)
    assert make(resource).success
    assert contents(resource.lake) == before
    late = START + timedelta(minutes=5)
    resource.lake.put(live_key(late, "c1"), window(late))
    assert make(resource).success
    assert live_key(late, "c1").encode() in resource.lake.get(manifest_key(DAY))


def test_a_day_whose_raw_objects_are_gone_is_left_as_it_is(resource):
    assert make(resource).success
    lake = resource.lake
    for key in (live_key(START, "c1"), vod_key(DAY, "77")):
        lake.delete(key)
    lake.put(live_key(START + timedelta(minutes=10), "cut"), b"not gzip either")
    before = contents(lake)
    failed = make(resource)
    assert not failed.success
    assert contents(lake) == before
    assert failed.asset_materializations_for_node("snapshots") == []
    [event] = [event for event in failed.all_events if event.is_step_failure]
    text = event.step_failure_data.user_failure_data.description
    assert text.startswith("2 of the 4 raw objects that 2026-03-01 was made from are missing in file://")
    assert live_key(START, "c1") in text
    assert "run graph_daily" in text
    assert f"delete {manifest_key(DAY)} first" in text
    # As the text says.
    lake.delete(manifest_key(DAY))
    assert make(resource).success


def test_a_day_whose_raw_objects_are_all_gone_is_left_as_it_is_too(resource):
    assert make(resource).success
    for info in resource.lake.objects("raw/"):
        resource.lake.delete(info.key)
    before = contents(resource.lake)
    assert not make(resource).success
    assert contents(resource.lake) == before


def test_a_manifest_that_cannot_be_read_is_made_anew(resource):
    resource.lake.put(manifest_key(DAY), b"{}")
    assert make(resource).success
    assert b'"schema_version": 1' in resource.lake.get(manifest_key(DAY))


# What vod_chat tells


WORLD = plant(WorldOptions(seed=5, channels=8, viewers=300, days=1, start=START.timestamp() - 20 * 3600))
END = datetime(2026, 3, 2, tzinfo=UTC)
# What the UI plots.
NUMBERS = {
    "done": int,
    "incomplete": int,
    "dead": int,
    "queue_waiting": int,
    "comments": int,
    "viewers": int,
    "left_out": int,
    "oldest_pending_age_hours": float,
}


def read(resource, settings, quarter):
    """Materialize a quarter: the numbers of the UI, as values of the type that Dagster plots."""
    done = dg.materialize(
        [raw.vod_chat],
        partition_key=quarter,
        resources={"lake": resource, "settings": settings},
    )
    [event] = done.asset_materializations_for_node("vod_chat")
    kinds = {int: dg.IntMetadataValue, float: dg.FloatMetadataValue}
    assert {name: type(event.metadata[name]) for name in NUMBERS} == {
        name: kinds[kind] for name, kind in NUMBERS.items()
    }
    return {name: event.metadata[name].value for name in NUMBERS}


def test_vod_chat_has_the_same_numbers_each_time_and_they_are_true(resource):
    lake = resource.lake
    lake.put(live_key(END - timedelta(hours=6), "c1"), unseen(WORLD, END - timedelta(hours=6)))
    store, later = QueueStore(lake), datetime.now(UTC) + timedelta(hours=9)
    waiting = replace(
        item(1, status="incomplete", coverage_seconds=450.0, reason="HTTP 503", next_attempt_at=later),
        created_at=END - timedelta(hours=10.5),
        queued_at=None,
        duration_seconds=1800.0,
    )
    deleted = replace(item(2), created_at=END - timedelta(hours=5))
    store.apply(lambda _: {one.vod_id: one for one in (waiting, deleted)})
    told = {}
    for stream in WORLD.streams:
        if stream.ended_at <= END.timestamp() - 300:
            accounts = [WORLD.accounts[one.account] for one in comments(WORLD, stream)]
            told[stream.video_id] = [one.user_id for one in accounts if not one.deleted]
    clock = ScaledClock(0.0, END.timestamp(), 1.0, END.timestamp())
    with twitch_in_thread(WORLD, END.timestamp() + 3600) as twitch:
        names = ("helix_url", "id_url", "gql_url", "client_id", "client_secret")
        settings = Settings(
            vod={"enabled": True, "vod_limit_per_channel": 100},
            twitch={name: twitch[f"TWITCH_{name.upper()}"] for name in names},
            privacy={"viewer_key_secret": "m" * 32},
            simulation={"clock": clock.spec()},
        )
        first = read(resource, settings, "2026-03-01-18:00")
        second = read(resource, settings, "2026-03-02-00:00")
        store.apply(lambda items: {key: one for key, one in items.items() if not one.waits})
        third = read(resource, settings, "2026-03-02-06:00")
    assert len(told) > 2
    assert first == {
        "done": len(told),
        "incomplete": 0,
        "dead": 1,
        "queue_waiting": 1,
        "comments": sum(map(len, told.values())),
        "viewers": sum(len(set(users)) for users in told.values()),
        "left_out": 0,
        "oldest_pending_age_hours": 10.0,
    }
    late = len(WORLD.streams) - len(told)
    assert (second["done"], second["dead"], second["queue_waiting"]) == (late, 0, 1)
    assert late > 0
    # Waiting begins now, however long ago or ahead the quarter is.
    found = [one for key, one in store.load().items() if key not in ("1", "2")]
    assert {one.queued_at for one in found} == {END}
    assert third == dict.fromkeys(NUMBERS, 0)


def test_vod_chat_that_is_off_says_so(resource):
    done = dg.materialize(
        [raw.vod_chat],
        partition_key="2026-03-01-18:00",
        resources={"lake": resource, "settings": Settings()},
    )
    [event] = done.asset_materializations_for_node("vod_chat")
    assert event.metadata["enabled"].value is False
