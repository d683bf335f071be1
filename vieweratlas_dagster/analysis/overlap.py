"""The overlap engine: how many viewers every two channels share, exactly.

Belongs here: which viewers and channels count, the counts of shared viewers, the measures made of
them. Does not belong here: which days the memberships come from, and what the graph is used for.

Viewers become dense indices and memberships a sparse channel x viewer matrix A; the shared viewers of
all pairs are A times its transpose, taken in blocks of rows of the upper triangle, so that memory is
bounded by the block and no pair is counted twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from vieweratlas_dagster.tables import AUDIENCES, EDGES, EXCLUSIONS, LEFT_OUT

FEWEST_PLAUSIBLE_CHANNELS = 10
PLAUSIBLE_SHARE = 0.05
_BLOCK_CELLS = 10_000_000


@dataclass(frozen=True)
class OverlapGraph:
    """The graph as frames that conform to AUDIENCES, EDGES, EXCLUSIONS and LEFT_OUT."""

    audiences: pl.DataFrame
    edges: pl.DataFrame
    exclusions: pl.DataFrame
    left_out: pl.DataFrame


@dataclass(frozen=True)
class _Memberships:
    """Memberships grouped by viewer: ``channel[starts[v]:starts[v + 1]]`` are the channels of v."""

    channel: NDArray[np.int32]
    starts: NDArray[np.int64]

    @property
    def degrees(self) -> NDArray[np.int64]:
        return np.diff(self.starts)

    def of_viewers(self, keep: NDArray[np.bool_]) -> _Memberships:
        degrees = self.degrees
        return _Memberships(self.channel[np.repeat(keep, degrees)], _starts(degrees[keep]))

    def of_channels(self, number: NDArray[np.int32]) -> _Memberships:
        """With channels renumbered; -1 leaves a channel out, and then viewers who are in none."""
        channel = number[self.channel]
        keep = channel >= 0
        kept_before = np.concatenate(([0], np.cumsum(keep)))
        degrees = np.diff(kept_before[self.starts])
        return _Memberships(channel[keep], _starts(degrees[degrees > 0]))


def overlap_graph(
    pairs: pl.DataFrame,
    channels: pl.DataFrame,
    *,
    min_channel_viewers: int,
    overlap_threshold: int,
    bot_filter: bool = True,
    max_channels_per_viewer: int = 100,
) -> OverlapGraph:
    """Exact shared-viewer counts of all pairs of channels, with measures, exclusions and reasons.

    With ``bot_filter``, these viewers count nowhere: those known as bots in any channel, and those in
    more channels than `plausible_channels` says.

    Args:
        pairs: one row per channel and viewer: channel_id (Int64), viewer_key (UInt64), messages
            (integer), known_bot (Boolean).
        channels: one row per channel: channel_id, channel, game_name, language.
        min_channel_viewers: smallest audience of a channel in the graph.
        overlap_threshold: fewest shared viewers of an edge.
        bot_filter: whether viewers are left out at all.
        max_channels_per_viewer: upper bound of the plausible number of channels.

    Raises:
        ValueError: a pair or a channel_id is there twice, or a pair names an unknown channel.
    """
    names = _one_row_per_channel(channels)
    unknown = pairs.select(pl.col("channel_id").unique()).join(names, on="channel_id", how="anti")
    if unknown.height:
        some = ", ".join(str(key) for key in sorted(unknown["channel_id"])[:3])
        raise ValueError(f"pairs: {unknown.height} channel_ids are not in channels, such as {some}")

    seen, viewer_key, known_bot = _group_by_viewer(pairs, names)
    limit = plausible_channels(_distinct(seen.channel), max_channels_per_viewer)
    bots = known_bot if bot_filter else np.zeros_like(known_bot)
    giants = (seen.degrees > limit) & ~bots if bot_filter else bots
    exclusions = _exclusions(seen.degrees, bots, giants, limit)
    observed = names.with_columns(
        seen=pl.Series(np.bincount(seen.channel, minlength=names.height), dtype=pl.Int64)
    ).join(_messages(pairs, viewer_key[bots | giants]), on="channel_id", how="left", maintain_order="left")
    kept = seen.of_viewers(~(bots | giants))
    del seen, viewer_key
    viewers = np.bincount(kept.channel, minlength=names.height)
    observed = observed.with_columns(viewers=pl.Series(viewers, dtype=pl.Int64))
    inside = pl.col("viewers") >= min_channel_viewers
    audiences = AUDIENCES.conform(observed.filter(inside).with_columns(pl.col("messages").fill_null(0)))

    number = np.full(names.height, -1, dtype=np.int32)
    number[np.searchsorted(names["channel_id"].to_numpy(), audiences["channel_id"].to_numpy())] = np.arange(
        audiences.height
    )
    kept = kept.of_channels(number)
    return OverlapGraph(
        audiences=audiences,
        edges=_edges(kept, audiences, overlap_threshold),
        exclusions=EXCLUSIONS.conform(exclusions),
        left_out=LEFT_OUT.conform(_left_out(observed.filter(~inside), min_channel_viewers)),
    )


def plausible_channels(channels: int, max_channels_per_viewer: int) -> int:
    """The most channels that a person is believed to chat in: min(cap, max(10, 5 % of the channels)).

    People's channel counts fall off steeply (in a real sample of 27,816 viewers of 57 channels, nine
    were in ten or more, one of them in 51), while chat bots are in a fixed share of all channels. So
    the limit grows with the number of channels, but never below ten, which an eager person reaches in
    a world of any size, nor above the cap: one viewer in k channels adds to k (k - 1) / 2 pairs, and
    beyond the cap a single account outweighs thousands of ordinary ones.
    """
    return min(max_channels_per_viewer, max(FEWEST_PLAUSIBLE_CHANNELS, int(PLAUSIBLE_SHARE * channels)))


def binomial_z(
    shared: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64], population: int
) -> NDArray[np.float64]:
    """How many standard deviations ``shared`` lies above what independent audiences would share.

    If each of N viewers were in channel i with chance n_i / N and in j with n_j / N independently, the
    number in both would be binomial (N, p = n_i n_j / N^2): z = (shared - N p) / sqrt(N p (1 - p)). It
    is the null model of the noise-corrected backbone (Coscia & Neffke 2017, arXiv:1701.07336) without
    its prior. 0 where the variance vanishes.

    Args:
        shared: viewers of both channels, shape (n,).
        first: viewers of one channel, shape (n,).
        second: viewers of the other, shape (n,).
        population: N, distinct viewers of all channels.
    """
    chance = first * second / max(population, 1) ** 2
    deviation = np.sqrt(population * chance * np.clip(1 - chance, 0, None))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(deviation > 0, (shared - population * chance) / deviation, 0.0)


def with_measures(edges: pl.DataFrame, audiences: pl.DataFrame) -> pl.DataFrame:
    """Edges with jaccard, overlap and cosine from shared_viewers and both audiences.

    Args:
        edges: source, target, shared_viewers (null where only weights are known).
        audiences: channel, viewers (null where unknown).

    Returns:
        The edges in the same order; a measure is null where any of its parts is.
    """
    viewers = audiences.select("channel", pl.col("viewers").cast(pl.Float64))
    first, second = (
        edges.select(channel=end)
        .join(viewers, on="channel", how="left", maintain_order="left")["viewers"]
        .to_numpy()
        for end in ("source", "target")
    )
    shared = edges["shared_viewers"].cast(pl.Float64).to_numpy()
    measures = _measures(shared, first, second)
    return edges.with_columns(
        pl.Series(name, values, dtype=pl.Float64).fill_nan(None) for name, values in measures.items()
    )


def _measures(
    shared: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Measures of shared viewers against both audiences; nan where any of them is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "jaccard": shared / (first + second - shared),
            "overlap": shared / np.minimum(first, second),
            "cosine": shared / np.sqrt(first * second),
        }


def _one_row_per_channel(channels: pl.DataFrame) -> pl.DataFrame:
    names = channels.select("channel_id", "channel", "game_name", "language").sort("channel_id")
    doubled = names.filter(pl.col("channel_id").is_duplicated())
    if doubled.height:
        raise ValueError(f"channels: channel_id {doubled['channel_id'][0]} is in more than one row")
    # A login can change hands between two days; then it names neither channel alone.
    both = pl.format("{}#{}", "channel", "channel_id")
    return names.with_columns(
        channel=pl.when(pl.col("channel").is_duplicated()).then(both).otherwise("channel")
    )


def _group_by_viewer(
    pairs: pl.DataFrame, names: pl.DataFrame
) -> tuple[_Memberships, NDArray[np.uint64], NDArray[np.bool_]]:
    """Memberships by viewer with positions in ``names``, the viewers' keys, and who is a known bot."""
    ids = names["channel_id"].to_numpy()
    rows = pairs.select("viewer_key", "channel_id").sort("viewer_key")
    key = rows["viewer_key"].to_numpy()
    channel = np.searchsorted(ids, rows["channel_id"].to_numpy()).astype(np.int32)
    del rows
    first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))) if len(key) else np.empty(0, int)
    starts = np.append(first, len(key)).astype(np.int64)
    viewer_key = key[first]
    bots = pairs.filter("known_bot")["viewer_key"].unique().to_numpy()
    return _Memberships(channel, starts), viewer_key, np.isin(viewer_key, bots)


def _exclusions(
    degrees: NDArray[np.int64], bots: NDArray[np.bool_], giants: NDArray[np.bool_], limit: int
) -> pl.DataFrame:
    rows = []
    for reason, who, threshold in (("known bot", bots, None), ("too many channels", giants, limit)):
        k = degrees[who]
        rows.append((reason, len(k), int(k.sum()), int((k * (k - 1) // 2).sum()), threshold))
    return pl.DataFrame(rows, schema=EXCLUSIONS.schema, orient="row")


def _messages(pairs: pl.DataFrame, excluded: NDArray[np.uint64]) -> pl.DataFrame:
    out = pl.Series("viewer_key", np.sort(excluded), dtype=pl.UInt64).to_frame()
    kept = pairs.lazy().join(out.lazy(), on="viewer_key", how="anti") if len(excluded) else pairs.lazy()
    return kept.group_by("channel_id").agg(pl.col("messages").cast(pl.Int64).sum()).collect()


def _left_out(channels: pl.DataFrame, min_channel_viewers: int) -> pl.DataFrame:
    viewers, seen = pl.col("viewers"), pl.col("seen")
    floor = f"; a channel of the graph has at least {min_channel_viewers} (analysis.min_channel_viewers)"
    excluded = pl.format(", {} more were excluded as bots", seen - viewers)
    return channels.with_columns(
        reason=pl.when(seen == 0)
        .then(pl.lit("no viewer was seen chatting"))
        .otherwise(
            pl.format(
                "{} viewers{}{}",
                viewers,
                pl.when(seen > viewers).then(excluded).otherwise(pl.lit("")),
                pl.lit(floor),
            )
        )
    )


def _edges(memberships: _Memberships, audiences: pl.DataFrame, threshold: int) -> pl.DataFrame:
    """Rows of EDGES in their order, since channels are numbered by name."""
    found = list(_pairs_sharing(memberships, audiences.height, threshold))
    row, column, shared = (
        np.concatenate([block[part] for block in found] or [np.empty(0, np.int32)]) for part in range(3)
    )
    del found
    viewers = audiences["viewers"].cast(pl.Float64).to_numpy()
    first, second, counts = viewers[row], viewers[column], shared.astype(np.float64)
    population = len(memberships.starts) - 1
    return pl.DataFrame(
        {
            "source": audiences["channel"].gather(row),
            "target": audiences["channel"].gather(column),
            "shared_viewers": shared.astype(np.int64),
            "weight": counts,
            **_measures(counts, first, second),
            "significance": binomial_z(counts, first, second, population),
        },
        schema=EDGES.schema,
    )


def _pairs_sharing(
    memberships: _Memberships, channels: int, threshold: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]]:
    """Pairs row < column of channels with at least ``threshold`` shared viewers, block by block."""
    linking = memberships.of_viewers(memberships.degrees > 1)
    shape = (len(linking.starts) - 1, channels)
    ones = np.ones(len(linking.channel), dtype=np.int32)
    by_channel = sparse.csr_array((ones, linking.channel, linking.starts), shape=shape).T.tocsr()
    if _repeats(by_channel):
        raise ValueError("pairs: a channel and viewer are there more than once")

    def count(
        block: tuple[int, int],
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        start, end = block
        # Columns before the block belong to pairs that earlier blocks count.
        product = by_channel[start:end] @ by_channel[start:].T.tocsr()
        product.sort_indices()
        shared = product.tocoo()
        keep = (shared.col > shared.row) & (shared.data >= threshold)
        return shared.row[keep] + start, shared.col[keep] + start, shared.data[keep]

    # scipy's product releases the interpreter lock, so threads share the work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(count, _row_blocks(channels))


def _row_blocks(channels: int) -> list[tuple[int, int]]:
    """Ranges of rows whose part right of the diagonal has at most ``_BLOCK_CELLS`` cells."""
    blocks, start = [], 0
    while start < channels:
        end = min(channels, start + max(1, _BLOCK_CELLS // (channels - start)))
        blocks.append((start, end))
        start = end
    return blocks


def _repeats(rows: sparse.csr_array) -> bool:
    same = rows.indices[1:] == rows.indices[:-1]
    same[rows.indptr[1:-1][(rows.indptr[1:-1] > 0) & (rows.indptr[1:-1] < len(rows.indices))] - 1] = False
    return bool(same.any())


def _distinct(values: NDArray[np.int32]) -> int:
    return int(np.count_nonzero(np.bincount(values)))


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths)))
