"""How good a map's communities are, as numbers."""

from __future__ import annotations

import numpy as np
import polars as pl

from vieweratlas_dagster.analysis.network import Labels, Network, network


def modularity(graph: Network, labels: Labels, resolution: float = 1.0) -> float:
    """Newman's modularity with resolution: sum over labels of w_in / m - resolution (k / 2m)^2.

    w_in is the weight inside a label, k the strength of its vertices, m the total weight (Newman &
    Girvan 2004; Reichardt & Bornholdt 2006). 0 for a graph without edges; a vertex labelled -1 is
    alone.
    """
    total = graph.weight.sum()
    if total == 0:
        return 0.0
    alone = np.where(labels < 0, labels.max(initial=-1) + 1 + np.arange(graph.size), labels)
    inside = graph.weight[alone[graph.source] == alone[graph.target]].sum()
    share = np.bincount(alone, graph.strength) / (2 * total)
    return float(inside / total - resolution * (share**2).sum())


def partition_modularity(edges: pl.DataFrame, partition: pl.DataFrame) -> float | None:
    """`modularity` of a PARTITION's communities on the ``weight`` of EDGES; None without edges."""
    if edges.is_empty():
        return None
    labels = partition["community"].fill_null(-1).cast(pl.Int64).to_numpy()
    return modularity(network(partition, edges), labels)
