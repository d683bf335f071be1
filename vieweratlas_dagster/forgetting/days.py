"""Removing the subject from one day's raw, curated and quarantined objects.

The order of writes makes a second run complete a killed one, without overlooking or counting twice. The
manifest comes first: it loses the entries of objects that will be removed, so that the day can be made
again from the rest. Raw objects come next: they are then newer than the manifest, so the late-data sensor
makes the day again. Channel rows, whose numbers of viewers follow from presence, come before presence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

import polars as pl

from collector_service.contract import LIVE_PREFIX, VOD_PREFIX
from collector_service.lake import Lake
from collector_service.support.state_object import UnreadableStateError
from vieweratlas_dagster.forgetting.rewriting import (
    CURATED_PREFIXES,
    Rewritten,
    read_object,
    rewritten,
)
from vieweratlas_dagster.forgetting.subject import Subject
from vieweratlas_dagster.lake.keys import (
    SOURCES,
    channels_key,
    presence_key,
    quarantine_prefix,
)
from vieweratlas_dagster.lake.manifests import DayManifest, day_manifest, read_day_manifest
from vieweratlas_dagster.lake.parquet import parquet_bytes, read_parquet
from vieweratlas_dagster.lake.redaction import without

_RAW = (f"{LIVE_PREFIX}/", f"{VOD_PREFIX}/")
_QUARANTINED = quarantine_prefix("").removesuffix("date=/")


def days_of(lake: Lake) -> list[str]:
    """The days (the text after ``date=``) with raw, curated or quarantined objects."""
    prefixes = (*_RAW, *CURATED_PREFIXES, _QUARANTINED)
    names = {name for prefix in prefixes for name in lake.folders(prefix) if name.startswith("date=")}
    return sorted(name.removeprefix("date=") for name in names)


def count_in(lake: Lake, day: str, subject: Subject) -> Counter[str]:
    """Count the day's data of the subject; empty when nothing must be rewritten. Writes nothing."""
    total: Counter[str] = Counter()
    for _, was, change in _changes(lake, day, subject):
        total += change.counts
        total["objects_rewritten"] += 1
        total["bytes_rewritten"] += len(was)
    return total


def forget_in(lake: Lake, day: str, subject: Subject) -> None:
    """Rewrite the day's objects; a repetition changes nothing."""
    doomed = {key for key, _, change in _changes(lake, day, subject, _RAW) if change.data is None}
    if doomed:
        _drop_entries(lake, day, doomed)
    _write(lake, _changes(lake, day, subject, _RAW))
    _write_channels(lake, day, subject)
    _write(lake, _changes(lake, day, subject, (*CURATED_PREFIXES, _QUARANTINED)))


def _write(lake: Lake, changes: Iterable[tuple[str, bytes, Rewritten]]) -> None:
    for key, _, change in changes:
        if change.data is None:
            lake.delete(key)
        else:
            lake.put(key, change.data)


def _changes(
    lake: Lake,
    day: str,
    subject: Subject,
    prefixes: tuple[str, ...] = (*_RAW, *CURATED_PREFIXES, _QUARANTINED),
) -> Iterator[tuple[str, bytes, Rewritten]]:
    for prefix in prefixes:
        for info in lake.objects(f"{prefix}date={day}/"):
            try:
                data = read_object(lake, info.key)
            except FileNotFoundError:
                continue  # it has expired since it was listed
            change = rewritten(info.key, data, subject)
            if change.data != data:
                yield info.key, data, change


def _drop_entries(lake: Lake, day: str, keys: set[str]) -> None:
    """Remove objects from the day's manifest, so that the day does not miss them."""

    def without_keys(manifest: DayManifest | None) -> DayManifest:
        listed = manifest.objects if manifest else ()
        return DayManifest(day, tuple(entry for entry in listed if entry.key not in keys))

    # Without a usable manifest the day is made again with a new one.
    with suppress(FileNotFoundError, UnreadableStateError):
        if any(entry.key in keys for entry in read_day_manifest(lake, day)):
            day_manifest(day).update(lake, without_keys)


def _write_channels(lake: Lake, day: str, subject: Subject) -> None:
    """Remove the subject's channel rows, and count viewers from presence without the subject."""
    key = channels_key(day)
    if not lake.exists(key):
        return
    data = lake.get(key)
    frame = read_parquet(data)
    kept = without(frame, subject.opt_outs)
    presence = [
        read_parquet(lake.get(presence_key(day, source))).select("channel_id", "viewer_key", "known_bot")
        for source in SOURCES
        if lake.exists(presence_key(day, source))
    ]
    if presence and subject.opt_outs.viewer_keys:
        every = pl.concat(presence)
        remaining = without(every, subject.opt_outs)
        keys = pl.Series(sorted(subject.opt_outs.viewer_keys), dtype=pl.UInt64)
        changed = every.filter(pl.col("viewer_key").is_in(keys.implode()))["channel_id"].unique()
        viewers = (
            remaining.filter(pl.col("channel_id").is_in(changed.implode()), ~pl.col("known_bot"))
            .group_by("channel_id")
            .agg(pl.col("viewer_key").n_unique().cast(kept.schema["viewers"]).alias("remaining"))
        )
        kept = (
            kept.join(viewers, on="channel_id", how="left", maintain_order="left")
            .with_columns(
                pl.when(pl.col("channel_id").is_in(changed.implode()))
                .then(pl.col("remaining").fill_null(0))
                .otherwise("viewers")
                .alias("viewers")
            )
            .drop("remaining")
        )
    if not kept.equals(frame):
        lake.put(key, parquet_bytes(kept))
