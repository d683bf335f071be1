"""The sensor on a real lake and a real instance, with its requests executed as the daemon would."""

import json
import os
from dataclasses import replace
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from collector_service.contract import SnapshotRecord, encode_object, live_key, vod_key
from collector_service.lake import Lake
from tests.worlds.days import planted_day, put_day
from tests.worlds.late_desk import (
    DAYS,
    FIRST,
    SECOND,
    THIRD,
    LateDesk,
    content_of,
    run_days,
    settings_in,
    with_days,
)
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.lake.keys import day_audience_key


@pytest.fixture
def desk(tmp_path):
    with dg.instance_for_test() as instance:
        yield LateDesk(settings_in(tmp_path), instance)


@pytest.fixture
def made(desk, made_once):
    """A desk over three made days."""
    with_days(desk.settings, made_once)
    return desk


def late_records(day: date) -> list[SnapshotRecord]:
    """A later window of the same channels with other viewers."""
    start = datetime(day.year, day.month, day.day, 21, tzinfo=UTC)
    return [replace(record, window_start=start) for record in planted_day(day, seed=5)[:12]]


def put_late(lake: Lake, day: date) -> None:
    records = late_records(day)
    lake.put(live_key(records[0].window_start, "spool"), encode_object(records))


@pytest.mark.slow
def test_late_objects_end_in_what_would_have_been_made_with_them_at_once(made, tmp_path):
    put_late(made.lake, DAYS[0])
    assert made.work_off() == [
        ("analysis_daily", FIRST),
        ("graph_daily", SECOND),
        ("graph_daily", THIRD),
    ]
    settings = settings_in(tmp_path / "other")
    undisturbed = Lake.open(settings.storage)
    for day in DAYS:
        put_day(undisturbed, day, planted_day(day)[:12])
    put_late(undisturbed, DAYS[0])
    run_days(settings)
    assert made.content() == content_of(undisturbed)
    manifest = f"state/manifests/date={FIRST}.json"
    assert made.lake.get(manifest) == undisturbed.get(manifest)
    for _ in range(3):
        assert made.reason() == "all raw objects are in the maps of their days"
    # A cursor that was reset brings nothing back either.
    made.cursor = None
    assert made.reason() == "all raw objects are in the maps of their days"


def test_nothing_late_requests_nothing(made):
    assert made.reason() == "all raw objects are in the maps of their days"


def test_an_empty_lake_requests_nothing(desk):
    assert desk.reason() == "all raw objects are in the maps of their days"


def test_a_late_vod_of_yesterday_is_one_run(made):
    made.lake.put(vod_key(THIRD, "99"), encode_object(late_records(DAYS[2])))
    assert made.work_off() == [("analysis_daily", THIRD)]


def test_a_spool_that_is_being_uploaded_waits_until_it_is_quiet(made, tmp_path):
    made.settings = settings_in(tmp_path, late_data={"quiet_minutes": 30})
    made.definitions = build_definitions(made.settings)
    put_late(made.lake, DAYS[2])
    made.lake.put(vod_key(THIRD, "99"), encode_object(late_records(DAYS[2])))
    assert "2026-03-03 has 2 late objects, the newest of" in made.reason()
    assert json.loads(made.cursor)["waiting"] == []
    # As it would be half an hour later: first the day's objects, then its manifest, then the late ones.
    folder, now = made.settings.storage.dir, datetime.now(UTC).timestamp()
    for info in made.lake.objects("raw/"):
        is_late = info.key.endswith(("spool.ndjson.gz", "vod=99.ndjson.gz"))
        os.utime(folder / info.key, (now - 60 * (31 if is_late else 33),) * 2)
    for info in made.lake.objects("state/manifests/"):
        os.utime(folder / info.key, (now - 60 * 32,) * 2)
    assert made.work_off() == [("analysis_daily", THIRD)]


def test_a_tick_whose_run_never_came_asks_for_the_same_run_again(made):
    put_late(made.lake, DAYS[2])
    first = made.request()
    assert made.request().run_key == first.run_key
    assert made.execute(first)
    assert made.reason() == "all raw objects are in the maps of their days"


def test_a_failed_run_stops_the_chain_until_it_has_been_made_by_hand(made):
    put_late(made.lake, DAYS[0])
    assert made.execute(made.request())
    second = made.request()
    good = made.lake.get(day_audience_key(SECOND))
    made.lake.put(day_audience_key(SECOND), b"not Parquet")
    assert not made.execute(second)
    for _ in range(2):
        reason = made.reason()
        assert "graph_daily of 2026-03-02 (run " in reason
        assert "did not succeed: re-execute it from the failed step; until then 1 later runs wait" in reason
    made.lake.put(day_audience_key(SECOND), good)
    assert made.run("graph_daily", SECOND)
    assert made.work_off() == [("graph_daily", THIRD)]


@pytest.mark.parametrize("by", ["a larger job", "asset pages"])
def test_a_failed_run_is_made_good_by_whatever_makes_its_day(by, made):
    put_late(made.lake, DAYS[0])
    assert made.execute(made.request())
    second = made.request()
    good = made.lake.get(day_audience_key(SECOND))
    made.lake.put(day_audience_key(SECOND), b"not Parquet")
    assert not made.execute(second)
    made.lake.put(day_audience_key(SECOND), good)
    if by == "a larger job":
        assert made.run("analysis_daily", SECOND)
    else:
        downstream = dg.AssetSelection.assets("overlap_graph").downstream()
        whole = made.definitions.get_implicit_global_asset_job_def()
        part = whole.get_subset(asset_selection=downstream.resolve(whole.asset_layer.asset_graph))
        assert part.execute_in_process(instance=made.instance, partition_key=SECOND).success
    assert made.work_off() == [("graph_daily", THIRD)]


def test_a_cancelled_run_is_passed_over(made):
    put_late(made.lake, DAYS[0])
    first = made.request()
    run = made.instance.create_run_for_job(
        made.definitions.resolve_job_def(first.job_name),
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/run_key": first.run_key, "dagster/partition": FIRST},
    )
    assert "is not finished" in made.reason()
    made.instance.report_run_canceled(run)
    assert made.work_off() == [("graph_daily", SECOND), ("graph_daily", THIRD)]


def test_a_failed_day_is_tried_again_only_when_its_raw_objects_change(made):
    put_late(made.lake, DAYS[2])
    request = made.request()
    # The day's manifest cannot be written where a folder is in its place.
    path = made.settings.storage.dir / f"state/manifests/date={THIRD}.json"
    kept = path.read_bytes()
    channels = made.settings.storage.dir / f"curated/channels/date={THIRD}/channels.parquet"
    channels.unlink()
    channels.mkdir()
    assert not made.execute(request)
    assert "did not succeed" in made.reason()
    assert path.read_bytes() != kept
    channels.rmdir()
    made.lake.put(vod_key(THIRD, "99"), encode_object(late_records(DAYS[2])))
    assert made.work_off() == [("analysis_daily", THIRD)]


def test_a_day_whose_raw_objects_have_partly_gone_is_left_as_it_is(made):
    [first, *_] = made.lake.objects(f"raw/snapshots/date={FIRST}/")
    put_late(made.lake, DAYS[0])
    made.lake.delete(first.key)
    assert "stays as it is: 1 objects that it was made from have been removed since" in made.reason()


def test_days_outside_raw_retention_are_left_as_they_are(made, tmp_path):
    put_late(made.lake, DAYS[0])
    made.settings = settings_in(tmp_path, retention={"raw_snapshots_days": 3})
    made.definitions = build_definitions(made.settings)
    assert made.reason() == "all raw objects are in the maps of their days"


def test_nothing_is_requested_while_another_run_makes_a_map(made):
    put_late(made.lake, DAYS[2])
    other = made.instance.create_run_for_job(
        made.definitions.resolve_job_def("analysis_daily"), status=dg.DagsterRunStatus.STARTED
    )
    assert made.reason() == f"1 runs wait for analysis_daily (run {other.run_id})"
    made.instance.report_run_canceled(other)
    assert made.work_off() == [("analysis_daily", THIRD)]


def test_a_run_that_will_be_retried_is_waited_for(made):
    put_late(made.lake, DAYS[2])
    request = made.request()
    tags = {"dagster/run_key": request.run_key, "dagster/partition": THIRD}
    job = made.definitions.resolve_job_def("analysis_daily")
    run = made.instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.FAILURE, tags=tags | {"dagster/will_retry": "true"}
    )
    assert "is not finished" in made.reason()
    made.instance.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": "x"})
    assert made.execute(request)
    assert made.reason() == "all raw objects are in the maps of their days"
