"""Modularity of a partition, against networkx and by hand."""

import itertools
import random

import networkx as nx
import polars as pl
import pytest

from vieweratlas_dagster.analysis.quality import partition_modularity


def test_modularity_equals_that_of_networkx():
    rng = random.Random(3)
    names = [f"c{number:02d}" for number in range(12)]
    linked = [pair for pair in itertools.combinations(names, 2) if rng.random() < 0.5]
    pairs = [(*pair, float(rng.randint(1, 9))) for pair in linked]
    edges = pl.DataFrame(pairs, schema=["source", "target", "weight"], orient="row")
    partition = pl.DataFrame({"channel": names, "community": [number % 3 for number in range(12)]})
    graph = nx.Graph()
    graph.add_weighted_edges_from(pairs)
    groups = [set(names[group::3]) & set(graph) for group in range(3)]
    assert partition_modularity(edges, partition) == pytest.approx(nx.community.modularity(graph, groups))
    assert partition_modularity(edges.clear(), partition) is None


def test_channels_without_a_community_are_each_alone():
    edges = pl.DataFrame({"source": ["a", "c"], "target": ["b", "d"], "weight": [3.0, 1.0]})
    partition = pl.DataFrame({"channel": ["a", "b", "c", "d"], "community": [1, 1, None, None]})
    assert partition_modularity(edges, partition) == pytest.approx(3 / 4 - 36 / 64 - 2 / 64)
