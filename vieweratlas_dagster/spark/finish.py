"""From the counts of the Spark job to the overlap graph, by the formulas of the local engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from vieweratlas_dagster.analysis.overlap import (
    OverlapGraph,
    binomial_z,
    left_out_rows,
    measures_of,
    one_row_per_channel,
)
from vieweratlas_dagster.tables import AUDIENCES, EDGES, EXCLUSIONS, LEFT_OUT


def graph_of_counts(
    counts: pl.DataFrame,
    pairs: pl.DataFrame,
    figures: Mapping[str, Any],
    channels: pl.DataFrame,
    *,
    min_channel_viewers: int,
) -> OverlapGraph:
    """The graph that ``analysis.overlap.overlap_graph`` makes of the same input, row for row.

    Args:
        counts: ``SparkCounts.channels``.
        pairs: ``SparkCounts.pairs``.
        figures: ``SparkCounts.figures``.
        channels: one row per channel: channel_id, channel, game_name, language.
        min_channel_viewers: smallest audience of a channel in the graph.

    Raises:
        ValueError: a channel_id is in channels twice, or was counted but is missing there.
    """
    names = one_row_per_channel(channels)
    unknown = counts.join(names, on="channel_id", how="anti")
    if unknown.height:
        some = ", ".join(str(key) for key in sorted(unknown["channel_id"])[:3])
        raise ValueError(f"pairs: {unknown.height} channel_ids are not in channels, such as {some}")
    observed = names.join(counts, on="channel_id", how="left").with_columns(
        pl.col("seen", "viewers", "messages").fill_null(0)
    )
    inside = pl.col("viewers") >= min_channel_viewers
    audiences = AUDIENCES.conform(observed.filter(inside))
    return OverlapGraph(
        audiences=audiences,
        edges=_edges(pairs, audiences, counts, figures["population"]),
        exclusions=EXCLUSIONS.conform(
            pl.DataFrame(figures["excluded"], schema=EXCLUSIONS.schema, orient="row")
        ),
        left_out=LEFT_OUT.conform(left_out_rows(observed.filter(~inside), min_channel_viewers)),
    )


def _edges(
    pairs: pl.DataFrame, audiences: pl.DataFrame, counts: pl.DataFrame, population: int
) -> pl.DataFrame:
    numbers = audiences.join(counts, on="channel_id", how="left", maintain_order="left")["number"]
    place = np.empty(audiences.height, dtype=np.int32)
    place[numbers.to_numpy()] = np.arange(audiences.height, dtype=np.int32)
    ends = [place[pairs[end].to_numpy()] for end in ("first", "second")]
    row, column = np.minimum(*ends), np.maximum(*ends)
    order = np.lexsort((column, row))
    row, column = row[order], column[order]
    viewers = audiences["viewers"].cast(pl.Float64).to_numpy()
    shared, weight = (pairs[name].to_numpy()[order] for name in ("shared", "weight"))
    first, second, found = viewers[row], viewers[column], shared.astype(np.float64)
    return pl.DataFrame(
        {
            "source": audiences["channel"].gather(row),
            "target": audiences["channel"].gather(column),
            "shared_viewers": shared,
            "weight": weight.astype(np.float64),
            **measures_of(found, first, second),
            "significance": binomial_z(found, first, second, population),
        },
        schema=EDGES.schema,
    )
