"""Places on the map: neighbours near each other, regions as countries, the same map every time.

Each channel is tied to its strongest neighbours, a little to its community and its region, and these
ties are embedded by t-SNE (``embedding``) from an arrangement of the regions and of the communities within
them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import KDTree

from vieweratlas_dagster.analysis.embedding import Points, descend
from vieweratlas_dagster.analysis.network import Labels, Network, balanced, network, symmetric
from vieweratlas_dagster.analysis.stability import Previous

NEIGHBOURS = 10
_TIES = (0.1, 0.1)  # to the community, to the region; the rest is to the neighbours
# Groups move away from the middle by these factors, which opens gaps between them.
_GAP_COMMUNITIES, _GAP_REGIONS = 1.05, 1.15
# Attraction below 1 makes t-SNE fill its area evenly instead of leaving tight knots.
_SPREAD = 0.75
# The least distance of two channels, as a share of the distance that they would have if spread evenly.
_LEAST_APART = 0.1
_ROUNDS_APART = 50
_EARLY_STEPS, _STEPS = 100, 250
_COLD_SCALE = 10.0
_FEWEST_EMBEDDED = 5
_FEWEST_ALIGNED = 3
_KNOWN_ENOUGH = 0.25
_RADIUS = 0.93
# The last digits of linear algebra differ from one kind of processor to the next, and t-SNE blows them up.
_SAME_EVERYWHERE = 9
_PER_RING = 400
_RING_GAP, _RIM = 0.03, 0.08  # between two rings, and all of them together at most


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
        previous: the earlier map: the embedding starts from its places, and the result is turned, mirrored,
            shifted and scaled onto it.

    Returns:
        channel, x, y (Float64, within about -1 to 1), ordered like ``audiences``.
    """
    graph = network(audiences, edges)
    groups = audiences.select("channel").join(partition, on="channel", how="left", maintain_order="left")
    community, region = (
        groups[level].fill_null(-1).to_numpy().astype(np.int64) for level in ("community", "region")
    )
    linked = np.flatnonzero(graph.degree > 0)
    strong = strongest(similarities(graph, edges), NEIGHBOURS)[linked][:, linked]
    points = np.zeros((graph.size, 2))
    before = _places_before(audiences["channel"], previous)
    embedded = _embed(strong, community[linked], region[linked], before[linked], seed)
    points[linked] = np.round(embedded, _SAME_EVERYWHERE)
    isolated = np.flatnonzero(graph.degree == 0)
    points[isolated] = _around(len(isolated), alone=len(linked) == 0)
    return pl.DataFrame({"channel": audiences["channel"], "x": points[:, 0], "y": points[:, 1]})


def similarities(graph: Network, edges: pl.DataFrame) -> sparse.csr_array:
    """Similarity of the audiences of two channels: Jaccard, or `balanced` where audiences are unknown.

    Returns:
        Symmetric matrix, shape (channels, channels).
    """
    unknown = edges["jaccard"].null_count() > 0
    values = balanced(graph, edges).weight if unknown else edges["jaccard"].to_numpy()
    return symmetric(graph.size, graph.source, graph.target, values)


def strongest(similarity: sparse.csr_array, count: int) -> sparse.csr_array:
    """Each row's ``count`` largest values; among equals the lower column comes first."""
    kept = []
    for begin, end in itertools.pairwise(similarity.indptr):
        values = similarity.data[begin:end]
        place = np.arange(len(values))
        if len(values) > count:
            least = np.partition(values, -count)[-count]
            place = np.flatnonzero(values >= least)
            order = np.lexsort((similarity.indices[begin + place], -values[place]))
            place = place[order[:count]]
        kept.append(begin + place)
    row = np.repeat(np.arange(similarity.shape[0]), [len(places) for places in kept])
    at = np.concatenate([*kept, np.empty(0, np.int64)])
    return sparse.csr_array((similarity.data[at], (row, similarity.indices[at])), shape=similarity.shape)


def neighbour_preservation(
    audiences: pl.DataFrame, edges: pl.DataFrame, positions: pl.DataFrame, count: int = NEIGHBOURS
) -> float:
    """Share of a channel's ``count`` strongest neighbours that are among its ``count`` nearest on the map.

    The mean over channels with at least ``count`` neighbours; 0 when there are none.

    Args:
        audiences: rows of AUDIENCES.
        edges: rows of EDGES; strongest is by Jaccard (see `similarities`).
        positions: channel, x, y of the same channels.
        count: number of neighbours.
    """
    graph = network(audiences, edges)
    judged = np.flatnonzero(graph.degree >= count)
    if not len(judged):
        return 0.0
    placed = audiences.select("channel").join(positions, on="channel", how="left", maintain_order="left")
    points = placed.select("x", "y").to_numpy()
    strong = strongest(similarities(graph, edges), count)
    nearest = np.asarray(KDTree(points).query(points[judged], k=count + 1)[1])
    kept = 0
    for channel, near in zip(judged, nearest, strict=True):
        wanted = strong.indices[strong.indptr[channel] : strong.indptr[channel + 1]]
        kept += len(np.intersect1d(wanted, near[near != channel][:count]))
    return kept / (count * len(judged))


def _embed(
    strong: sparse.csr_array, community: Labels, region: Labels, before: Points, seed: int
) -> Points:
    """Places of the channels that have edges, shape (n, 2), within a disc of radius ``_RADIUS``."""
    size = strong.shape[0]
    if size == 0:
        return np.empty((0, 2))
    known = np.flatnonzero(~np.isnan(before[:, 0]))
    ties = _Ties.between(strong, community, region)
    start = ties.arrangement(np.random.default_rng(seed))
    if size < _FEWEST_EMBEDDED:
        return _into_disc(start)
    if warm := len(known) >= size * _KNOWN_ENOUGH:
        start = _from_before(ties, start, before, known)
    start = np.round(start * (np.sqrt(size) if warm else _COLD_SCALE), _SAME_EVERYWHERE)
    points = ties.with_anchors(start)
    if not warm:
        points = descend(ties.matrix, points, steps=_EARLY_STEPS, exaggeration=4, momentum=0.5)
    points = descend(ties.matrix, points, steps=_STEPS, exaggeration=_SPREAD, momentum=0.8)[:size]
    for members, factor in ((ties.in_community, _GAP_COMMUNITIES), (ties.in_region, _GAP_REGIONS)):
        points = points + (factor - 1) * (members @ _centres(members, points))
    points = _apart(_into_disc(points))
    return _onto(points, before, known) if len(known) >= _FEWEST_ALIGNED else points


@dataclass(frozen=True)
class _Ties:
    """The forces on each channel: its strongest neighbours, its community and its region.

    ``matrix`` holds t-SNE's joint probabilities over channels, then communities, then regions;
    ``in_community`` and ``in_region`` are memberships, shape (channels, groups).
    """

    matrix: sparse.csr_array
    neighbours: sparse.csr_array
    in_community: sparse.csr_array
    in_region: sparse.csr_array

    @classmethod
    def between(cls, strong: sparse.csr_array, community: Labels, region: Labels) -> _Ties:
        # Roots soften the lead of the strongest neighbour: all ten should be near.
        roots = strong.sqrt()
        neighbours = sparse.csr_array(sparse.diags_array(1 / roots.sum(axis=1)) @ roots)
        groups = [_membership(labels) for labels in (community, region)]
        to_groups = sparse.hstack([share * group for share, group in zip(_TIES, groups, strict=True)])
        one_way = sparse.hstack([(1 - sum(_TIES)) * neighbours, to_groups])
        anchors = one_way.shape[1] - one_way.shape[0]
        one_way = sparse.vstack([one_way, sparse.csr_array((anchors, one_way.shape[1]))])
        both = one_way + one_way.T
        return cls(sparse.csr_array(both / both.sum()), neighbours, *groups)

    def with_anchors(self, points: Points) -> Points:
        """The channels' points, then the centres of the communities and of the regions."""
        centres = [_centres(members, points) for members in (self.in_community, self.in_region)]
        return np.concatenate([points, *centres])

    def arrangement(self, rng: np.random.Generator) -> Points:
        """Regions placed by their ties, communities within them by theirs, channels around those."""
        places = self.in_region @ _scaled(self.in_region.T @ self.neighbours @ self.in_region)
        between = sparse.csr_array(self.in_community.T @ self.neighbours @ self.in_community)
        region_of = (self.in_community.T @ self.in_region).toarray().argmax(axis=1)
        offsets = np.zeros((len(region_of), 2))
        for region in np.unique(region_of):
            inside = np.flatnonzero(region_of == region)
            offsets[inside] = _scaled(between[inside][:, inside])
        return places + 0.3 * (self.in_community @ offsets) + rng.normal(0, 0.03, places.shape)


def _membership(labels: Labels) -> sparse.csr_array:
    _, group = np.unique(labels, return_inverse=True)
    return sparse.csr_array((np.ones(len(group)), (np.arange(len(group)), group)))


def _centres(members: sparse.csr_array, points: Points) -> Points:
    centres: Points = (members.T @ points) / members.sum(axis=0)[:, None]
    return centres


def _scaled(ties: sparse.csr_array) -> Points:
    """Classical scaling (Torgerson 1952) of groups by their mutual ties; within the unit disc."""
    size = ties.shape[0]
    if size == 1:
        return np.zeros((1, 2))
    dense = ties.toarray()
    dense = dense / np.maximum(dense.sum(axis=1, keepdims=True), 1e-12)
    likeness = (dense + dense.T) / 2
    np.fill_diagonal(likeness, 0)
    squared = 1 - likeness / max(likeness.max(), 1e-12)
    np.fill_diagonal(squared, 0)
    centring = np.eye(size) - 1 / size
    values, vectors = np.linalg.eigh(-centring @ squared @ centring / 2)
    axes = np.round(vectors[:, -2:] * np.sqrt(np.clip(values[-2:], 0, None)), _SAME_EVERYWHERE)
    # An eigenvector's sign is arbitrary: make its largest entry positive.
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] + 1e-300)
    return _into_disc(axes, radius=1.0)


def _from_before(ties: _Ties, start: Points, before: Points, known: NDArray[np.int64]) -> Points:
    """Earlier places; a new channel starts between its neighbours that had one, or as in ``start``."""
    points = _onto(start, before, known) if len(known) >= _FEWEST_ALIGNED else start.copy()
    weights = ties.neighbours[:, known]
    total = weights.sum(axis=1)
    near = total > 0
    points[near] = (weights[near] @ before[known]) / total[near, None] + 0.01 * points[near]
    points[known] = before[known]
    return points


def _onto(points: Points, before: Points, known: NDArray[np.int64]) -> Points:
    """Points turned, mirrored, shifted and scaled so that the known ones lie best on their earlier places.

    Orthogonal Procrustes (Schönemann 1966) with scale, by the singular value decomposition.
    """
    from_centre, to_centre = points[known].mean(axis=0), before[known].mean(axis=0)
    moved, target = points[known] - from_centre, before[known] - to_centre
    left, values, right = np.linalg.svd(moved.T @ target)
    scale = values.sum() / max((moved**2).sum(), 1e-12)
    placed: Points = (points - from_centre) @ (left @ right) * scale + to_centre
    farthest = float(np.linalg.norm(placed, axis=1).max())
    return placed * min(1.0, _RADIUS / max(farthest, 1e-12))


def _into_disc(points: Points, radius: float = _RADIUS) -> Points:
    centred: Points = points - (points.max(axis=0) + points.min(axis=0)) / 2
    farthest = float(np.linalg.norm(centred, axis=1).max())
    return centred * float(radius / farthest) if farthest > 0 else centred


def _apart(points: Points) -> Points:
    """Points moved apart where two lie on or almost on each other.

    Two channels that share viewers only with each other pull on each other so strongly that t-SNE takes
    very long to part them.
    """
    least = _LEAST_APART * _RADIUS * np.sqrt(np.pi / len(points))
    for _ in range(_ROUNDS_APART):
        pairs = KDTree(points).query_pairs(0.99 * least, output_type="ndarray")
        if not len(pairs):
            break
        first, second = pairs[np.lexsort(pairs.T)].T
        between = points[first] - points[second]
        distance = np.linalg.norm(between, axis=1, keepdims=True)
        sideways = distance[:, 0] == 0
        between[sideways], distance[sideways] = (1.0, 0.0), 1.0
        push = between / distance * (least - np.where(sideways[:, None], 0, distance)) / 2
        points = points.copy()
        np.add.at(points, first, push)
        np.subtract.at(points, second, push)
    return points


def _around(count: int, *, alone: bool) -> Points:
    """Rings outside the disc of the linked channels, closer when there are many; ``alone``: a disc."""
    at = np.arange(count)
    if alone:
        golden = np.pi * (3 - np.sqrt(5))
        spots = _RADIUS * np.sqrt(at / max(count - 1, 1)) * np.exp(1j * golden * at)
    else:
        on_ring = max(1, min(count, _PER_RING))
        gap = min(_RING_GAP, _RIM / max(1, (count - 1) // _PER_RING))
        spots = (1 + gap * (at // _PER_RING)) * np.exp(2j * np.pi * (at % on_ring + 0.5) / on_ring)
    return np.column_stack([spots.real, spots.imag])


def _places_before(channels: pl.Series, previous: Previous | None) -> Points:
    """Each channel's earlier place; nan for channels that are new or were isolated."""
    if previous is None:
        return np.full((len(channels), 2), np.nan)
    nodes = previous.nodes.filter(pl.col("community").is_not_null()).select("channel", "x", "y")
    found = (
        channels.alias("channel").to_frame().join(nodes, on="channel", how="left", maintain_order="left")
    )
    return found.select("x", "y").fill_null(np.nan).to_numpy()
