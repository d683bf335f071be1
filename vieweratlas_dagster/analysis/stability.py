"""Identity over time: which community of today is which of yesterday, and what became of the others.

Finding communities is in ``communities``; this module matches two partitions, gives out ids and events, and
keeps clustering from jumping between equally good answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from scipy.optimize import linear_sum_assignment

from vieweratlas_dagster.analysis.network import Labels, Network

LEAST_OVERLAP = 0.3
_SPLIT_SHARE = 0.25
_MERGE_SHARE = 0.5
# Weight of a channel's tie to its previous community, as a share of all its weights. The graph still
# decides: a channel leaves when a different community offers more than this in addition.
_MEMORY = 0.15


@dataclass(frozen=True)
class Previous:
    """An earlier map: frames with the columns of PARTITION, COMMUNITIES and NODES."""

    partition: pl.DataFrame
    communities: pl.DataFrame
    nodes: pl.DataFrame

    def ids(self, channels: pl.Series, level: str) -> Labels:
        """Each channel's earlier id at ``level`` (community or region), -1 for a channel without one."""
        before = self.partition.select("channel", pl.col(level).fill_null(-1).alias("id"))
        joined = (
            channels.alias("channel")
            .to_frame()
            .join(before, on="channel", how="left", maintain_order="left")
        )
        return joined["id"].fill_null(-1).to_numpy().astype(np.int64)

    def newest_id(self, level: str) -> int:
        """The highest id that the level ever gave out, 0 when none."""
        rows = self.communities.filter(pl.col("level") == level)
        given = [rows["id"].max(), rows["newest_id"].max(), self.partition[level].max()]
        return max((int(value) for value in given if isinstance(value, int)), default=0)


@dataclass(frozen=True)
class Identities:
    """Persistent ids of labels 0.., and the changes as rows of EVENTS."""

    ids: Labels
    events: list[dict[str, object]] = field(default_factory=list)


def remember(graph: Network, before: Labels) -> Network:
    """The graph with one more vertex per earlier community, tied to those who were in it.

    Each such tie weighs ``_MEMORY`` times the channel's strength. This is the coupling of time slices
    of multislice modularity (Mucha et al. 2010, Science 328:876) with the earlier slice folded into
    one vertex per community.

    Args:
        graph: today's.
        before: the ids of its vertices then, -1 for none; shape (graph.size,).
    """
    known = np.flatnonzero((before >= 0) & (graph.strength > 0))
    if not len(known):
        return graph
    groups, number = np.unique(before[known], return_inverse=True)
    return Network(
        graph.size + len(groups),
        np.concatenate([graph.source, known]),
        np.concatenate([graph.target, graph.size + number]),
        np.concatenate([graph.weight, _MEMORY * graph.strength[known]]),
    )


def carry_ids(channels: pl.Series, labels: Labels, previous: Previous, level: str) -> Identities:
    """Match labels with the ids of the previous partition, by the most channels kept.

    The assignment maximises the number of channels that keep their id (Hungarian method; one label per
    id). A match counts when the two member sets, among channels in a community both times, have a
    Jaccard index of at least ``LEAST_OVERLAP``. Other labels get new ids, above every id ever given.

    Args:
        channels: names, shape (n,).
        labels: 0.. in the order in which new ids are given, -1 for none; shape (n,).
        previous: the earlier map.
        level: ``community`` or ``region``.
    """
    count = int(labels.max(initial=-1)) + 1
    before = previous.ids(channels, level)
    old_ids = np.unique(previous.partition[level].drop_nulls().to_numpy()).astype(np.int64)
    flow = np.zeros((len(old_ids), count), dtype=np.int64)
    both = (before >= 0) & (labels >= 0)
    np.add.at(flow, (np.searchsorted(old_ids, before[both]), labels[both]), 1)

    union = flow.sum(1, keepdims=True) + flow.sum(0, keepdims=True) - flow
    likeness = flow / np.maximum(union, 1)
    ids = np.full(count, -1, dtype=np.int64)
    # The likeness only decides among assignments that keep as many channels.
    for old, new in zip(*linear_sum_assignment(-(flow + likeness / (count + 1))), strict=True):
        if likeness[old, new] >= LEAST_OVERLAP:
            ids[new] = old_ids[old]
    fresh = np.flatnonzero(ids < 0)
    ids[fresh] = previous.newest_id(level) + 1 + np.arange(len(fresh))
    return Identities(ids, _events(channels, labels, ids, previous, level, old_ids, flow))


def _events(
    channels: pl.Series,
    labels: Labels,
    ids: Labels,
    previous: Previous,
    level: str,
    old_ids: Labels,
    flow: np.ndarray,
) -> list[dict[str, object]]:
    """A split is an id whose channels went to several, a merge a label whose channels came from several."""
    share = flow / np.maximum(flow.sum(1, keepdims=True), 1)
    goes_to = (share >= _SPLIT_SHARE) & (flow >= 2)
    comes_from = (share >= _MERGE_SHARE) & (flow >= 2)
    names = channels.to_numpy()
    now = {int(key): sorted(names[labels == at].tolist()) for at, key in enumerate(ids)}
    then = {
        int(key): sorted(previous.partition.filter(pl.col(level) == key)["channel"].to_list())
        for key in old_ids
    }
    events: list[dict[str, object]] = []
    explained: set[int] = set()

    def record(kind: str, key: int, others: list[int], members: Mapping[int, list[str]]) -> None:
        events.append(
            {"level": level, "kind": kind, "id": key, "others": sorted(others), "members": members[key]}
        )
        explained.update((key, *others))

    for old, key in enumerate(old_ids.tolist()):
        if goes_to[old].sum() > 1:
            record("split", key, ids[goes_to[old]].tolist(), then)
    for new, key in enumerate(ids.tolist()):
        if comes_from[:, new].sum() > 1:
            record("merged", key, old_ids[comes_from[:, new]].tolist(), now)
    for key in sorted(set(now) - set(then) - explained):
        record("born", key, [], now)
    for key in sorted(set(then) - set(now) - explained):
        record("gone", key, [], then)
    return events
