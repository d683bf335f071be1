"""What communities and regions are called where their place is seen.

Belongs here: a map's names. Does not belong here: finding names (``analysis.labels``), and where on a map
they go (``picture``, ``viewer/``).
"""

from __future__ import annotations

import polars as pl

from vieweratlas_dagster.tables import AROUND


def with_short_names(communities: pl.DataFrame) -> pl.DataFrame:
    """Rows of COMMUNITIES with ``short``: on a map, being around a channel goes without saying.

    Not where another group would then be called the same, in capitals at the latest.
    """
    label = pl.col("label")
    short = pl.when("generic").then(label.str.strip_prefix(AROUND)).otherwise(label)
    unique = ~short.str.to_uppercase().is_duplicated()
    return communities.with_columns(short=pl.when(unique).then(short).otherwise(label))
