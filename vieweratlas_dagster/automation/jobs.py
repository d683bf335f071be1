"""The jobs: selections of assets and checks that run together, and their run tags."""

from __future__ import annotations

import dagster as dg

from vieweratlas_dagster.automation.maintenance import maintenance

_FRESHNESS_CHECKS = dg.AssetSelection.checks(
    dg.AssetCheckKey(dg.AssetKey("live_chat"), "live_chat_is_fresh"),
    dg.AssetCheckKey(dg.AssetKey("live_chat"), "live_hours_are_complete"),
    dg.AssetCheckKey(dg.AssetKey("vod_chat"), "vod_queue_moves"),
    dg.AssetCheckKey(dg.AssetKey("vod_chat"), "vods_can_be_read"),
    dg.AssetCheckKey(dg.AssetKey("atlas"), "atlas_of_yesterday_exists"),
)

analysis_daily = dg.define_asset_job(
    "analysis_daily",
    selection=dg.AssetSelection.assets("snapshots").downstream() - _FRESHNESS_CHECKS,
    description="From one day's raw snapshots to the published atlas.",
)

graph_daily = dg.define_asset_job(
    "graph_daily",
    selection=dg.AssetSelection.assets("overlap_graph").downstream() - _FRESHNESS_CHECKS,
    description="One day's graph and atlas, from curated tables of its window that have changed.",
)

vod_6h = dg.define_asset_job(
    "vod_6h",
    selection=dg.AssetSelection.assets("vod_chat") - _FRESHNESS_CHECKS,
    description="Chat of the broadcasts that ended in the last six hours.",
)

freshness = dg.define_asset_job(
    "freshness",
    selection=_FRESHNESS_CHECKS,
    description="Whether data keep coming in and yesterday's atlas exists, judged by the data themselves.",
    # The smallest task that holds the code location.
    tags={"ecs/cpu": "256", "ecs/memory": "1024"},
)

ALL_JOBS = (analysis_daily, graph_daily, vod_6h, freshness, maintenance)
