"""A weighted undirected graph as arrays, the form in which clustering and layout compute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Network:
    """``size`` vertices 0..size-1 and edges ``source[e]`` - ``target[e]`` of ``weight[e]`` > 0.

    No self-loops, no pair twice. A labelling is an int64 array over the vertices, -1 for "none".
    """

    size: int
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]

    @cached_property
    def strength(self) -> NDArray[np.float64]:
        """Sum of the weights at each vertex, shape (size,)."""
        ends = np.concatenate([self.source, self.target])
        return np.bincount(ends, np.tile(self.weight, 2), self.size).astype(np.float64)

    @cached_property
    def degree(self) -> NDArray[np.int64]:
        """Number of neighbours of each vertex, shape (size,)."""
        return np.bincount(np.concatenate([self.source, self.target]), minlength=self.size)

    @cached_property
    def adjacency(self) -> sparse.csr_array:
        """Symmetric matrix of weights with sorted indices, shape (size, size)."""
        return symmetric(self.size, self.source, self.target, self.weight)

    def induced(self, members: NDArray[np.int64]) -> Network:
        """The subgraph of ``members``; vertex i of it is ``members[i]``."""
        number = np.full(self.size, -1, dtype=np.int64)
        number[members] = np.arange(len(members))
        inside = (number[self.source] >= 0) & (number[self.target] >= 0)
        return Network(
            len(members), number[self.source[inside]], number[self.target[inside]], self.weight[inside]
        )

    def quotient(self, labels: Labels) -> Network:
        """Labels as vertices, joined by the summed weight between them, without the weight inside."""
        first, second = labels[self.source], labels[self.target]
        between = (first != second) & (first >= 0) & (second >= 0)
        size = int(labels.max(initial=-1)) + 1
        low, high = np.minimum(first, second)[between], np.maximum(first, second)[between]
        pairs, at = np.unique(low * size + high, return_inverse=True)
        weight = np.bincount(at, self.weight[between], len(pairs)).astype(np.float64)
        return Network(size, pairs // max(size, 1), pairs % max(size, 1), weight)

    def connected_parts(self, labels: Labels) -> Labels:
        """Labels 0.. refined so that each is a connected subgraph; -1 stays -1."""
        same = labels[self.source] == labels[self.target]
        shape = (self.size, self.size)
        inside = sparse.coo_array((self.weight[same], (self.source[same], self.target[same])), shape=shape)
        _, part = connected_components(inside, directed=False)
        return renumber(np.where(labels >= 0, part, -1))


def network(audiences: pl.DataFrame, edges: pl.DataFrame) -> Network:
    """The graph of the tables; vertex i is the channel in row i of ``audiences``.

    Args:
        audiences: channel.
        edges: source, target, weight (> 0).

    Raises:
        ValueError: an edge names a channel that is not in ``audiences``.
    """
    at = audiences.select("channel").with_row_index("at")
    ends = []
    for end in ("source", "target"):
        found = edges.select(pl.col(end).alias("channel")).join(
            at, on="channel", how="left", maintain_order="left"
        )
        if found["at"].null_count():
            unknown = found.filter(pl.col("at").is_null())["channel"][0]
            raise ValueError(f"edges: {end} {unknown!r} is not in audiences")
        ends.append(found["at"].cast(pl.Int64).to_numpy())
    return Network(audiences.height, ends[0], ends[1], edges["weight"].cast(pl.Float64).to_numpy())


def balanced(graph: Network, edges: pl.DataFrame) -> Network:
    """The same graph with the cosine of audiences as weights.

    Where audiences are unknown, the strength of a channel stands in for its audience.

    Args:
        graph: made of ``edges``.
        edges: rows of EDGES.
    """
    if edges["cosine"].null_count():
        weight = graph.weight / np.sqrt(graph.strength[graph.source] * graph.strength[graph.target])
    else:
        weight = edges["cosine"].to_numpy()
    return Network(graph.size, graph.source, graph.target, weight)


def symmetric(
    size: int, source: NDArray[np.int64], target: NDArray[np.int64], values: NDArray[np.float64]
) -> sparse.csr_array:
    """The symmetric matrix with ``values`` at (source, target) and (target, source)."""
    matrix = sparse.coo_array(
        (np.tile(values, 2), (np.concatenate([source, target]), np.concatenate([target, source]))),
        shape=(size, size),
    ).tocsr()
    matrix.sort_indices()
    return matrix


def renumber(labels: Labels) -> Labels:
    """Labels as 0, 1, 2 … in the order of their first vertex; -1 stays -1."""
    known = labels >= 0
    values, first, inverse = np.unique(labels[known], return_index=True, return_inverse=True)
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(values))
    result = np.full(len(labels), -1, dtype=np.int64)
    result[known] = rank[inverse]
    return result
