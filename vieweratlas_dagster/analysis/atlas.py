"""The finished map: every step in order, and the table of channels that all results are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from vieweratlas_dagster.analysis.colors import GREY
from vieweratlas_dagster.analysis.communities import (
    STANDARD_CLUSTERING,
    ClusteringOptions,
    find_communities,
)
from vieweratlas_dagster.analysis.labels import label_communities
from vieweratlas_dagster.analysis.layout import neighbour_preservation, place
from vieweratlas_dagster.analysis.stability import Previous
from vieweratlas_dagster.tables import NODES


@dataclass(frozen=True)
class Atlas:
    """All results of one graph, as frames that conform to their tables, and numbers about their quality."""

    nodes: pl.DataFrame
    edges: pl.DataFrame
    communities: pl.DataFrame
    partition: pl.DataFrame
    events: pl.DataFrame
    quality: dict[str, float]


def build(
    audiences: pl.DataFrame,
    edges: pl.DataFrame,
    options: ClusteringOptions = STANDARD_CLUSTERING,
    *,
    previous: Previous | None = None,
    overrides: Mapping[str, Mapping[int, str]] | None = None,
) -> Atlas:
    """The whole atlas of a graph.

    Args:
        audiences: rows of AUDIENCES.
        edges: rows of EDGES.
        options: how to cluster; the seed is also that of the layout.
        previous: the earlier map, whose ids, names, colours and places are kept.
        overrides: see `label_communities`.

    Returns:
        Quality has the numbers of `find_communities`, ``neighbour_preservation``, and the counts
        ``communities``, ``regions`` and ``isolated``.
    """
    found = find_communities(audiences, edges, options, previous=previous)
    communities = label_communities(
        audiences, found.partition, edges=edges, previous=previous, overrides=overrides
    )
    positions = place(audiences, edges, found.partition, seed=options.seed, previous=previous)
    nodes = assemble(
        audiences=audiences,
        edges=edges,
        partition=found.partition,
        communities=communities,
        positions=positions,
    )
    quality = found.quality | {
        "neighbour_preservation": neighbour_preservation(audiences, edges, positions),
        "communities": communities.filter(pl.col("level") == "community").height,
        "regions": communities.filter(pl.col("level") == "region").height,
        "isolated": found.partition["community"].null_count(),
    }
    return Atlas(nodes, edges, communities, found.partition, found.events, quality)


def assemble(
    *,
    audiences: pl.DataFrame,
    edges: pl.DataFrame,
    partition: pl.DataFrame,
    communities: pl.DataFrame,
    positions: pl.DataFrame,
) -> pl.DataFrame:
    """One row per channel with its community, names, place, degree and colour: rows of NODES.

    Args:
        audiences: rows of AUDIENCES.
        edges: rows of EDGES.
        partition: rows of PARTITION.
        communities: rows of COMMUNITIES.
        positions: channel, x, y.
    """
    fine = communities.filter(pl.col("level") == "community").select(
        pl.col("id").alias("community"), "label", "color"
    )
    coarse = communities.filter(pl.col("level") == "region").select(
        pl.col("id").alias("region"), pl.col("label").alias("region_label")
    )
    degree = (
        pl.concat([edges["source"], edges["target"].alias("source")])
        .alias("channel")
        .value_counts(name="degree")
    )
    return NODES.conform(
        audiences.join(partition, on="channel", how="left")
        .join(fine, on="community", how="left")
        .join(coarse, on="region", how="left")
        .join(positions, on="channel", how="left")
        .join(degree, on="channel", how="left")
        .with_columns(pl.col("degree").fill_null(0), pl.col("color").fill_null(GREY))
    )
