"""Tables without those who opted out, by the names of their columns.

``collector_service.privacy.redaction`` does the same for raw objects.
"""

from __future__ import annotations

import re

import polars as pl

from collector_service.privacy.opt_outs import NOBODY, OptOuts

_LOGIN_COLUMNS = ("channel", "source", "target")
# Columns with names of communities, and the column of the id that replaces a name of an opted-out channel.
_NAMES = {"label": "community", "region_label": "region"}
_WITHHELD = "its former name is withheld"
_CHANGED = "its name is of all its channels, of which some are not shown"


def without(frame: pl.DataFrame, opted_out: OptOuts) -> pl.DataFrame:
    """The rows about others, in order, and without names of communities that name an opted-out channel."""
    if opted_out == NOBODY:
        return frame
    columns = frame.schema
    about = [pl.lit(value=False)]
    if "viewer_key" in columns:
        about.append(
            pl.col("viewer_key").is_in(pl.Series(sorted(opted_out.viewer_keys), dtype=pl.UInt64).implode())
        )
    if "channel_id" in columns:
        about.append(
            pl.col("channel_id").is_in(pl.Series(sorted(opted_out.channel_ids), dtype=pl.Int64).implode())
        )
    logins = pl.Series(sorted(opted_out.channels), dtype=pl.String).implode()
    about += [pl.col(name).is_in(logins) for name in _LOGIN_COLUMNS if columns.get(name) == pl.String]
    kept = frame.filter(~pl.any_horizontal(match.fill_null(value=False) for match in about))
    if "members" in columns:
        kept = kept.with_columns(pl.col("members").list.filter(~pl.element().is_in(logins)))
    return _unnamed(kept, opted_out) if opted_out.channels else kept


def summed_over(communities: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """The COMMUNITIES rows that have channels among the NODES, with their number and audience.

    A sum over a removed channel would reveal its audience, by the difference from the sum of the others. So
    would the share that a name describes: it is null where channels are missing, and the reason replaced.
    """
    counted = [
        nodes.filter(pl.col(level).is_not_null())
        .group_by(id=pl.col(level))
        .agg(pl.len().cast(pl.Int64).alias("left"), pl.col("viewers").sum().alias("sum"))
        .with_columns(level=pl.lit(level))
        for level in ("community", "region")
    ]
    found = communities.join(pl.concat(counted), on=["level", "id"], how="inner", maintain_order="left")
    whole = pl.col("left") == pl.col("size")
    return found.with_columns(
        pl.when(whole).then("reason").otherwise(pl.lit(_CHANGED)).alias("reason"),
        pl.when(whole).then("confidence").alias("confidence"),
        pl.col("left").alias("size"),
        pl.when(whole).then("viewers").otherwise("sum").alias("viewers"),
    ).select(communities.columns)


def _unnamed(frame: pl.DataFrame, opted_out: OptOuts) -> pl.DataFrame:
    names = "|".join(re.escape(login) for login in sorted(opted_out.channels))
    # Without look-around, which Polars' expressions do not have.
    pattern = rf"(?:^|[^a-z0-9_])(?:{names})(?:$|[^a-z0-9_])"

    def named(column: str) -> pl.Expr:
        return pl.col(column).str.contains(pattern).fill_null(value=False)

    if {"level", "id", "label", "reason"} <= set(frame.columns):
        plain = pl.concat_str("level", pl.lit(" "), pl.col("id").cast(pl.String))
        either = named("label") | named("reason")
        return frame.with_columns(
            pl.when(either).then(plain).otherwise("label").alias("label"),
            pl.when(either).then(pl.lit(_WITHHELD)).otherwise("reason").alias("reason"),
        )
    return frame.with_columns(
        pl.when(named(name))
        .then(pl.concat_str(pl.lit(f"{number} "), pl.col(number).cast(pl.String)))
        .otherwise(name)
        .alias(name)
        for name, number in _NAMES.items()
        if name in frame.columns and number in frame.columns
    )
