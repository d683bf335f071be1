"""Channels that were seen but are not on the map: what the page needs to say why.

Belongs here: which of them are told, and their compact encoding, which ``viewer/src/data/absent.ts`` puts
into sentences. Does not belong here: why a channel is left out (``analysis.overlap``).
"""

from __future__ import annotations

from typing import Any

import polars as pl

# The largest ones; who looks for a channel looks for one that has an audience.
CHANNELS_TOLD = 5000


def encode_absent(left_out: pl.DataFrame, *, floor: int) -> dict[str, Any]:
    """Columns of equal length, the largest audience first, and how many channels there is no room for.

    Args:
        left_out: rows of LEFT_OUT that may be named.
        floor: a count of viewers below it is told as null: fewer than the floor.

    Returns:
        name, kind (null: unknown), viewers, excluded (both null below the floor, but for 0) and coverage
        (whole percent, null when unknown); and ``untold``, a number of channels.
    """

    def told(column: str) -> pl.Expr:
        count = pl.col(column).fill_null(0)
        return pl.when((count == 0) | (count >= floor)).then(count)

    rows = left_out.sort("viewers", "channel", descending=[True, False]).select(
        name="channel",
        kind="kind",
        viewers=told("viewers"),
        excluded=told("excluded_viewers"),
        coverage=(pl.col("coverage") * 100).floor().cast(pl.Int64),
    )
    columns = rows.head(CHANNELS_TOLD).to_dict(as_series=False)
    return columns | {"untold": max(0, rows.height - CHANNELS_TOLD)}
