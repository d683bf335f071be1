"""The comparison itself: it notices what is lost, doubled, undeclared and overstated."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector_service.clock import ScaledClock
from collector_service.contract import encode_object, viewer_key
from collector_service.simulator.server import Simulator, SimulatorOptions
from tests.worlds.records import snapshot

from .harness import eventually, planted
from .intervals import length, minus, union
from .truth import SECRET, Allowed, Collected, Truth, compare

WINDOW = 300
moments = st.integers(0, 30)
sets = st.lists(st.tuples(moments, moments).map(lambda pair: (min(pair), max(pair))), max_size=6)


def seconds_of(intervals):
    return {second for begin, end in intervals for second in range(begin, end)}


@given(sets, sets)
def test_intervals_are_sets_of_moments(left, right):
    assert seconds_of(union(left)) == seconds_of(left)
    assert seconds_of(minus(left, right)) == seconds_of(left) - seconds_of(right)
    assert length(left) == len(seconds_of(left))
    assert all(first[1] < second[0] for first, second in zip(union(left), union(left)[1:], strict=False))


class Listener:
    """Somebody who is joined and receives."""

    tags = commands = True

    def send(self, data):
        pass


@pytest.fixture(scope="module")
def played():
    """An hour of a small world that somebody heard, but for a quarter in its middle."""
    return asyncio.run(play())


async def play():
    world = planted(seed=3, channels=6, viewers=400, days=1)
    clock = ScaledClock(time.time() + 0.5, world.start, 900.0, world.start + 3600)
    options = SimulatorOptions(window_seconds=WINDOW)
    async with Simulator.start(world, clock, options) as simulator:
        listener = Listener()
        for minutes, act in ((0, "subscribe"), (25, "unsubscribe"), (40, "subscribe"), (60, "unsubscribe")):
            await eventually(lambda minutes=minutes: clock.now() >= world.start + 60 * minutes)
            for room in simulator.broadcaster.rooms:
                getattr(room, act)(listener, clock.now())
    return simulator


def perfect(simulator):
    """The records of a collector that makes no mistake."""
    truth = Truth.of(simulator)
    stretches = {}
    for channel, begin, end in simulator.oracle.joined():
        stretches.setdefault(channel, []).append((begin, end))
    records = []
    for channel in simulator.world.channels:
        for start in range(int(simulator.world.start), int(simulator.world.start) + 3600, WINDOW):
            outside = [(float("-inf"), start), (start + WINDOW, float("inf"))]
            watched = minus(stretches[channel.channel_id], outside)
            keys = sorted(k for c, k, w in truth.presence if (c, w) == (channel.channel_id, start))
            counts = [truth.messages[channel.channel_id, key, start] for key in keys]
            records.append(
                snapshot(
                    channel.channel_id,
                    channel=channel.login,
                    collector_id="c",
                    window_start=datetime.fromtimestamp(start, UTC),
                    window_seconds=WINDOW,
                    observed_seconds=round(length(watched), 3),
                    messages=sum(counts),
                    viewer_keys=keys,
                    viewer_messages=counts,
                    observed_intervals=[(round(a - start, 3), round(b - start, 3)) for a, b in watched],
                )
            )
    return records


def judged(simulator, records, allowed=None):
    return compare(simulator, Collected([encode_object(records)]), allowed, tolerance=0.02)


def somebody(records):
    """A record with a viewer who wrote."""
    return next(record for record in records if record.messages and record.observed_seconds == WINDOW)


def test_a_perfect_collector_passes(played):
    verdict = judged(played, perfect(played))
    assert verdict.errors == []
    assert (verdict.lost, verdict.invented) == (0, 0)
    assert verdict.messages > 100
    assert verdict.watched_seconds == pytest.approx(6 * 45 * 60, rel=0.02)


def test_a_lost_message_is_noticed_unless_it_may_be_lost(played):
    records = perfect(played)
    record = somebody(records)
    place = next(i for i, number in enumerate(record.viewer_messages) if number)
    record.viewer_messages[place] -= 1
    key = record.channel_id, record.viewer_keys[place], int(record.window_start.timestamp())
    verdict = judged(played, records)
    assert verdict.lost >= 1
    assert any(error.startswith("lost: 1 messages") for error in verdict.errors)
    assert any(error.startswith("windows without a declared gap: 1") for error in verdict.errors)
    allowed = Allowed(lost=Truth(messages=Counter({key: 1})))
    assert judged(played, records, allowed).lost == 0


def test_a_doubled_record_is_noticed(played):
    records = perfect(played)
    verdict = judged(played, [*records, somebody(records)])
    assert verdict.invented == somebody(records).messages
    assert any(error.startswith("invented or doubled") for error in verdict.errors)


def test_a_stranger_is_noticed(played):
    records = perfect(played)
    somebody(records).viewer_keys.append(viewer_key(SECRET, "1"))
    somebody(records).viewer_messages.append(0)
    assert any(error.startswith("presence invented: 1") for error in judged(played, records).errors)


def test_time_that_was_not_watched_is_noticed(played):
    records = perfect(played)
    gap = next(record for record in records if record.observed_seconds == 0)
    gap.observed_seconds, gap.observed_intervals = 120.0, [(0.0, 120.0)]
    errors = judged(played, records).errors
    assert any("claimed but not joined 120.0 s" in error for error in errors)


def test_watched_time_that_is_missing_is_noticed_unless_it_may_be(played):
    records = perfect(played)
    record = somebody(records)
    record.observed_seconds, record.observed_intervals = 200.0, [(0.0, 200.0)]
    errors = judged(played, records).errors
    assert any("joined but not claimed 100.0 s" in error for error in errors)
    start = record.window_start.timestamp()
    assert judged(played, records, Allowed(unwatched=[(start + 200, start + 300)])).errors == []


def test_an_event_in_another_window_is_noticed_unless_it_may_be(played):
    records = perfect(played)
    record = somebody(records)
    other = next(one for one in records if one.channel == record.channel and one is not record)
    key, number = record.viewer_keys.pop(), record.viewer_messages.pop()
    assert key not in other.viewer_keys
    other.viewer_keys.append(key)
    other.viewer_messages.append(number)
    assert judged(played, records).errors
    places = [(one.window_start.timestamp(), one.window_start.timestamp() + 1) for one in (record, other)]
    assert judged(played, records, Allowed(moved=places)).errors == []
    assert judged(played, records, Allowed(moved=places[:1])).errors


@pytest.mark.parametrize("seconds", [15.0, 21.0])
def test_every_edge_is_judged_by_itself(played, seconds):
    records = perfect(played)
    for record in records:
        record.observed_intervals = [
            (a + seconds, b) for a, b in record.observed_intervals if a + seconds < b
        ]
        record.observed_seconds = length(record.observed_intervals)
    verdict = judged(played, records)
    # 18 s are allowed. Every window lacks its first seconds: together they are far more in any case.
    assert bool(verdict.errors) == (seconds > 18)
    assert all("joined but not claimed" in error for error in verdict.errors)
    assert verdict.edge_seconds == pytest.approx(seconds / played.clock.rate, abs=0.001)
