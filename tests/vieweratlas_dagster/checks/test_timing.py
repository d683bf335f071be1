"""The rules behind the checks of the present, against brute force and by example."""

import random
from datetime import timedelta

import pytest

from tests.worlds.checked_queue import HOUR, NOON, vod
from vieweratlas_dagster.checks.timing import (
    QueueFailures,
    QueueState,
    age_minutes,
    full_hour,
    hours_without,
    queue_failures,
    queue_state,
)


def test_age_is_measured_on_the_data():
    assert age_minutes(NOON - timedelta(minutes=90), NOON) == 90
    assert age_minutes(None, NOON) is None


@pytest.mark.parametrize("seconds", [300, 3600, 7200])
def test_hours_without_are_those_that_no_second_of_a_window_is_in(seconds):
    rng = random.Random(seconds)
    first, end = NOON - 24 * HOUR, NOON
    for count in (0, 3, 20):
        window = timedelta(seconds=seconds)
        starts = [first - HOUR + window * rng.randrange(int(26 * HOUR / window)) for _ in range(count)]
        seen = {
            full_hour(start + timedelta(minutes=minute))
            for start in starts
            for minute in range(seconds // 60)
        }
        expected = [first + number * HOUR for number in range(24) if first + number * HOUR not in seen]
        assert hours_without(starts, window, first=first, end=end) == expected
    assert hours_without([], HOUR, first=end, end=first) == []


def test_the_queue_s_longest_waits():
    items = [
        vod(1, 5, "pending"),
        vod(2, 30, "incomplete"),
        vod(3, 90, "dead"),
        vod(4, 95, "done"),
        vod(5, 40, "leased", lease_hours=-13),
        vod(6, 41, "leased", lease_hours=0.2),
        # Found long after its end: it could not have been read before.
        vod(7, 500, "pending", queued_at=NOON - 4 * HOUR),
    ]
    # By the clock of the data it is a day later.
    state = queue_state(items, now=NOON + 24 * HOUR, real_now=NOON)
    assert state == QueueState(
        waiting=3, leased=2, dead=1, oldest_waiting_hours=54.0, longest_expired_hours=13.0
    )
    assert queue_state([], now=NOON, real_now=NOON) == QueueState(0, 0, 0, 0.0, 0.0)


def test_the_queue_s_failures_are_those_that_reading_could_mend():
    items = [
        vod(1, 5, "done"),
        vod(2, 5, "done"),
        vod(3, 5, "dead", reason="HTTP 503"),
        vod(4, 5, "dead", reason="deleted", gone=True),
        vod(5, 5, "pending", reason="HTTP 503"),
        vod(6, 5, "incomplete", reason="HTTP 500"),
        # Not tried yet, given back without a fault, and under way.
        vod(7, 5, "pending"),
        vod(8, 5, "incomplete"),
        vod(9, 5, "leased", lease_hours=1, reason="HTTP 503"),
    ]
    found = queue_failures(items)
    assert found == QueueFailures(done=2, dead=1, waiting=2, reasons={"HTTP 503": 2, "HTTP 500": 1})
    assert (found.attempted, found.share) == (5, 0.6)
    assert queue_failures([]) == QueueFailures(0, 0, 0, {})
    assert queue_failures([vod(1, 5, "dead", gone=True)]).share == 0.0
