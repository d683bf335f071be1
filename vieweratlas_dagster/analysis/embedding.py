"""t-SNE: places in the plane for points that pull on each other along the ties of a sparse matrix.

``layout`` chooses the ties and the start. The forces are those of van der Maaten and Hinton (2008). Ties
are few, so attraction is summed as it is; repulsion acts between all pairs, so far groups of points count
as one (Barnes and Hut 1986; van der Maaten 2014), in a quadtree over the points in Morton order. Every
point's force is summed by itself in one fixed order, so the result does not depend on the number of
threads.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from vieweratlas_dagster.analysis.kernels import compiled

Points = NDArray[np.float64]

# A group of points counts as one where its width over its distance is below this.
_COARSENESS = 0.7
_LEVELS = 16
_MIN_GAIN = 0.01
_FEWEST_PER_THREAD = 500


def descend(
    ties: sparse.csr_array, points: Points, *, steps: int, exaggeration: float, momentum: float
) -> Points:
    """Places after gradient descent, around their mean.

    Steps are a quarter as long as those of Belkina et al. (2019), so that groups stay nearer to where they
    started, with the gains of Jacobs (1988).

    Args:
        ties: joint probabilities: symmetric, not negative, of sum 1, shape (n, n).
        points: the start, shape (n, 2).
        steps: number of steps.
        exaggeration: factor of the attraction.
        momentum: share of each step that the next one continues.
    """
    places = points.copy()
    moved = np.zeros_like(places)
    gain = np.ones_like(places)
    rate = len(places) / exaggeration
    threads = max(1, min(os.cpu_count() or 1, len(places) // _FEWEST_PER_THREAD))
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(steps):
            repulsion, normaliser = _repulsion(places, pool, threads)
            attraction = np.empty_like(places)
            _attract(ties.indptr, ties.indices, ties.data, places, attraction)
            gradient = exaggeration * attraction - repulsion / normaliser
            gain = np.where(np.sign(moved) == np.sign(gradient), gain * 0.8 + _MIN_GAIN, gain + 0.2)
            moved = momentum * moved - rate * gain * gradient
            places += moved
    centred: Points = places - places.mean(axis=0)
    return centred


def _repulsion(points: Points, pool: Executor, threads: int) -> tuple[Points, float]:
    """How the others push each point, shape (n, 2), and t-SNE's normaliser.

    With d = a - b over the points b other than a: sums of d / (1 + |d|^2)^2 for each a, and the sum of
    1 / (1 + |d|^2) over all a.

    Args:
        points: shape (n, 2), n > 0.
        pool: runs the parts.
        threads: number of parts that run at once.
    """
    corner = points.min(axis=0)
    width = float((points.max(axis=0) - corner).max())
    cells = ((points - corner) * ((2**_LEVELS - 1) / max(width, 1e-12))).astype(np.int64)
    code = _spread_bits(cells[:, 0]) | _spread_bits(cells[:, 1]) << 1
    order = np.argsort(code, kind="stable")
    tree = _tree(code[order], points[order], width)
    forces, closeness = np.empty_like(points), np.empty(len(points))
    bounds = np.linspace(0, len(points), threads + 1).astype(np.int64)
    parts = [
        pool.submit(_repel, *tree, points, order, begin, end, _COARSENESS**2, forces, closeness)
        for begin, end in itertools.pairwise(bounds)
    ]
    for part in parts:
        part.result()
    return forces, max(float(closeness.sum()), 1e-12)


def _spread_bits(number: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bit b of each number, below 2^16, moved to place 2b."""
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        number = (number | number << shift) & mask
    return number


@compiled
def _tree(
    code: NDArray[np.int64], points: Points, width: float
) -> tuple[Points, NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """The cells of a quadtree, each before those in it; of cells with the same points only the smallest.

    Args:
        code: Morton codes of the points, ascending, shape (n,).
        points: in the same order, shape (n, 2).
        width: of the whole square.

    Returns:
        Per cell: its centre of mass, its number of points, its squared width (0 when nothing is in
        it but points), and the next cell that is not in it.
    """
    # Plain numbers only: operations on whole arrays take seconds to compile.
    n = len(code)
    sums = np.zeros((n + 1, 2))
    for i in range(n):
        for axis in range(2):
            sums[i + 1, axis] = sums[i, axis] + points[i, axis]
    centre, mass, squared = np.empty((2 * n, 2)), np.empty(2 * n), np.zeros(2 * n)
    ends, first = np.empty(2 * n, np.int64), np.full(n + 1, -1, np.int64)
    # At most three cells of each level wait while the fourth is visited.
    begins, stops = np.empty(4 * (_LEVELS + 1), np.int64), np.empty(4 * (_LEVELS + 1), np.int64)
    begins[0], stops[0] = 0, n
    waiting, cells = 1, 0
    while waiting:
        waiting -= 1
        begin, stop = begins[waiting], stops[waiting]
        if first[begin] < 0:
            first[begin] = cells
        for axis in range(2):
            alone = stop - begin == 1
            total = points[begin, axis] if alone else sums[stop, axis] - sums[begin, axis]
            centre[cells, axis] = total / (stop - begin)
        mass[cells], ends[cells] = stop - begin, stop
        differing = code[begin] ^ code[stop - 1]
        if differing:
            # The highest pair of bits that differs gives the smallest cell with all of these points.
            level = 0
            while differing >> (2 * level + 2):
                level += 1
            squared[cells] = (width * 2.0 ** (level + 1 - _LEVELS)) ** 2
            end = stop
            for at in range(stop - 1, begin - 1, -1):
                if at == begin or code[at - 1] >> (2 * level) != code[at] >> (2 * level):
                    begins[waiting], stops[waiting] = at, end
                    waiting += 1
                    end = at
        cells += 1
    first[n] = cells
    beyond = np.empty(cells, np.int64)
    for cell in range(cells):
        beyond[cell] = first[ends[cell]]
    return centre, mass[:cells], squared, beyond


@compiled
def _repel(
    centre: Points,
    mass: NDArray[np.float64],
    squared: NDArray[np.float64],
    beyond: NDArray[np.int64],
    points: Points,
    order: NDArray[np.int64],
    begin: int,
    end: int,
    coarseness: float,
    forces: Points,
    closeness: NDArray[np.float64],
) -> None:
    """Fill ``forces`` and ``closeness`` of the points ``order[begin:end]`` from the cells of `_tree`."""
    for place in range(begin, end):
        i = order[place]
        x, y = points[i, 0], points[i, 1]
        across = up = near = 0.0
        cell = 0
        while cell < len(mass):
            right, above = x - centre[cell, 0], y - centre[cell, 1]
            distance = right * right + above * above
            if squared[cell] <= coarseness * distance:
                close = 1.0 / (1.0 + distance)
                near += mass[cell] * close
                force = mass[cell] * close * close
                across += force * right
                up += force * above
                cell = beyond[cell]
            else:
                cell += 1
        forces[i, 0], forces[i, 1] = across, up
        closeness[i] = near - 1.0  # the point itself


@compiled
def _attract(
    starts: NDArray[np.int32],
    other: NDArray[np.int32],
    tie: NDArray[np.float64],
    points: Points,
    forces: Points,
) -> None:
    """Fill ``forces`` with the sums of tie * (a - b) / (1 + |a - b|^2) over the ties of each point a."""
    for i in range(len(starts) - 1):
        across = up = 0.0
        for at in range(starts[i], starts[i + 1]):
            j = other[at]
            right, above = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1]
            force = tie[at] / (1.0 + right * right + above * above)
            across += force * right
            up += force * above
        forces[i, 0], forces[i, 1] = across, up
