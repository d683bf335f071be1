"""Which days are late, and the plan: against brute force and planted objects."""

import json
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from collector_service.contract import live_day_prefix, vod_key
from collector_service.lake import ObjectInfo
from vieweratlas_dagster.automation.late_plan import (
    GRAPH_ONLY,
    WHOLE_DAY,
    LateDay,
    Plan,
    Step,
    late_day,
    scan,
)
from vieweratlas_dagster.curation.validation import ObjectReport
from vieweratlas_dagster.forgetting.ledger import Entry
from vieweratlas_dagster.lake.keys import manifest_key
from vieweratlas_dagster.lake.manifests import write_day_manifest

MADE = datetime(2026, 3, 2, 3, tzinfo=UTC)
BEFORE, AFTER = MADE - timedelta(hours=1), MADE + timedelta(hours=1)
TODAY = date(2026, 3, 10)


def late(day, digest, hours=0):
    return LateDay(day, 1, AFTER + timedelta(hours=hours), digest, 0)


def days(first, count):
    return [f"{date.fromisoformat(first) + timedelta(days=offset)}" for offset in range(count)]


@pytest.mark.parametrize(
    ("raw", "objects", "gone"),
    [
        ([("a", 5, BEFORE), ("b", 6, BEFORE)], 0, 0),
        ([("a", 5, BEFORE)], 0, 1),
        ([("a", 5, BEFORE), ("b", 7, BEFORE)], 1, 0),
        ([("a", 5, AFTER), ("b", 6, BEFORE)], 1, 0),
        ([("a", 5, MADE), ("b", 6, BEFORE)], 1, 0),
        ([("a", 5, BEFORE), ("b", 6, BEFORE), ("c", 1, BEFORE), ("d", 1, AFTER)], 2, 0),
        ([("c", 1, AFTER)], 1, 2),
        ([], 0, 2),
    ],
)
def test_late_is_what_is_new_of_another_size_or_younger_than_the_manifest(raw, objects, gone):
    found = late_day("2026-03-01", [ObjectInfo(*info) for info in raw], {"a": 5, "b": 6}, MADE)
    if not objects:
        assert found is None
    else:
        assert (found.objects, found.removed) == (objects, gone)
        assert found.newest in (BEFORE, MADE, AFTER)


def test_the_digest_stands_for_names_sizes_and_times_of_all_objects():
    infos = [("a", 5, BEFORE), ("b", 6, AFTER)]
    changes = [
        infos,
        [("a", 5, BEFORE), ("c", 6, AFTER)],
        [("a", 5, BEFORE), ("b", 7, AFTER)],
        [("a", 5, BEFORE), ("b", 6, AFTER + timedelta(seconds=1))],
        infos[1:],
    ]
    digests = [late_day("d", [ObjectInfo(*info) for info in change], {}, MADE).digest for change in changes]
    assert len(set(digests)) == len(changes)
    assert digests[0] == late_day("d", [ObjectInfo(*info) for info in infos], {"a": 1}, MADE).digest


def make(lake, day):
    raw = [*lake.objects(live_day_prefix(day)), *lake.objects(f"raw/vod_chat/date={day}/")]
    write_day_manifest(lake, day, [ObjectReport(info.key, info.size, "") for info in raw])


def test_scan_finds_planted_late_objects_and_no_others(any_lake):
    lake = any_lake
    for day in days("2026-02-20", 19):
        lake.put(f"{live_day_prefix(day)}hour=00/a.ndjson.gz", b"first")
        if day != "2026-03-05":
            make(lake, day)
    # S3 tells whole seconds: what was made in the second of the manifest counts as late, once.
    settled = {item.day for item in scan(lake, first=date(2026, 3, 1), today=TODAY).late}
    lake.put(f"{live_day_prefix('2026-03-02')}hour=00/b.ndjson.gz", b"spool")
    lake.put(vod_key("2026-03-04", "7"), b"vod")
    lake.put(f"{live_day_prefix('2026-03-05')}hour=00/b.ndjson.gz", b"never made")
    lake.put(f"{live_day_prefix('2026-02-25')}hour=00/b.ndjson.gz", b"too old")
    lake.put(f"{live_day_prefix('2026-03-10')}hour=00/b.ndjson.gz", b"today")
    lake.put(f"{live_day_prefix('2026-03-08')}hour=00/a.ndjson.gz", b"longer than the first")
    lake.delete(f"{live_day_prefix('2026-03-07')}hour=00/a.ndjson.gz")
    found = scan(lake, first=date(2026, 3, 1), today=TODAY)
    assert {item.day for item in found.late} - settled == {
        "2026-03-02",
        "2026-03-04",
        "2026-03-08",
    } - settled
    assert {item.day for item in found.late} >= {"2026-03-02", "2026-03-04", "2026-03-08"}
    assert not {"2026-03-05", "2026-02-25", "2026-03-10", "2026-03-07"} & {item.day for item in found.late}
    assert found.made == {*days("2026-02-20", 18)} - {"2026-03-05"}


def test_a_manifest_that_cannot_be_read_makes_its_day_late_and_holds_up_no_other(lake):
    for day in ("2026-03-02", "2026-03-03"):
        lake.put(f"{live_day_prefix(day)}hour=00/a.ndjson.gz", b"x")
    lake.put(manifest_key("2026-03-02"), json.dumps({"schema_version": 99}).encode())
    lake.put(manifest_key("2026-03-03"), json.dumps({"schema_version": 1, "objects": []}).encode())
    found = scan(lake, first=date(2026, 3, 1), today=TODAY)
    assert [(late.day, late.objects, late.removed) for late in found.late] == [
        ("2026-03-02", 1, 0),
        ("2026-03-03", 1, 0),
    ]


def test_scan_of_an_empty_lake_finds_nothing(lake):
    found = scan(lake, first=date(2026, 3, 1), today=TODAY)
    assert (found.late, found.made) == ((), frozenset())


@pytest.mark.parametrize("seed", range(20))
def test_the_plan_is_every_made_day_whose_window_holds_a_late_one(seed):
    rng = random.Random(seed)
    every = days("2026-03-01", 12)
    made = {day for day in every if rng.random() < 0.8}
    late_days = {day for day in made if rng.random() < 0.25}
    window = rng.randint(1, 5)
    plan = Plan().add(
        [late(day, f"x{day}") for day in late_days], made, window_days=window, first_day=every[0]
    )
    expected = [
        (day, WHOLE_DAY if day in late_days else GRAPH_ONLY)
        for place, day in enumerate(every)
        if day in made and late_days & set(every[max(0, place - window + 1) : place + 1])
    ]
    assert [(step.day, step.job) for step in plan.waiting] == expected
    assert len({step.run_key for step in plan.waiting}) == len(plan.waiting)
    assert Plan.parse(plan.text()) == plan
    again = plan.add(
        [late(day, f"x{day}") for day in late_days], made, window_days=window, first_day=every[0]
    )
    assert again == plan


def test_a_whole_day_stays_whole_when_an_earlier_day_is_late_too():
    made = days("2026-03-01", 3)
    first = Plan().add([late(made[1], "b")], made, window_days=2, first_day=made[0])
    both = first.add([late(made[0], "a")], made, window_days=2, first_day=made[0])
    assert both.waiting == (
        Step(made[0], WHOLE_DAY, "a"),
        Step(made[1], WHOLE_DAY, "b"),
        Step(made[2], GRAPH_ONLY, "b"),
    )


def test_other_raw_objects_of_a_running_day_make_it_wait_for_another_run():
    made = days("2026-03-01", 2)
    running = Plan().add([late(made[0], "a")], made, window_days=1, first_day=made[0]).advance()
    assert running.running == Step(made[0], WHOLE_DAY, "a")
    assert not running.is_replaced(running.running)
    more = running.add([late(made[0], "b")], made, window_days=1, first_day=made[0])
    assert (more.running, more.waiting) == (running.running, (Step(made[0], WHOLE_DAY, "b"),))
    assert more.is_replaced(more.running)
    assert more.take_back() == more.finish()
    assert running.take_back().waiting == (running.running,)
    assert running.finish().advance() == Plan(seen={made[0]: "a"})


def test_days_that_are_no_longer_looked_at_are_forgotten():
    plan = Plan(seen={"2026-01-01": "a", "2026-03-01": "b"})
    assert plan.add([], [], window_days=7, first_day="2026-03-01").seen == {"2026-03-01": "b"}


def forgotten(number, *days, progress="done"):
    return Entry(number, "viewer", "2026-03-04T03:00:00Z", progress, {}, days)


@pytest.mark.parametrize("number", ["0" * 16, "1" * 16, "2019" * 4, "f" * 16])
def test_somebody_forgotten_is_dealt_with_once_whatever_the_number(number):
    entries = [forgotten(number, "2026-03-01")]
    plan = Plan().add_forgotten(entries, ["2026-03-01"], window_days=7)
    assert [(step.day, step.job) for step in plan.waiting] == [("2026-03-01", GRAPH_ONLY)]
    assert plan.settled == {number}
    later = plan.advance().finish().add([], ["2026-03-01"], window_days=7, first_day="2026-03-02")
    assert later.settled == {number}
    assert later.add_forgotten(entries, ["2026-03-01"], window_days=7).waiting == ()


def test_days_that_an_unfinished_entry_gets_later_are_made_again_too():
    made = [f"2026-03-{day:02d}" for day in range(1, 10)]
    plan = Plan().add_forgotten([forgotten("ab", progress="begun")], made, window_days=2)
    assert (plan.waiting, plan.settled) == ((), frozenset())
    unfinished = forgotten("ab", "2026-03-02", progress="rewritten")
    plan = plan.add_forgotten([unfinished], made, window_days=2)
    first = plan.waiting
    assert [step.day for step in first] == ["2026-03-02", "2026-03-03"]
    assert plan.settled == frozenset()
    plan = Plan.parse(replace(plan, waiting=()).text())
    assert plan.add_forgotten([unfinished], made, window_days=2).waiting == ()
    # Begun again, its days are not yet in it.
    plan = plan.add_forgotten([forgotten("ab", progress="begun")], made, window_days=2)
    grown = [forgotten("ab", "2026-03-02", "2026-03-03", "2026-03-07")]
    plan = plan.add([], made, window_days=2, first_day="2026-03-08")
    plan = plan.add_forgotten(grown, made, window_days=2)
    assert [step.day for step in plan.waiting] == [f"2026-03-{day:02d}" for day in (3, 4, 7, 8)]
    # Dagster starts nothing twice for one key.
    assert not {step.run_key for step in plan.waiting} & {step.run_key for step in first}
    assert plan.settled == {"ab"}
    assert replace(plan, waiting=()).add_forgotten(grown, made, window_days=2).waiting == ()
