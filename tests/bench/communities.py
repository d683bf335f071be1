"""The benchmark of communities: ``python -m tests.bench.communities [--quick]``.

Exit code 0 when every bar is met, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import community as python_louvain
import networkx as nx
import numpy as np

from vieweratlas_dagster.analysis.clustering import cluster
from vieweratlas_dagster.analysis.network import Labels, Network
from vieweratlas_dagster.analysis.quality import modularity

from .report import Row, exit_code, progress, render

RIVAL = "python-louvain"
_CHANNELS, _EDGES = 5_000, 400_000
_RUNS = 5
_TIMES_RIVAL = 20.0
_LEAST_SHARED = 5


@dataclass(frozen=True)
class _Run:
    seconds: float
    labels: Labels


def draw(channels: int, edges: int, seed: int) -> Network:
    """A graph as overlap graphs of Twitch are: communities in regions, giants, weights over decades.

    The audiences' sizes follow a power law. Two channels share viewers in proportion to their sizes, ten
    times fewer outside of the community and a hundred times fewer outside of the region, but for chance;
    no more than the smaller one has. The strongest pairs are the edges.

    Args:
        channels: how many.
        edges: how many.
        seed: of the chance.
    """
    rng = np.random.default_rng(seed)
    regions, communities = 12, channels // 40
    region_of = rng.choice(regions, communities, p=rng.dirichlet(np.full(regions, 1.5)))
    community = rng.choice(communities, channels, p=rng.dirichlet(np.ones(communities)))
    size = 1 + rng.pareto(1.2, channels)
    source, target = np.triu_indices(channels, 1)
    kinship = np.full(len(source), 0.01)
    kinship[region_of[community[source]] == region_of[community[target]]] = 0.1
    kinship[community[source] == community[target]] = 1.0
    shared = np.minimum(size[source] * size[target] * kinship, 10 * np.minimum(size[source], size[target]))
    shared *= rng.exponential(size=len(shared))
    strongest = np.sort(np.argpartition(shared, -edges)[-edges:])
    weight = np.floor(_LEAST_SHARED * shared[strongest] / shared[strongest].min())
    return Network(channels, source[strongest], target[strongest], weight)


def measure(quick: bool) -> list[Row]:
    """The same edges as arrays in, a label for each channel out: ours and the rival in turns."""
    channels, edges = (1_000, 30_000) if quick else (_CHANNELS, _EDGES)
    progress(f"drawing {channels:,} channels and {edges:,} edges ...")
    graph = draw(channels, edges, seed=1)
    _ours(graph, 0)  # A new machine has nothing compiled yet.
    ours, theirs = [], []
    for seed in range(_RUNS):
        progress(f"run {seed + 1} of {_RUNS} ...")
        ours.append(_timed(_ours, graph, seed))
        theirs.append(_timed(_rival, graph, seed))
    times = median(other.seconds / one.seconds for one, other in zip(ours, theirs, strict=True))
    # The same labels in another order may differ in the last digit.
    quality, rivals = ([round(modularity(graph, run.labels), 9) for run in runs] for runs in (ours, theirs))
    return [
        Row("communities", "one run", median(run.seconds for run in ours), "s"),
        Row("communities", f"one run of {RIVAL}", median(run.seconds for run in theirs), "s"),
        Row("communities", f"times {RIVAL}", times, least=_TIMES_RIVAL,
            note=f"{channels:,} channels, {edges:,} edges; both from the same arrays to labels, on one "
                 f"core, the median of {_RUNS} runs in turns, compiled before"),
        Row("communities", f"modularity, best of {_RUNS}", max(quality), least=max(rivals)),
        Row("communities", f"modularity, mean of {_RUNS}", float(np.mean(quality)),
            least=float(np.mean(rivals)), note=f"the bars of modularity are what {RIVAL} reached"),
        Row("communities", "labels in pieces", sum(_in_pieces(graph, run.labels) for run in ours), most=0),
        Row("communities", f"labels in pieces, {RIVAL}",
            sum(_in_pieces(graph, run.labels) for run in theirs)),
    ]  # fmt: skip


def _ours(graph: Network, seed: int) -> Labels:
    # What a graph has worked out once it keeps.
    fresh = Network(graph.size, graph.source, graph.target, graph.weight)
    return cluster(fresh, "leiden", 1.0, seed)


def _rival(graph: Network, seed: int) -> Labels:
    """As its users call it."""
    whole: nx.Graph[int] = nx.Graph()
    whole.add_nodes_from(range(graph.size))
    whole.add_weighted_edges_from(
        zip(graph.source.tolist(), graph.target.tolist(), graph.weight.tolist(), strict=True)
    )
    found = python_louvain.best_partition(whole, random_state=seed)
    return np.array([found[vertex] for vertex in range(graph.size)], dtype=np.int64)


def _timed(run: Callable[[Network, int], Labels], graph: Network, seed: int) -> _Run:
    began = time.perf_counter()
    labels = run(graph, seed)
    return _Run(time.perf_counter() - began, labels)


def _in_pieces(graph: Network, labels: Labels) -> int:
    """How many labels are not a connected subgraph."""
    parts = graph.connected_parts(labels)
    pieces = np.unique(np.stack([labels, parts]), axis=1)[0]
    return int((np.bincount(pieces) > 1).sum())


def main() -> None:
    """Measure, print the table, and exit with 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small, to see that it works; no real numbers")
    options = parser.parse_args()
    rows = measure(options.quick)
    sys.stdout.write(f"{render(rows)}\n\n{os.cpu_count()} cores\n")
    raise SystemExit(exit_code(rows))


if __name__ == "__main__":
    main()
