"""Channels that were seen but left out of the map, so that the page can say why.

``analysis.overlap`` gives the reasons; ``viewer/src/data/absence.ts`` decodes these columns and puts them
into sentences.
"""

from __future__ import annotations

from typing import Any

import polars as pl

# The largest ones: people look for channels that have an audience.
CHANNELS_LISTED = 5000


def encode_absent(left_out: pl.DataFrame, *, floor: int) -> dict[str, Any]:
    """Columns of equal length, the largest audience first, and the number of channels beyond the limit.

    Args:
        left_out: rows of LEFT_OUT that may be named.
        floor: smaller counts of viewers are withheld as null.

    Returns:
        name, kind (null: unknown), viewers, excluded (both null below the floor, but for 0) and coverage
        (whole percent, null when unknown); and ``untold``, a number of channels.
    """

    def published(column: str) -> pl.Expr:
        count = pl.col(column).fill_null(0)
        return pl.when((count == 0) | (count >= floor)).then(count)

    rows = left_out.sort("viewers", "channel", descending=[True, False]).select(
        name="channel",
        kind="kind",
        viewers=published("viewers"),
        excluded=published("excluded_viewers"),
        coverage=(pl.col("coverage") * 100).floor().cast(pl.Int64),
    )
    columns = rows.head(CHANNELS_LISTED).to_dict(as_series=False)
    return columns | {"untold": max(0, rows.height - CHANNELS_LISTED)}
