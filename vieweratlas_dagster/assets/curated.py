"""Group curated: one day's presence rows and channel dimension.

Belongs here: the two curated tables, made together from one reading of the day's raw objects.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from collector_service.contract import SnapshotRecord
from collector_service.lake import Lake
from vieweratlas_dagster.assets.metadata import (
    CODE_VERSIONS,
    OWNERS,
    TAGS,
    about,
    preview_table,
    rows,
)
from vieweratlas_dagster.assets.raw import snapshots
from vieweratlas_dagster.automation.partitions import daily
from vieweratlas_dagster.curation.merge import curate, observed_share, status_counts
from vieweratlas_dagster.curation.validation import Rejection, manifest_objects, usable_records
from vieweratlas_dagster.lake_layout import (
    SOURCES,
    channels_key,
    manifest_key,
    presence_key,
    write_table,
)
from vieweratlas_dagster.resources.lake import LakeResource
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import CHANNELS, PRESENCE


def _records(
    context: dg.AssetExecutionContext, lake: Lake, now: datetime, changed: list[str]
) -> Iterator[SnapshotRecord]:
    """The usable records of the manifest's objects as they are now.

    Objects may be written again at any time. What is there now is read, since every line is judged again
    anyway; the key goes to ``changed``, and the object is newer than the manifest, so that the day
    is made again.
    """
    day = context.partition_key
    for entry in manifest_objects(lake.get(manifest_key(day))):
        data = lake.get(entry["key"])
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            context.log.warning("%s changed after it was validated; the new content is used", entry["key"])
            changed.append(entry["key"])
        for item in usable_records(entry["key"], data, day=day, now=now):
            if not isinstance(item, Rejection):
                yield item


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "presence_snapshots",
            deps=[snapshots],
            description=(
                "Who was present where and when: one row per channel, window and viewer, live and VOD "
                "side by side. Viewers are pseudonyms."
            ),
            kinds={"parquet", "polars"},
            group_name="curated",
            tags=TAGS["curated"],
            owners=OWNERS,
            metadata=about("docs/METHOD.md#presence", PRESENCE),
            code_version=CODE_VERSIONS["curated"],
        ),
        dg.AssetSpec(
            "channels",
            deps=[snapshots],
            description=(
                "The channel dimension of one day: name, game, language, how long it was observed, and "
                "why it has no audience when it has none."
            ),
            kinds={"parquet", "polars"},
            group_name="curated",
            tags=TAGS["curated"],
            owners=OWNERS,
            metadata=about("docs/METHOD.md#presence", CHANNELS),
            code_version=CODE_VERSIONS["curated"],
        ),
    ],
    partitions_def=daily,
)
def curated_tables(
    context: dg.AssetExecutionContext, lake: LakeResource, settings: dg.ResourceParam[Settings]
) -> Iterator[dg.MaterializeResult]:
    """Merge the day's validated records into the two curated tables."""
    day, store = context.partition_key, lake.lake
    changed: list[str] = []
    now = datetime.fromtimestamp(settings.clock.now(), UTC)
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
            "coverage": observed_share(channels),
            "largest": preview_table(
                channels.sort("viewers", descending=True).select(
                    "channel", "viewers", "game_name", "language", "coverage"
                )
            ),
            "dagster/uri": f"{store.uri}/{channels_key(day)}",
        },
    )
