"""The asset snapshots made again for a day whose raw objects have partly gone."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from collector_service.contract import SnapshotRecord, encode_object, live_key, vod_key
from vieweratlas_dagster.assets import raw
from vieweratlas_dagster.lake_layout import manifest_key
from vieweratlas_dagster.resources.lake import LakeResource
from vieweratlas_dagster.settings import Settings

DAY = "2026-03-01"
START = datetime(2026, 3, 1, 20, tzinfo=UTC)


def window(start):
    record = SnapshotRecord(
        source="live",
        channel="c1",
        channel_id=1,
        collector_id="c1",
        window_start=start,
        window_seconds=300,
        observed_seconds=300.0,
        partial=False,
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
    assert text.startswith("2 of the 4 raw objects that 2026-03-01 was made from are gone from file://")
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
