"""The demo's judgement itself: every kind of error in the lake must show."""

from datetime import UTC, datetime

import polars as pl
import pytest

from collector_service.contract import viewer_key
from vieweratlas_dagster.commands.demo.truth import (
    CollectionTruth,
    Outage,
    Restored,
    agreement,
    compare_collection,
    compare_outage,
    first_join,
    true_presence,
)

START = 1_772_323_200
WINDOW = datetime.fromtimestamp(START, UTC)
LATER = datetime.fromtimestamp(START + 300, UTC)


def oracle(*rows):
    names = (
        "channel_id",
        "user_id",
        "window_start",
        "messages",
        "delivered",
        "notices",
        "notices_delivered",
    )
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Int64), orient="row")


TRUTH = true_presence(
    oracle(
        (1, 10, START, 3, 3, 0, 0),
        (1, 11, START, 0, 0, 1, 1),
        # Before the collector was there: happened, but was not delivered.
        (2, 10, START + 300, 2, 0, 0, 0),
    ),
    "key",
)


def presence(*rows):
    return pl.DataFrame(
        [
            (channel, viewer_key("key", str(user)), window, messages)
            for channel, user, window, messages in rows
        ],
        schema={
            "channel_id": pl.Int64,
            "viewer_key": pl.UInt64,
            "window_start": pl.Datetime("ms", "UTC"),
            "messages": pl.UInt32,
        },
        orient="row",
    )


def windows(observed):
    return pl.DataFrame(
        [(1, WINDOW, 300.0, 300), (2, LATER, observed, 300)],
        schema={
            "channel_id": pl.Int64,
            "window_start": pl.Datetime("ms", "UTC"),
            "observed_seconds": pl.Float64,
            "window_seconds": pl.UInt32,
        },
        orient="row",
    )


GOOD = presence((1, 10, WINDOW, 3), (1, 11, WINDOW, 0))
NONE = presence()


def test_a_perfect_collection_has_only_its_declared_gap():
    assert compare_collection(TRUTH, GOOD, NONE, windows(0.0)) == CollectionTruth(
        happened=3, collected=2, lost=0, lost_messages=0, cut_off=0, invented=0, undeclared=0, restored=0
    )


@pytest.mark.parametrize(
    ("live", "vod", "observed", "expected"),
    [
        (presence((1, 10, WINDOW, 3)), NONE, 0.0, {"lost": 1, "undeclared": 1}),
        (presence((1, 10, WINDOW, 2), (1, 11, WINDOW, 0)), NONE, 0.0, {"lost_messages": 1}),
        (presence((1, 10, WINDOW, 3), (1, 11, WINDOW, 0), (1, 12, WINDOW, 1)), NONE, 0.0, {"invented": 1}),
        (presence((1, 10, WINDOW, 3), (1, 11, LATER, 0)), NONE, 0.0, {"lost": 1, "invented": 1}),
        (GOOD, presence((2, 10, LATER, 2)), 0.0, {"restored": 1, "invented": 0}),
        (GOOD, presence((2, 99, LATER, 2)), 0.0, {"restored": 0, "invented": 1}),
        (GOOD, NONE, 300.0, {"undeclared": 1, "lost": 0}),
    ],
)
def test_every_error_shows(live, vod, observed, expected):
    found = compare_collection(TRUTH, live, vod, windows(observed))
    assert {name: getattr(found, name) for name in expected} == expected


# Windows 0 to 9 after START; killed in window 4, back in window 8. What came in window 3 was not saved.
OUTAGE = Outage(
    unsaved_since=START + 3 * 300 + 100,
    killed_at=START + 4 * 300 + 50,
    back_at=START + 8 * 300 + 10,
    window_seconds=300,
)
VIEWER = 10


def at(number):
    return datetime.fromtimestamp(START + number * 300, UTC)


def said(*numbers, delivered):
    """One viewer's message in channel 1 in each of these windows."""
    return true_presence(
        oracle(*((1, VIEWER, START + number * 300, 1, delivered, 0, 0) for number in numbers)), "key"
    )


def seen(*numbers):
    return presence(*((1, VIEWER, at(number), 1) for number in numbers))


def watched(*numbers, seconds):
    return (
        windows(0.0)
        .clear()
        .extend(
            pl.DataFrame(
                [(1, at(number), seconds, 300) for number in numbers],
                schema=windows(0.0).schema,
                orient="row",
            )
        )
    )


@pytest.mark.parametrize(
    ("missing", "observed", "expected"),
    [
        # Before the last seconds, and after the return: nothing excuses a loss.
        (2, 0.0, {"lost": 1, "lost_messages": 1, "cut_off": 0}),
        (8, 0.0, {"lost": 1, "lost_messages": 1, "cut_off": 0}),
        # Heard, or sent to a connection that was no longer read, and not claimed.
        (3, 299.0, {"lost": 0, "lost_messages": 0, "cut_off": 1}),
        (4, 0.0, {"lost": 0, "lost_messages": 0, "cut_off": 1}),
        (7, 0.0, {"lost": 0, "lost_messages": 0, "cut_off": 1}),
        # Not there although the collector says that it saw all of the window.
        (3, 300.0, {"lost": 1, "lost_messages": 1, "cut_off": 0, "undeclared": 1}),
    ],
)
def test_only_what_a_kill_cut_off_and_nobody_claims_is_no_loss(missing, observed, expected):
    truth = said(missing, delivered=1)
    found = compare_collection(truth, NONE, NONE, watched(missing, seconds=observed), OUTAGE)
    assert {name: getattr(found, name) for name in expected} == expected
    without = compare_collection(truth, NONE, NONE, watched(missing, seconds=observed))
    assert (without.lost, without.cut_off) == (1, 0)


def test_what_was_saved_before_the_kill_is_not_cut_off():
    found = compare_collection(said(3, 4, delivered=1), seen(3), NONE, watched(3, 4, seconds=10.0), OUTAGE)
    assert (found.collected, found.lost, found.cut_off) == (1, 0, 1)


def test_the_outage_counts_whole_windows_without_a_collector_alone():
    truth = said(*range(10), delivered=0)
    assert compare_outage(truth, NONE, NONE, OUTAGE) == Restored(missed=3, restored=0)
    # Of windows 5, 6 and 7, a VOD has two; what it has of other windows is not theirs.
    assert compare_outage(truth, NONE, seen(4, 5, 6, 8), OUTAGE) == Restored(missed=3, restored=2)
    # Another collector may have been there.
    assert compare_outage(truth, seen(5), seen(5, 6), OUTAGE) == Restored(missed=2, restored=1)
    assert compare_outage(said(1, 9, delivered=0), NONE, NONE, OUTAGE) == Restored(missed=0, restored=0)


def test_a_vod_that_brings_others_restores_nothing():
    truth = said(5, 6, delivered=0)
    others = presence((1, 99, at(5), 1), (2, VIEWER, at(6), 1))
    assert compare_outage(truth, NONE, others, OUTAGE) == Restored(missed=2, restored=0)


def test_the_return_is_the_first_join_after_the_new_start():
    joined = pl.DataFrame(
        {"channel_id": [1, 1, 2, 2], "from": [0.0, 90.0, 5.0, 80.5], "to": [50.0, 100.0, 51.0, 100.0]}
    )
    assert first_join(joined, after=70.0) == 80.5
    assert first_join(joined, after=90.0) is None
    assert first_join(joined.clear(), after=0.0) is None


def test_agreement_is_one_for_the_same_grouping_and_low_for_another():
    planted = pl.DataFrame(
        {"channel_id": range(8), "community": list("aabbccdd"), "region": list("xxxxyyyy")}
    )
    nodes = pl.DataFrame(
        {"channel_id": range(8), "community": [5, 5, 6, 6, 7, 7, 8, 8], "region": [1, 1, 1, 1, 2, 2, 2, 2]}
    )
    assert agreement(nodes, planted) == pytest.approx((1.0, 1.0))
    shuffled = nodes.with_columns(community=pl.Series([5, 6, 7, 8, 5, 6, 7, 8]))
    assert agreement(shuffled, planted)[0] < 0.1
    assert agreement(nodes.clear(), planted) == (0.0, 0.0)
