"""The checks of the present: what comes in, hour by hour, the VOD queue, and yesterday's atlas."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from collector_service.contract import live_key
from tests.worlds.checked_day import DAY, START, at, numbers, result, verdict
from tests.worlds.checked_queue import vod
from vieweratlas_dagster.checks import freshness
from vieweratlas_dagster.lake.manifests import finish_map
from vieweratlas_dagster.vod.queue_store import MARKER_KEY, QUEUE_KEY, encode

HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 2, 10, 40, tzinfo=UTC)
VOD_ON = {"vod": {"enabled": True}}


@pytest.mark.parametrize(("minutes", "passed"), [(10, True), (29, True), (31, False), (3000, False)])
def test_live_chat_is_as_fresh_as_its_newest_window(resource, minutes, passed):
    resource.lake.put(live_key(START - HOUR, "c1"), b"")
    resource.lake.put(live_key(START, "c1", 2), b"")
    evaluation = result(freshness.live_chat_is_fresh, resource, at(START + timedelta(minutes=minutes)))
    assert verdict(evaluation) == (passed, "WARN")
    assert numbers(evaluation) == {"age_minutes": pytest.approx(minutes)}


def test_no_live_chat_at_all_is_not_fresh_and_imports_are_none(resource):
    resource.lake.put(live_key(START, "import.0123456789ab"), b"")
    resource.lake.put("raw/snapshots/date=2026-03-01/hour=20/something.ndjson.gz", b"")
    evaluation = result(freshness.live_chat_is_fresh, resource, at(START + timedelta(minutes=5)))
    assert not evaluation.passed
    assert "is the collector running?" in evaluation.description


def hours(resource, *hours_ago, now=NOW, **sections):
    """The check with one window in the middle of the full hours that began so many hours before 10:00."""
    for ago in hours_ago:
        start = datetime(2026, 3, 2, 10, 30, tzinfo=UTC) - ago * HOUR
        resource.lake.put(live_key(start, "c1"), b"")
    return result(freshness.live_hours_are_complete, resource, at(now, **sections))


def test_all_of_the_last_24_full_hours_are_expected(resource):
    evaluation = hours(resource, *range(1, 25), 40)
    assert verdict(evaluation) == (True, "WARN")
    assert numbers(evaluation) == {"hours_present": 24, "hours_expected": 24, "hours_missing": 0}


def test_missing_hours_are_named(resource):
    evaluation = hours(resource, *set(range(1, 25)) - {3, 4, 20}, 40)
    assert verdict(evaluation) == (False, "WARN")
    assert evaluation.description == (
        "21 of the last 24 full hours have live snapshots (at least 24); none in the hours from "
        "01 14:00, 02 06:00, 02 07:00 UTC"
    )
    assert numbers(evaluation) == {"hours_present": 21, "hours_expected": 24, "hours_missing": 3}
    assert hours(resource, checks={"min_live_hours": 21}).passed
    assert not hours(resource, checks={"min_live_hours": 22}).passed


def test_an_hour_may_be_late_by_the_permitted_age(resource):
    late = hours(resource, *range(2, 25), 40)
    assert not late.passed
    # At 10:29 the hour from 09:00 is not yet expected; the one from 09:00 the day before is, instead.
    assert hours(resource, 25, now=NOW - timedelta(minutes=11)).passed


def test_hours_before_the_collector_s_first_are_not_expected(resource):
    evaluation = hours(resource, 1, 2, 5)
    assert numbers(evaluation) == {"hours_present": 3, "hours_expected": 5, "hours_missing": 2}
    assert not evaluation.passed
    assert hours(resource, 3, 4).passed


def test_silence_since_days_and_an_empty_lake_are_no_complete_hours(resource):
    assert numbers(hours(resource))["hours_present"] == 0
    assert not hours(resource).passed
    evaluation = hours(resource, 100)
    assert numbers(evaluation) == {"hours_present": 0, "hours_expected": 24, "hours_missing": 24}


@pytest.mark.parametrize("check", [freshness.vod_queue_moves, freshness.vods_can_be_read])
def test_a_vod_queue_that_is_off_is_not_looked_at(resource, check):
    resource.lake.put(QUEUE_KEY, b"broken")
    evaluation = result(check, resource)
    assert (evaluation.passed, evaluation.description) == (True, "VOD chat is off (vod.enabled)")


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([vod(1, 47, "pending")], "1 recordings wait, 0 are being read"),
        ([vod(1, 200, "done"), vod(2, 200, "dead")], "0 recordings wait, 0 are being read"),
        (
            [vod(1, 49, "pending"), vod(2, 5, "incomplete")],
            "the longest has waited 49 hours (limit 48)",
        ),
        (
            [vod(1, 600, "pending", queued_at=datetime(2026, 1, 1, 9, tzinfo=UTC))],
            "1 recordings wait, 0 are being read",
        ),
    ],
)
def test_recordings_wait_by_the_clock_of_the_data(resource, items, text):
    resource.lake.put(QUEUE_KEY, encode({item.vod_id: item for item in items}))
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    evaluation = result(freshness.vod_queue_moves, resource, at(noon, **VOD_ON))
    assert verdict(evaluation) == ("limit" not in text, "WARN")
    assert evaluation.description == text
    assert numbers(evaluation)["waiting"] == sum(item.status in ("pending", "incomplete") for item in items)


@pytest.mark.parametrize(("count", "passed"), [(3, True), (4, False)])
def test_a_backlog_of_many_recordings_is_a_warning(resource, count, passed):
    waiting = [vod(number, 1, ("pending", "incomplete")[number % 2]) for number in range(count)]
    items = [*waiting, vod(10, 1, "done"), vod(11, 1, "dead")]
    resource.lake.put(QUEUE_KEY, encode({item.vod_id: item for item in items}))
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    evaluation = result(
        freshness.vod_queue_moves, resource, at(noon, **VOD_ON, checks={"max_vods_waiting": 3})
    )
    assert verdict(evaluation) == (passed, "WARN")
    assert (evaluation.description == "4 recordings wait (limit 3)") != passed
    assert numbers(evaluation)["waiting"] == count


@pytest.mark.parametrize(("hours_ago", "passed"), [(-1, True), (11, True), (13, False)])
def test_a_lease_that_nobody_takes_over_is_a_warning(resource, hours_ago, passed):
    real_now = datetime.now(UTC)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    item = vod(1, 3, "leased", lease_hours=(real_now - noon) / HOUR - hours_ago)
    resource.lake.put(QUEUE_KEY, encode({"1": item}))
    evaluation = result(freshness.vod_queue_moves, resource, at(noon, **VOD_ON))
    assert verdict(evaluation) == (passed, "WARN")
    assert numbers(evaluation)["longest_expired_hours"] == pytest.approx(max(0, hours_ago), abs=0.1)
    assert ("ran out 13 hours ago and no run took it over" in evaluation.description) != passed


def tried(done=0, dead=0, waiting=0, gone=0):
    """A queue of so many recordings, whose failures have different reasons."""
    kinds = [("done", {})] * done + [("dead", {"reason": "HTTP 503"})] * dead
    kinds += [("pending", {"reason": "timed out"})] * waiting
    kinds += [("dead", {"reason": "deleted", "gone": True})] * gone
    kinds += [("pending", {})] * 50
    return encode({f"{n}": vod(n, 1, status, **more) for n, (status, more) in enumerate(kinds)})


@pytest.mark.parametrize(
    ("queue", "passed", "text", "share"),
    [
        ({}, True, "0 of 0 recordings that were tried failed", 0.0),
        ({"done": 8, "dead": 1, "waiting": 1, "gone": 30}, True, "2 of 10", 0.2),
        (
            {"done": 7, "dead": 1, "waiting": 2},
            False,
            "1 dead, 2 to be tried again (limit 20%, judged from 10 onwards); 2 x timed out, 1 x HTTP 503",
            0.3,
        ),
        ({"done": 6, "dead": 3}, True, "3 of 9", 1 / 3),
        ({"dead": 10}, False, "10 of 10", 1.0),
        ({"waiting": 10}, False, "10 of 10", 1.0),
    ],
)
def test_many_failures_of_those_that_were_tried_are_a_warning(resource, queue, passed, text, share):
    resource.lake.put(QUEUE_KEY, tried(**queue))
    evaluation = result(freshness.vods_can_be_read, resource, at(NOW, **VOD_ON))
    assert verdict(evaluation) == (passed, "WARN")
    assert text in evaluation.description
    dead, waiting = queue.get("dead", 0), queue.get("waiting", 0)
    found = numbers(evaluation)
    reasons = {"timed out": waiting, "HTTP 503": dead}
    assert json.loads(found.pop("reasons")) == {one: count for one, count in reasons.items() if count}
    assert found == {
        "attempted": queue.get("done", 0) + dead + waiting,
        "dead": dead,
        "waiting": waiting,
        "share": pytest.approx(share),
    }


def test_the_limits_of_failures_are_settings(resource):
    resource.lake.put(QUEUE_KEY, tried(done=3, dead=2))

    def passes(**checks):
        return result(freshness.vods_can_be_read, resource, at(NOW, **VOD_ON, checks=checks)).passed

    assert not passes(min_judged_vods=5)
    assert passes(min_judged_vods=6)
    assert passes(min_judged_vods=5, max_vod_failed_share=0.4)


@pytest.mark.parametrize("check", [freshness.vod_queue_moves, freshness.vods_can_be_read])
def test_a_lost_queue_is_a_warning_that_says_how_to_repair_it(resource, check):
    resource.lake.put(MARKER_KEY, b"")
    evaluation = result(check, resource, at(NOW, **VOD_ON))
    assert verdict(evaluation) == (False, "WARN")
    assert "is missing, but it existed before: restore an earlier version" in evaluation.description


@pytest.mark.parametrize(
    ("now", "day", "passed"),
    [
        (datetime(2026, 3, 2, 12, tzinfo=UTC), DAY, True),
        (datetime(2026, 3, 3, 4, tzinfo=UTC), DAY, True),
        (datetime(2026, 3, 3, 6, tzinfo=UTC), "2026-03-02", False),
    ],
)
def test_yesterdays_atlas_is_looked_for(resource, now, day, passed):
    finish_map(resource.lake, DAY, 3)
    evaluation = result(freshness.atlas_of_yesterday_exists, resource, at(now))
    assert verdict(evaluation) == (passed, "WARN")
    assert evaluation.description == f"the atlas of {day} {'exists' if passed else 'is missing'}"
    assert numbers(evaluation) == {"day": day, "there": passed}
