"""The privacy floor: which pairs and channels may be shown outside.

Belongs here: that one rule. Does not belong here: what is drawn or written of them.
"""

from __future__ import annotations

import polars as pl


def published_pairs(edges: pl.DataFrame, floor: int) -> pl.DataFrame:
    """The EDGES rows with enough shared viewers; a list's weight without a count describes nobody."""
    return _described(edges, "shared_viewers", floor)


def published_channels(nodes: pl.DataFrame, floor: int) -> pl.DataFrame:
    """The NODES rows with enough viewers.

    Pairs of what is left out are as small, so these are left out, too; groups are summed over the others.
    """
    return _described(nodes, "viewers", floor)


def _described(frame: pl.DataFrame, count: str, floor: int) -> pl.DataFrame:
    return frame.filter(pl.col(count).is_null() | (pl.col(count) >= floor))
