"""The rules of incidents, against hand-made stories and a brute-force reader of random ones."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from vieweratlas_dagster.alerts.incidents import (
    MAX_INCIDENTS,
    STATE,
    STATE_KEY,
    CheckEvaluated,
    Failure,
    RunEnded,
    State,
    claim,
    due,
    forget,
    made_name,
    mark_reported,
    observe,
    release,
)

START = datetime(2026, 3, 2, 3, tzinfo=UTC)
QUIET = timedelta(minutes=60)


def again(state):
    """The state as the next round reads it."""
    return STATE.parse(STATE.encode(state), STATE.key)


def minute(number):
    return START + timedelta(minutes=number)


def check(at, passed, name="live_chat_is_fresh", partition=""):
    report = None if passed else Failure(name, "did not pass", (), "/assets/x", name)
    return CheckEvaluated("x", name, partition, minute(at), report)


def run(at, succeeded, *, job="analysis_daily", whole=True, made=(), unmade=(), told=True):
    report = None if succeeded or not told else Failure(job, "failed", (), "/runs/1", "run_failed")
    names = [frozenset(made_name(asset, "2026-03-01") for asset in assets) for assets in (made, unmade)]
    return RunEnded(job, "2026-03-01", minute(at), whole, succeeded, *names, report)


def news(state, at):
    """What is told at a minute: key -> whether it fails; and the state when all was told."""
    found = due(state, minute(at), QUIET)
    return {incident.key: incident.failing for incident in found}, mark_reported(state, found, minute(at))


def test_one_message_when_it_breaks_and_one_when_it_is_over():
    key = "check live_chat_is_fresh x"
    state, told = State(), []
    for at, passed in ((0, True), (15, False), (30, False), (45, False), (60, True), (75, True)):
        state = observe(state, [check(at, passed)])
        message, state = news(state, at)
        told.append(message)
    assert told == [{}, {key: True}, {}, {}, {key: False}, {}]
    [incident] = state.incidents.values()
    assert (incident.since, incident.at) == (minute(15), minute(60))


def test_history_read_again_or_out_of_order_changes_nothing():
    story = [check(0, False), check(15, True), check(30, False), run(31, False, unmade=("atlas",))]
    once = observe(State(), story)
    assert observe(once, story) == once
    assert observe(State(), reversed(story)) == once
    _, told = news(once, 32)
    assert observe(told, story[1:]) == told
    assert news(told, 33)[0] == {}


def test_what_broke_and_was_mended_between_two_rounds_is_no_news():
    state = observe(State(), [check(0, False), check(1, True)])
    assert news(state, 2)[0] == {}
    assert forget(state, minute(2)).incidents == {}


def test_what_comes_back_soon_waits_for_the_quiet_period_and_is_then_told():
    key = "check live_chat_is_fresh x"
    state, told = State(), {}
    # Fails and passes in turn, every quarter of an hour, for six hours; then it stays broken.
    for at in range(0, 600, 15):
        state = observe(state, [check(at, at < 360 and (at // 15) % 2 == 1)])
        message, state = news(state, at)
        if message:
            told[at] = message[key]
    times = list(told)
    assert list(told.values()) == [True, False] * (len(told) // 2) + [True] * (len(told) % 2)
    for broken, earlier in zip(times[2::2], times[1::2], strict=False):
        assert broken - earlier >= 60
    assert len(times) <= 2 * (360 // 60) + 1
    assert told[times[-1]] is True


def test_failures_while_nobody_is_told_are_counted():
    state = observe(State(), [check(0, False)])
    _, state = news(state, 0)
    state = observe(state, [check(5, True)])
    _, state = news(state, 5)
    for at in (10, 20, 30):
        state = observe(state, [check(at, False), check(at + 5, True)])
        assert news(state, at + 5)[0] == {}
    state = observe(state, [check(70, False)])
    [incident] = due(state, minute(70), QUIET)
    assert (incident.failing, incident.failures, incident.since) == (True, 4, minute(70))


def test_an_error_in_one_partition_is_not_over_when_another_passes():
    state = observe(State(), [check(0, False, partition="2026-03-01")])
    _, state = news(state, 0)
    state = observe(state, [check(5, True, partition="2026-03-02"), run(6, True)])
    assert news(state, 6)[0] == {}
    state = observe(state, [check(7, True, partition="2026-03-01")])
    assert list(news(state, 7)[0].values()) == [False]


@pytest.mark.parametrize(
    ("later", "over"),
    [
        ([run(10, True)], True),
        ([run(10, True, job="vod_6h")], False),
        ([run(10, False, told=False)], False),
        # The UI made the missing assets one after another.
        ([run(10, True, job="run of b", made=("b",)), run(11, True, job="run of c", made=("c",))], True),
        ([run(10, True, job="run of b", made=("b",))], False),
        # A part of the job is not the job, unless nothing was missing.
        ([run(10, True, whole=False, made=("a",))], False),
        ([run(10, True, whole=False, made=("b", "c"))], True),
        # It happened before the failure.
        ([run(-5, True, made=("b", "c"))], False),
        # Mended half by the first, broken again by the second.
        ([run(10, True, job="run of b", made=("b",)), run(11, False, unmade=("c",))], False),
        (
            [run(10, False, made=("b",), unmade=("c",)), run(11, True, job="run of c", made=("c",))],
            True,
        ),
    ],
)
def test_a_failed_run_is_over_when_the_job_succeeds_or_all_it_owed_is_made(later, over):
    state = observe(State(), [run(0, False, made=("a",), unmade=("b", "c"))])
    _, state = news(state, 0)
    for event in later:
        state = observe(state, [event])
    assert news(state, 12)[0] == ({"run analysis_daily 2026-03-01": False} if over else {})


def test_a_job_without_assets_is_over_by_its_own_success_alone():
    state = observe(State(), [run(0, False, job="maintenance")])
    _, state = news(state, 0)
    state = observe(state, [run(1, True, made=("a", "b"))])
    assert news(state, 1)[0] == {}
    state = observe(state, [run(2, True, job="maintenance")])
    assert news(state, 2)[0] == {"run maintenance 2026-03-01": False}


@pytest.mark.parametrize("seed", range(20))
def test_random_stories_told_at_random_moments_end_in_the_truth(seed):
    """Whatever happens, people end up knowing what is broken, and never hear the same thing twice."""
    chance = random.Random(seed)
    state, truth, believed = State(), {}, {}
    names = [f"check{number}" for number in range(4)]
    for at in range(300):
        if chance.random() < 0.4:
            name, passed = chance.choice(names), chance.random() < 0.5
            truth[f"check {name} x"] = not passed
            state = observe(state, [check(at, passed, name)])
        if chance.random() < 0.3:
            message, state = news(state, at)
            for key, failing in message.items():
                assert believed.get(key, False) != failing
                believed[key] = failing
            state = again(forget(state, minute(at)))
    message, state = news(state, 300 + 61)
    believed |= message
    assert {key for key, failing in believed.items() if failing} == {
        key for key, failing in truth.items() if failing
    }


def test_only_one_sends_at_a_time_and_a_dead_one_not_for_ever():
    first = claim(State(), "a", START)
    assert claim(first, "b", minute(4)) is None
    assert claim(first, "b", minute(5)).sender == "b"
    assert claim(release(first, "a"), "b", minute(1)).sender == "b"
    assert release(first, "b") == first


def test_news_that_arrives_while_a_message_is_under_way_is_not_lost():
    state = observe(State(), [check(0, False)])
    found = due(state, minute(0), QUIET)
    state = observe(state, [check(1, True)])
    state = mark_reported(state, found, minute(1))
    assert news(state, 2)[0] == {"check live_chat_is_fresh x": False}


def test_the_state_is_bounded_and_what_is_due_stays():
    closed = [check(number, False, f"closed{number}") for number in range(100)]
    state = mark_reported(
        observe(State(), closed), observe(State(), closed).incidents.values(), minute(100)
    )
    over = [check(200 + number, True, f"closed{number}") for number in range(100)]
    state = observe(state, over)
    state = mark_reported(state, due(state, minute(300), QUIET), minute(300))
    known = [check(400 + number, False, f"known{number}") for number in range(200)]
    state = observe(state, known)
    state = mark_reported(state, due(state, minute(600), QUIET), minute(600))
    state = observe(state, [check(700 + number, False, f"due{number}") for number in range(150)])
    names = [incident.report.name for incident in forget(state, minute(900)).incidents.values()]
    assert len(names) == MAX_INCIDENTS
    assert sum(name.startswith("due") for name in names) == 150
    # All 100 closed ones went, and the 50 oldest of those that people know of.
    assert sorted(int(name[5:]) for name in names if name.startswith("known")) == list(range(50, 200))
    assert len(STATE.encode(forget(state, minute(900)))) < 300_000


def test_closed_incidents_are_forgotten_after_a_week():
    state = observe(State(), [check(0, False)])
    _, state = news(state, 0)
    state = observe(state, [check(5, True)])
    _, state = news(state, 5)
    assert len(forget(state, minute(5) + timedelta(days=6)).incidents) == 1
    assert len(forget(state, minute(5) + timedelta(days=8)).incidents) == 0


def test_the_state_survives_its_object():
    state = observe(State(read_up_to=START), [run(0, False, unmade=("b", "c")), check(1, False)])
    _, state = news(state, 3)
    state = replace(state, sender="a", sending_until=minute(8))
    assert again(state) == state


@pytest.mark.parametrize("data", [b"", b"{", b'{"incidents": 3}', b'{"surprise": 1}', b"\xff\xfe"])
def test_an_object_that_is_no_state_is_named(data):
    with pytest.raises(ValueError, match=STATE_KEY):
        STATE.parse(data, STATE.key)
