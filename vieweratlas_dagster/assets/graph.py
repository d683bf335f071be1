"""Group graph: the number of viewers that every two channels share over the window of days."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts, read_opt_outs
from collector_service.privacy.populations import population_start
from vieweratlas_dagster.assets.curated import derived_audience
from vieweratlas_dagster.curation.merge import channel_attributes, recorded_windows
from vieweratlas_dagster.lake.keys import analysis_key, channels_key, day_audience_key, days_up_to
from vieweratlas_dagster.lake.manifests import begin_map
from vieweratlas_dagster.lake.redaction import without
from vieweratlas_dagster.lake.tables_io import read_table_if_there, write_table
from vieweratlas_dagster.maps.stored import logins_of
from vieweratlas_dagster.resources.catalog import (
    catalogued_asset,
    preview_table,
    rounded,
    rows,
)
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.resources.partitions import last_days
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, CHANNELS, DAY_AUDIENCES, EDGES, EXCLUSIONS, LEFT_OUT

if TYPE_CHECKING:
    from vieweratlas_dagster.analysis.overlap import OverlapGraph


def _days(lake: Lake, days: list[str]) -> Iterator[pl.DataFrame]:
    """The audiences of the days that have one, from presence where an earlier version wrote no audience.

    Raises:
        dagster.Failure: the tables of a day contradict each other, and a check stopped that day's own run.
    """
    opt_outs = read_opt_outs(lake)
    for day in days:
        audience = read_table_if_there(lake, day_audience_key(day), DAY_AUDIENCES)
        if audience is None:
            audience = derived_audience(lake, day)
        if audience is not None:
            audience = without(audience, opt_outs)
            known = read_table_if_there(lake, channels_key(day), CHANNELS)
            ids = CHANNELS.empty()["channel_id"] if known is None else known["channel_id"]
            if unknown := audience["channel_id"].unique().is_in(ids.implode()).not_().sum():
                raise dg.Failure(
                    f"{day}, a day of the window, has viewers of {unknown} channels that its channel "
                    f"dimension lacks: run analysis_daily for {day} first"
                )
            yield audience


def _dimensions(lake: Lake, days: list[str]) -> list[pl.DataFrame]:
    """The channel dimensions of the days that have one."""
    found = (read_table_if_there(lake, channels_key(day), CHANNELS) for day in days)
    return [frame for frame in found if frame is not None]


def _graph(context: dg.AssetExecutionContext, lake: Lake, settings: Settings) -> "OverlapGraph":
    """The graph of the days that end with the partition, by the engine of the settings."""
    from vieweratlas_dagster.analysis.audiences import window_audience
    from vieweratlas_dagster.analysis.overlap import overlap_graph
    from vieweratlas_dagster.analysis.plausible import plausible_windows
    from vieweratlas_dagster.spark.launch import overlap_graph_on_spark

    analysis = settings.analysis
    # Viewers of different keys cannot be compared.
    since = population_start(lake, context.partition_key)
    days = [day for day in days_up_to(context.partition_key, analysis.window_days) if day >= since]
    dimensions = _dimensions(lake, days)
    channels = channel_attributes(dimensions)
    options: dict[str, Any] = {
        "min_channel_viewers": analysis.min_channel_viewers,
        "overlap_threshold": analysis.overlap_threshold,
        "bot_filter": analysis.bot_filter,
        "max_channels_per_viewer": analysis.max_channels_per_viewer,
        "max_windows": plausible_windows(*recorded_windows(dimensions), analysis.max_hours_per_day),
        "loyalty": analysis.loyalty,
    }
    if analysis.engine == "local":
        return overlap_graph(window_audience(_days(lake, days)), channels, **options)
    return overlap_graph_on_spark(
        context,
        lake,
        days,
        channels,
        derive=partial(derived_audience, lake),
        spark=analysis.spark,
        storage=settings.storage,
        **options,
    )


def _without(graph: "OverlapGraph", opt_outs: OptOuts) -> "OverlapGraph":
    """The graph without channels that opted out, for either engine and any age of the tables."""
    ids = opt_outs.channel_ids
    opted_out = opt_outs | OptOuts(
        channels=logins_of(graph.audiences, ids) | logins_of(graph.left_out, ids)
    )
    return replace(
        graph,
        audiences=without(graph.audiences, opted_out),
        edges=without(graph.edges, opted_out),
        left_out=without(graph.left_out, opted_out),
    )


OVERLAP_GRAPH = dg.AssetKey("overlap_graph")


def build_overlap_graph(window_days: int) -> dg.AssetsDefinition:
    """The asset, over a window of ``window_days`` days."""
    window = last_days(window_days)

    @catalogued_asset(
        "graph",
        "docs/METHOD.md#overlap",
        table=EDGES,
        deps=[
            dg.AssetDep("day_audiences", partition_mapping=window),
            dg.AssetDep("channels", partition_mapping=window),
        ],
        kinds={"parquet", "polars"},
    )
    def overlap_graph(
        context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:
        """How many viewers every two channels share over the last days, exactly.

        Known bots and viewers in implausibly many channels or hours are left out and counted. Channels that
        opted out appear nowhere.
        """
        day, store = context.partition_key, lake.lake
        if not store.exists(channels_key(day)):
            raise dg.Failure(
                f"the curated tables of {day} are missing in {store.uri}: run analysis_daily for the day"
            )
        begin_map(store, day)
        graph = _without(_graph(context, store, settings), read_opt_outs(store))
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
                "density": rounded(n_edges / pairs if pairs else 0.0),
                "left_out_channels": graph.left_out.height,
                "left_out": preview_table(
                    graph.left_out.group_by("kind")
                    .agg(channels=pl.len())
                    .sort("channels", "kind", descending=True)
                ),
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
