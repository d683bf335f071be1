"""The privacy floor: which pairs and channels may be published."""

from __future__ import annotations

import polars as pl


def published_pairs(edges: pl.DataFrame, floor: int) -> pl.DataFrame:
    """The EDGES rows with enough shared viewers, and those with a weight alone: it counts no viewers."""
    return _described(edges, "shared_viewers", floor)


def published_channels(nodes: pl.DataFrame, floor: int) -> pl.DataFrame:
    """The NODES rows with enough viewers.

    The pairs of withheld channels are as small, so they are withheld too; groups are summed over the rest.
    """
    return _described(nodes, "viewers", floor)


def _described(frame: pl.DataFrame, count: str, floor: int) -> pl.DataFrame:
    return frame.filter(pl.col(count).is_null() | (pl.col(count) >= floor))
