"""The benchmark of communities: its graph, what counts as in pieces, that it measures. Never how fast."""

from __future__ import annotations

import numpy as np
import pytest

from vieweratlas_dagster.analysis.network import Network

from . import communities


def test_the_graph_has_the_edges_asked_for_and_a_heavy_tail():
    graph = communities.draw(800, 20_000, seed=3)
    again = communities.draw(800, 20_000, seed=3)
    assert len(graph.weight) == 20_000
    assert len(set(zip(graph.source, graph.target, strict=True))) == 20_000
    assert (graph.source < graph.target).all()
    assert all((getattr(graph, name) == getattr(again, name)).all() for name in ("source", "weight"))
    assert graph.weight.min() == 5
    assert graph.weight.max() > 100 * graph.weight.min()
    assert graph.degree.max() > 5 * np.median(graph.degree)


def test_labels_in_pieces_are_counted():
    graph = Network(5, np.array([0, 2, 3]), np.array([1, 3, 4]), np.ones(3))
    assert communities._in_pieces(graph, np.array([0, 0, 1, 1, 1])) == 0
    assert communities._in_pieces(graph, np.array([0, 0, 0, 1, 1])) == 1
    assert communities._in_pieces(graph, np.array([0, 1, 1, 0, 1])) == 2


@pytest.fixture(scope="module")
def rows():
    return {row.what: row for row in communities.measure(quick=True)}


def test_ours_and_the_rival_are_measured_on_the_same_graph(rows):
    assert rows["one run"].value > 0
    assert rows["one run of python-louvain"].value > 0
    best = rows["modularity, best of 5"]
    assert 0.2 < best.least <= 1
    assert not best.missed
    assert rows["labels in pieces"].value == 0


def test_the_bar_is_the_one_that_was_set(rows):
    assert rows["times python-louvain"].least == 20
