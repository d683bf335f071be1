"""Audiences: of one day from its presence rows, and of a window from the audiences of its days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import polars as pl

from vieweratlas_dagster.analysis.kernels import Columns, merged
from vieweratlas_dagster.tables import DAY_AUDIENCES

_PLACE = ("viewer_key", "channel_id", "window_start", "window_seconds")
_NAMES = ("viewer_key", "channel_id", "messages", "windows", "known_bot")
_MOST = 2**32 - 1


def day_audience(presence: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The audience of one day.

    Args:
        presence: PRESENCE frames of the day, one for each source. Where several sources saw a viewer in a
            window, the largest number of messages counts.

    Returns:
        A frame that conforms to DAY_AUDIENCES; numbers beyond 32 bits are the largest of those.
    """
    rows = pl.concat(presence) if presence else pl.DataFrame()
    if rows.is_empty():
        return DAY_AUDIENCES.empty()
    if sum(not frame.is_empty() for frame in presence) > 1:
        rows = rows.group_by(_PLACE).agg(pl.col("messages").max(), pl.col("known_bot").any())
    return DAY_AUDIENCES.conform(
        rows.group_by("viewer_key", "channel_id").agg(
            pl.col("messages").cast(pl.UInt64).sum().clip(upper_bound=_MOST),
            pl.len().alias("windows"),
            pl.col("known_bot").any(),
        )
    )


def window_audience(days: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """The audience of several days, by merging theirs, which are sorted already.

    Costs one pass over the rows for each doubling of the number of days, and the memory of about twice the
    rows of the result, since small days are merged before large ones.

    Args:
        days: DAY_AUDIENCES frames in the order of their key; read one after the other.

    Returns:
        A frame with the columns and the order of DAY_AUDIENCES: messages and windows are summed (at most to
        the largest of 32 bits), and known_bot holds when any day has it.
    """
    runs: list[Columns] = []
    for day in days:
        runs.append(_columns(day))
        while len(runs) > 1 and len(runs[-2][0]) < 2 * len(runs[-1][0]):
            runs.append(_merged(runs.pop(), runs.pop()))
    while len(runs) > 1:
        runs.append(_merged(runs.pop(), runs.pop()))
    if not runs:
        return DAY_AUDIENCES.empty()
    return pl.DataFrame(dict(zip(_NAMES, runs.pop(), strict=True))).select(DAY_AUDIENCES.schema.names())


def _columns(day: pl.DataFrame) -> Columns:
    return cast("Columns", tuple(day[name].to_numpy() for name in _NAMES))


def _merged(first: Columns, second: Columns) -> Columns:
    size = len(first[0]) + len(second[0])
    out = cast("Columns", tuple(np.empty(size, column.dtype) for column in first))
    filled = merged(first, second, out)
    # The untouched rest of each array takes address space, but no memory.
    return cast("Columns", tuple(column[:filled] for column in out))
