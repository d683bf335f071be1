"""Quality checks, run with the assets they judge.

Belongs here: what must hold of a partition that was just made. ERROR and blocking only where bad data
must not reach the published atlas; WARN otherwise.
"""

import json

import dagster as dg
import polars as pl

from vieweratlas_dagster.assets.metadata import preview_table
from vieweratlas_dagster.checks.rules import (
    generic_share,
    overlap_violations,
    partition_modularity,
    unknown_channels,
    unplaced_nodes,
)
from vieweratlas_dagster.curation.merge import observed_share, status_counts
from vieweratlas_dagster.curation.validation import manifest_objects
from vieweratlas_dagster.lake_layout import (
    SOURCES,
    analysis_key,
    channels_key,
    manifest_key,
    presence_key,
    read_table,
)
from vieweratlas_dagster.resources.lake import LakeResource
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, CHANNELS, COMMUNITIES, EDGES, NODES, PARTITION, PRESENCE

# The words of a channel's state that no collector can do anything about.
_CANNOT_BE_READ = ("suspended", "banned", "not found", "renamed", "opted out")


def _result(problems: list[str], severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not problems,
        severity=severity,
        description="; ".join(problems) or "as it should be",
        metadata={"problems": len(problems)},
    )


@dg.asset_check(asset="snapshots")
def quarantine_is_small(
    context: dg.AssetCheckExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Few of the day's lines had to be refused."""
    objects = manifest_objects(lake.lake.get(manifest_key(context.partition_key)))
    rejected = sum(entry["rejected"] for entry in objects)
    lines = rejected + sum(entry["records"] for entry in objects)
    share = rejected / lines if lines else 0.0
    reasons = sorted({reason for entry in objects for reason in entry["reasons"]})
    return dg.AssetCheckResult(
        passed=share <= settings.checks.max_quarantined_share,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rejected} of {lines} lines refused" + (f": {', '.join(reasons)}" if reasons else ""),
        metadata={"rejected": rejected, "lines": lines, "share": share, "reasons": json.dumps(reasons)},
    )


@dg.asset_check(asset="snapshots")
def day_has_data(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
    """Something arrived on this day."""
    records = sum(
        entry["records"] for entry in manifest_objects(lake.lake.get(manifest_key(context.partition_key)))
    )
    problems = [] if records else [f"no usable record on {context.partition_key}"]
    return _result(problems, dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset="presence_snapshots", blocking=True)
def presence_follows_contract(
    context: dg.AssetCheckExecutionContext, lake: LakeResource
) -> dg.AssetCheckResult:
    """Presence rows have the promised columns, no row twice, and only known channels."""
    day, store = context.partition_key, lake.lake
    channels = read_table(store, channels_key(day), CHANNELS)
    problems = []
    for source in SOURCES:
        frame = read_table(store, presence_key(day, source), PRESENCE)
        problems += [f"{source}: {problem}" for problem in PRESENCE.problems(frame)]
        if unknown := unknown_channels(frame, channels):
            problems.append(f"{source}: {unknown} channels are not in the channel dimension")
    return _result(problems, dg.AssetCheckSeverity.ERROR)


@dg.asset_check(asset="channels")
def channels_were_observed(
    context: dg.AssetCheckExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Somebody read the day's channels for most of the time that they were to be read.

    Channels that cannot be read, because Twitch or the channel itself says so, are left out.
    """
    frame = read_table(lake.lake, channels_key(context.partition_key), CHANNELS)
    readable = frame.filter(~pl.col("collector_status").is_in(_CANNOT_BE_READ).fill_null(False))
    never = status_counts(readable.filter(status="unobserved"))
    share = observed_share(readable)
    text = f"{share:.1%} of the time of {readable.height} channels was observed"
    if never.height:
        words = (f"{row['channels']} {row['collector_status']}" for row in never.iter_rows(named=True))
        text += f"; never observed: {', '.join(words)}"
    return dg.AssetCheckResult(
        passed=share >= settings.checks.min_observed_share,
        severity=dg.AssetCheckSeverity.WARN,
        description=text,
        metadata={
            "observed_share": share,
            "channels": readable.height,
            "never_observed": int(never["channels"].sum()),
            "cannot_be_read": frame.height - readable.height,
        },
    )


@dg.asset_check(asset="overlap_graph", blocking=True)
def overlap_is_possible(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
    """No pair shares more viewers than either channel has, and every edge has its two channels."""
    day, store = context.partition_key, lake.lake
    problems = overlap_violations(
        read_table(store, analysis_key(day, "audiences.parquet"), AUDIENCES),
        read_table(store, analysis_key(day, "edges.parquet"), EDGES),
    )
    return _result(problems, dg.AssetCheckSeverity.ERROR)


@dg.asset_check(asset="community_partitions")
def communities_hold_together(
    context: dg.AssetCheckExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Channels share clearly more viewers inside their communities than between them."""
    day, store = context.partition_key, lake.lake
    edges = read_table(store, analysis_key(day, "edges.parquet"), EDGES)
    partition = read_table(store, analysis_key(day, "partition.parquet"), PARTITION)
    value = partition_modularity(edges, partition)
    limit = settings.checks.min_modularity
    return dg.AssetCheckResult(
        passed=value is None or value >= limit,
        severity=dg.AssetCheckSeverity.WARN,
        description="no edges" if value is None else f"modularity {value:.3f} (at least {limit:g})",
        metadata={} if value is None else {"modularity": value},
    )


@dg.asset_check(asset="community_labels")
def communities_have_names(
    context: dg.AssetCheckExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Most communities are named by game or language; otherwise metadata got lost on the way."""
    frame = read_table(lake.lake, analysis_key(context.partition_key, "communities.parquet"), COMMUNITIES)
    share = generic_share(frame)
    generic = frame.filter(pl.col("generic")).select("level", "label", "size")
    return dg.AssetCheckResult(
        passed=share <= settings.checks.max_generic_label_share,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{share:.0%} of the communities have a generic name",
        metadata={"generic_share": share, "generic": preview_table(generic)},
    )


@dg.asset_check(asset="atlas", blocking=True)
def atlas_is_complete(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
    """Every channel of the graph has a place, and page and picture exist."""
    day, store = context.partition_key, lake.lake
    nodes = read_table(store, analysis_key(day, "nodes.parquet"), NODES)
    audiences = read_table(store, analysis_key(day, "audiences.parquet"), AUDIENCES)
    problems = [
        f"{name} is missing"
        for name in ("atlas.html", "atlas.png")
        if not store.exists(analysis_key(day, name))
    ]
    if unplaced := unplaced_nodes(nodes):
        problems.append(f"{unplaced} channels have no place")
    if missing := audiences.join(nodes, on="channel", how="anti").height:
        problems.append(f"{missing} channels of the graph are not on the map")
    return _result(problems, dg.AssetCheckSeverity.ERROR)
