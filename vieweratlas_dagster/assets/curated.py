"""Group curated: one day's presence rows and channel dimension, made in one reading, and its audiences."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import polars as pl

from collector_service.contract import MAX_PACKED_BYTES, SnapshotRecord
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import read_opt_outs
from collector_service.privacy.populations import check_if_at_hand
from collector_service.privacy.redaction import record_without
from collector_service.support.limits import TooLargeError
from vieweratlas_dagster.assets.raw import snapshots
from vieweratlas_dagster.curation.merge import curate, observed_share, status_counts
from vieweratlas_dagster.curation.validation import Rejection, usable_records
from vieweratlas_dagster.lake.keys import SOURCES, channels_key, day_audience_key, presence_key
from vieweratlas_dagster.lake.manifests import read_day_manifest
from vieweratlas_dagster.lake.tables_io import read_table_if_there, write_table
from vieweratlas_dagster.resources.catalog import (
    MAPS,
    catalog_entry,
    catalogued_asset,
    preview_table,
    rounded,
    rows,
)
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.resources.partitions import daily
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import CHANNELS, DAY_AUDIENCES, PRESENCE

_DOCS = "docs/METHOD.md#presence"
_KINDS = {"parquet", "polars"}


def _records(
    context: dg.AssetExecutionContext, lake: Lake, now: datetime, changed: list[str]
) -> Iterator[SnapshotRecord]:
    """The usable records of the manifest's objects as they are now, without opted-out viewers and channels.

    Objects may be rewritten at any time. Their present content is read, since every line is judged again
    anyway; the key is appended to ``changed``. The object is then newer than the manifest, so the day will
    be made again.
    """
    day = context.partition_key
    opt_outs = read_opt_outs(lake)
    for entry in read_day_manifest(lake, day):
        try:
            data = lake.get(entry.key, MAX_PACKED_BYTES)
        except TooLargeError as error:
            context.log.warning("%s is skipped: %s", entry.key, error)
            continue
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            context.log.warning("%s changed after it was validated; the new content is used", entry.key)
            changed.append(entry.key)
        for item in usable_records(entry.key, data, day=day, now=now):
            if isinstance(item, Rejection):
                continue
            # A backup, a spool that was uploaded late or an earlier version may have brought it back.
            if (record := record_without(item, opt_outs)) is not None:
                yield record


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "presence_snapshots",
            deps=[snapshots],
            description=(
                "Presence of viewers in channels: one row per channel, window and viewer, live and VOD "
                "side by side. Viewers are pseudonyms."
            ),
            kinds=_KINDS,
            **catalog_entry("curated", _DOCS, PRESENCE),
        ),
        dg.AssetSpec(
            "channels",
            deps=[snapshots],
            description=(
                "The channel dimension of one day: name, game, language, how long it was observed, and the "
                "reason for a missing audience."
            ),
            kinds=_KINDS,
            **catalog_entry("curated", _DOCS, CHANNELS),
        ),
    ],
    partitions_def=daily,
    pool=MAPS,
)
def curated_tables(
    context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> Iterator[dg.MaterializeResult]:
    """Merge the day's validated records into the two curated tables."""
    day, store = context.partition_key, lake.lake
    changed: list[str] = []
    now = datetime.fromtimestamp(settings.clock.now(), UTC)
    check_if_at_hand(settings.privacy, store)
    made = curate(_records(context, store, now, changed))
    for source in SOURCES:
        write_table(store, presence_key(day, source), made.presence[source], PRESENCE)
    live, vod = (made.presence[source] for source in SOURCES)
    yield dg.MaterializeResult(
        asset_key="presence_snapshots",
        metadata={
            **rows(live.height + vod.height),
            "live_rows": live.height,
            "vod_rows": vod.height,
            "viewers": live["viewer_key"].append(vod["viewer_key"]).n_unique(),
            "changed_objects": len(changed),
            "windows": live["window_start"].append(vod["window_start"]).n_unique(),
            "dagster/uri": f"{store.uri}/{presence_key(day, '')}".rsplit("source=", 1)[0],
        },
    )
    channels = write_table(store, channels_key(day), made.channels, CHANNELS)
    yield dg.MaterializeResult(
        asset_key="channels",
        metadata={
            **rows(channels.height),
            "observed": channels.filter(status="observed").height,
            "silent": channels.filter(status="silent").height,
            "unobserved": channels.filter(status="unobserved").height,
            "collector_status": preview_table(status_counts(channels)),
            "messages": int(channels["messages"].sum()),
            "coverage": rounded(observed_share(channels)),
            "largest": preview_table(
                channels.sort("viewers", descending=True).select(
                    "channel", "viewers", "game_name", "language", "coverage"
                )
            ),
            "dagster/uri": f"{store.uri}/{channels_key(day)}",
        },
    )


def derived_audience(lake: Lake, day: str) -> pl.DataFrame | None:
    """The audience of a day from its presence rows (DAY_AUDIENCES); None without presence tables."""
    # Compiled loops take a while to load.
    from vieweratlas_dagster.analysis.audiences import day_audience

    found = [read_table_if_there(lake, presence_key(day, source), PRESENCE) for source in SOURCES]
    presence = [frame for frame in found if frame is not None]
    return day_audience(presence) if presence else None


@catalogued_asset("curated", _DOCS, table=DAY_AUDIENCES, deps=["presence_snapshots"], kinds=_KINDS)
def day_audiences(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """The audience of every channel on the day: one row per channel and viewer, live and VOD merged.

    Kept per day, so that a new day costs the graph that day and one merge, not its whole window again.
    """
    day, store = context.partition_key, lake.lake
    audience = derived_audience(store, day)
    if audience is None:
        raise dg.Failure(
            f"the presence tables of {day} are missing in {store.uri}: materialize presence_snapshots"
        )
    audience = write_table(store, day_audience_key(day), audience, DAY_AUDIENCES)
    bots = audience.filter("known_bot")
    return dg.MaterializeResult(
        metadata={
            **rows(audience.height),
            "viewers": audience["viewer_key"].n_unique(),
            "channels_with_viewers": audience["channel_id"].n_unique(),
            "known_bots": bots["viewer_key"].n_unique(),
            "dagster/uri": f"{store.uri}/{day_audience_key(day)}",
        }
    )
