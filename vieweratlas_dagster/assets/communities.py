"""Group communities: the partition into communities and regions, their history and their names."""

import dagster as dg
import polars as pl

from vieweratlas_dagster.assets.graph import OVERLAP_GRAPH
from vieweratlas_dagster.imports.labels import read_labels_file
from vieweratlas_dagster.lake.keys import analysis_key
from vieweratlas_dagster.lake.tables_io import write_table
from vieweratlas_dagster.maps.stored import ShownMap, previous_map
from vieweratlas_dagster.resources.catalog import (
    catalogued_asset,
    preview_table,
    rounded,
    rows,
)
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, COMMUNITIES, EDGES, EVENTS, PARTITION


@catalogued_asset(
    "communities",
    "docs/METHOD.md#communities-and-regions",
    table=PARTITION,
    deps=[OVERLAP_GRAPH],
    kinds={"parquet", "python"},
)
def community_partitions(
    context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """Communities on two levels: regions (mostly languages) and the communities inside them.

    Ids persist: each community is matched with those of the newest earlier map. Births, ends, splits and
    merges are recorded.
    """
    from vieweratlas_dagster.analysis.communities import ClusteringOptions, find_communities

    day, store = context.partition_key, lake.lake
    shown = ShownMap(store, day)
    found = find_communities(
        shown.read("audiences.parquet", AUDIENCES),
        shown.read("edges.parquet", EDGES),
        ClusteringOptions.of(settings.analysis),
        previous=previous_map(store, day),
    )
    write_table(store, analysis_key(day, "events.parquet"), found.events, EVENTS)
    partition = write_table(store, analysis_key(day, "partition.parquet"), found.partition, PARTITION)
    return dg.MaterializeResult(
        metadata={
            **rows(partition.height),
            **{name: rounded(value) for name, value in found.quality.items()},
            "n_communities": partition["community"].drop_nulls().n_unique(),
            "n_regions": partition["region"].drop_nulls().n_unique(),
            "isolated_channels": partition["community"].null_count(),
            "events": preview_table(found.events.with_columns(pl.col("members").list.len())),
            "dagster/uri": f"{store.uri}/{analysis_key(day, 'partition.parquet')}",
        }
    )


@catalogued_asset(
    "communities",
    "docs/METHOD.md#communities-and-regions",
    table=COMMUNITIES,
    deps=[community_partitions],
    kinds={"parquet", "python"},
)
def community_labels(
    context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """A name for every community and region, from game, language and leading channels, with the reason.

    Names that people gave in `analysis.labels_file` win.
    """
    from vieweratlas_dagster.analysis.labels import label_communities, unknown_overrides

    day, store, file = context.partition_key, lake.lake, settings.analysis.labels_file
    given = read_labels_file(file) if file else {}
    shown = ShownMap(store, day)
    labels = label_communities(
        shown.read("audiences.parquet", AUDIENCES),
        shown.read("partition.parquet", PARTITION),
        previous=previous_map(store, day),
        overrides=given,
    )
    if unknown := unknown_overrides(labels, given):
        context.log.warning("%s: not on the map of %s: %s", file, day, ", ".join(unknown))
    labels = write_table(store, analysis_key(day, "communities.parquet"), labels, COMMUNITIES)
    fine = labels.filter(level="community")
    sizes = fine["size"].to_list()
    return dg.MaterializeResult(
        metadata={
            **rows(labels.height),
            "generic_labels": fine.filter(pl.col("generic")).height,
            "largest_community_share": rounded(max(sizes, default=0) / max(1, sum(sizes))),
            "named_by_hand": sum(map(len, given.values())) - len(unknown),
            "named_by_hand_not_on_the_map": ", ".join(unknown) or "none",
            "communities": preview_table(
                fine.sort("viewers", descending=True).select("id", "label", "size", "viewers", "reason"), 20
            ),
            "dagster/uri": f"{store.uri}/{analysis_key(day, 'communities.parquet')}",
        }
    )
