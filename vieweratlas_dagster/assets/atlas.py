"""Group atlas: the map for people, and graph files for other tools."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OPT_OUTS_KEY, read_opt_outs
from vieweratlas_dagster.assets.communities import community_labels
from vieweratlas_dagster.lake.keys import analysis_key
from vieweratlas_dagster.lake.manifests import finish_map, publish_latest
from vieweratlas_dagster.lake.tables_io import write_table
from vieweratlas_dagster.maps.stored import ShownMap, previous_map
from vieweratlas_dagster.resources.catalog import (
    catalogued_asset,
    picture,
    preview_table,
    rows,
)
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, COMMUNITIES, EDGES, NODES, PARTITION

if TYPE_CHECKING:
    from vieweratlas_dagster.maps.drawing import Pages


@catalogued_asset(
    "atlas",
    "docs/METHOD.md#places",
    table=NODES,
    deps=[community_labels],
    kinds={"html", "parquet", "javascript"},
)
def atlas(
    context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """The map: every channel's place, one self-contained atlas.html with earlier days, atlas.png and .svg.

    Places are aligned with the newest earlier map, so that channels do not jump.
    """
    from vieweratlas_dagster.maps.drawing import PAGE, VECTOR

    day, store = context.partition_key, lake.lake
    shown, nodes, communities, pages = _make_map(store, day, settings)
    # Drawing takes minutes, and an opt-out during that time may have searched before the map was written.
    while read_opt_outs(store) != shown.opt_outs:
        shown, nodes, communities, pages = _make_map(store, day, settings)
    return dg.MaterializeResult(
        metadata={
            **rows(nodes.height),
            "preview": picture(pages.preview, f"atlas of {day}"),
            "communities": preview_table(
                communities.filter(level="community")
                .sort("viewers", descending=True)
                .select("label", "size", "viewers"),
                20,
            ),
            "neighbour_preservation": pages.quality["neighbour_preservation"],
            "page_bytes": len(pages.files[PAGE]),
            "vector_bytes": len(pages.files[VECTOR]),
            "earlier_days": pages.earlier_days,
            # A path to copy: browsers do not open files from the page of a server.
            "page": dg.MetadataValue.path(store.address(analysis_key(day, "atlas.html"))),
            "dagster/uri": f"{store.uri}/{analysis_key(day, 'nodes.parquet')}",
        }
    )


@catalogued_asset("atlas", "docs/METHOD.md#what-is-not-shown", deps=[atlas], kinds={"csv", "networkx"})
def graph_exports(
    context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """The graph for other tools: GEXF for Gephi, GraphML, CSV, Parquet, and JSON of every channel.

    Pairs below the privacy floor are left out. Then the day is copied to curated/analysis/latest/,
    unless it has no channels or a newer day is published.
    """
    from vieweratlas_dagster.maps.drawing import draw_exports

    day, store = context.partition_key, lake.lake
    while True:
        shown = ShownMap(store, day)
        _draw_again_if_outdated(shown, settings)
        exports = draw_exports(shown, settings)
        _put(shown, exports.files)
        # All blocking checks have passed here, so a map that they stop is never published or continued.
        finish_map(store, day, exports.channels)
        latest = exports.channels > 0 and publish_latest(store, day)
        # A later opt-out searches a finished map.
        if read_opt_outs(store) == shown.opt_outs:
            break
    return dg.MaterializeResult(
        metadata={
            **rows(exports.pairs),
            "withheld_pairs": exports.withheld_pairs,
            "published_as_latest": latest,
            "bytes": sum(len(data) for data in exports.files.values()),
            "dagster/uri": f"{store.uri}/{analysis_key(day, '')}",
        }
    )


def _make_map(
    store: Lake, day: str, settings: Settings
) -> tuple[ShownMap, pl.DataFrame, pl.DataFrame, "Pages"]:
    """Place and draw the day's channels, and write them: the map, its NODES and COMMUNITIES, the pages."""
    from vieweratlas_dagster.analysis.atlas import assemble
    from vieweratlas_dagster.analysis.layout import place
    from vieweratlas_dagster.maps.drawing import draw_pages

    shown = ShownMap(store, day)
    audiences = shown.read("audiences.parquet", AUDIENCES)
    edges = shown.read("edges.parquet", EDGES)
    partition = shown.read("partition.parquet", PARTITION)
    communities = shown.read("communities.parquet", COMMUNITIES)
    positions = place(
        audiences, edges, partition, seed=settings.analysis.seed, previous=previous_map(store, day)
    )
    nodes = NODES.conform(
        assemble(
            audiences=audiences,
            edges=edges,
            partition=partition,
            communities=communities,
            positions=positions,
        )
    )
    pages = draw_pages(shown, nodes, settings)
    _put(shown, pages.files)
    write_table(store, analysis_key(day, "nodes.parquet"), nodes, NODES)
    return shown, nodes, communities, pages


def _draw_again_if_outdated(shown: ShownMap, settings: Settings) -> None:
    """Write tables and pages again if there are new opt-outs, or ``forget`` has removed the pages.

    The page shows earlier days too, so the tables of the map alone do not show whether it is outdated.
    """
    from vieweratlas_dagster.maps.drawing import PAGE, PICTURE, VECTOR, draw_pages

    outdated = shown.write_tables()
    drawn = [shown.lake.modified(analysis_key(shown.day, name)) for name in (PAGE, PICTURE, VECTOR)]
    listed = shown.lake.modified(OPT_OUTS_KEY)
    if outdated or any(at is None or (listed is not None and at <= listed) for at in drawn):
        _put(shown, draw_pages(shown, shown.read("nodes.parquet", NODES), settings).files)


def _put(shown: ShownMap, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        shown.lake.put(analysis_key(shown.day, name), data)
