"""Communities on two levels: regions (coarse, mostly languages) and the communities inside them.

The clustering of one level is in ``clustering``, the matching with earlier maps in ``stability``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Protocol, Self

import numpy as np
import polars as pl

from vieweratlas_dagster.analysis.clustering import (
    Algorithm,
    Consensus,
    choose,
    choose_central,
    cluster,
    evidence,
    likeliest,
    merge_small,
    similarity,
)
from vieweratlas_dagster.analysis.network import Labels, Network, balanced, network, renumber
from vieweratlas_dagster.analysis.quality import modularity
from vieweratlas_dagster.analysis.stability import Previous, carry_ids, remember
from vieweratlas_dagster.tables import EVENTS, PARTITION

# At 0.25 two groups are apart when they share less than a quarter of what their sizes alone would
# make them share.
_BLOCK_RESOLUTION = 0.25
_REGION_RESOLUTIONS = (0.1, 0.15, 0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.8, 1.0)
_FEWEST_REGION_NATS = 0.05
_GOOD = 0.8
_SMALLEST_DIVISIBLE = 6
_LIKELIEST_RUNS = 3
# A large graph gets fewer runs: they differ less, and each takes longer.
_RUNS_TIMES_EDGES = 2_000_000
_FEWEST_RUNS = 2


class _Settings(Protocol):
    """The section ``analysis`` of the settings has these."""

    @property
    def algorithm(self) -> Algorithm: ...
    @property
    def resolution(self) -> float | None: ...
    @property
    def region_resolution(self) -> float | None: ...
    @property
    def min_community_size(self) -> int: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class ClusteringOptions:
    """How the channels are clustered.

    Attributes:
        algorithm: ``leiden`` or ``louvain``, for the communities; regions are always found by Leiden.
        resolution: of the communities' modularity on ``weight`` (1 is the standard one), or None for
            the likeliest.
        region_resolution: of the regions' modularity on the cosine, or None for those that
            best explain the ties between communities.
        min_community_size: smaller communities join the neighbour they share most with, if any.
        seed: makes the result a function of the input.
    """

    algorithm: Algorithm = "leiden"
    resolution: float | None = None
    region_resolution: float | None = None
    min_community_size: int = 3
    seed: int = 7

    @classmethod
    def of(cls, settings: _Settings) -> Self:
        """The options that the settings choose."""
        return cls(**{option.name: getattr(settings, option.name) for option in fields(cls)})


STANDARD_CLUSTERING = ClusteringOptions()


@dataclass(frozen=True)
class Communities:
    """The partition (PARTITION), the changes (EVENTS), and numbers about the quality of both levels."""

    partition: pl.DataFrame
    events: pl.DataFrame
    quality: dict[str, float]


def find_communities(
    audiences: pl.DataFrame,
    edges: pl.DataFrame,
    options: ClusteringOptions = STANDARD_CLUSTERING,
    *,
    runs: int = 10,
    previous: Previous | None = None,
) -> Communities:
    """Partition the channels into communities within regions.

    At a given resolution the communities are the partition of highest modularity among ``runs``.
    Without one, the graph is first cut into blocks that hardly share viewers, and each block into its
    likeliest communities (`clustering.likeliest`); of several such runs, the most central is taken.
    Regions are unions of communities: each community joins the region that most of its ties are in.
    They are found on the cosine of audiences, so that the giants of all countries, which viewers of
    every country visit, do not tie the countries together.
    Every community and every region is a connected subgraph.

    Args:
        audiences: rows of AUDIENCES.
        edges: rows of EDGES.
        options: how to cluster.
        runs: the best of this many runs is taken.
        previous: the earlier map whose ids, and where equally good whose communities, are kept.

    Returns:
        Quality: ``modularity`` and ``region_modularity`` (resolution 1, on ``weight``), ``agreement``
        (mean adjusted mutual information of the chosen run with the others).
    """
    graph = network(audiences, edges)
    channels = audiences["channel"]
    before = {
        level: previous.ids(channels, level) if previous else np.full(graph.size, -1)
        for level in ("community", "region")
    }
    memory = remember(graph, before["community"])
    seeds = _seeds(graph, options.seed, runs)
    found = _runs(memory, options, seeds)
    communities = _settle(graph, found.labels, options.min_community_size)

    even = balanced(graph, edges)
    if options.region_resolution is not None:
        regions = _regions_at(even, communities, before["region"], options.region_resolution, options.seed)
    else:
        # The regions should not depend on how finely the communities are cut.
        finest = found if options.resolution is None else _likeliest(memory, options.algorithm, seeds[:1])
        reference = _settle(graph, finest.labels, options.min_community_size)
        regions = _likeliest_regions(even, communities, reference, before["region"], options.seed)

    partition, events = _identified(audiences, {"community": communities, "region": regions}, previous)
    return Communities(
        partition,
        events,
        {
            "modularity": modularity(graph, communities),
            "region_modularity": modularity(graph, regions),
            "agreement": found.agreement,
        },
    )


def _seeds(graph: Network, first: int, runs: int) -> list[int]:
    """One seed per run, for at most as many runs as the size of the graph allows."""
    affordable = max(_FEWEST_RUNS, _RUNS_TIMES_EDGES // max(1, len(graph.weight)))
    return [first + run for run in range(min(runs, affordable))]


def _runs(graph: Network, options: ClusteringOptions, seeds: Sequence[int]) -> Consensus:
    if options.resolution is None:
        return _likeliest(graph, options.algorithm, seeds)
    return _most_modular(graph, options.algorithm, options.resolution, seeds)


def _identified(
    audiences: pl.DataFrame, levels: Mapping[str, Labels], previous: Previous | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """PARTITION and EVENTS rows: the labels of each level with ids that persist."""
    channels = audiences["channel"]
    viewers = audiences["viewers"].cast(pl.Float64).fill_null(0).to_numpy()
    events: list[dict[str, object]] = []
    columns: dict[str, pl.Series] = {"channel": channels}
    for level, labels in levels.items():
        ordered = _largest_first(labels, viewers)
        if previous:
            identities = carry_ids(channels, ordered, previous, level)
            ids = identities.ids
            events += identities.events
        else:
            ids = np.arange(1, ordered.max(initial=-1) + 2)
        values = [int(ids[label]) if label >= 0 else None for label in ordered]
        columns[level] = pl.Series(level, values, dtype=pl.Int64)
    return (
        PARTITION.conform(pl.DataFrame(columns)),
        EVENTS.conform(pl.DataFrame(events, schema=EVENTS.schema)),
    )


def _most_modular(
    graph: Network, algorithm: Algorithm, resolution: float, seeds: Sequence[int]
) -> Consensus:
    found = _each(graph, seeds, lambda core, seed: cluster(core, algorithm, resolution, seed))
    return choose(found, [modularity(graph, labels, resolution) for labels in found])


def _likeliest(graph: Network, algorithm: Algorithm, seeds: Sequence[int]) -> Consensus:
    some = seeds[:_LIKELIEST_RUNS]
    return choose_central(
        _each(graph, some, lambda core, seed: _likeliest_communities(core, algorithm, seed))
    )


def _each(graph: Network, seeds: Sequence[int], run: Callable[[Network, int], Labels]) -> list[Labels]:
    """One run per seed on the vertices that have edges, -1 for the others.

    All runs agree on vertices without edges, which says nothing about the runs, and comparing these labels
    takes long. Leiden releases the interpreter lock, so threads share the work.
    """
    linked = np.flatnonzero(graph.degree > 0)
    core = graph.induced(linked)

    def whole(seed: int) -> Labels:
        labels = np.full(graph.size, -1, dtype=np.int64)
        labels[linked] = run(core, seed)
        return labels

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(whole, seeds))


def _likeliest_communities(graph: Network, algorithm: Algorithm, seed: int) -> Labels:
    """The likeliest communities of each block; a block hardly shares viewers with the rest."""
    blocks = cluster(graph, "leiden", _BLOCK_RESOLUTION, seed)
    labels = np.full(graph.size, -1, dtype=np.int64)
    for block in range(blocks.max(initial=-1) + 1):
        members = np.flatnonzero(blocks == block)
        inside = (
            likeliest(graph.induced(members), algorithm, seed)
            if len(members) >= _SMALLEST_DIVISIBLE
            else np.zeros(len(members), dtype=np.int64)
        )
        labels[members] = labels.max() + 1 + inside
    return labels


def _settle(graph: Network, labels: Labels, smallest: int) -> Labels:
    """Labels of today's channels alone: connected, merged where too small, -1 if isolated."""
    own = np.where(graph.degree > 0, labels[: graph.size], -1)
    return merge_small(graph, graph.connected_parts(renumber(own)), smallest)


def _regions_at(
    graph: Network, communities: Labels, before: Labels, resolution: float, seed: int
) -> Labels:
    found = cluster(remember(graph, before), "leiden", resolution, seed)
    return _unite(graph, communities, found[: graph.size])


def _likeliest_regions(
    graph: Network, communities: Labels, reference: Labels, before: Labels, seed: int
) -> Labels:
    """The regions that best explain the ties between the ``reference`` communities.

    Ties inside communities do not count: they say nothing about regions. When the
    ties between communities show no groups, every community is a region of its own.
    """
    between = graph.quotient(reference)
    candidates = [_regions_at(graph, reference, before, value, seed) for value in _REGION_RESOLUTIONS]
    nats = [evidence(between, _of_communities(reference, regions)) for regions in candidates]
    if max(nats) < _FEWEST_REGION_NATS:
        return communities
    chosen = candidates[int(np.argmax(nats))]
    if (before >= 0).any():
        # A new map keeps the countries of the earlier one while they explain nearly as much.
        good = [
            regions for regions, gain in zip(candidates, nats, strict=True) if gain >= _GOOD * max(nats)
        ]
        chosen = max(good, key=lambda regions: similarity(regions, before))
    return _unite(graph, communities, chosen)


def _unite(graph: Network, communities: Labels, found: Labels) -> Labels:
    """Regions of whole communities, each in the region of most of its weight, split where disconnected."""
    known = communities >= 0
    if not known.any():
        return communities
    weight = np.zeros((communities.max() + 1, found.max() + 1))
    np.add.at(weight, (communities[known], found[known]), graph.strength[known])
    region = weight.argmax(axis=1)
    return graph.connected_parts(np.where(known, region[communities], -1))


def _of_communities(communities: Labels, regions: Labels) -> Labels:
    known = communities >= 0
    of = np.zeros(communities.max(initial=-1) + 1, dtype=np.int64)
    of[communities[known]] = regions[known]
    return of


def _largest_first(labels: Labels, viewers: np.ndarray) -> Labels:
    """Labels renumbered by audience, then by size, then by first channel."""
    labels = renumber(labels)
    known = labels >= 0
    sizes = np.bincount(labels[known])
    order = np.lexsort((-sizes, -np.bincount(labels[known], viewers[known])))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return np.where(known, rank[labels], -1) if len(order) else labels
