"""The Leiden algorithm (Traag, Waltman & van Eck 2019, Sci. Rep. 9:5233) for modularity.

Two choices differ from the paper. Refinement takes the best part to join, not a random one: chance comes
from the order of the vertices alone. And the algorithm is repeated on its own result until that stops
getting better, which the paper proposes as an option.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vieweratlas_dagster.analysis.kernels import compiled
from vieweratlas_dagster.analysis.network import Labels, Network, renumber

_Weights = NDArray[np.float64]
# Further cycles hardly ever change anything.
_MOST_CYCLES = 10
# A vertex moves for a gain above this share of its own weights: sums of fractions are not exact.
_LEAST_GAIN = 1e-10


# The graph, or its parts as vertices: the start of each vertex's neighbours, the neighbours, the weights of
# the ties to them (a symmetric matrix by rows, without its diagonal), and the strengths, which include the
# weight inside a part.
_Level = tuple[NDArray[np.int32], NDArray[np.int32], _Weights, _Weights]


def leiden(graph: Network, resolution: float, seed: int) -> Labels:
    """Labels 0.. of high modularity; a vertex without edges is alone.

    Args:
        graph: at least one edge.
        resolution: of the modularity; 1 is the standard one.
        seed: of the order in which vertices are visited.
    """
    rng = np.random.default_rng(seed)
    matrix, strength = graph.adjacency, graph.strength
    level = (matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), matrix.data, strength)
    labels = np.arange(graph.size)
    for _ in range(_MOST_CYCLES):
        found = renumber(_cycle(level, labels, resolution / strength.sum(), rng))
        if np.array_equal(found, labels):
            break
        labels = found
    return labels


def _cycle(level: _Level, labels: Labels, scale: float, rng: np.random.Generator) -> Labels:
    """Labels at least as good: vertices moved, then the parts of each label as vertices, level by level.

    ``scale`` is the resolution divided by twice the weight of the graph.
    """
    size = len(level[-1])
    labels = _moved(*level, labels, rng.permutation(size), scale)
    parts = renumber(_refined(*level, labels, rng.permutation(size), scale))
    count = int(parts.max()) + 1
    if count == size:
        return labels
    of_part = np.empty(count, dtype=np.int64)
    of_part[parts] = renumber(labels)
    return _cycle(_aggregated(*level, parts, count), of_part, scale, rng)[parts]


@compiled
def _aggregated(
    indptr: NDArray[np.int32],
    indices: NDArray[np.int32],
    data: _Weights,
    strength: _Weights,
    parts: Labels,
    count: int,
) -> _Level:
    """The ``count`` parts as vertices, tied by the weights between them."""
    size = len(strength)
    first = np.zeros(count + 1, np.int64)
    for part in parts:
        first[part + 1] += 1
    first = np.cumsum(first)
    members = np.empty(size, np.int64)
    fill = first[:-1].copy()
    for vertex in range(size):
        members[fill[parts[vertex]]] = vertex
        fill[parts[vertex]] += 1

    starts = np.zeros(count + 1, np.int32)
    ends = np.empty(len(indices), np.int32)
    weights = np.empty(len(indices))
    mass = np.zeros(count)
    tie = np.zeros(count)
    filled = 0
    for part in range(count):
        for vertex in members[first[part] : first[part + 1]]:
            mass[part] += strength[vertex]
            for at in range(indptr[vertex], indptr[vertex + 1]):
                other = parts[indices[at]]
                if other == part:
                    continue
                if tie[other] == 0:
                    ends[filled] = other
                    filled += 1
                tie[other] += data[at]
        for at in range(starts[part], filled):
            weights[at] = tie[ends[at]]
            tie[ends[at]] = 0
        starts[part + 1] = filled
    return starts, ends[:filled].copy(), weights[:filled].copy(), mass


@compiled
def _moved(
    indptr: NDArray[np.int32],
    indices: NDArray[np.int32],
    data: _Weights,
    strength: _Weights,
    labels: Labels,
    order: NDArray[np.int64],
    scale: float,
) -> Labels:
    """Labels after every vertex has moved to where it adds most, until none gains by moving.

    Labels are below the number of vertices. A vertex whose neighbour has moved away from it is visited
    again.
    """
    size = len(strength)
    labels = labels.copy()
    mass = np.zeros(size)
    members = np.zeros(size, np.int64)
    for vertex in range(size):
        mass[labels[vertex]] += strength[vertex]
        members[labels[vertex]] += 1
    free = [label for label in range(size) if members[label] == 0]
    queue = order.copy()
    queued = np.ones(size, np.bool_)
    head, waiting = 0, size
    tie = np.zeros(size)
    near = np.empty(size, np.int64)
    while waiting:
        vertex = queue[head]
        head = (head + 1) % size
        waiting -= 1
        queued[vertex] = False
        own = labels[vertex]
        count = 0
        for at in range(indptr[vertex], indptr[vertex + 1]):
            label = labels[indices[at]]
            if tie[label] == 0:
                near[count] = label
                count += 1
            tie[label] += data[at]
        mass[own] -= strength[vertex]
        pull = scale * strength[vertex]
        stay = tie[own] - pull * mass[own]
        best, chosen = stay + _LEAST_GAIN * strength[vertex], own
        for label in near[:count]:
            gain = tie[label] - pull * mass[label]
            if gain > best:
                best, chosen = gain, label
            tie[label] = 0
        if best < 0 and members[own] > 1:
            chosen = free.pop()
        mass[chosen] += strength[vertex]
        if chosen == own:
            continue
        labels[vertex] = chosen
        members[own] -= 1
        members[chosen] += 1
        if members[own] == 0:
            free.append(own)
        for at in range(indptr[vertex], indptr[vertex + 1]):
            other = indices[at]
            if not queued[other] and labels[other] != chosen:
                queue[(head + waiting) % size] = other
                waiting += 1
                queued[other] = True
    return labels


@compiled
def _inside(
    indptr: NDArray[np.int32], indices: NDArray[np.int32], data: _Weights, labels: Labels
) -> _Weights:
    """The weight of each vertex to others of its label."""
    inside = np.zeros(len(labels))
    for vertex in range(len(labels)):
        for at in range(indptr[vertex], indptr[vertex + 1]):
            if labels[indices[at]] == labels[vertex]:
                inside[vertex] += data[at]
    return inside


@compiled
def _refined(
    indptr: NDArray[np.int32],
    indices: NDArray[np.int32],
    data: _Weights,
    strength: _Weights,
    labels: Labels,
    order: NDArray[np.int64],
    scale: float,
) -> Labels:
    """Parts of each label, connected and well tied to the rest of it; numbered by one of their vertices."""
    size = len(strength)
    parts = np.arange(size)
    alone = np.ones(size, np.bool_)
    mass = strength.copy()
    whole = np.zeros(size)
    for vertex in range(size):
        whole[labels[vertex]] += strength[vertex]
    # The weight of each part to the rest of its label.
    outward = _inside(indptr, indices, data, labels)
    tie = np.zeros(size)
    near = np.empty(size, np.int64)
    for vertex in order:
        rest = whole[labels[vertex]]
        pull = scale * strength[vertex]
        if not alone[vertex] or outward[vertex] < pull * (rest - strength[vertex]):
            continue
        count = 0
        for at in range(indptr[vertex], indptr[vertex + 1]):
            other = indices[at]
            if labels[other] == labels[vertex]:
                part = parts[other]
                if tie[part] == 0:
                    near[count] = part
                    count += 1
                tie[part] += data[at]
        best, chosen = 0.0, vertex
        for part in near[:count]:
            gain = tie[part] - pull * mass[part]
            if gain > best and outward[part] >= scale * mass[part] * (rest - mass[part]):
                best, chosen = gain, part
        if chosen != vertex:
            parts[vertex] = chosen
            alone[vertex] = alone[chosen] = False
            mass[chosen] += strength[vertex]
            outward[chosen] += outward[vertex] - 2 * tie[chosen]
        for part in near[:count]:
            tie[part] = 0
    return parts
