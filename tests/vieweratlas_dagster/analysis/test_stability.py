"""Identity over time: ids survive, events tell what happened."""

import numpy as np
import polars as pl
import pytest

from tests.worlds.communities import planted_world
from vieweratlas_dagster.analysis.atlas import build
from vieweratlas_dagster.analysis.communities import ClusteringOptions
from vieweratlas_dagster.analysis.overlap import overlap_graph
from vieweratlas_dagster.analysis.stability import Previous, carry_ids
from vieweratlas_dagster.tables import COMMUNITIES, NODES, PARTITION


def earlier(groups, newest=None):
    """A previous map whose communities are {id: channels}; all in region 1."""
    rows = [(name, key, 1) for key, names in groups.items() for name in names]
    partition = PARTITION.conform(pl.DataFrame(rows, schema=PARTITION.schema, orient="row"))
    communities = pl.DataFrame(
        [
            {"id": key, "level": "community", "label": f"old {key}", "newest_id": newest or max(groups)}
            for key in groups
        ],
        schema=COMMUNITIES.schema,
    )
    return Previous(partition, communities, NODES.empty())


def carried(groups, previous):
    names = pl.Series([name for members in groups for name in members])
    labels = np.array([at for at, members in enumerate(groups) for _ in members])
    found = carry_ids(names, labels, previous, "community")
    events = {(event["kind"], event["id"]): (event["others"], event["members"]) for event in found.events}
    return found.ids.tolist(), events


A, B, C = ([f"{letter}{i}" for i in range(8)] for letter in "abc")


def test_an_unchanged_partition_keeps_its_ids_without_events():
    assert carried([B, A], earlier({4: A, 9: B})) == ([9, 4], {})


def test_members_that_come_and_go_do_not_change_the_id():
    ids, events = carried([[*A[2:], "new1", "new2"], B[:5]], earlier({4: A, 9: B}))
    assert (ids, events) == ([4, 9], {})


def test_a_split_is_told_and_the_larger_part_keeps_the_id():
    ids, events = carried([A[:5], A[5:], B], earlier({4: A, 9: B}))
    assert ids == [4, 10, 9]
    assert events == {("split", 4): ([4, 10], A)}


def test_a_merger_is_told():
    ids, events = carried([[*A, *B[:6]], C], earlier({4: A, 9: B, 5: C}))
    assert ids == [4, 5]
    assert events == {("merged", 4): ([4, 9], sorted([*A, *B[:6]]))}


def test_births_and_deaths_are_told():
    ids, events = carried([A, C], earlier({4: A, 9: B}))
    assert ids == [4, 10]
    assert events == {("born", 10): ([], C), ("gone", 9): ([], B)}


def test_ids_are_never_used_again():
    """Not even the highest one, when its community has gone in the meantime."""
    ids, _ = carried([A, C], earlier({4: A}, newest=77))
    assert ids == [4, 78]


def test_too_little_in_common_is_no_identity():
    others = [f"d{i}" for i in range(8)]
    ids, _ = carried([[*A[:2], *B[:2], *C[:2], *others[:2]]], earlier({4: A, 9: B, 5: C, 6: others}))
    assert ids == [10]


def world_frames(seed=1, drop=0, **options):
    world = planted_world(seed, **{"regions": 3, "per_region": 3, "viewers": 6000} | options)
    pairs = world.pairs.sample(fraction=1 - drop, seed=5)
    graph = overlap_graph(pairs, world.channels, min_channel_viewers=5, overlap_threshold=3)
    return graph.audiences, graph.edges


def as_previous(atlas):
    return Previous(atlas.partition, atlas.communities, atlas.nodes)


@pytest.fixture(scope="module")
def first_day():
    return build(*world_frames())


def test_the_same_world_seen_through_other_viewers_keeps_ids_labels_colours_and_places(first_day):
    second = build(*world_frames(drop=0.3), ClusteringOptions(seed=99), previous=as_previous(first_day))
    both = first_day.nodes.join(second.nodes, on="channel", suffix="_after").drop_nulls("community")
    assert both.height > 80
    for column in ("community", "region", "color"):
        assert (both[column] == both[f"{column}_after"]).mean() > 0.97
    moved = np.hypot(both["x"] - both["x_after"], both["y"] - both["y_after"])
    cold = build(*world_frames(drop=0.3), ClusteringOptions(seed=99)).nodes.join(
        first_day.nodes, on="channel", suffix="_first"
    )
    jumped = np.hypot(cold["x"] - cold["x_first"], cold["y"] - cold["y_first"])
    assert np.median(moved) < 0.15 < np.median(jumped)


def test_a_community_that_really_splits_is_split_against_the_memory(first_day):
    """One community's viewers part into two halves of its channels."""
    world = planted_world(1, regions=3, per_region=3, viewers=6000)
    target = world.truth.filter(pl.col("community_truth") == 0)["channel"].sort().to_list()
    halves = {name: at % 2 for at, name in enumerate(target)}
    named = world.pairs.join(world.channels.select("channel_id", "channel"), on="channel_id")
    parted = named.filter(
        ~pl.col("channel").is_in(target)
        | (pl.col("channel").replace_strict(halves, default=0) == (pl.col("viewer_key") % 2).cast(pl.Int64))
    ).drop("channel")
    graph = overlap_graph(parted, world.channels, min_channel_viewers=5, overlap_threshold=3)
    after = build(graph.audiences, graph.edges, previous=as_previous(first_day))
    now = dict(after.partition.select("channel", "community").iter_rows())
    sides = [{now[name] for name in target if halves[name] == side and name in now} for side in (0, 1)]
    assert sides[0].isdisjoint(sides[1])
    old = first_day.partition.filter(pl.col("channel").is_in(target))["community"].mode()[0]
    splits = after.events.filter((pl.col("kind") == "split") & (pl.col("level") == "community"))
    assert splits["id"].to_list() == [old]
    assert set(splits["others"][0]) == sides[0] | sides[1]
