"""Names of communities and regions as maps show them."""

from __future__ import annotations

import polars as pl

from vieweratlas_dagster.tables import AROUND


def with_short_names(communities: pl.DataFrame) -> pl.DataFrame:
    """Rows of COMMUNITIES with ``short``: the label without "around", which a map shows anyway.

    Where two groups would then have the same name, in capitals at the latest, both keep their labels.
    """
    label = pl.col("label")
    short = pl.when("generic").then(label.str.strip_prefix(AROUND)).otherwise(label)
    unique = ~short.str.to_uppercase().is_duplicated()
    return communities.with_columns(short=pl.when(unique).then(short).otherwise(label))
