"""The code location: one function that puts assets, checks, jobs, schedules and resources together."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from vieweratlas_dagster.assets import atlas, communities, curated, graph, raw
from vieweratlas_dagster.automation.jobs import ALL_JOBS
from vieweratlas_dagster.automation.late_data import vieweratlas_late_data
from vieweratlas_dagster.automation.missed_retries import vieweratlas_missed_retries
from vieweratlas_dagster.automation.schedules import ALL_SCHEDULES
from vieweratlas_dagster.automation.sensors import ALL_SENSORS
from vieweratlas_dagster.checks.all_checks import ALL_CHECKS
from vieweratlas_dagster.checks.check import definitions_of
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.resources.partitions import days_from, quarters_from
from vieweratlas_dagster.resources.source_links import with_source_links
from vieweratlas_dagster.settings import Settings

_DAILY_BADGE = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=36), warn_window=timedelta(hours=28)
)
_QUARTER_BADGE = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=18), warn_window=timedelta(hours=8)
)


def build_definitions(settings: Settings) -> dg.Definitions:
    """The whole code location for the given settings; used by production, tests and the demo alike."""
    days = days_from(settings.analysis.first_day)
    quarters = quarters_from(settings.analysis.first_day)
    daily_assets = [
        raw.snapshots,
        curated.curated_tables,
        curated.day_audiences,
        graph.build_overlap_graph(settings.analysis.window_days),
        communities.community_partitions,
        communities.community_labels,
        atlas.atlas,
        atlas.graph_exports,
    ]
    return dg.Definitions(
        assets=with_source_links(
            [
                raw.live_chat.replace_attributes(partitions_def=days, freshness_policy=_DAILY_BADGE),
                _with(raw.vod_chat, quarters, _QUARTER_BADGE),
                *(_with(asset, days, _DAILY_BADGE) for asset in daily_assets),
            ],
            settings.source.git_url,
            settings.source.git_branch,
        ),
        asset_checks=definitions_of(ALL_CHECKS, settings.checks, days),
        jobs=list(ALL_JOBS),
        schedules=list(ALL_SCHEDULES),
        sensors=[vieweratlas_late_data, vieweratlas_missed_retries, *ALL_SENSORS],
        resources={"lake": LakeResource.of(settings.storage), "settings": settings},
        # Each run is a task of its own; a process per asset would cost more than the assets do.
        executor=dg.in_process_executor,
    )


def _with(
    asset: dg.AssetsDefinition, partitions: dg.PartitionsDefinition, badge: dg.FreshnessPolicy
) -> dg.AssetsDefinition:
    return asset.map_asset_specs(
        lambda spec: spec.replace_attributes(partitions_def=partitions, freshness_policy=badge)
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location that Dagster loads, with the settings of the environment and of their file."""
    return build_definitions(Settings.load())
