"""Tables without those who opted out, by the names of their columns.

Belongs here: rows of any table of the lake, and texts that name a channel. Does not belong here: which
tables are rewritten (``forgetting``) or shown (``shown_map``), and raw data
(``collector_service.privacy.redaction``).
"""

from __future__ import annotations

import re

import polars as pl

from collector_service.privacy.opt_outs import NOBODY, OptOuts

_LOGIN_COLUMNS = ("channel", "source", "target")
# Names of communities, and what to call one whose name names somebody who is gone: by the column of its id.
_NAMES = {"label": "community", "region_label": "region"}
_WITHHELD = "its former name is withheld"
_CHANGED = "its name is of all its channels, of which some are not shown"


def without(frame: pl.DataFrame, gone: OptOuts) -> pl.DataFrame:
    """The rows that are about nobody who is gone, in order; names of communities name nobody either."""
    if gone == NOBODY:
        return frame
    columns = frame.schema
    about = [pl.lit(value=False)]
    if "viewer_key" in columns:
        about.append(
            pl.col("viewer_key").is_in(pl.Series(sorted(gone.viewer_keys), dtype=pl.UInt64).implode())
        )
    if "channel_id" in columns:
        about.append(
            pl.col("channel_id").is_in(pl.Series(sorted(gone.channel_ids), dtype=pl.Int64).implode())
        )
    logins = pl.Series(sorted(gone.channels), dtype=pl.String).implode()
    about += [pl.col(name).is_in(logins) for name in _LOGIN_COLUMNS if columns.get(name) == pl.String]
    kept = frame.filter(~pl.any_horizontal(one.fill_null(value=False) for one in about))
    if "members" in columns:
        kept = kept.with_columns(pl.col("members").list.filter(~pl.element().is_in(logins)))
    return _unnamed(kept, gone) if gone.channels else kept


def summed_over(communities: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """The COMMUNITIES rows that have channels among the NODES, with their number and audience.

    A sum over a channel that is not there would tell its audience, by the difference to those that are. So
    would the share that a name describes: where channels are missing it is null, and the reason withheld.
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


def _unnamed(frame: pl.DataFrame, gone: OptOuts) -> pl.DataFrame:
    names = "|".join(re.escape(login) for login in sorted(gone.channels))
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
