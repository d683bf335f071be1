"""Group atlas: the map that people open, and the graph files that tools open.

Belongs here: layout, page, picture and exports as assets. How they are drawn is in ``publish``.
"""

import dagster as dg

from vieweratlas_dagster.assets.communities import community_labels, previous_map, read_shown
from vieweratlas_dagster.assets.metadata import (
    CODE_VERSIONS,
    MAPS,
    OWNERS,
    TAGS,
    about,
    picture,
    preview_table,
    rounded,
    rows,
)
from vieweratlas_dagster.automation.partitions import daily
from vieweratlas_dagster.lake_layout import (
    analysis_key,
    finish_map,
    publish_latest,
    write_table,
)
from vieweratlas_dagster.page_facts import map_title, page_facts
from vieweratlas_dagster.publish.privacy import published_pairs
from vieweratlas_dagster.resources.lake import LakeResource
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, COMMUNITIES, EDGES, NODES, PARTITION


@dg.asset(
    group_name="atlas",
    tags=TAGS["atlas"],
    owners=OWNERS,
    metadata=about("docs/METHOD.md#places", NODES),
    partitions_def=daily,
    pool=MAPS,
    deps=[community_labels],
    kinds={"html", "parquet", "javascript"},
    code_version=CODE_VERSIONS["atlas"],
)
def atlas(
    context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """The map: every channel's place, one self-contained atlas.html, and atlas.png.

    Places are aligned with the newest earlier map, so that channels do not jump.
    """
    from vieweratlas_dagster.analysis.atlas import assemble
    from vieweratlas_dagster.analysis.layout import neighbour_preservation, place
    from vieweratlas_dagster.publish.page import render_page
    from vieweratlas_dagster.publish.picture import draw_atlas, draw_preview

    day, store = context.partition_key, lake.lake
    audiences = read_shown(store, analysis_key(day, "audiences.parquet"), AUDIENCES)
    edges = read_shown(store, analysis_key(day, "edges.parquet"), EDGES)
    partition = read_shown(store, analysis_key(day, "partition.parquet"), PARTITION)
    communities = read_shown(store, analysis_key(day, "communities.parquet"), COMMUNITIES)
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
    facts = page_facts(store, day, settings)
    page = render_page(nodes, edges, communities, facts=facts)
    store.put(analysis_key(day, "atlas.html"), page)
    shown = published_pairs(edges, settings.privacy.min_shared_published)
    store.put(analysis_key(day, "atlas.png"), draw_atlas(nodes, shown, communities, title=map_title(day)))
    write_table(store, analysis_key(day, "nodes.parquet"), nodes, NODES)
    return dg.MaterializeResult(
        metadata={
            **rows(nodes.height),
            "preview": picture(draw_preview(nodes, shown, communities), f"atlas of {day}"),
            "communities": preview_table(
                communities.filter(level="community")
                .sort("viewers", descending=True)
                .select("label", "size", "viewers"),
                20,
            ),
            "neighbour_preservation": rounded(neighbour_preservation(audiences, edges, positions)),
            "page_bytes": len(page),
            # A path to copy: browsers open no file from a page of a server.
            "page": dg.MetadataValue.path(store.address(analysis_key(day, "atlas.html"))),
            "dagster/uri": f"{store.uri}/{analysis_key(day, 'nodes.parquet')}",
        }
    )


@dg.asset(
    group_name="atlas",
    tags=TAGS["atlas"],
    owners=OWNERS,
    metadata=about("docs/METHOD.md#what-is-not-shown"),
    partitions_def=daily,
    pool=MAPS,
    deps=[atlas],
    kinds={"csv", "networkx"},
    code_version=CODE_VERSIONS["atlas"],
)
def graph_exports(
    context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """The graph for other tools: graph.gexf for Gephi, nodes, edges and communities as CSV.

    Pairs below the privacy floor are left out. Then the day is copied to curated/analysis/latest/,
    unless it has no channels or a newer day is there.
    """
    from vieweratlas_dagster.publish.exports import csv_bytes, gexf_bytes

    day, store = context.partition_key, lake.lake
    nodes = read_shown(store, analysis_key(day, "nodes.parquet"), NODES)
    edges = read_shown(store, analysis_key(day, "edges.parquet"), EDGES)
    communities = read_shown(store, analysis_key(day, "communities.parquet"), COMMUNITIES)
    shown = published_pairs(edges, settings.privacy.min_shared_published)
    files = {
        "graph.gexf": gexf_bytes(nodes, shown),
        "nodes.csv": csv_bytes(nodes),
        "edges.csv": csv_bytes(shown),
        "communities.csv": csv_bytes(communities),
    }
    for name, data in files.items():
        store.put(analysis_key(day, name), data)
    # Here all blocking checks have passed, so what they stopped is never published nor continued.
    finish_map(store, day, nodes.height)
    latest = nodes.height > 0 and publish_latest(store, day)
    return dg.MaterializeResult(
        metadata={
            **rows(shown.height),
            "withheld_pairs": edges.height - shown.height,
            "published_as_latest": latest,
            "bytes": sum(len(data) for data in files.values()),
            "dagster/uri": f"{store.uri}/{analysis_key(day, '')}",
        }
    )
