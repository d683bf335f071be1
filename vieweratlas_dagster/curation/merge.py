"""Merging snapshot records of one day into presence rows and channel rows.

Belongs here: what happens when records meet: parts of one collector's window add up (a restart splits
a window), different collectors that saw the same window overlap (the larger count is taken, nobody is
counted twice). Does not belong here: judging records (``validation``), pairs of channels (``analysis``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from collector_service.contract import SnapshotRecord
from vieweratlas_dagster.tables import CHANNELS, PRESENCE

_WINDOW = ("channel_id", "window_start", "window_seconds")
_TIME = pl.Datetime("ms", "UTC")
_WINDOW_SCHEMA: dict[str, Any] = {
    "source": pl.String,
    "collector_id": pl.String,
    "channel_id": pl.Int64,
    "channel": pl.String,
    "window_start": _TIME,
    "window_seconds": pl.UInt32,
    "observed_seconds": pl.Float64,
    "viewer_count": pl.UInt32,
    "game_id": pl.String,
    "game_name": pl.String,
    "language": pl.String,
    "title": pl.String,
    "live": pl.Boolean,
    "messages": pl.UInt64,
    "mirrored_messages": pl.UInt64,
}
_PRESENCE_SCHEMA: dict[str, Any] = {
    "record": pl.UInt32,
    "viewer_key": pl.UInt64,
    "messages": pl.UInt64,
    "known_bot": pl.Boolean,
}


_MEMBERSHIP_SCHEMA = pl.Schema(
    {
        "channel_id": pl.Int64,
        "viewer_key": pl.UInt64,
        "messages": pl.UInt64,
        "known_bot": pl.Boolean,
    }
)


@dataclass(frozen=True)
class CuratedDay:
    """One day's curated tables: presence rows by source (live, vod), and the channel dimension."""

    presence: dict[str, pl.DataFrame]
    channels: pl.DataFrame


def curate(records: Iterable[SnapshotRecord]) -> CuratedDay:
    """Merge the records of one UTC day, of all collectors and VODs, in any order.

    Returns:
        ``presence["live"]`` and ``presence["vod"]`` conform to PRESENCE, ``channels`` to CHANNELS.
    """
    windows, presence = _columns(records)
    by_source = {
        source: _presence_rows(presence.filter(pl.col("source") == source)) for source in ("live", "vod")
    }
    return CuratedDay(by_source, _channel_rows(windows, by_source))


def memberships(days: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Distinct memberships over several days and sources.

    Args:
        days: PRESENCE frames; only one is held at a time.

    Returns:
        One row per (channel_id, viewer_key), ordered by them, with messages (UInt64, summed) and
        known_bot (Boolean, whether ever flagged).
    """
    merged = pl.DataFrame(schema=_MEMBERSHIP_SCHEMA)
    for day in days:
        rows = day.select(_MEMBERSHIP_SCHEMA.names()).cast(_MEMBERSHIP_SCHEMA)
        merged = (
            pl.concat([merged, rows])
            .group_by("channel_id", "viewer_key")
            .agg(pl.col("messages").sum(), pl.col("known_bot").any())
        )
    return merged.sort("channel_id", "viewer_key")


def channel_attributes(days: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """What is known of each channel over several days.

    Args:
        days: CHANNELS frames, oldest first.

    Returns:
        One row per channel_id, ordered by it: channel (the latest name), game_name and language (those
        with the most observed seconds).
    """
    every = pl.concat(days) if days else CHANNELS.empty()
    return (
        every.group_by("channel_id", maintain_order=True)
        .agg(pl.col("channel").last())
        .join(_most_observed(every, "game_name"), on="channel_id", how="left")
        .join(_most_observed(every, "language"), on="channel_id", how="left")
        .sort("channel_id")
    )


def observed_share(channels: pl.DataFrame) -> float:
    """Share of the time of all recorded windows (CHANNELS rows) that was observed; 0 without any."""
    recorded = int(channels["recorded_seconds"].sum())
    return float(channels["observed_seconds"].sum()) / recorded if recorded else 0.0


def _columns(records: Iterable[SnapshotRecord]) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows: list[tuple[Any, ...]] = []
    keys: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    bots: list[np.ndarray] = []
    for record in records:
        rows.append(_window_row(record))
        keys.append(np.array(record.viewer_keys, dtype=np.uint64))
        counts.append(np.array(record.viewer_messages, dtype=np.uint64))
        bots.append(np.isin(keys[-1], np.array(record.known_bots, dtype=np.uint64)))
    windows = pl.DataFrame(rows, schema=_WINDOW_SCHEMA, orient="row")
    lengths = np.array([len(part) for part in keys], dtype=np.int64)
    presence = pl.DataFrame(
        {
            "record": np.repeat(np.arange(len(rows), dtype=np.uint32), lengths),
            "viewer_key": np.concatenate(keys) if keys else [],
            "messages": np.concatenate(counts) if counts else [],
            "known_bot": np.concatenate(bots) if bots else [],
        },
        schema=_PRESENCE_SCHEMA,
    )
    places = windows.select("source", "collector_id", *_WINDOW).with_row_index("record")
    return windows, presence.join(places, on="record", how="left").drop("record")


def _window_row(record: SnapshotRecord) -> tuple[Any, ...]:
    return (
        record.source,
        record.collector_id,
        record.channel_id,
        record.channel,
        record.window_start,
        record.window_seconds,
        record.observed_seconds,
        record.viewer_count,
        record.game_id,
        record.game_name,
        record.language,
        record.title,
        record.viewer_count is not None or record.started_at is not None or record.source == "vod",
        record.messages,
        record.mirrored_messages,
    )


def _presence_rows(presence: pl.DataFrame) -> pl.DataFrame:
    place = (*_WINDOW, "viewer_key")
    merged = (
        presence.group_by(*place, "collector_id")
        .agg(pl.col("messages").sum(), pl.col("known_bot").any())
        .group_by(place)
        .agg(pl.col("messages").max(), pl.col("known_bot").any())
    )
    return PRESENCE.conform(merged)


def _channel_rows(windows: pl.DataFrame, by_source: dict[str, pl.DataFrame]) -> pl.DataFrame:
    per_collector = windows.group_by(*_WINDOW, "source", "collector_id").agg(
        pl.col("observed_seconds").sum(),
        pl.col("messages", "mirrored_messages").sum(),
        pl.col("viewer_count").max(),
        pl.col("live").any(),
    )
    per_window = per_collector.group_by(_WINDOW).agg(
        pl.min_horizontal(pl.col("observed_seconds").max(), pl.col("window_seconds").first()).alias(
            "observed_seconds"
        ),
        pl.col("messages", "mirrored_messages", "viewer_count").max(),
        pl.col("live").any(),
    )
    totals = per_window.group_by("channel_id").agg(
        pl.col("window_start").min().alias("first_window"),
        pl.col("window_start").max().alias("last_window"),
        pl.len().alias("windows"),
        pl.col("live").sum().alias("live_windows"),
        pl.col("observed_seconds").sum(),
        pl.col("window_seconds").sum().alias("recorded_seconds"),
        (pl.col("observed_seconds").sum() / pl.col("window_seconds").sum()).alias("coverage"),
        pl.col("viewer_count").max().alias("peak_viewer_count"),
        pl.col("messages", "mirrored_messages").sum(),
    )
    # A live record knows the channel's present name, a VOD only the one it was recorded under.
    newest_last = windows.sort("window_start", pl.col("source") == "live", "channel")
    names = newest_last.group_by("channel_id", maintain_order=True).agg(
        pl.col("channel").last(), pl.col("title").drop_nulls().last()
    )
    audience = (
        pl.concat(by_source.values())
        .filter(~pl.col("known_bot"))
        .group_by("channel_id")
        .agg(pl.col("viewer_key").n_unique().alias("viewers"))
    )
    channels = (
        totals.join(names, on="channel_id")
        .join(_most_observed(windows, "game_name", "game_id"), on="channel_id", how="left")
        .join(_most_observed(windows, "language"), on="channel_id", how="left")
        .join(audience, on="channel_id", how="left")
        .with_columns(pl.col("viewers").fill_null(0))
    )
    unobserved, silent = pl.col("observed_seconds") <= 0, pl.col("viewers") == 0
    return CHANNELS.conform(
        channels.with_columns(
            pl.when(~silent)
            .then(pl.lit("observed"))
            .when(unobserved)
            .then(pl.lit("unobserved"))
            .otherwise(pl.lit("silent"))
            .alias("status"),
            pl.when(~silent)
            .then(None)
            .when(unobserved)
            .then(pl.lit("the collector was never joined to this channel"))
            .otherwise(pl.lit("joined, but nobody wrote"))
            .alias("reason"),
        )
    )


def _most_observed(rows: pl.DataFrame, name: str, *companions: str) -> pl.DataFrame:
    """The value of ``name`` with the most observed seconds per channel; ties go to the smaller text."""
    return (
        rows.filter(pl.col(name).is_not_null())
        .group_by("channel_id", name)
        .agg(pl.col("observed_seconds").sum(), *(pl.col(other).drop_nulls().min() for other in companions))
        .sort("channel_id", pl.col("observed_seconds"), name, descending=[False, True, False])
        .group_by("channel_id", maintain_order=True)
        .first()
        .drop("observed_seconds")
    )
