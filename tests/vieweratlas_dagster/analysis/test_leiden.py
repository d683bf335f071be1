"""The Leiden algorithm: against every partition of small graphs, another library, and its own rules."""

from pathlib import Path

import graspologic_native
import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vieweratlas_dagster.analysis import leiden as steps
from vieweratlas_dagster.analysis.leiden import leiden
from vieweratlas_dagster.analysis.network import Network, network, renumber
from vieweratlas_dagster.analysis.quality import modularity
from vieweratlas_dagster.imports.overlap_list import read_overlap_list

EXAMPLE = Path(__file__).parents[3] / "examples" / "twitch-atlas-2020-08"


def graph_of(size, edges):
    pairs = np.array(list(edges), dtype=np.int64).reshape(-1, 2)
    return Network(size, pairs[:, 0], pairs[:, 1], np.array(list(edges.values()), dtype=np.float64))


def graphs(most, weights):
    def edges(size):
        pairs = [(one, other) for one in range(size) for other in range(one + 1, size)]
        return st.dictionaries(st.sampled_from(pairs), weights, min_size=1).map(
            lambda found: graph_of(size, found)
        )

    return st.integers(2, most).flatmap(edges)


def level_of(graph):
    matrix = graph.adjacency
    return matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), matrix.data, graph.strength


def partitions(size):
    """Every partition of 0..size-1, as labels."""
    found = [[0]]
    for _ in range(size - 1):
        found = [[*labels, label] for labels in found for label in range(max(labels) + 2)]
    return np.array(found)


def test_of_all_partitions_of_small_graphs_the_best_is_found_or_nearly():
    rng = np.random.default_rng(1)
    short = []
    for _ in range(150):
        size = int(rng.integers(2, 8))
        pairs = [(one, other) for one in range(size) for other in range(one + 1, size)]
        chosen = [pair for pair in pairs if rng.random() < 0.6] or pairs[:1]
        graph = graph_of(size, {pair: int(rng.integers(1, 21)) for pair in chosen})
        resolution = float(rng.choice([0.5, 1.0, 2.0]))
        best = max(modularity(graph, labels, resolution) for labels in partitions(size))
        found = max(modularity(graph, leiden(graph, resolution, seed), resolution) for seed in range(10))
        assert found <= best + 1e-12
        short.append(best - found)
    assert max(short) < 0.02
    assert np.mean(np.array(short) < 1e-12) >= 0.95


@settings(max_examples=150, deadline=None)
@given(graphs(14, st.floats(1e-6, 1e6)), st.sampled_from([0.3, 1.0, 3.0]), st.integers(0, 9))
def test_a_cycle_never_makes_labels_worse(graph, resolution, seed):
    rng = np.random.default_rng(seed)
    labels = renumber(rng.integers(0, 5, graph.size))
    for _ in range(3):
        after = steps._cycle(level_of(graph), labels, resolution / graph.strength.sum(), rng)
        assert modularity(graph, after, resolution) >= modularity(graph, labels, resolution) - 1e-9
        labels = renumber(after)


@settings(max_examples=150, deadline=None)
@given(graphs(14, st.integers(1, 20)), st.integers(0, 9))
def test_parts_are_connected_and_within_their_label(graph, seed):
    rng = np.random.default_rng(seed)
    labels = renumber(rng.integers(0, 3, graph.size))
    order = rng.permutation(graph.size)
    parts = renumber(steps._refined(*level_of(graph), labels, order, 1 / graph.strength.sum()))
    assert (graph.connected_parts(parts) == parts).all()
    assert len(set(zip(labels, parts, strict=True))) == parts.max() + 1


@settings(max_examples=150, deadline=None)
@given(graphs(14, st.integers(1, 20)), st.integers(0, 9))
def test_aggregation_keeps_every_weight(graph, seed):
    parts = renumber(np.random.default_rng(seed).integers(0, 4, graph.size))
    count = int(parts.max()) + 1
    indptr, indices, data, strength = steps._aggregated(*level_of(graph), parts, count)
    expected = graph.quotient(parts).adjacency.toarray()
    found = np.zeros((count, count))
    found[np.repeat(np.arange(count), np.diff(indptr)), indices] = data
    assert (found == expected).all()
    assert len(data) == (expected > 0).sum()
    assert (strength == np.bincount(parts, graph.strength, count)).all()


def test_cliques_in_a_ring_are_found_whole():
    graph = graph_of(72, {tuple(sorted(edge)): 1.0 for edge in nx.ring_of_cliques(12, 6).edges})
    for seed in range(5):
        assert (leiden(graph, 1.0, seed) == np.arange(72) // 6).all()


def test_vertices_without_edges_are_alone():
    labels = leiden(graph_of(5, {(1, 3): 2.0}), 1.0, 0)
    assert labels.tolist() == [0, 1, 2, 1, 3]


def test_as_good_as_an_independent_library_on_a_real_graph():
    given_list = read_overlap_list(EXAMPLE / "edges.csv", EXAMPLE / "nodes.csv")
    graph = network(given_list.audiences, given_list.edges)
    edges = [
        (str(one), str(other), weight)
        for one, other, weight in zip(graph.source, graph.target, graph.weight, strict=True)
    ]
    for resolution in (0.5, 1.0, 4.0):
        ours, theirs = [], []
        for seed in range(5):
            ours.append(modularity(graph, leiden(graph, resolution, seed), resolution))
            _, found = graspologic_native.leiden(edges, resolution=resolution, iterations=3, seed=seed)
            labels = np.array([found.get(str(vertex), -1) for vertex in range(graph.size)])
            theirs.append(modularity(graph, labels, resolution))
        assert max(ours) >= max(theirs) * 0.9995
        assert np.mean(ours) >= np.mean(theirs) * 0.999


def test_the_seed_decides_and_nothing_else():
    rng = np.random.default_rng(3)
    source, target = np.triu_indices(80, 1)
    graph = Network(80, source, target, rng.gamma(0.3, 10, len(source)) + 0.01)
    assert all((leiden(graph, 1.0, seed) == leiden(graph, 1.0, seed)).all() for seed in range(5))
    assert len({leiden(graph, 1.0, seed).tobytes() for seed in range(8)}) > 1
