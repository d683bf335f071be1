"""Communities and regions: planted truth, connectedness, modularity, real data."""

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score

from tests.worlds.communities import communities_of, example, planted_world, tables_of
from vieweratlas_dagster.analysis.clustering import cluster, evidence, likeliest, merge_small
from vieweratlas_dagster.analysis.communities import STANDARD_CLUSTERING, ClusteringOptions
from vieweratlas_dagster.analysis.network import Network, network
from vieweratlas_dagster.analysis.overlap import overlap_graph
from vieweratlas_dagster.analysis.quality import modularity
from vieweratlas_dagster.settings import AnalysisSettings
from vieweratlas_dagster.tables import AUDIENCES, EDGES


def agreement(partition, truth):
    both = partition.join(truth, on="channel", how="inner").drop_nulls()
    return tuple(
        adjusted_mutual_info_score(both[f"{level}_truth"], both[level]) for level in ("community", "region")
    )


def disconnected(partition, edges, level):
    graph = nx.Graph()
    graph.add_edges_from(edges.select("source", "target").iter_rows())
    groups = partition.filter(pl.col(level).is_not_null()).group_by(level).agg("channel")
    return [key for key, members in groups.iter_rows() if not nx.is_connected(graph.subgraph(members))]


# Nested communities with 15 to 25 % of the views outside of them: five seeds, then worlds of other shapes.
PLANTED = [
    {"seed": 1, "crossing": 0.15},
    {"seed": 2, "crossing": 0.2},
    {"seed": 3, "crossing": 0.25},
    {"seed": 4, "crossing": 0.25},
    {"seed": 5, "crossing": 0.2},
    {"seed": 6, "crossing": 0.15, "inside_region": 0.3},
    {"seed": 7, "crossing": 0.25, "inside_region": 0.8},
    {"seed": 8, "regions": 3, "per_region": 3, "viewers": 8000},
    {"seed": 9, "regions": 6, "per_region": 1, "viewers": 8000, "bots": 600},
]


@pytest.mark.parametrize("world", PLANTED, ids=str)
def test_planted_communities_and_regions_are_found_despite_bots_and_giants(world):
    """Bots sit in half of all channels; with them in the graph, the same truth is not found."""
    planted = planted_world(**{"bots": 60, "giants": 2} | world)
    scores = {}
    for bot_filter in (True, False):
        graph = overlap_graph(
            planted.pairs,
            planted.channels,
            min_channel_viewers=10,
            overlap_threshold=3,
            bot_filter=bot_filter,
        )
        found = communities_of(graph.audiences, graph.edges)
        assert disconnected(found.partition, graph.edges, "community") == []
        assert disconnected(found.partition, graph.edges, "region") == []
        assert found.partition["community"].null_count() == 0
        scores[bot_filter] = agreement(found.partition, planted.truth)
    (community, region), (with_bots, regions_with_bots) = scores[True], scores[False]
    assert community >= 0.95
    assert region >= 0.98
    assert with_bots <= community
    assert regions_with_bots <= region
    assert with_bots + regions_with_bots < community + region - 0.3


def test_communities_lie_inside_regions():
    audiences, edges = example()
    for options in ({}, {"resolution": 1.0}, {"resolution": 3.0, "region_resolution": 0.2}):
        partition = communities_of(audiences, edges, **options).partition
        nested = partition.drop_nulls().group_by("community").agg(pl.col("region").n_unique())
        assert nested["region"].max() == 1
        assert partition.filter(pl.col("community").is_null() != pl.col("region").is_null()).is_empty()


def test_isolated_channels_have_no_community_and_others_do():
    audiences, edges = example()
    partition = communities_of(audiences, edges).partition
    linked = set(edges["source"]) | set(edges["target"])
    assert set(partition.drop_nulls()["channel"]) == linked
    assert partition.height == audiences.height


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["leiden", "louvain"])
def test_no_disconnected_community(algorithm):
    audiences, edges = example()
    for resolution in (0.5, 4.0):
        found = communities_of(audiences, edges, runs=3, algorithm=algorithm, resolution=resolution)
        assert disconnected(found.partition, edges, "community") == []
        assert disconnected(found.partition, edges, "region") == []


def test_modularity_at_resolution_one_reaches_the_best_known():
    audiences, edges = example()
    found = communities_of(audiences, edges, resolution=1.0)
    graph = nx.Graph()
    graph.add_weighted_edges_from(edges.select("source", "target", "shared_viewers").iter_rows())
    groups = found.partition.drop_nulls().group_by("community").agg("channel")["channel"].to_list()
    judged = nx.community.modularity(graph, [set(group) for group in groups])
    assert found.quality["modularity"] == pytest.approx(judged)
    assert judged >= 0.661 * 0.997
    assert 0.9 < found.quality["agreement"] <= 1


def test_the_result_depends_on_nothing_but_input_and_seed():
    audiences, edges = example()
    first = communities_of(audiences, edges)
    again = communities_of(audiences, edges)
    assert first.partition.equals(again.partition)
    assert first.quality == again.quality


@pytest.mark.parametrize("resolution", [None, 1.0])
def test_channels_without_edges_change_nothing_else(resolution):
    rng = np.random.default_rng(4)
    noise = {(f"c{i:02d}", f"c{j:02d}"): int(rng.integers(1, 9)) for i in range(50) for j in range(i)}
    sparse = {pair: weight for pair, weight in noise.items() if rng.random() < 0.12}
    told = [
        communities_of(*tables_of(sparse, alone), resolution=resolution)
        for alone in ([], [f"z{i:04d}" for i in range(2000)])
    ]
    assert told[1].quality == told[0].quality
    assert told[0].quality["agreement"] < 0.9
    assert told[1].partition.drop_nulls().equals(told[0].partition)


def test_higher_resolution_gives_more_communities():
    audiences, edges = example()
    counts = [
        communities_of(audiences, edges, resolution=value).partition["community"].n_unique()
        for value in (0.3, 1.0, 4.0)
    ]
    assert counts == sorted(set(counts))


def test_small_communities_join_a_neighbour_but_small_islands_stay():
    ring = {(f"a{i}", f"a{j}"): 100 for i in range(6) for j in range(i)}
    other = {(f"b{i}", f"b{j}"): 100 for i in range(6) for j in range(i)}
    edges = ring | other | {("a0", "x"): 5, ("x", "y"): 60, ("i1", "i2"): 9}
    found = communities_of(*tables_of(edges, ["lonely"]), resolution=1.0, min_community_size=4)
    community = dict(found.partition.select("channel", "community").iter_rows())
    assert community["x"] == community["y"] == community["a0"] != community["b0"]
    assert community["i1"] == community["i2"] not in {community["a0"], community["b0"], None}
    assert community["lonely"] is None


@pytest.mark.parametrize(
    "edges", [{}, {("a", "b"): 5}, {("a", "b"): 5, ("c", "d"): 5}, {("a", "b"): 5, ("b", "c"): 1}], ids=str
)
@pytest.mark.parametrize("resolution", [None, 1.0])
@pytest.mark.parametrize("algorithm", ["leiden", "louvain"])
def test_tiny_graphs(edges, resolution, algorithm):
    audiences, frame = tables_of(edges, ["z"])
    found = communities_of(audiences, frame, resolution=resolution, algorithm=algorithm)
    linked = {name for pair in edges for name in pair}
    assert set(found.partition.drop_nulls()["channel"]) == linked
    assert found.events.is_empty()


@pytest.mark.parametrize("resolution", [None, 1.0])
@pytest.mark.parametrize("algorithm", ["leiden", "louvain"])
def test_a_graph_that_is_one_giant_clump_is_one_community(algorithm, resolution):
    """Everybody shares with everybody, in proportion to size: nothing tells groups apart."""
    rng = np.random.default_rng(2)
    size = rng.pareto(1.5, 40) + 1
    edges = {
        (f"c{one:02d}", f"c{other:02d}"): 1 + int(rng.poisson(30 * size[one] * size[other]))
        for one in range(40)
        for other in range(one)
    }
    found = communities_of(*tables_of(edges), algorithm=algorithm, resolution=resolution)
    assert found.partition["community"].null_count() == 0
    assert found.partition["region"].n_unique() == 1
    if resolution is None:
        assert found.partition["community"].n_unique() == 1
    assert abs(found.quality["modularity"]) < 0.05


def test_one_channel_alone():
    found = communities_of(*tables_of({}, ["alone"]))
    assert found.partition.rows() == [("alone", None, None)]


@pytest.mark.parametrize("resolution", [None, 1.0, 8.0])
def test_channels_with_identical_audiences_are_together(resolution):
    """Two names of one show: every viewer of one is a viewer of the other."""
    world = planted_world(3, regions=3, per_region=2, viewers=5000)
    twin = world.pairs.filter(channel_id=1).with_columns(channel_id=pl.lit(999, dtype=pl.Int64))
    channels = pl.concat(
        [
            world.channels,
            world.channels.filter(channel_id=1).with_columns(
                pl.lit(999).alias("channel_id"), channel=pl.lit("twin")
            ),
        ],
        how="vertical_relaxed",
    )
    graph = overlap_graph(
        pl.concat([world.pairs, twin]), channels, min_channel_viewers=5, overlap_threshold=3
    )
    edge = graph.edges.filter((pl.col("source") == "twin") | (pl.col("target") == "twin"))
    assert edge["jaccard"].max() == 1
    found = communities_of(graph.audiences, graph.edges, resolution=resolution)
    of = dict(found.partition.select("channel", "community").iter_rows())
    one = world.channels.filter(channel_id=1)["channel"].item()
    assert of["twin"] == of[one] is not None


def test_names_in_any_script_change_nothing():
    audiences, edges = example()
    plain = communities_of(audiences, edges).partition
    # Sorted as before, so that the order of the rows is the same.
    new = {name: f"{at:05d} 漢字 é\U0001f600" for at, name in enumerate(audiences["channel"].sort())}
    renamed = communities_of(
        AUDIENCES.conform(audiences.with_columns(pl.col("channel").replace_strict(new))),
        EDGES.conform(edges.with_columns(pl.col("source", "target").replace_strict(new))),
    ).partition
    assert renamed.with_columns(channel=plain["channel"]).equals(plain)
    assert renamed["channel"].to_list() == [new[name] for name in plain["channel"]]


def test_nothing_at_all():
    found = communities_of(AUDIENCES.empty(), EDGES.empty())
    assert found.partition.is_empty()
    assert found.quality["modularity"] == 0


def test_an_edge_to_an_unknown_channel_is_refused():
    audiences, edges = tables_of({("a", "b"): 5})
    with pytest.raises(ValueError, match="target 'b' is not in audiences"):
        network(audiences.filter(pl.col("channel") == "a"), edges)


graphs = st.integers(2, 12).flatmap(
    lambda size: st.dictionaries(
        st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)).filter(
            lambda pair: pair[0] < pair[1]
        ),
        st.integers(1, 50),
    ).map(
        lambda edges: Network(
            size,
            np.array([pair[0] for pair in edges], dtype=np.int64),
            np.array([pair[1] for pair in edges], dtype=np.int64),
            np.array(list(edges.values()), dtype=np.float64),
        )
    )
)


@settings(max_examples=80, deadline=None)
@given(graphs, st.sampled_from(["leiden", "louvain"]), st.sampled_from([0.3, 1.0, 3.0]), st.integers(1, 5))
def test_every_label_is_connected_on_any_graph(graph, algorithm, resolution, smallest):
    labels = merge_small(graph, cluster(graph, algorithm, resolution, 0), smallest)
    assert labels.min() == 0
    assert set(labels) == set(range(labels.max() + 1))
    assert (graph.connected_parts(labels) == labels).all()
    whole = nx.Graph()
    whole.add_nodes_from(range(graph.size))
    whole.add_weighted_edges_from(zip(graph.source, graph.target, graph.weight, strict=True))
    for label in range(labels.max() + 1):
        assert nx.is_connected(whole.subgraph(np.flatnonzero(labels == label)))
    if len(graph.weight):
        groups = [set(np.flatnonzero(labels == label)) for label in range(labels.max() + 1)]
        expected = nx.community.modularity(whole, groups, resolution=resolution)
        assert modularity(graph, labels, resolution) == pytest.approx(expected)


def test_a_graph_without_groups_is_not_cut():
    rng = np.random.default_rng(1)
    source, target = np.triu_indices(30, 1)
    size = rng.uniform(1, 10, 30)
    graph = Network(30, source, target, rng.poisson(20 * size[source] * size[target]).astype(float))
    assert likeliest(graph, "leiden", 0).max() == 0
    halves = (np.arange(30) % 2).astype(np.int64)
    assert abs(evidence(graph, halves)) < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_a_sparse_graph_is_not_cut_by_chance(seed):
    """So few ties always fall into groups; they explain less than it takes to tell them."""
    drawn = nx.gnm_random_graph(200, 500, seed=seed)
    source, target = np.array(sorted(map(sorted, drawn.edges))).T
    graph = Network(200, source, target, np.ones(500))
    found = cluster(graph, "leiden", 1.0, 0)
    assert evidence(graph, found) > 0.1
    pieces = graph.connected_parts(np.zeros(200, dtype=np.int64))
    assert likeliest(graph, "leiden", 0).tolist() == pieces.tolist()


@settings(max_examples=150, deadline=None)
@given(graphs, st.integers(0, 9), st.integers(1, 6))
def test_small_labels_join_one_after_the_other_where_modularity_says(graph, seed, smallest):
    """Against the modularity of every merger, worked out anew each time."""
    labels = np.random.default_rng(seed).integers(0, 6, graph.size)
    labels = expected = graph.connected_parts(labels)
    while True:
        sizes = np.bincount(expected)
        tied = {
            tuple(pair)
            for one, other in zip(expected[graph.source], expected[graph.target], strict=True)
            for pair in ((one, other), (other, one))
            if one != other
        }
        small = [(sizes[one], one) for one in range(len(sizes)) if sizes[one] < smallest]
        small = [(size, one) for size, one in small if any(pair[0] == one for pair in tied)]
        if not small:
            break
        _, one = min(small)
        near = sorted(other for mine, other in tied if mine == one)
        joined = [np.where(expected == one, other, expected) for other in near]
        worth = [round(modularity(graph, each), 12) for each in joined]
        expected = graph.connected_parts(joined[worth.index(max(worth))])
    assert (merge_small(graph, labels, smallest) == expected).all()


def test_the_settings_choose_every_option():
    assert ClusteringOptions.of(AnalysisSettings()) == STANDARD_CLUSTERING
    chosen = {
        "algorithm": "louvain",
        "resolution": 2.0,
        "region_resolution": 0.5,
        "min_community_size": 5,
        "seed": 9,
    }
    assert ClusteringOptions.of(AnalysisSettings(**chosen)) == ClusteringOptions(**chosen)
