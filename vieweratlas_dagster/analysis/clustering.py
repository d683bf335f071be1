"""Clustering one level of one graph: Leiden or Louvain, at a given resolution or at the likeliest.

The two levels and how they nest are in ``communities``, identity over time in ``stability``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import community as python_louvain
import networkx as nx
import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from vieweratlas_dagster.analysis.leiden import leiden
from vieweratlas_dagster.analysis.network import Labels, Network, renumber

Algorithm = Literal["leiden", "louvain"]

_RESOLUTIONS = np.geomspace(0.5, 8, 9)
# Communities that explain less than this, in nats per unit of weight, are too faint to count.
_FEWEST_NATS = 0.1


def evidence(graph: Network, labels: Labels) -> float:
    """How much better two densities explain the graph than one, in nats per unit of weight.

    The log-likelihood ratio of the degree-corrected planted-partition model against the configuration
    model: a ln(a / a0) + (1 - a) ln((1 - a) / (1 - a0)), where a is the share of the weight inside
    labels and a0 what degrees alone would put there, pairs of a vertex with itself left out (Newman
    2016, arXiv:1606.02319, profiled over both densities). Negative when less is inside than expected.
    """
    double = graph.strength.sum()
    if double == 0:
        return 0.0
    squares = (graph.strength**2).sum()
    pairs = double**2 - squares
    if pairs <= 0:
        return 0.0
    inside = graph.weight[labels[graph.source] == labels[graph.target]].sum() / graph.weight.sum()
    expected = ((np.bincount(labels, graph.strength) ** 2).sum() - squares) / pairs
    gain = sum(
        share * np.log(share / null)
        for share, null in ((inside, expected), (1 - inside, 1 - expected))
        if share > 0 and null > 0
    )
    return float(gain if inside > expected else -gain)


def cluster(graph: Network, algorithm: Algorithm, resolution: float, seed: int) -> Labels:
    """One run; every label is a connected subgraph, a vertex without edges is alone.

    Args:
        graph: at least one vertex.
        algorithm: ``leiden`` or ``louvain`` (python-louvain), which maximise the same modularity;
            python-louvain 0.16 stops too early below resolution 1.
        resolution: of the modularity; 1 is the standard one.
        seed: of the random order of moves.
    """
    if len(graph.weight) == 0:
        return np.arange(graph.size)
    run = leiden if algorithm == "leiden" else _louvain
    # Louvain often leaves a label in pieces, and in theory so may the last moves of Leiden.
    return graph.connected_parts(run(graph, resolution, seed))


def likeliest(graph: Network, algorithm: Algorithm, seed: int) -> Labels:
    """The clustering with the most `evidence` over a range of resolutions; one label if there is little.

    Modularity at one resolution merges small communities (Fortunato & Barthélemy 2007) or breaks big
    ones; the likelihood says which resolution the graph itself calls for. Groups are found even in graphs
    without any, so the labels must also explain more than it takes to describe them: ln(k) nats for each
    vertex with k labels (minimum description length; Peixoto 2013, Phys. Rev. Lett. 110:148701).
    Weights count as observations; where some are below 1, in units of the smallest.
    """
    best, chosen = _FEWEST_NATS, np.zeros(graph.size, dtype=np.int64)
    observations = graph.weight.sum() / min(1.0, graph.weight.min(initial=1.0))
    for resolution in _RESOLUTIONS:
        labels = cluster(graph, algorithm, float(resolution), seed)
        gain = evidence(graph, labels)
        if gain > best and gain * observations > graph.size * np.log(labels.max() + 1):
            best, chosen = gain, labels
    return graph.connected_parts(chosen)


@dataclass(frozen=True)
class Consensus:
    """The run chosen among several, and its mean AMI with the others (1 for a single run)."""

    labels: Labels
    agreement: float


def choose(runs: Sequence[Labels], scores: Sequence[float]) -> Consensus:
    """The run with the highest score (the first among equals)."""
    best = int(np.argmax(scores))
    others = [similarity(runs[best], run) for at, run in enumerate(runs) if at != best]
    return Consensus(runs[best], float(np.mean(others)) if others else 1.0)


def choose_central(runs: Sequence[Labels]) -> Consensus:
    """The run that agrees best with the others, for runs without a common score."""
    agreements = [
        np.mean([similarity(run, rival) for b, rival in enumerate(runs) if a != b] or [1.0])
        for a, run in enumerate(runs)
    ]
    best = int(np.argmax(agreements))
    return Consensus(runs[best], float(agreements[best]))


def similarity(first: Labels, second: Labels) -> float:
    """Adjusted mutual information over the vertices labelled in both: 1 equal, about 0 unrelated."""
    both = (first >= 0) & (second >= 0)
    return float(adjusted_mutual_info_score(first[both], second[both])) if both.any() else 1.0


def merge_small(graph: Network, labels: Labels, smallest: int) -> Labels:
    """Labels with fewer than ``smallest`` vertices joined to the neighbour they gain most modularity with.

    Smallest first; a label without neighbours stays as it is.
    """
    labels = renumber(labels)
    known = labels >= 0
    sizes = np.bincount(labels[known])
    strength = np.bincount(labels[known], graph.strength[known])
    total = graph.strength.sum()
    between = graph.quotient(labels)
    ties: list[dict[int, float]] = [{} for _ in sizes]
    for source, target, weight in zip(
        between.source.tolist(), between.target.tolist(), between.weight.tolist(), strict=True
    ):
        ties[source][target] = ties[target][source] = weight

    into = np.arange(len(sizes))
    small = {label for label, size in enumerate(sizes.tolist()) if size < smallest and ties[label]}
    while small:
        least = min(small, key=lambda label: (sizes[label], label))
        near = np.array(sorted(ties[least]))
        weight_to = np.array([ties[least][label] for label in near.tolist()])
        gain = weight_to - strength[least] * strength[near] / total
        kept, joined = sorted((least, int(near[np.argmax(gain)])))
        for far, weight in ties[joined].items():
            del ties[far][joined]
            if far != kept:
                ties[kept][far] = ties[far][kept] = ties[kept].get(far, 0.0) + weight
        sizes[kept] += sizes[joined]
        strength[kept] += strength[joined]
        into[into == joined] = kept
        small -= {kept, joined}
        if sizes[kept] < smallest and ties[kept]:
            small.add(kept)
    merged = labels.copy()
    merged[known] = into[labels[known]]
    return renumber(merged)


def _louvain(graph: Network, resolution: float, seed: int) -> Labels:
    whole: nx.Graph[int] = nx.Graph()
    whole.add_nodes_from(range(graph.size))
    whole.add_weighted_edges_from(
        zip(graph.source.tolist(), graph.target.tolist(), graph.weight.tolist(), strict=True)
    )
    found = python_louvain.best_partition(whole, resolution=resolution, random_state=seed)
    return np.array([found[vertex] for vertex in range(graph.size)], dtype=np.int64)
