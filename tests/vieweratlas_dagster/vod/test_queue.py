"""The VOD queue: its transitions, one by one and against a model."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from tests.worlds.vod_items import NOW, at, item, queued, take
from vieweratlas_dagster.vod import queue
from vieweratlas_dagster.vod.queue import Kept, LeaseLostError
from vieweratlas_dagster.vod.queue_store import decode, encode


def test_enqueue_is_idempotent_and_lets_vods_grow():
    items = queue.enqueue({}, [item(1), item(2)])
    assert items == queue.enqueue(items, [item(1), item(2)]) == queued(item(1), item(2))
    done = queued(item(1, status="done", attempts=2, coverage_seconds=1800.0))
    again = queue.enqueue(done, [item(1, title="new", view_count=9)])
    assert again == queued(replace(done["1"], title="new", view_count=9))
    grown = queue.enqueue(done, [item(1, duration_seconds=3600.0)])["1"]
    assert (grown.status, grown.attempts, grown.duration_seconds) == ("incomplete", 0, 3600)
    shorter = queue.enqueue(done, [item(1, duration_seconds=10.0)])
    assert shorter == done


def test_leases_the_newest_that_are_due():
    items = queued(
        item(1, hours=5),
        item(2, hours=1),
        item(3, hours=2, next_attempt_at=at(1)),
        item(4, hours=3, next_attempt_at=at(0), status="incomplete"),
        item(5, hours=0.1, status="done"),
        item(6, hours=0.1, status="dead"),
        item(7, hours=0.1, status="leased", lease_id="x", lease_expires_at=at(1)),
        item(8, hours=4, status="leased", lease_id="x", lease_expires_at=at(0), attempts=4),
    )
    after, taken = take(items, limit=9)
    assert [one.vod_id for one in taken] == ["2", "4", "8", "1"]
    assert all(one.lease_expires_at == at(900) and one.lease_id == "me" for one in taken)
    assert [one.attempts for one in taken] == [1, 1, 5, 1]
    assert after == items | queued(*taken)
    assert [one.vod_id for one in take(items, limit=2)[1]] == ["2", "4"]


def test_failures_back_off_and_end_dead():
    items, pauses, now = queued(item(1)), [], NOW
    for _ in range(9):
        items, (leased,) = take(items, now=now, max_attempts=10)
        items = queue.fail(items, leased, now=now, reason="HTTP 503", max_attempts=10)
        failed = items["1"]
        assert (failed.status, failed.reason, failed.lease_id) == ("pending", "HTTP 503", None)
        pauses.append((failed.next_attempt_at - now).total_seconds())
        assert take(items, now=failed.next_attempt_at - timedelta(seconds=1))[1] == []
        now = failed.next_attempt_at
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    items, (leased,) = take(items, now=now, max_attempts=10)
    items = queue.fail(items, leased, now=now, reason="HTTP 503", max_attempts=10)
    assert items["1"].status == "dead"
    assert take(items, now=at(10**6))[1] == []
    items = queue.retry(items, ["1"])
    assert (items["1"].status, items["1"].attempts, items["1"].next_attempt_at) == ("pending", 0, None)
    with pytest.raises(KeyError):
        queue.retry(items, ["404"])


def test_a_killed_run_is_repeated_and_counted():
    items = queued(item(1))
    for attempt in range(5):
        items, (leased,) = take(items, now=at(900 * attempt))
        assert leased.attempts == attempt + 1
        assert take(items, now=at(900 * attempt + 899))[1] == []
    items, taken = take(items, now=at(900 * 5))
    assert taken == []
    assert items["1"].status == "dead"
    assert "ended without a result" in items["1"].reason


def test_part_of_a_chat_is_kept_and_tried_again():
    items, (leased,) = take(queued(item(1)))
    kept = Kept(600.0, 40, 9)
    items = queue.fail(items, leased, now=NOW, reason="broke off", max_attempts=5, kept=kept)
    first = items["1"]
    assert (first.status, first.coverage_seconds, first.comments, first.viewers) == (
        "incomplete",
        600,
        40,
        9,
    )
    items, (leased,) = take(items, now=at(30))
    items = queue.fail(items, leased, now=at(30), reason="nothing", max_attempts=5)
    assert (items["1"].status, items["1"].coverage_seconds) == ("incomplete", 600)
    items, (leased,) = take(items, now=at(90))
    released = queue.release(items, leased)["1"]
    assert (released.status, released.attempts, released.next_attempt_at) == ("incomplete", 2, None)
    items = queue.complete(items, leased, kept=Kept(1800.0, 90, 11))
    assert (items["1"].status, items["1"].reason, items["1"].comments) == ("done", None, 90)


def test_a_vod_that_grew_while_it_was_read_is_read_again():
    items, (leased,) = take(queued(item(1)))
    items = queue.enqueue(items, [item(1, duration_seconds=3600.0)])
    assert items["1"].status == "leased"
    items = queue.complete(items, leased, kept=Kept(1800.0, 1, 1))
    assert (items["1"].status, items["1"].duration_seconds) == ("incomplete", 3600)
    assert take(items)[1][0].duration_seconds == 3600


def test_a_lost_lease_changes_nothing():
    items, (old,) = take(queued(item(1)), lease_id="old")
    items, (new,) = take(items, now=at(900), lease_id="new")
    for transition in (
        lambda: queue.complete(items, old, kept=Kept(1, 1, 1)),
        lambda: queue.fail(items, old, now=NOW, reason="x", max_attempts=5),
        lambda: queue.bury(items, old, reason="x"),
        lambda: queue.release(items, old),
        lambda: queue.extend(items, old, now=NOW, lease_seconds=900),
        lambda: queue.release({}, new),
    ):
        with pytest.raises(LeaseLostError):
            transition()
    assert queue.extend(items, new, now=at(1000), lease_seconds=900)["1"].lease_expires_at == at(1900)
    assert queue.bury(items, new, reason="gone")["1"].status == "dead"


def test_what_a_run_left_in_the_lake_goes_with_the_lease():
    items, (leased,) = take(queued(item(1)))
    items = queue.extend(items, leased, now=at(5), lease_seconds=900, kept=Kept(600.0, 40, 9, 600))
    one = items["1"]
    assert (one.lease_expires_at, one.coverage_seconds, one.resume_seconds) == (at(905), 600, 600)
    assert queue.extend(items, leased, now=at(9), lease_seconds=900)["1"].resume_seconds == 600
    items = queue.release(items, leased, kept=Kept(900.0, 50, 9, 900))
    assert (items["1"].status, items["1"].attempts, items["1"].resume_seconds) == ("incomplete", 0, 900)
    items, (leased,) = take(items)
    assert leased.resume_seconds == 900
    gone = queue.bury(items, leased, reason="deleted", kept=Kept(950.5, 55, 9))["1"]
    assert (gone.status, gone.gone, gone.coverage_seconds, gone.resume_seconds) == ("dead", True, 950.5, 0)
    assert not queue.retry({"1": gone}, ["1"])["1"].gone


def test_prune_drops_old_finished_entries_and_what_nobody_came_to():
    items = queued(
        item(1, hours=100, status="done"), item(2, hours=100, status="dead"),
        item(3, hours=100), item(4, hours=2, status="done"), item(5, hours=30), item(6, hours=29),
        item(7, hours=100, status="incomplete"), item(8, hours=100, status="leased", lease_id="x"),
        item(9, hours=100, queued_at=NOW),
    )  # fmt: skip
    kept = queue.prune(
        items, finished_before=NOW - timedelta(hours=50), waiting_before=NOW - timedelta(hours=29)
    )
    assert sorted(kept) == ["4", "6", "8", "9"]


class QueueMachine(RuleBasedStateMachine):
    """Several runs work on one queue; a VOD is held by one run at most, and nothing is ever lost."""

    leases = Bundle("leases")

    @initialize(count=st.integers(1, 6))
    def begin(self, count):
        self.now, self.serial, self.holders, self.finished = NOW, 0, {}, set()
        self.items = queue.enqueue({}, [item(n, hours=n) for n in range(count)])
        self.known = set(self.items)

    @rule(seconds=st.sampled_from([1, 30, 300, 900, 5000]))
    def time_passes(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule(target=leases, limit=st.integers(1, 3))
    def take(self, limit):
        self.serial += 1
        name = f"run{self.serial}"
        self.items, taken = take(self.items, now=self.now, limit=limit, max_attempts=3, lease_id=name)
        assert len(taken) <= limit
        for leased in taken:
            holder = self.holders.get(leased.vod_id)
            assert holder is None or holder.lease_expires_at <= self.now
            assert leased.vod_id not in self.finished
            assert leased.attempts <= 3
            self.holders[leased.vod_id] = leased
        self.check()
        return multiple(*taken)

    @rule(leased=consumes(leases), how=st.sampled_from(["complete", "fail", "part", "release", "bury"]))
    def end(self, leased, how):
        transitions = {
            "complete": lambda: queue.complete(self.items, leased, kept=Kept(1800, 1, 1)),
            "fail": lambda: queue.fail(self.items, leased, now=self.now, reason="x", max_attempts=3),
            "part": lambda: queue.fail(
                self.items, leased, now=self.now, reason="x", max_attempts=3, kept=Kept(5, 1, 1)
            ),
            "release": lambda: queue.release(self.items, leased),
            "bury": lambda: queue.bury(self.items, leased, reason="gone"),
        }
        if self.holders.get(leased.vod_id) is not leased or self.items[leased.vod_id].status == "dead":
            with pytest.raises(LeaseLostError):
                transitions[how]()
            return
        self.items = transitions[how]()
        del self.holders[leased.vod_id]
        if self.items[leased.vod_id].status in ("done", "dead"):
            self.finished.add(leased.vod_id)
        self.check()

    def check(self):
        assert set(self.items) == self.known
        assert decode(encode(self.items)) == self.items
        for one in self.items.values():
            assert (
                (one.status == "leased") == (one.lease_id is not None) == (one.lease_expires_at is not None)
            )


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
test_queue_machine = QueueMachine.TestCase
