"""The daily analysis from presence rows to the atlas, in a process of its own, with its time and memory.

``python -m tests.bench.analysis_run LAKE`` takes the steps of the assets with the default settings, writes
the result into the lake and prints one line of JSON.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_Made = TypeVar("_Made")


def main() -> None:
    """Make the atlas of the world's days, and tell how long each step took with what it compiled."""
    began = time.perf_counter()
    from collector_service.lake import Lake
    from collector_service.settings import StorageSettings
    from vieweratlas_dagster.analysis.atlas import assemble
    from vieweratlas_dagster.analysis.audiences import day_audience, window_audience
    from vieweratlas_dagster.analysis.communities import ClusteringOptions, find_communities
    from vieweratlas_dagster.analysis.labels import label_communities
    from vieweratlas_dagster.analysis.layout import neighbour_preservation, place
    from vieweratlas_dagster.analysis.overlap import overlap_graph
    from vieweratlas_dagster.lake.keys import SOURCES, analysis_key, channels_key, presence_key
    from vieweratlas_dagster.lake.tables_io import read_table, write_table
    from vieweratlas_dagster.publish.floor import published_pairs
    from vieweratlas_dagster.publish.page import render_page
    from vieweratlas_dagster.publish.picture import draw_atlas
    from vieweratlas_dagster.settings import Settings
    from vieweratlas_dagster.tables import (
        AUDIENCES,
        CHANNELS,
        COMMUNITIES,
        EDGES,
        NODES,
        PARTITION,
        PRESENCE,
    )

    from .overlap_world import DAYS

    settings = Settings()
    analysis = settings.analysis
    lake = Lake.open(StorageSettings(dir=Path(sys.argv[1])))
    seconds = {"loading": time.perf_counter() - began}

    def timed(step: str, work: Callable[[], _Made]) -> _Made:
        start = time.perf_counter()
        made = work()
        seconds[step] = time.perf_counter() - start
        return made

    def overlap():
        days = (
            day_audience([read_table(lake, presence_key(day, source), PRESENCE) for source in SOURCES])
            for day in DAYS
        )
        return overlap_graph(
            window_audience(days),
            read_table(lake, channels_key(DAYS[-1]), CHANNELS),
            min_channel_viewers=analysis.min_channel_viewers,
            overlap_threshold=analysis.overlap_threshold,
            max_channels_per_viewer=analysis.max_channels_per_viewer,
            # Nobody is left out, as in the rival's query, though that leaves more to do.
            bot_filter=False,
        )

    graph = timed("overlap", overlap)
    tables = (graph.audiences, graph.edges)
    found = timed(
        "communities",
        lambda: find_communities(*tables, ClusteringOptions.of(analysis)),
    )
    labels = timed("labels", lambda: label_communities(graph.audiences, found.partition))
    places = timed("layout", lambda: place(*tables, found.partition, seed=analysis.seed))
    kept = timed("judging the layout", lambda: neighbour_preservation(*tables, places))

    def atlas():
        nodes = assemble(
            audiences=graph.audiences,
            edges=graph.edges,
            partition=found.partition,
            communities=labels,
            positions=places,
        )
        shown = published_pairs(graph.edges, settings.privacy.min_shared_published)
        page = render_page(nodes, graph.edges, labels, facts={"title": "A world"})
        return nodes, page, draw_atlas(nodes, shown, labels, title="A world")

    nodes, page, picture = timed("atlas", atlas)

    def write() -> None:
        lake.put(analysis_key(DAYS[-1], "atlas.html"), page)
        lake.put(analysis_key(DAYS[-1], "atlas.png"), picture)
        for name, frame, table in (
            ("audiences", graph.audiences, AUDIENCES),
            ("edges", graph.edges, EDGES),
            ("partition", found.partition, PARTITION),
            ("communities", labels, COMMUNITIES),
            ("nodes", nodes, NODES),
        ):
            write_table(lake, analysis_key(DAYS[-1], f"{name}.parquet"), frame, table)

    timed("writing", write)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    facts = {
        "peak_gb": peak,
        "channels": nodes.height,
        "edges": graph.edges.height,
        "communities": nodes["community"].drop_nulls().n_unique(),
        "neighbour_preservation": kept,
        "page_mb": len(page) / 1e6,
    }
    print(json.dumps(facts | {f"{step} seconds": took for step, took in seconds.items()}))


if __name__ == "__main__":
    main()
