"""Files drawn from a day's map in the lake: the page with earlier days, the pictures, the exchange files.

``publish`` draws; this module chooses the tables for each file, and the facts that the page shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import polars as pl

from collector_service.privacy.populations import population_start
from vieweratlas_dagster.analysis.layout import neighbour_preservation
from vieweratlas_dagster.analysis.quality import partition_modularity
from vieweratlas_dagster.lake.keys import channels_key, days_up_to
from vieweratlas_dagster.lake.manifests import earlier_analysis_days
from vieweratlas_dagster.maps.stored import ShownMap
from vieweratlas_dagster.publish.exports import graph_files
from vieweratlas_dagster.publish.floor import published_channels, published_pairs
from vieweratlas_dagster.publish.history import Day, History
from vieweratlas_dagster.publish.page import render_page
from vieweratlas_dagster.publish.picture import draw_atlas, draw_preview
from vieweratlas_dagster.publish.vector import draw_svg
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, EDGES, EVENTS, LEFT_OUT, NODES, PARTITION

PAGE, PICTURE, VECTOR = "atlas.html", "atlas.png", "atlas.svg"
_DECIMALS = 4


@dataclass(frozen=True)
class Pages:
    """Files for people: by name, with the map's quality and the number of earlier days."""

    files: Mapping[str, bytes]
    preview: bytes
    quality: Mapping[str, float]
    earlier_days: int


@dataclass(frozen=True)
class Exports:
    """Files for tools: by name, with the numbers of channels, pairs, and withheld pairs."""

    files: Mapping[str, bytes]
    channels: int
    pairs: int
    withheld_pairs: int


def draw_pages(shown: ShownMap, nodes: pl.DataFrame, settings: Settings) -> Pages:
    """The page and the pictures; the same tables give the same bytes.

    Args:
        shown: the map.
        nodes: its NODES.
        settings: for the privacy floor, and the facts on the page.

    Raises:
        FileNotFoundError, ValueError: a table is missing, or of an older version.
    """
    edges = shown.read("edges.parquet", EDGES)
    partition = shown.read("partition.parquet", PARTITION)
    audiences = shown.read("audiences.parquet", AUDIENCES)
    left_out = shown.read("left_out.parquet", LEFT_OUT)
    places = nodes.select("channel", "x", "y")
    quality = {"neighbour_preservation": round(neighbour_preservation(audiences, edges, places), _DECIMALS)}
    modularity = partition_modularity(edges, partition)
    if modularity is not None:
        quality["modularity"] = round(modularity, _DECIMALS)
    history = _history(shown, settings)
    floor = settings.privacy.min_shared_published
    nodes = published_channels(nodes, floor)
    communities = shown.communities(nodes)
    page = render_page(
        nodes,
        _between(nodes, edges),
        communities,
        facts=_facts(shown, settings, left_out.height) | quality,
        history=history,
        left_out=left_out,
    )
    pairs = published_pairs(edges, floor)
    title = f"ViewerAtlas {shown.day}"
    return Pages(
        files={
            PAGE: page,
            PICTURE: draw_atlas(nodes, pairs, communities, title=title),
            VECTOR: draw_svg(nodes, pairs, communities, title=title),
        },
        preview=draw_preview(nodes, pairs, communities),
        quality=quality,
        earlier_days=len(history.days),
    )


def draw_exports(shown: ShownMap, settings: Settings) -> Exports:
    """The exchange files above the privacy floor; errors as of `draw_pages`."""
    floor = settings.privacy.min_shared_published
    nodes = published_channels(shown.read("nodes.parquet", NODES), floor)
    edges = shown.read("edges.parquet", EDGES)
    communities = shown.communities(nodes)
    pairs = published_pairs(edges, floor)
    return Exports(
        files=graph_files(nodes, pairs, communities, date=shown.day),
        channels=nodes.height,
        pairs=pairs.height,
        withheld_pairs=edges.height - pairs.height,
    )


def _between(nodes: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """The EDGES rows with both ends among the NODES."""
    ends = pl.col("source", "target").is_in(nodes["channel"].implode())
    return edges.filter(pl.all_horizontal(ends))


def _history(shown: ShownMap, settings: Settings) -> History:
    """The newest maps before the day, without the channels that have opted out since."""
    floor = settings.privacy.min_shared_published
    days = []
    for name in islice(earlier_analysis_days(shown.lake, shown.day), settings.analysis.history_days - 1):
        earlier = ShownMap(shown.lake, name, shown.opt_outs)
        nodes = published_channels(earlier.read("nodes.parquet", NODES), floor)
        days.append(
            Day(
                name=name,
                nodes=nodes,
                edges=published_pairs(earlier.read("edges.parquet", EDGES), floor),
                communities=earlier.communities(nodes),
                events=earlier.read("events.parquet", EVENTS),
            )
        )
    return History(days=days, today=shown.day, events=shown.read("events.parquet", EVENTS))


def _facts(shown: ShownMap, settings: Settings, left_out_channels: int) -> dict[str, object]:
    """The facts on the page: dates, parameters and counts."""
    analysis, collection = settings.analysis, settings.collection
    window = days_up_to(shown.day, analysis.window_days)
    since = population_start(shown.lake, shown.day)
    days = [name for name in window if name >= since and shown.lake.exists(channels_key(name))]
    return {
        "title": "ViewerAtlas",
        "date_from": min(days, default=shown.day),
        "date_to": shown.day,
        "window_days": len(days),
        "min_channel_viewers": analysis.min_channel_viewers,
        "overlap_threshold": analysis.overlap_threshold,
        "min_shared_published": settings.privacy.min_shared_published,
        "algorithm": analysis.algorithm,
        "resolution": "likeliest" if analysis.resolution is None else analysis.resolution,
        "left_out_channels": left_out_channels,
        "channel_list": bool(collection.channels or collection.channels_file),
        "top_channels_limit": collection.top_channels_limit,
    }
