"""Places on the map: neighbours near each other, regions as countries, the same map every time.

Belongs here: from the graph and its communities to coordinates, alignment with an earlier map, and
how well neighbours are kept together. Does not belong here: drawing.

Each channel is tied to its strongest neighbours, a little to its community and its region, and these
ties are embedded by t-SNE (van der Maaten & Hinton 2008; openTSNE, Poličar et al. 2024) from an
arrangement of the regions and of the communities within them.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from openTSNE import TSNEEmbedding
from openTSNE.affinity import PrecomputedAffinities
from scipy import sparse
from scipy.spatial import KDTree

from vieweratlas_dagster.analysis.network import Labels, Network, network, symmetric
from vieweratlas_dagster.analysis.stability import Previous

NEIGHBOURS = 10
_TIES = (0.9, 0.06, 0.04)  # to neighbours, to the community, to the region
_FEWEST_EMBEDDED = 5
_RADIUS = 0.93
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))

_Points = NDArray[np.float64]


def place(
    audiences: pl.DataFrame,
    edges: pl.DataFrame,
    partition: pl.DataFrame,
    *,
    seed: int,
    previous: Previous | None = None,
) -> pl.DataFrame:
    """Coordinates of every channel; channels without an edge lie on a ring around the others.

    Args:
        audiences: rows of AUDIENCES.
        edges: rows of EDGES.
        partition: rows of PARTITION.
        seed: makes the result a function of the input.
        previous: the earlier map: its places are where the embedding starts, and the result is turned,
            mirrored, shifted and scaled onto it.

    Returns:
        channel, x, y (Float64, within about -1 to 1), ordered like ``audiences``.
    """
    graph = network(audiences, edges)
    groups = audiences.select("channel").join(partition, on="channel", how="left", maintain_order="left")
    community, region = (
        groups[level].fill_null(-1).to_numpy().astype(np.int64) for level in ("community", "region")
    )
    linked = np.flatnonzero(graph.degree > 0)
    strong = strongest(similarities(graph, audiences, edges), NEIGHBOURS)[linked][:, linked]
    points = np.zeros((graph.size, 2))
    before = _places_before(audiences["channel"], previous)
    points[linked] = _embed(
        strong, community[linked], region[linked], before[linked], np.random.default_rng(seed), seed
    )
    alone = np.flatnonzero(graph.degree == 0)
    points[alone] = _ring(len(alone), len(linked))
    return pl.DataFrame({"channel": audiences["channel"], "x": points[:, 0], "y": points[:, 1]})


def similarities(graph: Network, audiences: pl.DataFrame, edges: pl.DataFrame) -> sparse.csr_array:
    """How alike two channels' audiences are: Jaccard, or by weight where audiences are unknown.

    The weight is divided by the root of both strengths, as cosine does it with audiences.

    Returns:
        Symmetric matrix, shape (channels, channels).
    """
    if edges["jaccard"].null_count():
        strength = graph.strength
        values = graph.weight / np.sqrt(strength[graph.source] * strength[graph.target])
    else:
        values = edges["jaccard"].to_numpy()
    return symmetric(graph.size, graph.source, graph.target, values)


def strongest(similarity: sparse.csr_array, count: int) -> sparse.csr_array:
    """Each row's ``count`` largest values; among equals the lower column comes first."""
    row = np.repeat(np.arange(similarity.shape[0]), np.diff(similarity.indptr))
    order = np.lexsort((similarity.indices, -similarity.data, row))
    rank = np.arange(len(order)) - similarity.indptr[row]
    kept = order[rank < count]
    return sparse.csr_array(
        (similarity.data[kept], (row[kept], similarity.indices[kept])), shape=similarity.shape
    )


def neighbour_preservation(
    audiences: pl.DataFrame, edges: pl.DataFrame, positions: pl.DataFrame, count: int = NEIGHBOURS
) -> float:
    """Share of a channel's strongest neighbours that are among as many nearest on the map.

    The mean over channels with at least ``count`` neighbours; 0 when there are none.

    Args:
        audiences: rows of AUDIENCES.
        edges: rows of EDGES; strongest is by Jaccard (see `similarities`).
        positions: channel, x, y of the same channels.
        count: how many neighbours.
    """
    graph = network(audiences, edges)
    judged = np.flatnonzero(graph.degree >= count)
    if not len(judged):
        return 0.0
    placed = audiences.select("channel").join(positions, on="channel", how="left", maintain_order="left")
    points = placed.select("x", "y").to_numpy()
    strong = strongest(similarities(graph, audiences, edges), count)
    nearest = KDTree(points).query(points[judged], k=count + 1)[1]
    kept = 0
    for channel, near in zip(judged, nearest, strict=True):
        wanted = strong.indices[strong.indptr[channel] : strong.indptr[channel + 1]]
        kept += len(np.intersect1d(wanted, near[near != channel][:count]))
    return kept / (count * len(judged))


def _embed(
    strong: sparse.csr_array,
    community: Labels,
    region: Labels,
    before: _Points,
    rng: np.random.Generator,
    seed: int,
) -> _Points:
    size = strong.shape[0]
    start = _arrangement(strong, community, region, rng)
    if size < _FEWEST_EMBEDDED:
        return start * _RADIUS
    known = ~np.isnan(before[:, 0])
    warm = known.sum() >= max(_FEWEST_EMBEDDED, size // 4)
    ties, anchors = _ties(strong, community, region)
    if warm:
        start = _from_before(strong, start, before, known)
    tops = np.array([start[anchor == 1].mean(axis=0) for anchor in anchors]).reshape(-1, 2)
    scale = 30.0 if warm else 10.0
    embedding = TSNEEmbedding(
        np.concatenate([start, tops]) * scale,
        PrecomputedAffinities(ties),
        negative_gradient_method="bh" if size < 10_000 else "fft",
        random_state=seed,
        n_jobs=1,
    )
    if not warm:
        embedding = embedding.optimize(150, exaggeration=4, momentum=0.5)
    embedding = embedding.optimize(500, exaggeration=1, momentum=0.8)
    points = np.asarray(embedding, dtype=np.float64)[:size]
    if known.sum() >= _FEWEST_EMBEDDED:
        return _onto(points, before, known)
    points -= (points.max(axis=0) + points.min(axis=0)) / 2
    return points / np.linalg.norm(points, axis=1).max() * _RADIUS
