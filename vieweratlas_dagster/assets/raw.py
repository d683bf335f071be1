"""Group raw: the output of the collector, VOD chat, and the validated day of snapshots."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime

import dagster as dg

from collector_service.contract import (
    LIVE_PREFIX,
    MAX_PACKED_BYTES,
    VOD_PREFIX,
    live_day_prefix,
    vod_day_prefix,
)
from collector_service.lake import Lake, ObjectInfo
from collector_service.support.limits import TooLargeError
from vieweratlas_dagster.curation.validation import (
    ObjectReport,
    holds_identities,
    inspect_object,
    unread_object,
)
from vieweratlas_dagster.lake.keys import manifest_key, quarantine_prefix
from vieweratlas_dagster.lake.manifests import read_day_manifest, write_day_manifest
from vieweratlas_dagster.resources.catalog import catalog_entry, catalogued_asset, rounded, rows
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.resources.partitions import daily, quarters
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.collected_channels import collected_channels

live_chat = dg.AssetSpec(
    key="live_chat",
    description=(
        "Presence in live chat, written by the always-on collector: one NDJSON object per window "
        f"below {LIVE_PREFIX}/. Made outside Dagster; the snapshots asset reads it."
    ),
    partitions_def=daily,
    kinds={"json", "python"},
    **catalog_entry("raw", "docs/COLLECTOR.md#what-it-writes", made_here=False),
)


@catalogued_asset(
    "raw",
    "docs/DATA_POLICY.md",
    deps=[live_chat],
    kinds={"json", "python"},
    partitions=quarters,
    pool="twitch",
)
def vod_chat(
    context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """Presence in the chat of broadcasts that ended in these six hours, from their recordings.

    Off by default (vod.enabled), because the endpoint is unofficial. Each run looks for recordings of
    the channels that the collector had in these hours, queues them, and works through the queue within its
    limits.
    """
    place = f"{lake.lake.uri}/{VOD_PREFIX}/"
    if not settings.vod.enabled:
        return dg.MaterializeResult(metadata={"enabled": False, "dagster/uri": place})
    from vieweratlas_dagster.vod.collecting import read_vods

    window, store = context.partition_time_window, lake.lake
    channels = collected_channels(store, window.start, window.end)
    done = asyncio.run(read_vods(store, channels, settings, now=window.end))
    report = done.report
    metadata = {
        "enabled": True,
        **{
            f"discovery_{name}": count
            for name, count in (asdict(done.discovery) if done.discovery else {}).items()
        },
        # Dagster plots the series of each key, so a key is never renamed.
        **{
            "left_out" if name == "opted_out" else name: count
            for name, count in asdict(report).items()
            if isinstance(count, int)
        },
        "queue_waiting": report.queue_pending + report.queue_incomplete,
        "oldest_pending_age_hours": rounded((report.oldest_pending_age_seconds or 0.0) / 3600),
        "days": ", ".join(report.days) or "none",
        "dagster/uri": place,
    }
    if done.problems:
        raise dg.Failure(f"{'; '.join(done.problems)}. The rest stays in the queue.", metadata=metadata)
    return dg.MaterializeResult(metadata=metadata)


def _nothing_is_lost(lake: Lake, day: str, objects: list[ObjectInfo]) -> None:
    """Refuse to make a day again from fewer objects than it was made from.

    Raises:
        dg.Failure: objects in the day's manifest no longer exist.
    """
    key = manifest_key(day)
    try:
        listed = {entry.key for entry in read_day_manifest(lake, day)}
    except (FileNotFoundError, ValueError):
        # A manifest that cannot be read is replaced, as its error advises.
        return
    if lost := sorted(listed - {info.key for info in objects}):
        raise dg.Failure(
            f"{len(lost)} of the {len(listed)} raw objects that {day} was made from are missing in "
            f"{lake.uri}, most likely expired; the first is {lost[0]}. Nothing was written, since the day "
            "would lose their viewers. To make its graph and map again, run graph_daily, which reads the "
            f"curated tables. To make the day from the remaining objects, delete {key} first.",
            allow_retries=False,
        )


@catalogued_asset("raw", "docs/RUNBOOK.md#late_data", deps=[live_chat, vod_chat], kinds={"json", "python"})
def snapshots(
    context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """The day's raw objects, judged line by line: a manifest of what can be used.

    Unreadable objects and refused lines are copied to quarantine/ with the reason, or the reason alone if
    they hold Twitch's ids of viewers or are too large to be read; the raw objects stay as they are, and
    their good lines are used.
    """
    day, store = context.partition_key, lake.lake
    now = datetime.fromtimestamp(settings.clock.now(), UTC)
    objects = [*store.objects(live_day_prefix(day)), *store.objects(vod_day_prefix(day))]
    _nothing_is_lost(store, day, objects)
    reports: list[ObjectReport] = []
    for info in objects:
        data: bytes | None = None
        try:
            data = store.get(info.key, MAX_PACKED_BYTES)
            report = inspect_object(info.key, data, day=day, now=now)
        except TooLargeError as error:
            report = unread_object(info.key, info.size, str(error))
        if report.refused:
            target = quarantine_prefix(day) + info.key.rsplit("/", 1)[-1]
            if data is not None and not holds_identities(data):
                store.put(target, data)
            store.put(f"{target}.reasons.ndjson", report.quarantine_note())
            context.log.warning("%s: %d refusals, see %s", info.key, report.refused, target)
        reports.append(report)
    write_day_manifest(store, day, reports)
    live = [report for report in reports if report.key.startswith(LIVE_PREFIX)]
    context.log_event(
        dg.AssetMaterialization(
            "live_chat",
            partition=day,
            description="The output of the collector for this day so far, as found by snapshots.",
            metadata={
                **rows(sum(report.records for report in live)),
                "objects": len(live),
                "presences": sum(report.presences for report in live),
                "dagster/uri": f"{store.uri}/{live_day_prefix(day)}",
            },
        )
    )
    records = sum(report.records for report in reports)
    return dg.MaterializeResult(
        metadata={
            **rows(records),
            "objects": len(reports),
            "bytes": sum(report.size for report in reports),
            "presences": sum(report.presences for report in reports),
            "quarantined_objects": sum(bool(report.refused) for report in reports),
            "rejections": sum(report.refused for report in reports),
            "dagster/uri": f"{store.uri}/{manifest_key(day)}",
        }
    )
