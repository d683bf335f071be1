"""The rules behind the asset checks, as pure functions of tables.

Belongs here: one function per rule; it returns every violation as a readable text, none when all is
well. Does not belong here: severities, thresholds from settings, Dagster.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl


def overlap_violations(audiences: pl.DataFrame, edges: pl.DataFrame) -> list[str]:
    """What can never be true of an overlap graph (AUDIENCES and EDGES frames)."""
    found = []
    viewers = audiences.select("channel", "viewers")
    joined = edges.join(viewers, left_on="source", right_on="channel", how="left").join(
        viewers, left_on="target", right_on="channel", how="left", suffix="_target"
    )
    rules = {
        "edges name a channel that has no audience": pl.any_horizontal(
            pl.col("viewers", "viewers_target").is_null()
        ),
        "edges are not ordered source < target": pl.col("source") >= pl.col("target"),
        "edges share nobody": pl.col("shared_viewers") < 1,
        "edges share more viewers than a channel has": pl.col("shared_viewers")
        > pl.min_horizontal("viewers", "viewers_target"),
        "edges have a Jaccard index outside 0..1": ~pl.col("jaccard").is_between(0, 1),
    }
    for text, broken in rules.items():
        if count := joined.filter(broken).height:
            found.append(f"{count} {text}")
    return found


def unknown_channels(presence: pl.DataFrame, channels: pl.DataFrame) -> int:
    """How many channel ids of PRESENCE rows the channel dimension does not have."""
    return presence.select("channel_id").unique().join(channels, on="channel_id", how="anti").height


def generic_share(communities: pl.DataFrame) -> float:
    """Share of communities (COMMUNITIES frame, fine level) that no game or language names."""
    fine = communities.filter(level="community")
    return fine.filter("generic").height / fine.height if fine.height else 0.0


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


def unplaced_nodes(nodes: pl.DataFrame) -> int:
    """How many NODES rows have no finite place on the map."""
    return nodes.filter(~(pl.col("x").is_finite() & pl.col("y").is_finite())).height


def age_minutes(newest: datetime | None, now: datetime) -> float | None:
    """Minutes since an instant; None when there is none."""
    return None if newest is None else (now - newest).total_seconds() / 60
