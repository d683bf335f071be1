"""The overlap engine: the exact number of viewers that every two channels share.

``audiences`` gives the memberships, ``kernels`` has the compiled loops. Memberships are arranged both ways:
the channels of each viewer, and the places of each channel in these lists. For one channel after the other,
the channels that stand behind it in its viewers' lists are counted in one row of numbers (Gustavson's
sparse product), so every pair is counted once, and memory is bounded by the rows at work. Channels are
numbered by name, so that the edges come out in their order.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vieweratlas_dagster.analysis.plausible import plausible_channels
from vieweratlas_dagster.tables import AUDIENCES, EDGES, EXCLUSIONS, LEFT_OUT, rows_ascend

Loyalty = Literal["none", "messages", "windows"]

# A channel that was read for a smaller share of the time may have too few viewers for that reason alone.
LITTLE_COVERAGE = 0.5
# Small enough that every thread has work until the end.
_BLOCK_CELLS = 250_000
# Up to this many channels are numbered in 16 bits, so that lists read at random stay in nearer memory.
_FEW_CHANNELS = 2**15
# Columns about a channel's observation; unknown ones are null.
_OBSERVATION = {
    "observed_seconds": pl.Float64,
    "recorded_seconds": pl.UInt64,
    "live_windows": pl.UInt32,
    "reason": pl.String,
}


@dataclass(frozen=True)
class OverlapGraph:
    """The graph as frames that conform to AUDIENCES, EDGES, EXCLUSIONS and LEFT_OUT."""

    audiences: pl.DataFrame
    edges: pl.DataFrame
    exclusions: pl.DataFrame
    left_out: pl.DataFrame


@dataclass(frozen=True)
class _Memberships:
    """Memberships grouped by viewer: ``channel[starts[v]:starts[v + 1]]`` are the channels of v.

    ``weight`` are loyalty weights beside ``channel``; empty when every membership weighs the same.
    """

    channel: NDArray[np.int32]
    starts: NDArray[np.int64]
    weight: NDArray[np.uint8]

    @property
    def degrees(self) -> NDArray[np.int64]:
        return np.diff(self.starts)

    def of_viewers(self, keep: NDArray[np.bool_]) -> _Memberships:
        return self if keep.all() else self._only(np.repeat(keep, self.degrees))

    def of_channels(self, number: NDArray[np.int32]) -> _Memberships:
        """With channels renumbered; -1 leaves a channel out, and viewers left without a channel with it."""
        renumbered = _Memberships(number[self.channel], self.starts, self.weight)
        return renumbered if (number >= 0).all() else renumbered._only(renumbered.channel >= 0)

    def _only(self, keep: NDArray[np.bool_]) -> _Memberships:
        degrees = np.add.reduceat(keep, self.starts[:-1], dtype=np.int64) if len(keep) else self.degrees
        weight = self.weight[keep] if len(self.weight) else self.weight
        return _Memberships(self.channel[keep], _starts(degrees[degrees > 0]), weight)


def overlap_graph(
    pairs: pl.DataFrame,
    channels: pl.DataFrame,
    *,
    min_channel_viewers: int,
    overlap_threshold: int,
    bot_filter: bool = True,
    max_channels_per_viewer: int = 100,
    max_windows: int | None = None,
    loyalty: Loyalty = "none",
) -> OverlapGraph:
    """Exact shared-viewer counts of all pairs of channels, with measures, exclusions and reasons.

    With ``bot_filter``, these viewers count nowhere, each for the first reason that holds: those known as
    bots in any channel, those in more channels than `plausible_channels` allows, and those present in one
    channel in more than ``max_windows`` windows.

    Args:
        pairs: one row per channel and viewer: channel_id (Int64), viewer_key (UInt64), messages
            (integer), known_bot (Boolean), and windows (integer) for the loyalty of that name and for
            ``max_windows``. Rows in the order of viewer_key and channel_id, as
            ``audiences.window_audience`` returns them, are fastest.
        channels: one row per channel: channel_id, channel, game_name, language; and where known
            observed_seconds, recorded_seconds, live_windows, reason.
        min_channel_viewers: smallest audience of a channel in the graph.
        overlap_threshold: fewest shared viewers of an edge.
        bot_filter: whether such viewers are excluded.
        max_channels_per_viewer: upper bound of the plausible number of channels.
        max_windows: most windows of one channel (`plausible_windows`); None for no limit.
        loyalty: the weight of an edge. ``none``: its shared viewers. ``messages`` or ``windows``: the sum
            over its shared viewers of the smaller of their two `loyalty_weights`.

    Raises:
        ValueError: a pair or a channel_id is repeated, or a pair names an unknown channel.
    """
    names = one_row_per_channel(channels)
    pairs = _in_order(pairs)
    seen, first = _group_by_viewer(pairs, names, loyalty)
    limit = plausible_channels(_distinct(seen.channel), max_channels_per_viewer)
    counted, exclusions = _judged(pairs, seen, first, limit, max_windows, bot_filter=bot_filter)
    messages = pairs["messages"].to_numpy()
    if not counted.all():
        messages = np.where(np.repeat(counted, seen.degrees), messages, 0)
    observed = names.with_columns(
        seen=_per_channel(seen, names),
        messages=_per_channel(seen, names, messages),
    )
    # Freed when the caller keeps none: the next steps need the memory.
    del pairs, messages, first
    kept = seen.of_viewers(counted)
    del seen
    observed = observed.with_columns(viewers=_per_channel(kept, names))
    inside = pl.col("viewers") >= min_channel_viewers
    audiences = AUDIENCES.conform(observed.filter(inside))
    kept = kept.of_channels(_numbers(names, audiences))
    return OverlapGraph(
        audiences=audiences,
        edges=_edges(kept, audiences, overlap_threshold),
        exclusions=exclusions,
        left_out=LEFT_OUT.conform(left_out_rows(observed.filter(~inside), min_channel_viewers)),
    )


def loyalty_weights(counts: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The weight of a viewer's presence in a channel: 1 + floor(log2(count)), and 1 for a count of 0.

    Twice as many messages or windows add one: 1 weighs 1, 2 and 3 weigh 2, 4 to 7 weigh 3. The logarithm
    keeps one tireless viewer from outweighing a thousand others (sublinear scaling, as of term frequencies:
    Manning, Raghavan and Schuetze 2008, Introduction to Information Retrieval, 6.4.1), and whole numbers
    keep sums exact in any order.

    Args:
        counts: messages or windows, not negative, below 2^53, shape (n,).
    """
    # The exponent e of count = m * 2^e with 0.5 <= m < 1.
    return np.maximum(np.frexp(counts.astype(np.float64))[1], 1).astype(np.uint8)


def binomial_z(
    shared: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64], population: int
) -> NDArray[np.float64]:
    """Standard deviations of ``shared`` above the number that independent audiences would share.

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
    measures = measures_of(shared, first, second)
    return edges.with_columns(
        pl.Series(name, values, dtype=pl.Float64).fill_nan(None) for name, values in measures.items()
    )


def measures_of(
    shared: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Measures of shared viewers against both audiences; nan where any of them is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "jaccard": shared / (first + second - shared),
            "overlap": shared / np.minimum(first, second),
            "cosine": shared / np.sqrt(first * second),
        }


def one_row_per_channel(channels: pl.DataFrame) -> pl.DataFrame:
    """The channels in the order of their ids, with distinct names; unknown observations are null."""
    observed = [
        pl.col(name).cast(dtype) if name in channels.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in _OBSERVATION.items()
    ]
    names = channels.select("channel_id", "channel", "game_name", "language", *observed).sort("channel_id")
    doubled = names.filter(pl.col("channel_id").is_duplicated())
    if doubled.height:
        raise ValueError(f"channels: channel_id {doubled['channel_id'][0]} is in more than one row")
    # A login can change hands between two days; then it identifies neither channel.
    both = pl.format("{}#{}", "channel", "channel_id")
    return names.with_columns(
        channel=pl.when(pl.col("channel").is_duplicated()).then(both).otherwise("channel")
    )


def _in_order(pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs in the order of viewer_key and channel_id.

    Raises:
        ValueError: a pair is repeated.
    """
    order = ["viewer_key", "channel_id"]
    if not rows_ascend(pairs, order):
        pairs = pairs.sort(order)
        if not rows_ascend(pairs, order):
            raise ValueError("pairs: a channel and viewer occur more than once")
    return pairs


def _group_by_viewer(
    pairs: pl.DataFrame, names: pl.DataFrame, loyalty: Loyalty
) -> tuple[_Memberships, NDArray[np.int64]]:
    """Memberships by viewer, with positions in ``names``, and the first row of each viewer.

    Raises:
        ValueError: a channel is not in ``names``.
    """
    place = names.select("channel_id", place=pl.int_range(pl.len(), dtype=pl.Int32))
    placed = pairs.select("channel_id").join(place, on="channel_id", how="left", maintain_order="left")
    unknown = placed.filter(pl.col("place").is_null())["channel_id"].unique().sort()
    if len(unknown):
        some = ", ".join(str(key) for key in unknown[:3])
        raise ValueError(f"pairs: {len(unknown)} channel_ids are not in channels, such as {some}")
    key = pairs["viewer_key"].to_numpy()
    first = (
        np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))) if len(key) else np.empty(0, np.int64)
    )
    weight = np.empty(0, np.uint8) if loyalty == "none" else loyalty_weights(pairs[loyalty].to_numpy())
    return _Memberships(placed["place"].to_numpy(), np.append(first, len(key)), weight), first


def _judged(
    pairs: pl.DataFrame,
    seen: _Memberships,
    first: NDArray[np.int64],
    limit: int,
    max_windows: int | None,
    *,
    bot_filter: bool,
) -> tuple[NDArray[np.bool_], pl.DataFrame]:
    """Which viewers count, and rows of EXCLUSIONS about the others."""
    known_bot = (
        np.logical_or.reduceat(pairs["known_bot"].to_numpy(), first) if len(first) else np.empty(0, bool)
    )
    none = np.zeros_like(known_bot)
    bots = known_bot if bot_filter else none
    giants = (seen.degrees > limit) & ~bots if bot_filter else none
    counted = ~(bots | giants)
    tireless = none
    if bot_filter and max_windows is not None:
        tireless = _in_more_windows(pairs["windows"].to_numpy(), first, max_windows) & counted
        counted &= ~tireless
    exclusions = _exclusions(
        seen,
        ("known bot", bots, None),
        ("too many channels", giants, limit),
        ("too many hours", tireless, max_windows),
    )
    return counted, EXCLUSIONS.conform(exclusions)


def _numbers(names: pl.DataFrame, audiences: pl.DataFrame) -> NDArray[np.int32]:
    """For each row of ``names`` the channel's row in ``audiences``, -1 without one."""
    number = np.full(names.height, -1, dtype=np.int32)
    rows = np.searchsorted(names["channel_id"].to_numpy(), audiences["channel_id"].to_numpy())
    number[rows] = np.arange(audiences.height)
    return number


def _per_channel(
    memberships: _Memberships, names: pl.DataFrame, of: NDArray[np.integer] | None = None
) -> pl.Series:
    """The number of memberships of each channel, or the sum of ``of`` over them (exact below 2^53)."""
    counts = np.bincount(memberships.channel, of, minlength=names.height)
    return pl.Series(counts.astype(np.int64), dtype=pl.Int64)


def _in_more_windows(
    windows: NDArray[np.integer], first: NDArray[np.int64], most: int
) -> NDArray[np.bool_]:
    """Which viewers, whose memberships begin at ``first``, have one of more than ``most`` windows."""
    found = np.zeros(len(first), dtype=np.bool_)
    found[np.searchsorted(first, np.flatnonzero(windows > most), side="right") - 1] = True
    return found


def _exclusions(seen: _Memberships, *reasons: tuple[str, NDArray[np.bool_], int | None]) -> pl.DataFrame:
    """Rows of EXCLUSIONS from each reason, the viewers excluded for it, and its threshold."""
    rows = []
    degrees = seen.degrees
    for reason, excluded, threshold in reasons:
        k = degrees[excluded]
        channels = _distinct(seen.channel[np.repeat(excluded, degrees)]) if excluded.any() else 0
        rows.append((reason, len(k), int(k.sum()), int((k * (k - 1) // 2).sum()), threshold, channels))
    return pl.DataFrame(rows, schema=EXCLUSIONS.schema, orient="row")


def left_out_rows(channels: pl.DataFrame, min_channel_viewers: int) -> pl.DataFrame:
    """Why each of these channels is not in the graph, as the columns of LEFT_OUT.

    Args:
        channels: as `one_row_per_channel` returns them, with ``seen`` (all viewers) and ``viewers``
            (those that count).
        min_channel_viewers: smallest audience of a channel in the graph.
    """
    seen, viewers, read = pl.col("seen"), pl.col("viewers"), pl.col("observed_seconds")
    coverage = pl.when(pl.col("recorded_seconds") > 0).then(read / pl.col("recorded_seconds"))
    kind = (
        pl.when((seen == 0) & (read <= 0))
        .then(pl.lit("never_observed"))
        .when((seen == 0) & (pl.col("live_windows") == 0))
        .then(pl.lit("offline"))
        .when(seen >= min_channel_viewers)
        .then(pl.lit("excluded"))
        .when(coverage < LITTLE_COVERAGE)
        .then(pl.lit("little_coverage"))
        .otherwise(pl.lit("few_viewers"))
    )
    others = pl.when(seen > viewers).then(pl.format(", {} more were excluded as bots", seen - viewers))
    counted = pl.format(
        "{} viewers{}; a channel of the graph has at least {} (analysis.min_channel_viewers)",
        viewers,
        others.otherwise(pl.lit("")),
        pl.lit(min_channel_viewers),
    )
    texts = {
        "never_observed": pl.concat_str(
            pl.lit("it was never read"), pl.lit(": ") + pl.col("reason"), ignore_nulls=True
        ),
        "offline": pl.lit("it was read, but nobody saw it live, and nobody wrote"),
        "little_coverage": pl.format(
            "{}; it was read for {} % of the time only, so there may have been more",
            counted,
            (coverage * 100).floor().cast(pl.Int64),
        ),
    }
    otherwise = pl.when(seen == 0).then(pl.lit("no viewer was seen chatting")).otherwise(counted)
    return channels.with_columns(
        kind=kind, coverage=coverage, excluded_viewers=seen - viewers
    ).with_columns(
        reason=pl.coalesce(
            *(pl.when(pl.col("kind") == name).then(text) for name, text in texts.items()), otherwise
        )
    )


def _edges(memberships: _Memberships, audiences: pl.DataFrame, threshold: int) -> pl.DataFrame:
    """Rows of EDGES in their order, since channels are numbered by name."""
    # Loading compiled loops takes a while, and callers that need the measures alone do without.
    from vieweratlas_dagster.analysis.kernels import arrange, shared_in_rows

    population = len(memberships.starts) - 1
    linking = memberships.of_viewers(memberships.degrees > 1)
    del memberships
    size = len(linking.channel) + len(linking.starts) - 1
    rows = np.empty(audiences.height + 1, np.int64)
    lists = np.empty(size, np.int16 if audiences.height <= _FEW_CHANNELS else np.int32)
    weight = np.empty(size if len(linking.weight) else 0, np.uint8)
    place = np.empty(len(linking.channel), np.int32 if size < 2**31 else np.int64)
    arrange(linking.channel, linking.starts, linking.weight, rows, lists, weight, place)
    del linking
    viewers = audiences["viewers"].cast(pl.Float64).to_numpy()

    def block(begin: int, end: int) -> pl.DataFrame:
        row, column, shared, loyal = shared_in_rows(lists, weight, rows, place, begin, end, threshold)
        first, second, counts = viewers[row], viewers[column], shared.astype(np.float64)
        return pl.DataFrame(
            {
                "source": audiences["channel"].gather(row),
                "target": audiences["channel"].gather(column),
                "shared_viewers": shared.astype(np.int64),
                "weight": loyal.astype(np.float64) if len(weight) else counts,
                **measures_of(counts, first, second),
                "significance": binomial_z(counts, first, second, population),
            },
            schema=EDGES.schema,
        )

    # The loops run without the interpreter's lock, so threads share the work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        blocks = list(pool.map(block, *zip(*_row_blocks(audiences.height), strict=True)))
    return pl.concat(blocks, rechunk=False)


def _row_blocks(channels: int) -> list[tuple[int, int]]:
    """Ranges of rows, at least one, whose part right of the diagonal has at most ``_BLOCK_CELLS`` cells."""
    blocks, start = [], 0
    while start < channels:
        end = min(channels, start + max(1, _BLOCK_CELLS // (channels - start)))
        blocks.append((start, end))
        start = end
    return blocks or [(0, 0)]


def _distinct(values: NDArray[np.int32]) -> int:
    return int(np.count_nonzero(np.bincount(values)))


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths)))
