"""The privacy floor: which pairs of channels may be shown outside.

Belongs here: that one rule. Does not belong here: what is drawn or written of the pairs.
"""

from __future__ import annotations

import polars as pl


def published_pairs(edges: pl.DataFrame, min_shared_published: int) -> pl.DataFrame:
    """The EDGES rows with enough shared viewers; a list's weight without a count describes nobody."""
    shared = pl.col("shared_viewers")
    return edges.filter(shared.is_null() | (shared >= min_shared_published))
