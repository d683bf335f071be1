"""What expires in the lake, against the rule by brute force."""

import os
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from vieweratlas_dagster.automation.maintenance import expired_raw_data
from vieweratlas_dagster.automation.retention import expired_objects
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import Settings

TODAY = datetime.now(UTC).date()
KEPT = {"raw/snapshots/": 30, "raw/vod_chat/": 7, "quarantine/snapshots/": 30}
OTHERS = ("curated/presence_snapshots/", "curated/analysis/", "state/manifests/", "raw/other/")


def key_of(prefix, age, name):
    return f"{prefix}date={TODAY - timedelta(days=age)}/{name}"


@pytest.fixture
def filled(tmp_path):
    """Objects of days 0 to 39 days ago below every prefix: written at the day's end, and written today."""
    lake = Lake.open(StorageSettings(dir=tmp_path / "lake"))
    for prefix in (*KEPT, *OTHERS):
        for age in range(40):
            written = datetime.combine(TODAY - timedelta(days=age), datetime.min.time(), UTC)
            lake.put(key_of(prefix, age, "hour=23/a"), b"12345")
            path = tmp_path / "lake" / key_of(prefix, age, "hour=23/a")
            stamp = (written + timedelta(hours=23, minutes=59)).timestamp()
            os.utime(path, (stamp, stamp))
            lake.put(key_of(prefix, age, "hour=23/imported-today"), b"1")
    lake.put("raw/snapshots/date=oops/a", b"1")
    lake.put("raw/snapshots/readme", b"1")
    return lake


def expected_to_go():
    return {
        key_of(prefix, age, "hour=23/a") for prefix, days in KEPT.items() for age in range(40) if age > days
    }


def run_op(tmp_path, **options):
    settings = Settings(storage={"dir": tmp_path / "lake"})

    @dg.job(resource_defs={"lake": LakeResource.of(settings.storage), "settings": settings})
    def alone():
        expired_raw_data()

    result = alone.execute_in_process(
        run_config={"ops": {"expired_raw_data": {"config": options}}} if options else None
    )
    [output] = [event for event in result.all_node_events if event.is_successful_output]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def keys(lake):
    return {
        info.key
        for prefix in ("raw/", "quarantine/", "curated/", "state/")
        for info in lake.objects(prefix)
    }


def test_what_has_been_kept_long_enough_goes_and_nothing_else(filled, tmp_path):
    before = keys(filled)
    facts = run_op(tmp_path)
    assert before - keys(filled) == expected_to_go()
    assert facts == {
        "dry_run": False,
        "left_to_lifecycle_rules": False,
        "raw_snapshots_objects": 9,
        "raw_snapshots_bytes": 45,
        "raw_vod_chat_objects": 32,
        "raw_vod_chat_bytes": 160,
        "quarantine_objects": 9,
        "quarantine_bytes": 45,
        "unfinished_files": 0,
    }
    assert run_op(tmp_path)["raw_vod_chat_objects"] == 0


def test_a_dry_run_counts_and_removes_nothing(filled, tmp_path):
    before = keys(filled)
    facts = run_op(tmp_path, dry_run=True)
    assert (facts["dry_run"], facts["raw_vod_chat_objects"]) == (True, 32)
    assert keys(filled) == before


def test_what_killed_writers_left_beside_the_objects_goes_once_it_is_old(filled, tmp_path):
    old, young = (tmp_path / "lake/raw/snapshots" / name for name in ("x.ndjson.gz#1", "y.ndjson.gz#2"))
    for path in (old, young):
        path.write_bytes(b"1")
    os.utime(old, (0, 0))
    assert run_op(tmp_path, dry_run=True)["unfinished_files"] == 0
    assert run_op(tmp_path)["unfinished_files"] == 1
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.parametrize("forced", [False, True])
def test_on_s3_the_lifecycle_rules_do_it_unless_asked_for(s3_storage, forced):
    lake = Lake.open(s3_storage)
    lake.put("raw/vod_chat/date=2020-01-01/vod=1.ndjson.gz", b"x")
    settings = Settings(storage=s3_storage, retention={"expire_on_s3": forced})

    @dg.job(resource_defs={"lake": LakeResource.of(settings.storage), "settings": settings})
    def alone():
        expired_raw_data()

    result = alone.execute_in_process()
    [output] = [event for event in result.all_node_events if event.is_successful_output]
    assert output.step_output_data.metadata["left_to_lifecycle_rules"].value is not forced
    # Written just now, so it stays either way; a year later it would go.
    later = datetime.now(UTC) + timedelta(days=365)
    found = [info.key for info in expired_objects(lake, "raw/vod_chat/", 7, now=later)]
    assert found == ["raw/vod_chat/date=2020-01-01/vod=1.ndjson.gz"]
    assert lake.exists(found[0])
