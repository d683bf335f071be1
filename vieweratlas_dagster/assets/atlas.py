"""Group atlas: the map that people open, and the graph files that tools open.

Belongs here: layout, page, picture and exports as assets. How they are drawn is in ``publish``.
"""

import re
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from collector_service.lake import Lake
from collector_service.opt_outs import OptOuts, read_opt_outs
from vieweratlas_dagster.assets.communities import community_labels, previous_map
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
from vieweratlas_dagster.checks.rules import partition_modularity
from vieweratlas_dagster.lake_layout import (
    analysis_key,
    channels_key,
    days_up_to,
    earlier_analysis_days,
    finish_map,
    publish_latest,
    read_table,
    write_table,
)
from vieweratlas_dagster.publish.privacy import published_pairs
from vieweratlas_dagster.resources.lake import LakeResource
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, COMMUNITIES, EDGES, EVENTS, LEFT_OUT, NODES, PARTITION

if TYPE_CHECKING:
    from vieweratlas_dagster.publish.history import History


def _history(lake: Lake, day: str, settings: Settings, opt_outs: OptOuts) -> "History":
    """The newest maps before the day, without the channels that have opted out since."""
    from vieweratlas_dagster.publish.history import Day, History

    floor = settings.privacy.min_shared_published
    days = []
    for name in islice(earlier_analysis_days(lake, day), settings.analysis.history_days - 1):
        nodes = read_table(lake, analysis_key(name, "nodes.parquet"), NODES)
        shown = _without(nodes, opt_outs)
        edges = published_pairs(read_table(lake, analysis_key(name, "edges.parquet"), EDGES), floor)
        hidden = nodes.filter(~pl.col("channel").is_in(shown["channel"].implode()))["channel"]
        ends = pl.col("source", "target").is_in(shown["channel"].implode())
        communities = read_table(lake, analysis_key(name, "communities.parquet"), COMMUNITIES)
        days.append(
            Day(
                name=name,
                nodes=shown,
                edges=edges.filter(pl.all_horizontal(ends)),
                communities=_unnamed(communities, hidden.to_list()),
                events=read_table(lake, analysis_key(name, "events.parquet"), EVENTS),
            )
        )
    events = read_table(lake, analysis_key(day, "events.parquet"), EVENTS)
    return History(days=days, today=day, events=events)


def _unnamed(communities: pl.DataFrame, hidden: Sequence[str]) -> pl.DataFrame:
    """Rows of COMMUNITIES; a number instead of each name or reason that has a hidden channel in it."""
    named = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, hidden))})(?!\w)")
    told = [
        row
        if not hidden or not named.search(f"{row['label']}\n{row['reason']}")
        else row | {"label": f"{row['level'].capitalize()} {row['id']}", "reason": "its name is withheld"}
        for row in communities.iter_rows(named=True)
    ]
    return pl.DataFrame(told, schema=communities.schema)


def _without(channels: pl.DataFrame, opt_outs: OptOuts) -> pl.DataFrame:
    """The rows (of NODES or LEFT_OUT) of channels that may be named."""
    hidden = [
        opt_outs.has_channel(login, number)
        for login, number in channels.select("channel", "channel_id").iter_rows()
    ]
    return channels.filter(~pl.Series(hidden, dtype=pl.Boolean))


def _facts(lake: Lake, day: str, settings: Settings, left_out: pl.DataFrame) -> dict[str, object]:
    """What the page says about itself: dates, parameters and counts."""
    analysis, collection = settings.analysis, settings.collection
    days = [name for name in days_up_to(day, analysis.window_days) if lake.exists(channels_key(name))]
    return {
        "title": "ViewerAtlas",
        "date_from": min(days, default=day),
        "date_to": day,
        "window_days": analysis.window_days,
        "min_channel_viewers": analysis.min_channel_viewers,
        "overlap_threshold": analysis.overlap_threshold,
        "min_shared_published": settings.privacy.min_shared_published,
        "algorithm": analysis.algorithm,
        "resolution": analysis.resolution,
        "left_out_channels": left_out.height,
        "channel_list": bool(collection.channels or collection.channels_file),
        "top_channels_limit": collection.top_channels_limit,
    }


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
    """The map: every channel's place, one self-contained atlas.html with earlier days, atlas.png and .svg.

    Places are aligned with the newest earlier map, so that channels do not jump.
    """
    from vieweratlas_dagster.analysis.atlas import assemble
    from vieweratlas_dagster.analysis.layout import neighbour_preservation, place
    from vieweratlas_dagster.publish.page import render_page
    from vieweratlas_dagster.publish.picture import draw_atlas, draw_preview
    from vieweratlas_dagster.publish.vector import draw_svg

    day, store = context.partition_key, lake.lake
    audiences = read_table(store, analysis_key(day, "audiences.parquet"), AUDIENCES)
    edges = read_table(store, analysis_key(day, "edges.parquet"), EDGES)
    partition = read_table(store, analysis_key(day, "partition.parquet"), PARTITION)
    communities = read_table(store, analysis_key(day, "communities.parquet"), COMMUNITIES)
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
    quality = {"neighbour_preservation": rounded(neighbour_preservation(audiences, edges, positions))}
    modularity = partition_modularity(edges, partition)
    if modularity is not None:
        quality["modularity"] = rounded(modularity)
    left_out = read_table(store, analysis_key(day, "left_out.parquet"), LEFT_OUT)
    opt_outs = read_opt_outs(store)
    history = _history(store, day, settings, opt_outs)
    page = render_page(
        nodes,
        edges,
        communities,
        facts=_facts(store, day, settings, left_out) | quality,
        history=history,
        left_out=_without(left_out, opt_outs),
    )
    store.put(analysis_key(day, "atlas.html"), page)
    shown = published_pairs(edges, settings.privacy.min_shared_published)
    title = f"ViewerAtlas {day}"
    store.put(analysis_key(day, "atlas.png"), draw_atlas(nodes, shown, communities, title=title))
    vector = draw_svg(nodes, shown, communities, title=title)
    store.put(analysis_key(day, "atlas.svg"), vector)
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
            "neighbour_preservation": quality["neighbour_preservation"],
            "page_bytes": len(page),
            "vector_bytes": len(vector),
            "earlier_days": len(history.days),
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
    """The graph for other tools: GEXF for Gephi, GraphML, CSV, Parquet, and JSON of every channel.

    Pairs below the privacy floor are left out. Then the day is copied to curated/analysis/latest/,
    unless it has no channels or a newer day is there.
    """
    from vieweratlas_dagster.publish.exports import graph_files

    day, store = context.partition_key, lake.lake
    nodes = read_table(store, analysis_key(day, "nodes.parquet"), NODES)
    edges = read_table(store, analysis_key(day, "edges.parquet"), EDGES)
    communities = read_table(store, analysis_key(day, "communities.parquet"), COMMUNITIES)
    shown = published_pairs(edges, settings.privacy.min_shared_published)
    files = graph_files(nodes, shown, communities, date=day)
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
