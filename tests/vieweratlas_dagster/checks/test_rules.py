"""The rules behind the checks, on input that passes and on input that must not."""

import polars as pl
import pytest

from vieweratlas_dagster.checks.rules import (
    generic_share,
    overlap_violations,
    stable_share,
    times_usual,
    unknown_channels,
    unplaced_nodes,
)

AUDIENCES = pl.DataFrame({"channel": ["a", "b", "c"], "viewers": [10, 5, 7]})


def edge(source="a", target="b", shared=3, jaccard=0.25):
    return pl.DataFrame(
        {"source": [source], "target": [target], "shared_viewers": [shared], "jaccard": [jaccard]}
    )


def test_possible_graphs_pass():
    assert overlap_violations(AUDIENCES, edge()) == []
    assert overlap_violations(AUDIENCES, edge(shared=5, jaccard=0.5)) == []
    assert overlap_violations(AUDIENCES, edge().clear()) == []


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        (edge(target="z"), "without an audience"),
        (edge("b", "a"), "not ordered"),
        (edge("a", "a"), "not ordered"),
        (edge(shared=0), "share no viewers"),
        (edge(shared=6), "more viewers than a channel has"),
        (edge(jaccard=1.5), "Jaccard"),
    ],
)
def test_impossible_graphs_are_named(edges, expected):
    [violation] = overlap_violations(AUDIENCES, edges)
    assert violation.startswith("1 ")
    assert expected in violation


def test_channels_that_the_dimension_lacks_are_counted():
    channels = pl.DataFrame({"channel_id": [1, 2]})
    assert unknown_channels(pl.DataFrame({"channel_id": [1, 2, 2]}), channels) == 0
    assert unknown_channels(pl.DataFrame({"channel_id": [1, 9, 9, 8]}), channels) == 2


def test_the_generic_share_counts_fine_communities_alone():
    frame = pl.DataFrame({"level": ["region", "community", "community"], "generic": [True, True, False]})
    assert generic_share(frame) == 0.5
    assert generic_share(frame.clear()) == 0.0


def test_nodes_without_a_place_are_counted():
    frame = pl.DataFrame({"x": [0.0, float("nan"), 1.0], "y": [0.0, 0.0, float("inf")]})
    assert unplaced_nodes(frame) == 2


def test_the_stable_share_is_over_channels_with_a_community_on_both_days():
    before = pl.DataFrame({"channel": ["a", "b", "c", "d"], "community": [1, 1, 2, None]})
    after = pl.DataFrame({"channel": ["a", "b", "c", "d", "e"], "community": [1, 2, None, 2, 1]})
    assert stable_share(before, after) == (0.5, 2)
    assert stable_share(before, before) == (1.0, 3)
    assert stable_share(before.clear(), after) == (1.0, 0)


def test_usual_is_the_median_of_enough_days():
    assert times_usual(30, [10, 20, 900], fewest=3) == 1.5
    assert times_usual(30, [10, 20, 30, 900], fewest=3) == 1.2
    assert times_usual(30, [10, 20], fewest=3) is None
    assert times_usual(30, [0, 0, 0], fewest=3) is None
    assert times_usual(30, [], fewest=0) is None
