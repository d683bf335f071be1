"""The overlap engine against brute force with sets."""

import io
import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.communities import channel_frame, membership_frame, planted_world
from vieweratlas_dagster import tables
from vieweratlas_dagster.analysis import overlap
from vieweratlas_dagster.analysis.overlap import loyalty_weights, overlap_graph
from vieweratlas_dagster.analysis.plausible import plausible_channels, plausible_windows

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
@given(
    worlds,
    st.integers(1, 5),
    st.integers(1, 6),
    st.sampled_from([1, 3, 10_000_000]),
    st.sampled_from([0, 100]),
)
def test_counts_equal_brute_force(members, threshold, smallest, block, few):
    names = {key: f"n{(key * 7) % 13:02d}" for key in range(1, 13)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_BLOCK_CELLS", block)
        patch.setattr(overlap, "_FEW_CHANNELS", few)
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
        ("known bot", 1, 3, 3, None, 3),
        ("too many channels", 1, 15, 105, 10, 15),
        ("too many hours", 0, 0, 0, None, 0),
    ]
    clean = {channel: viewers - {bot, giant} for channel, viewers in people.items()}
    assert edge_dict(graph.edges) == shared_by_sets(clean, names)
    audience = dict(graph.audiences.select("channel", "messages").iter_rows())
    assert audience == {names[channel]: len(viewers) for channel, viewers in clean.items()}


@settings(max_examples=60, deadline=None)
@given(worlds, st.sets(st.integers(0, 40).map(lambda key: key * 2**58 + key)), st.integers(1, 4))
def test_bots_and_giants_count_nowhere_and_are_accounted_for(members, bots, cap):
    with_bots = dict(members)
    giant = 2**64 - 1
    for channel in range(1, 13):
        with_bots[channel] = members.get(channel, set()) | {giant}
    graph = graph_of(with_bots, bots=bots, bot_filter=True, max_channels_per_viewer=cap)
    degrees = {
        viewer: sum(viewer in viewers for viewers in with_bots.values())
        for viewer in set().union(*with_bots.values())
    }
    flagged = {viewer for viewer in degrees if viewer in bots}
    many = {viewer for viewer in degrees.keys() - flagged if degrees[viewer] > cap}
    assert giant in many
    clean = {channel: viewers - flagged - many for channel, viewers in with_bots.items()}
    names = {key: f"n{key:02d}" for key in range(1, 13)}
    assert edge_dict(graph.edges) == shared_by_sets(clean, names)
    assert dict(graph.audiences.select("channel", "viewers").iter_rows()) == {
        names[key]: len(viewers) for key, viewers in clean.items() if viewers
    }

    def account(who):
        touched = sum(bool(viewers & who) for viewers in with_bots.values())
        increments = sum(math.comb(degrees[viewer], 2) for viewer in who)
        return len(who), sum(degrees[viewer] for viewer in who), increments, touched

    columns = ("viewers", "memberships", "pairs_avoided", "channels")
    accounts = [account(flagged), account(many), account(set())]
    assert graph.exclusions.sort("reason").select(columns).rows() == accounts


@settings(max_examples=80, deadline=None)
@given(
    worlds,
    st.sets(st.integers(0, 40).map(lambda key: key * 2**58 + key)),
    st.integers(1, 3),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_who_is_in_too_many_windows_of_one_channel_counts_nowhere(members, bots, cap, most, random):
    pairs = membership_frame(members, bots=bots)
    told = [random.choice([0, 1, 2, 3, 4, 5, 2**32 - 1]) for _ in range(pairs.height)]
    pairs = pairs.with_columns(windows=pl.Series(told, dtype=pl.UInt32))
    names = {key: f"n{key:02d}" for key in range(1, 13)}
    options = {"min_channel_viewers": 1, "overlap_threshold": 1, "max_channels_per_viewer": cap}
    graph = overlap_graph(pairs, channel_frame(names), max_windows=most, **options)

    windows = {}
    for channel, viewer, count in pairs.select("channel_id", "viewer_key", "windows").rows():
        windows.setdefault(viewer, {})[channel] = count
    reasons = {"known bot": set(), "too many channels": set(), "too many hours": set()}
    for viewer, per_channel in windows.items():
        if viewer in bots:
            reasons["known bot"].add(viewer)
        elif len(per_channel) > cap:
            reasons["too many channels"].add(viewer)
        elif max(per_channel.values()) > most:
            reasons["too many hours"].add(viewer)
    expected = [
        (
            reason,
            len(who),
            sum(len(windows[viewer]) for viewer in who),
            sum(math.comb(len(windows[viewer]), 2) for viewer in who),
            {"known bot": None, "too many channels": cap, "too many hours": most}[reason],
            len({channel for viewer in who for channel in windows[viewer]}),
        )
        for reason, who in reasons.items()
    ]
    assert graph.exclusions.rows() == expected
    clean = {channel: viewers - set().union(*reasons.values()) for channel, viewers in members.items()}
    assert edge_dict(graph.edges) == shared_by_sets(clean, names)
    audience = {row[0]: row[1:] for row in graph.audiences.select("channel", "viewers", "messages").rows()}
    assert audience == {
        names[key]: (len(viewers), len(viewers)) for key, viewers in clean.items() if viewers
    }

    unfiltered = overlap_graph(pairs, channel_frame(names), max_windows=most, bot_filter=False, **options)
    assert edge_dict(unfiltered.edges) == shared_by_sets(members, names)
    assert unfiltered.exclusions["viewers"].sum() == 0


@pytest.mark.parametrize("bot_filter", [True, False])
def test_a_bot_in_every_channel_ties_them_only_without_the_filter(bot_filter):
    members = {channel: {channel * 10 + viewer for viewer in range(5)} | {7} for channel in range(1, 13)}
    for bots in ({7}, set()):
        graph = graph_of(members, bots=bots, bot_filter=bot_filter)
        assert graph.edges.height == (0 if bot_filter else 66)
        assert graph.exclusions["viewers"].sum() == bot_filter


@settings(max_examples=60, deadline=None)
@given(
    worlds, st.sampled_from(["messages", "windows"]), st.randoms(use_true_random=False), st.integers(1, 3)
)
def test_loyal_weights_are_sums_of_the_smaller_weight(members, loyalty, random, threshold):
    counts = {
        (channel, viewer): random.choice([0, 1, 2, 3, 4, 7, 8, 1000, 2**32 - 1])
        for channel, viewers in members.items()
        for viewer in viewers
    }
    pairs = membership_frame(members)
    told = pl.Series(
        [counts[row] for row in pairs.select("channel_id", "viewer_key").rows()], dtype=pl.UInt32
    )
    pairs = pairs.with_columns(messages=pl.lit(1, pl.UInt32), windows=pl.lit(1, pl.UInt32))
    names = {key: f"n{(key * 7) % 13:02d}" for key in range(1, 13)}
    options = {"min_channel_viewers": 1, "overlap_threshold": threshold, "bot_filter": False}
    graph = overlap_graph(
        pairs.with_columns(told.alias(loyalty)), channel_frame(names), loyalty=loyalty, **options
    )
    expected = {}
    for one, other in itertools.combinations(members, 2):
        both = members[one] & members[other]
        if len(both) >= threshold:
            # The binary digits of a number are 1 + floor(log2) of it.
            weight = sum(
                max(1, min(counts[one, viewer], counts[other, viewer]).bit_length()) for viewer in both
            )
            expected[tuple(sorted((names[one], names[other])))] = weight
    assert {(a, b): w for a, b, w in graph.edges.select("source", "target", "weight").rows()} == expected
    plain = overlap_graph(pairs, channel_frame(names), **options)
    assert graph.edges.drop("weight").equals(plain.edges.drop("weight"))
    assert plain.edges["weight"].equals(plain.edges["shared_viewers"].cast(pl.Float64).rename("weight"))


def test_loyalty_weights_grow_by_one_with_each_doubling():
    counts = np.array([0, 1, 2, 3, 4, 7, 8, 2**31, 2**32 - 1], dtype=np.uint32)
    assert loyalty_weights(counts).tolist() == [1, 1, 2, 2, 3, 3, 4, 32, 32]


@settings(max_examples=40, deadline=None)
@given(worlds, st.permutations(range(1, 13)))
def test_names_of_channels_do_not_matter(members, order):
    """Whichever of two channels comes first, they share the same viewers."""
    plain, renamed = ({key: f"n{place:02d}" for key, place in zip(range(1, 13), of, strict=True)}
                      for of in (range(1, 13), order))  # fmt: skip
    new_name = {plain[key]: renamed[key] for key in plain}
    expected = {
        tuple(sorted((new_name[one], new_name[other]))): shared
        for (one, other), shared in edge_dict(graph_of(members, names=plain).edges).items()
    }
    assert edge_dict(graph_of(members, names=renamed).edges) == expected


def test_the_same_input_gives_the_same_bytes():
    world = planted_world(5, viewers=4000, regions=2, per_region=3, bots=5)

    def written():
        graph = overlap_graph(world.pairs, world.channels, min_channel_viewers=5, overlap_threshold=2)
        found = []
        for frame in (graph.audiences, graph.edges, graph.exclusions, graph.left_out):
            buffer = io.BytesIO()
            frame.write_parquet(buffer)
            found.append(buffer.getvalue())
        return found

    assert written() == written()


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


@pytest.mark.parametrize(
    ("days", "window_seconds", "hours", "limit"),
    [
        (7, 300, 18, 1512),
        (3, 300, 18, 648),
        (3, 3600, 18, 54),
        (90, 10, 23, 745_200),
        (7, 7 * 60, 1, 60),  # rounded down: the next one is beyond
        (2, 300, 18, None),  # may be one marathon
        (0, None, 18, None),
        (7, None, 18, None),  # of unknown length
        (7, 3601, 18, None),  # too long to say how long anybody was there
        (7, 86_400, 18, None),
        (7, 300, 24, None),  # off
        (7, 300, 1000, None),
    ],
)
def test_the_most_windows_are_those_of_plausible_hours(days, window_seconds, hours, limit):
    assert plausible_windows(days, window_seconds, hours) == limit


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
    kinds = graph.left_out.select("channel", "kind", "excluded_viewers", "coverage").rows()
    assert kinds == [
        ("bots", "few_viewers", 1, None),
        ("quiet", "few_viewers", 0, None),
        ("small", "excluded", 1, None),
    ]


def test_left_out_channels_say_how_they_were_observed():
    told = [
        ("absent", {}, 0.0, 0, "the account is suspended"),
        ("dark", {}, 3600.0, 0, None),
        ("mute", {}, 3600.0, 12, None),
        ("glimpsed", {1}, 900.0, 3, None),
        ("empty_glimpse", {}, 900.0, 3, None),
        ("half", {1}, 1800.0, 6, None),
        ("botted", {7, 8, 9}, 900.0, 3, None),
        ("shown", {1, 2, 3}, 10.0, 1, None),
    ]
    members = {number: viewers for number, (_, viewers, *_) in enumerate(told)}
    channels = channel_frame({number: row[0] for number, row in enumerate(told)}).with_columns(
        observed_seconds=pl.Series([row[2] for row in told]),
        recorded_seconds=pl.lit(3600),
        live_windows=pl.Series([row[3] for row in told]),
        reason=pl.Series([row[4] for row in told], dtype=pl.String),
    )
    pairs = membership_frame(members, bots={7, 8, 9})
    graph = overlap_graph(pairs, channels, min_channel_viewers=3, overlap_threshold=1)
    assert graph.audiences["channel"].to_list() == ["shown"]
    assert dict(graph.left_out.select("channel", "kind").iter_rows()) == {
        "absent": "never_observed",
        "botted": "excluded",
        "dark": "offline",
        "empty_glimpse": "little_coverage",
        "glimpsed": "little_coverage",
        "half": "few_viewers",
        "mute": "few_viewers",
    }
    why = dict(graph.left_out.select("channel", "reason").iter_rows())
    assert why["absent"] == "it was never read: the account is suspended"
    assert why["glimpsed"].startswith("1 viewers; ")
    assert why["glimpsed"].endswith("read for 25 % of the time only, so there may have been more")
    assert why["mute"] == "no viewer was seen chatting"
    coverage = dict(graph.left_out.select("channel", "coverage").iter_rows())
    assert (coverage["absent"], coverage["half"]) == (0, 0.5)


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
