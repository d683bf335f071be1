"""Group graph: which channels share how many viewers.

Belongs here: the overlap graph over the window of days. Its computation is in ``analysis.overlap``.
"""

import dagster as dg
import polars as pl

from collector_service.lake import Lake
from vieweratlas_dagster.assets.metadata import (
    CODE_VERSIONS,
    OWNERS,
    TAGS,
    about,
    preview_table,
    rows,
)
from vieweratlas_dagster.automation.partitions import daily, last_days
from vieweratlas_dagster.curation.merge import channel_attributes, memberships
from vieweratlas_dagster.lake_layout import (
    SOURCES,
    analysis_key,
    begin_map,
    channels_key,
    days_up_to,
    presence_key,
    read_table_if_there,
    write_table,
)
from vieweratlas_dagster.resources.lake import LakeResource
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, CHANNELS, EDGES, EXCLUSIONS, LEFT_OUT, PRESENCE


def _memberships(lake: Lake, days: list[str]) -> pl.DataFrame:
    keys = (presence_key(day, source) for day in days for source in SOURCES)
    found = (read_table_if_there(lake, key, PRESENCE) for key in keys)
    return memberships(frame for frame in found if frame is not None)


def _channel_attributes(lake: Lake, days: list[str]) -> pl.DataFrame:
    found = (read_table_if_there(lake, channels_key(day), CHANNELS) for day in days)
    return channel_attributes([frame for frame in found if frame is not None])


OVERLAP_GRAPH = dg.AssetKey("overlap_graph")


def build_overlap_graph(window_days: int) -> dg.AssetsDefinition:
    """The asset, over a window of so many days."""
    window = last_days(window_days)

    @dg.asset(
        group_name="graph",
        tags=TAGS["graph"],
        owners=OWNERS,
        metadata=about("docs/METHOD.md#overlap", EDGES),
        partitions_def=daily,
        deps=[
            dg.AssetDep("presence_snapshots", partition_mapping=window),
            dg.AssetDep("channels", partition_mapping=window),
        ],
        kinds={"parquet", "polars"},
        code_version=CODE_VERSIONS["graph"],
    )
    def overlap_graph(
        context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:
        """How many viewers every two channels share over the last days, exactly.

        Known bots and viewers in implausibly many channels are left out and accounted for.
        """
        from vieweratlas_dagster.analysis.overlap import overlap_graph as compute_overlap_graph

        day, store, analysis = context.partition_key, lake.lake, settings.analysis
        begin_map(store, day)
        days = days_up_to(day, analysis.window_days)
        graph = compute_overlap_graph(
            _memberships(store, days),
            _channel_attributes(store, days),
            min_channel_viewers=analysis.min_channel_viewers,
            overlap_threshold=analysis.overlap_threshold,
            bot_filter=analysis.bot_filter,
            max_channels_per_viewer=analysis.max_channels_per_viewer,
        )
        for name, frame, table in (
            ("audiences.parquet", graph.audiences, AUDIENCES),
            ("left_out.parquet", graph.left_out, LEFT_OUT),
            ("exclusions.parquet", graph.exclusions, EXCLUSIONS),
            ("edges.parquet", graph.edges, EDGES),
        ):
            write_table(store, analysis_key(day, name), frame, table)
        n_channels, n_edges = graph.audiences.height, graph.edges.height
        pairs = n_channels * (n_channels - 1) / 2
        return dg.MaterializeResult(
            metadata={
                **rows(n_edges),
                "n_channels": n_channels,
                "n_edges": n_edges,
                "density": n_edges / pairs if pairs else 0.0,
                "left_out_channels": graph.left_out.height,
                "excluded_viewers": int(graph.exclusions["viewers"].sum()),
                "exclusions": preview_table(graph.exclusions),
                "strongest": preview_table(
                    graph.edges.sort("shared_viewers", descending=True).select(
                        "source", "target", "shared_viewers", "jaccard"
                    )
                ),
                "dagster/uri": f"{store.uri}/{analysis_key(day, 'edges.parquet')}",
            }
        )

    return overlap_graph
