"""What communities and regions are called where their place is seen.

Belongs here: a map's names. Does not belong here: finding names (``analysis.labels``), and where on a map
they go (``picture``, ``viewer/``).
"""

from __future__ import annotations

import polars as pl

from vieweratlas_dagster.tables import AROUND


def short_names() -> pl.Expr:
    """Of rows of COMMUNITIES, as ``short``: on a map, being around a channel goes without saying."""
    label = pl.col("label")
    return pl.when("generic").then(label.str.strip_prefix(AROUND)).otherwise(label).alias("short")
