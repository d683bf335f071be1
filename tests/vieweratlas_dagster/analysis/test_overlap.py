"""The overlap engine against brute force with sets."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vieweratlas_dagster import tables
from vieweratlas_dagster.analysis import overlap
from vieweratlas_dagster.analysis.overlap import overlap_graph, plausible_channels

from .planted_worlds import channel_frame, membership_frame, planted_world

worlds = st.dictionaries(
    st.integers(1, 12),
    st.sets(st.integers(0, 40).map(lambda key: key * 2**58 + key), min_size=1),
    max_size=9,
)


def graph_of(members, *, names=None, bots=(), **options):
    names = names or {key: f"n{key:02d}" for key in range(1, 13)}
    options = {"min_channel_viewers": 1, "overlap_threshold": 1, "bot_filter": False} | options
    return overlap_graph(membership_frame(members, bots=bots), channel_frame(names), **options)


def shared_by_sets(members, names, threshold=1):
    found = {}
    for one, other in itertools.combinations(members, 2):
        shared = len(members[one] & members[other])
        if shared >= threshold:
            found[tuple(sorted((names[one], names[other])))] = shared
    return found


def edge_dict(edges):
    return {(row["source"], row["target"]): row["shared_viewers"] for row in edges.iter_rows(named=True)}


@settings(max_examples=60, deadline=None)
@given(worlds, st.integers(1, 5), st.integers(1, 6), st.sampled_from([1, 3, 10_000_000]))
def test_counts_equal_brute_force(members, threshold, smallest, block):
    names = {key: f"n{(key * 7) % 13:02d}" for key in range(1, 13)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_BLOCK_CELLS", block)
        graph = graph_of(members, names=names, overlap_threshold=threshold, min_channel_viewers=smallest)
    kept = {key: viewers for key, viewers in members.items() if len(viewers) >= smallest}
    assert edge_dict(graph.edges) == shared_by_sets(kept, names, threshold)
    assert dict(graph.audiences.select("channel", "viewers").iter_rows()) == {
        names[key]: len(viewers) for key, viewers in kept.items()
    }
    assert set(graph.left_out["channel"]) == {names[key] for key in names if key not in kept}


@settings(max_examples=40, deadline=None)
@given(worlds, st.randoms(use_true_random=False))
def test_order_and_viewer_keys_do_not_matter(members, random):
    graph = graph_of(members)
    renamed = {key: {(viewer * 31 + 5) % 2**64 for viewer in viewers} for key, viewers in members.items()}
    rows = membership_frame(renamed).sample(fraction=1, shuffle=True, seed=random.randrange(1000))
    names = channel_frame({key: f"n{key:02d}" for key in range(1, 13)}).reverse()
    other = overlap_graph(rows, names, min_channel_viewers=1, overlap_threshold=1, bot_filter=False)
    assert other.edges.equals(graph.edges)
    assert other.audiences.equals(graph.audiences)


@settings(max_examples=40, deadline=None)
@given(worlds)
def test_measures_follow_their_formulas(members):
    graph = graph_of(members)
    viewers = dict(graph.audiences.select("channel", "viewers").iter_rows())
    population = len(set().union(*members.values()))
    for row in graph.edges.iter_rows(named=True):
        shared, one, other = row["shared_viewers"], viewers[row["source"]], viewers[row["target"]]
        assert row["source"] < row["target"]
        assert shared <= min(one, other)
        assert row["weight"] == shared
        assert row["jaccard"] == pytest.approx(shared / (one + other - shared))
        assert row["overlap"] == pytest.approx(shared / min(one, other))
        assert row["cosine"] == pytest.approx(shared / math.sqrt(one * other))
        chance = one * other / population**2
        spread = math.sqrt(population * chance * (1 - chance))
        expected = (shared - population * chance) / spread if spread else 0
        assert row["significance"] == pytest.approx(expected)


def test_exclusions_are_complete_and_counted():
    people = {channel: {channel * 100 + viewer for viewer in range(20)} | {7} for channel in range(1, 31)}
    bot, giant = 2**63 + 1, 2**63 + 2
    for channel in range(1, 4):
        people[channel].add(bot)
    for channel in range(1, 16):
        people[channel].add(giant)
    for channel in range(11, 31):
        people[channel].discard(7)  # an eager person: exactly ten channels, which is still plausible
    names = {channel: f"c{channel}" for channel in range(1, 31)}
    # The flag in one channel excludes the bot from all of them.
    pairs = membership_frame(people).with_columns(
        known_bot=(pl.col("viewer_key") == bot) & (pl.col("channel_id") == 1)
    )
    graph = overlap_graph(pairs, channel_frame(names), min_channel_viewers=1, overlap_threshold=1)
    assert graph.exclusions.sort("reason").rows() == [
        ("known bot", 1, 3, 3, None),
        ("too many channels", 1, 15, 105, 10),
    ]
    clean = {channel: viewers - {bot, giant} for channel, viewers in people.items()}
    assert edge_dict(graph.edges) == shared_by_sets(clean, names)
    audience = dict(graph.audiences.select("channel", "messages").iter_rows())
    assert audience == {names[channel]: len(viewers) for channel, viewers in clean.items()}


def test_without_the_filter_nobody_is_excluded():
    members = {channel: {1, 2, channel + 100} for channel in range(1, 13)}
    graph = graph_of(members, bots={1}, bot_filter=False)
    assert graph.exclusions["viewers"].sum() == 0
    assert set(graph.edges["shared_viewers"]) == {2}


@pytest.mark.parametrize(
    ("channels", "cap", "limit"),
    [(1, 100, 10), (57, 100, 10), (400, 100, 20), (10_000, 100, 100), (57, 5, 5)],
)
def test_the_limit_fits_small_and_large_worlds(channels, cap, limit):
    assert plausible_channels(channels, cap) == limit


def test_left_out_channels_say_why():
    members = {1: {1, 2, 3, 4}, 2: {1, 2, 9}, 3: {9}}
    names = {1: "big", 2: "small", 3: "bots", 4: "quiet"}
    graph = graph_of(members, names=names, bots={9}, bot_filter=True, min_channel_viewers=3)
    why = dict(graph.left_out.select("channel", "reason").iter_rows())
    assert set(why) == {"small", "bots", "quiet"}
    assert why["quiet"] == "no viewer was seen chatting"
    assert why["small"].startswith("2 viewers, 1 more were excluded as bots; ")
    assert why["bots"].startswith("0 viewers, 1 more were excluded as bots; ")
    assert "at least 3" in why["small"]


def test_results_conform_and_an_empty_world_is_empty():
    graph = graph_of({})
    for frame, table in (
        (graph.audiences, tables.AUDIENCES),
        (graph.edges, tables.EDGES),
        (graph.exclusions, tables.EXCLUSIONS),
        (graph.left_out, tables.LEFT_OUT),
    ):
        assert table.problems(frame) == []
    assert graph.edges.is_empty()
    assert graph.left_out.height == 12


def test_identical_audiences_are_wholly_alike():
    edge = graph_of({1: {1, 2, 3}, 2: {1, 2, 3}}).edges.row(0, named=True)
    assert (edge["jaccard"], edge["overlap"]) == (1, 1)
    assert edge["cosine"] == pytest.approx(1)


def test_a_login_that_two_channels_had_names_neither():
    graph = graph_of({1: {1}, 2: {1}}, names={1: "same", 2: "same"})
    assert graph.audiences["channel"].to_list() == ["same#1", "same#2"]


def test_broken_input_is_refused():
    doubled = membership_frame({1: [1, 1], 2: [1]})
    with pytest.raises(ValueError, match="more than once"):
        overlap_graph(doubled, channel_frame({1: "a", 2: "b"}), min_channel_viewers=1, overlap_threshold=1)
    with pytest.raises(ValueError, match="1 channel_ids are not in channels, such as 2"):
        graph_of({1: {1}, 2: {1}}, names={1: "a"})
    twice = pl.concat([channel_frame({1: "a"}), channel_frame({1: "b"})])
    with pytest.raises(ValueError, match="channel_id 1 is in more than one row"):
        overlap_graph(membership_frame({}), twice, min_channel_viewers=1, overlap_threshold=1)


def test_large_counts_agree_with_a_dense_product():
    world = planted_world(3, viewers=3000, regions=2, per_region=3)
    graph = overlap_graph(world.pairs, world.channels, min_channel_viewers=1, overlap_threshold=1)
    assert graph.exclusions["viewers"].sum() < 100
    excluded = world.pairs.group_by("viewer_key").len().filter(pl.col("len") > 10)
    kept = world.pairs.join(excluded, on="viewer_key", how="anti")
    wide = (
        kept.with_columns(one=pl.lit(1)).pivot("viewer_key", index="channel_id", values="one").fill_null(0)
    )
    matrix = wide.drop("channel_id").to_numpy().astype(np.int64)
    names = dict(world.channels.select("channel_id", "channel").iter_rows())
    order = [names[key] for key in wide["channel_id"]]
    product = matrix @ matrix.T
    expected = {
        tuple(sorted((order[i], order[j]))): int(product[i, j])
        for i, j in itertools.combinations(range(len(order)), 2)
        if product[i, j]
    }
    assert edge_dict(graph.edges) == expected
