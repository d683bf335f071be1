"""How good a map's communities are, as numbers."""

from __future__ import annotations

import polars as pl


def partition_modularity(edges: pl.DataFrame, partition: pl.DataFrame) -> float | None:
    """Modularity (resolution 1, on ``weight``) of the communities of a PARTITION; None without edges."""
    if edges.is_empty():
        return None
    of = partition.select("channel", "community")
    ends = edges.join(of, left_on="source", right_on="channel").join(
        of, left_on="target", right_on="channel", suffix="_target"
    )
    total = float(edges["weight"].sum())
    inside = float(ends.filter(pl.col("community") == pl.col("community_target"))["weight"].sum())
    halves = [
        ends.select(pl.col(name).alias("community"), "weight") for name in ("community", "community_target")
    ]
    strength = pl.concat(halves).group_by("community").agg(pl.col("weight").sum())["weight"]
    return inside / total - float(((strength / (2 * total)) ** 2).sum())
