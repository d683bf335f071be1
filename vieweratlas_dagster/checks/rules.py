"""The rules behind the checks of a day, as pure functions of tables.

A rule that finds violations returns each one as a readable text.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import polars as pl

from vieweratlas_dagster.tables import Table


def contract_problems(table: Table, frame: pl.DataFrame) -> list[str]:
    """The ways in which a frame from the lake breaks its table's contract, surplus columns included."""
    names = {column.name for column in table.columns}
    extra = [f"column {name} is not in the contract" for name in frame.columns if name not in names]
    return [f"{table.name}: {problem}" for problem in (*table.problems(frame), *extra)]


def overlap_violations(audiences: pl.DataFrame, edges: pl.DataFrame) -> list[str]:
    """The impossible rows of an overlap graph (AUDIENCES and EDGES frames)."""
    found = []
    viewers = audiences.select("channel", "viewers")
    joined = edges.join(viewers, left_on="source", right_on="channel", how="left").join(
        viewers, left_on="target", right_on="channel", how="left", suffix="_target"
    )
    rules = {
        "edges name a channel without an audience": pl.any_horizontal(
            pl.col("viewers", "viewers_target").is_null()
        ),
        "edges are not ordered source < target": pl.col("source") >= pl.col("target"),
        "edges share no viewers": pl.col("shared_viewers") < 1,
        "edges share more viewers than a channel has": pl.col("shared_viewers")
        > pl.min_horizontal("viewers", "viewers_target"),
        "edges have a Jaccard index outside 0..1": ~pl.col("jaccard").is_between(0, 1),
    }
    for text, broken in rules.items():
        if count := joined.filter(broken).height:
            found.append(f"{count} {text}")
    return found


def unknown_channels(presence: pl.DataFrame, channels: pl.DataFrame) -> int:
    """The number of channel ids of PRESENCE rows that the channel dimension lacks."""
    return presence.select("channel_id").unique().join(channels, on="channel_id", how="anti").height


def generic_share(communities: pl.DataFrame) -> float:
    """Share of communities (COMMUNITIES frame, fine level) that no game or language names."""
    fine = communities.filter(level="community")
    return fine.filter("generic").height / fine.height if fine.height else 0.0


def unplaced_nodes(nodes: pl.DataFrame) -> int:
    """The number of NODES rows without a finite place on the map."""
    return nodes.filter(~(pl.col("x").is_finite() & pl.col("y").is_finite())).height


def partition_violations(audiences: pl.DataFrame, partition: pl.DataFrame) -> list[str]:
    """The contradictions between a PARTITION and its AUDIENCES, and between its two levels."""
    regions = partition.drop_nulls("community").group_by("community").agg(pl.col("region").n_unique())
    levels_differ = pl.col("community").is_null() != pl.col("region").is_null()
    return _counted(
        {
            "channels of the partition have no audience": partition.join(
                audiences, on="channel", how="anti"
            ).height,
            "channels with an audience are not in the partition": audiences.join(
                partition, on="channel", how="anti"
            ).height,
            "channels have a community or a region without the other": partition.filter(
                levels_differ
            ).height,
            "communities lie in more than one region": regions.filter(pl.col("region") > 1).height,
        }
    )


def community_violations(partition: pl.DataFrame, communities: pl.DataFrame) -> list[str]:
    """The contradictions between COMMUNITIES and a PARTITION: ids, sizes and regions."""
    found = {}
    for level in ("community", "region"):
        rows = communities.filter(level=level)
        sizes = partition.drop_nulls(level).group_by(pl.col(level).alias("id")).agg(pl.len().alias("found"))
        both = rows.join(sizes, on="id", how="inner")
        found[f"ids of level {level} in the partition have no row"] = sizes.join(
            rows, on="id", how="anti"
        ).height
        found[f"rows of level {level} have no channel"] = rows.join(sizes, on="id", how="anti").height
        found[f"rows of level {level} have a size that differs from their channels"] = both.filter(
            pl.col("size") != pl.col("found")
        ).height
    fine = communities.filter(level="community")
    regions = communities.filter(level="region").select(parent="id")
    found["communities have a parent that is not a region"] = fine.join(
        regions, on="parent", how="anti"
    ).height
    lies_in = (
        partition.drop_nulls(["community", "region"])
        .select(id="community", lies_in="region")
        .unique()
        .join(fine, on="id")
    )
    found["communities have a parent that differs from their channels' region"] = lies_in.filter(
        pl.col("lies_in").ne_missing(pl.col("parent"))
    )["id"].n_unique()
    return _counted(found)


def node_violations(nodes: pl.DataFrame, partition: pl.DataFrame, communities: pl.DataFrame) -> list[str]:
    """The contradictions of NODES with PARTITION and COMMUNITIES: community, region and names."""
    found = {}
    placed = nodes.join(partition, on="channel", how="left", suffix="_found")
    for level, label in (("community", "label"), ("region", "region_label")):
        found[f"channels are drawn in a {level} that is not theirs"] = placed.filter(
            pl.col(level).ne_missing(pl.col(f"{level}_found"))
        ).height
        names = communities.filter(level=level).select(
            pl.col("id").alias(level), pl.col("label").alias("name")
        )
        named = nodes.drop_nulls(level).join(names, on=level, how="left")
        found[f"channels bear a name that is not their {level}'s"] = named.filter(
            pl.col("name").is_null() | pl.col(label).ne_missing(pl.col("name"))
        ).height
    return _counted(found)


def _counted(found: dict[str, int]) -> list[str]:
    return [f"{count} {text}" for text, count in found.items() if count]


def largest_community_share(partition: pl.DataFrame) -> float:
    """Share of a PARTITION's channels with a community that are in the largest one; 0 without any."""
    placed = partition["community"].drop_nulls()
    sizes = placed.value_counts()["count"].to_list()
    return max(sizes) / len(placed) if sizes else 0.0


def stable_share(before: pl.DataFrame, after: pl.DataFrame) -> tuple[float, int]:
    """The share of channels that kept their community's id, and the number of channels judged.

    Judged are the channels with a community in both PARTITIONs; without any the share is 1.0.
    """
    both = before.drop_nulls("community").join(after.drop_nulls("community"), on="channel")
    kept = both.filter(pl.col("community") == pl.col("community_right")).height
    return (kept / both.height if both.height else 1.0), both.height


def excluded_share(
    audiences: pl.DataFrame, left_out: pl.DataFrame, exclusions: pl.DataFrame, reason: str
) -> float:
    """The share of all (channel, viewer) pairs of the window that EXCLUSIONS left out for a reason."""
    kept = int(audiences["viewers"].sum()) + int(left_out["viewers"].sum())
    every = kept + int(exclusions["memberships"].sum())
    return int(exclusions.filter(reason=reason)["memberships"].sum()) / every if every else 0.0


def times_usual(value: int, earlier: Sequence[int], *, fewest: int) -> float | None:
    """A count relative to the median of earlier ones; None with fewer than ``fewest``, or a median of 0."""
    usual = median(earlier) if earlier and len(earlier) >= fewest else 0
    return value / usual if usual else None
