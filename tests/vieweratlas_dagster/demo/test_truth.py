"""The demo's judgement itself: every kind of error in the lake must show."""

from datetime import UTC, datetime

import polars as pl
import pytest

from collector_service.contract import viewer_key
from vieweratlas_dagster.demo.truth import CollectionTruth, agreement, compare_collection, true_presence

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
        happened=3, collected=2, lost=0, lost_messages=0, invented=0, undeclared=0, restored=0
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
