"""Merging snapshot records of one day into presence rows and channel rows.

A part that arrived twice counts once. Parts of one collector's window add up (a restart splits a window),
and so do collectors that took turns (a deploy hands over); among collectors that watched at the same time
the largest count is taken, so that no viewer counts twice. The observed time is the union of all stretches.

Time is in whole milliseconds here, so that sums are exact in any order.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from collector_service.contract import MAX_WINDOW_SECONDS, ChannelStatus, SnapshotRecord
from vieweratlas_dagster.tables import CHANNELS, PRESENCE

_WINDOW = ("channel_id", "window_start", "window_seconds")
_PART = ("source", "collector_id", "part", *_WINDOW)
_TIME = pl.Datetime("ms", "UTC")
_DAY_SECONDS = 86_400
_MEANINGS = {status.value: status.meaning for status in ChannelStatus}
_WINDOW_SCHEMA: dict[str, Any] = {
    "source": pl.String,
    "collector_id": pl.String,
    "part": pl.UInt32,
    "channel_id": pl.Int64,
    "channel": pl.String,
    "window_start": _TIME,
    "window_seconds": pl.UInt32,
    "observed_ms": pl.Int64,
    "placed": pl.Boolean,
    "status": pl.String,
    "viewer_count": pl.UInt32,
    "game_id": pl.String,
    "game_name": pl.String,
    "language": pl.String,
    "title": pl.String,
    "live": pl.Boolean,
    "messages": pl.UInt64,
    "mirrored_messages": pl.UInt64,
    "viewers": pl.UInt32,
}
_STRETCH_SCHEMA: dict[str, Any] = {"record": pl.UInt32, "since": pl.Int64, "until": pl.Int64}
_PRESENCE_SCHEMA: dict[str, Any] = {
    "record": pl.UInt32,
    "viewer_key": pl.UInt64,
    "messages": pl.UInt64,
    "known_bot": pl.Boolean,
}
_WINDOW_MS = pl.col("window_seconds").cast(pl.Int64) * 1000
# More milliseconds than the longest window has.
_BEYOND_WINDOW = (MAX_WINDOW_SECONDS + 1) * 1000


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
    windows, stretches, presence = _columns(records)
    windows = _each_part_once(windows)
    stretches = stretches.join(windows.select("record", "source", "collector_id", *_WINDOW), on="record")
    windows, stretches = _with_namesakes_apart(windows, stretches)
    windows = _with_observers(windows, stretches)
    presence = presence.join(windows.select("record", "source", "observer", *_WINDOW), on="record")
    by_source = {
        source: _presence_rows(presence.filter(pl.col("source") == source)) for source in ("live", "vod")
    }
    return CuratedDay(by_source, _channel_rows(windows, _observed(windows, stretches), by_source))


def channel_attributes(days: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The attributes of each channel over several days.

    Args:
        days: CHANNELS frames, oldest first.

    Returns:
        One row per channel_id, ordered by it: channel (the latest name), game_name and language (those
        with the most observed seconds), observed_seconds, recorded_seconds and live_windows (summed), and
        reason (the latest).
    """
    every = (pl.concat(days) if days else CHANNELS.empty()).with_columns(
        (pl.col("observed_seconds") * 1000).round().cast(pl.Int64).alias("observed_ms")
    )
    return (
        every.group_by("channel_id", maintain_order=True)
        .agg(
            pl.col("channel").last(),
            (pl.col("observed_ms").sum() / 1000).alias("observed_seconds"),
            pl.col("recorded_seconds", "live_windows").sum(),
            pl.col("reason").drop_nulls().last(),
        )
        .join(_most_observed(every, "game_name"), on="channel_id", how="left")
        .join(_most_observed(every, "language"), on="channel_id", how="left")
        .sort("channel_id")
    )


def recorded_windows(days: Sequence[pl.DataFrame]) -> tuple[int, int | None]:
    """The number of days with observations, and the length in seconds of their shortest windows.

    A channel's day shows the length where its windows can all be of one length, which divides the day and
    fits into it as often as there are windows; a window that lasts the whole day beside shorter ones does
    not. None where no channel's day shows it.

    Args:
        days: CHANNELS frames, in any order.
    """
    observed = [day.filter(pl.col("observed_seconds") > 0) for day in days]
    recorded, count = pl.col("recorded_seconds"), pl.col("windows").cast(pl.UInt64)
    length = (
        pl.concat([CHANNELS.empty(), *observed])
        .filter(recorded <= _DAY_SECONDS, recorded % count == 0)
        .select(length=recorded // count)
        .filter(_DAY_SECONDS % pl.col("length") == 0)
        .min()
        .item()
    )
    return sum(not day.is_empty() for day in observed), length


def status_counts(channels: pl.DataFrame) -> pl.DataFrame:
    """The number of CHANNELS rows of each collector_status, the most frequent first, with its meaning.

    Returns:
        collector_status ("unknown" for null), meaning (null for words that are not a ChannelStatus) and
        channels (UInt32).
    """
    return (
        channels.group_by(pl.col("collector_status").fill_null("unknown"))
        .agg(pl.len().alias("channels"))
        .sort(pl.col("channels"), "collector_status", descending=[True, False])
        .select(
            "collector_status",
            pl.col("collector_status")
            .replace_strict(_MEANINGS, default=None, return_dtype=pl.String)
            .alias("meaning"),
            "channels",
        )
    )


def observed_share(channels: pl.DataFrame) -> float:
    """Share of the time of all recorded windows (CHANNELS rows) that was observed; 0 without any."""
    recorded = int(channels["recorded_seconds"].sum())
    return float(channels["observed_seconds"].sum()) / recorded if recorded else 0.0


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _columns(records: Iterable[SnapshotRecord]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The records as columns: windows, the stretches they observed, and the viewers they saw.

    ``record`` numbers the rows of the first and refers to them in the others.
    """
    rows: list[tuple[Any, ...]] = []
    stretches: list[tuple[int, int, int]] = []
    lengths, keys, counts, bots = array("Q"), array("Q"), array("Q"), bytearray()
    for number, record in enumerate(records):
        rows.append(_window_row(record))
        if record.observed_seconds < record.window_seconds:
            stretches.extend(
                (number, _milliseconds(since), _milliseconds(until))
                for since, until in record.observed_intervals or ()
            )
        lengths.append(len(record.viewer_keys))
        keys.extend(record.viewer_keys)
        counts.extend(record.viewer_messages)
        known = set(record.known_bots)
        bots.extend(key in known for key in record.viewer_keys)
    windows = pl.DataFrame(rows, schema=_WINDOW_SCHEMA, orient="row").with_row_index("record")
    whole = windows.filter(pl.col("observed_ms") == _WINDOW_MS).select(
        "record", pl.lit(0, pl.Int64).alias("since"), pl.col("observed_ms").alias("until")
    )
    presence = pl.DataFrame(
        {
            "record": np.repeat(np.arange(len(rows), dtype=np.uint32), np.array(lengths, dtype=np.int64)),
            "viewer_key": np.frombuffer(keys, dtype=np.uint64),
            "messages": np.frombuffer(counts, dtype=np.uint64),
            "known_bot": np.frombuffer(bots, dtype=np.bool_),
        },
        schema=_PRESENCE_SCHEMA,
    )
    partial = pl.DataFrame(stretches, schema=_STRETCH_SCHEMA, orient="row")
    return windows, pl.concat([whole, partial]), presence


def _window_row(record: SnapshotRecord) -> tuple[Any, ...]:
    return (
        record.source,
        record.collector_id,
        record.part,
        record.channel_id,
        record.channel,
        record.window_start,
        record.window_seconds,
        _milliseconds(record.observed_seconds),
        _is_placed(record),
        record.status,
        record.viewer_count,
        record.game_id,
        record.game_name,
        record.language,
        record.title,
        record.viewer_count is not None or record.started_at is not None or record.source == "vod",
        record.messages,
        record.mirrored_messages,
        len(record.viewer_keys),
    )


def _is_placed(record: SnapshotRecord) -> bool:
    """Whether it is known when the record's messages were seen, within its window."""
    if record.observed_seconds == 0:
        return not (record.messages or record.mirrored_messages or record.viewer_keys)
    return record.observed_intervals is not None or record.observed_seconds == record.window_seconds


def _each_part_once(windows: pl.DataFrame) -> pl.DataFrame:
    """Windows with only the fullest record of a numbered part that was uploaded again after a crash."""
    repeated = pl.col("part").is_not_null() & pl.struct(_PART).is_duplicated()
    best = (
        windows.filter(repeated)
        .sort("observed_ms", "messages", "viewers", "mirrored_messages", "record")
        .unique(_PART, keep="last")
    )
    return pl.concat([windows.filter(~repeated), best])


def _covered(stretches: pl.DataFrame, place: Sequence[str]) -> pl.DataFrame:
    """Milliseconds in the union of the stretches of each place, as column ``covered``."""
    ordered = stretches.sort(*place, "since")
    # Places laid end to end on one line, so that one running maximum serves them all.
    first = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in place)
    laid = ordered.with_columns(
        (first.cum_sum().cast(pl.Int64) * _BEYOND_WINDOW).alias("base")
    ).with_columns(pl.col("since", "until") + pl.col("base"))
    reached = pl.col("until").cum_max().shift(fill_value=0)
    fresh = (pl.col("until") - pl.max_horizontal("since", reached)).clip(lower_bound=0)
    return laid.with_columns(fresh.alias("covered")).group_by(place).agg(pl.col("covered").sum())


def _with_namesakes_apart(
    windows: pl.DataFrame, stretches: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two processes that share one collector_id, separated by their parts.

    Parts of one process never overlap; where they do, each part passes for a collector of its own.
    """
    place = ("source", *_WINDOW, "collector_id")
    several = windows.filter(pl.struct(place).is_duplicated()).select(place).unique()
    shared = stretches.join(several, on=place, how="semi")
    namesakes = (
        _covered(shared, place)
        .join(shared.group_by(place).agg((pl.col("until") - pl.col("since")).sum().alias("all")), on=place)
        .filter(pl.col("all") > pl.col("covered"))
        .select(*place, pl.lit(True).alias("namesake"))
    )
    own = pl.concat_str("collector_id", pl.lit("/"), pl.col("record").cast(pl.String))

    def apart(frame: pl.DataFrame) -> pl.DataFrame:
        return (
            frame.join(namesakes, on=place, how="left")
            .with_columns(pl.when("namesake").then(own).otherwise("collector_id").alias("collector_id"))
            .drop("namesake")
        )

    return apart(windows), apart(stretches)


def _with_observers(windows: pl.DataFrame, stretches: pl.DataFrame) -> pl.DataFrame:
    """Windows with ``observer``: the collector, or "" for those that took turns and count as one.

    Collectors of one source took turns in a window when it is known when each observed it, and no two of
    them did at the same time.
    """
    place = ("source", *_WINDOW)
    several = (
        windows.group_by(place)
        .agg(
            pl.col("placed").all(),
            (pl.col("collector_id").min() != pl.col("collector_id").max()).alias("several"),
        )
        .filter("placed", "several")
        .select(place)
    )
    shared = stretches.join(several, on=place, how="semi")
    turns = (
        _covered(shared, (*place, "collector_id"))
        .group_by(place)
        .agg(pl.col("covered").sum().alias("added_up"))
        .join(_covered(shared, place), on=place)
        .filter(pl.col("added_up") == pl.col("covered"))
        .select(*place, pl.lit("").alias("observer"))
    )
    return windows.join(turns, on=place, how="left").with_columns(
        pl.col("observer").fill_null(pl.col("collector_id"))
    )


def _observed(windows: pl.DataFrame, stretches: pl.DataFrame) -> pl.DataFrame:
    """Milliseconds for which each channel and window was observed, as ``observed_ms``.

    That is the union of all stretches. For records without stretches, the parts of one collector add up,
    and the largest collector counts if it exceeds the union.
    """
    unplaced = (
        windows.filter(~pl.col("placed"))
        .group_by(*_WINDOW, "source", "collector_id")
        .agg(pl.col("observed_ms").sum())
        .group_by(_WINDOW)
        .agg(pl.min_horizontal(pl.col("observed_ms").max(), _WINDOW_MS.first()).alias("covered"))
    )
    return (
        pl.concat([_covered(stretches, _WINDOW), unplaced])
        .group_by(_WINDOW)
        .agg(pl.col("covered").max().alias("observed_ms"))
    )


def _presence_rows(presence: pl.DataFrame) -> pl.DataFrame:
    place = (*_WINDOW, "viewer_key")
    merged = (
        presence.group_by(*place, "observer")
        .agg(pl.col("messages").sum(), pl.col("known_bot").any())
        .group_by(place)
        .agg(pl.col("messages").max(), pl.col("known_bot").any())
    )
    return PRESENCE.conform(merged)


def _channel_rows(
    windows: pl.DataFrame, observed: pl.DataFrame, by_source: dict[str, pl.DataFrame]
) -> pl.DataFrame:
    per_observer = windows.group_by(*_WINDOW, "source", "observer").agg(
        pl.col("messages", "mirrored_messages").sum(),
        pl.col("viewer_count").max(),
        pl.col("live").any(),
    )
    per_window = (
        per_observer.group_by(_WINDOW)
        .agg(pl.col("messages", "mirrored_messages", "viewer_count").max(), pl.col("live").any())
        .join(observed, on=_WINDOW, how="left")
    )
    # Rounded, since Polars multiplies by 0.001 instead of dividing by 1000.
    seconds = (pl.col("observed_ms").sum() / 1000).round(3)
    totals = per_window.group_by("channel_id").agg(
        pl.col("window_start").min().alias("first_window"),
        pl.col("window_start").max().alias("last_window"),
        pl.len().alias("windows"),
        pl.col("live").sum().alias("live_windows"),
        seconds.alias("observed_seconds"),
        pl.col("window_seconds").sum().alias("recorded_seconds"),
        (seconds / pl.col("window_seconds").sum()).alias("coverage"),
        pl.col("viewer_count").max().alias("peak_viewer_count"),
        pl.col("messages", "mirrored_messages").sum(),
    )
    # A live record knows the channel's present name, a VOD only the one it was recorded under.
    newest_last = windows.sort("window_start", pl.col("source") == "live", "channel", "title")
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
        .join(_statuses(windows), on="channel_id", how="left")
        .join(_most_observed(windows, "game_name", "game_id"), on="channel_id", how="left")
        .join(_most_observed(windows, "language"), on="channel_id", how="left")
        .join(audience, on="channel_id", how="left")
        .with_columns(pl.col("viewers").fill_null(0))
    )
    return CHANNELS.conform(_judged(channels))


def _statuses(windows: pl.DataFrame) -> pl.DataFrame:
    """The latest status per channel, and the latest other than joined (``missed``).

    Within a window a collector that is joined speaks for the others: the channel is being read.
    """
    joined = pl.col("status") == ChannelStatus.JOINED.value
    return (
        windows.filter(pl.col("status").is_not_null())
        .sort("window_start", joined, "status")
        .group_by("channel_id", maintain_order=True)
        .agg(
            pl.col("status").last().alias("collector_status"),
            pl.col("status").filter(~joined).last().alias("missed"),
        )
    )


def _judged(channels: pl.DataFrame) -> pl.DataFrame:
    """Channels with ``status`` and ``reason``."""
    silent, unobserved = pl.col("viewers") == 0, pl.col("observed_seconds") <= 0
    missed = pl.col("missed").replace(_MEANINGS)
    partly = pl.when(pl.col("coverage") < 1).then(missed)
    status = (
        pl.when(~silent)
        .then(pl.lit("observed"))
        .when(unobserved)
        .then(pl.lit("unobserved"))
        .otherwise(pl.lit("silent"))
    )
    reason = (
        pl.when(unobserved & silent)
        .then(missed.fill_null("the collector was never joined to this channel"))
        .when(silent)
        .then(
            pl.concat_str(
                pl.lit("joined, but nobody wrote"), pl.lit("; at times: ") + partly, ignore_nulls=True
            )
        )
        .otherwise(pl.lit("at times: ") + partly)
    )
    return channels.with_columns(status.alias("status"), reason.alias("reason"))


def _most_observed(rows: pl.DataFrame, name: str, *companions: str) -> pl.DataFrame:
    """The value of ``name`` with the most observed time per channel; ties go to the smaller text."""
    return (
        rows.filter(pl.col(name).is_not_null())
        .group_by("channel_id", name)
        .agg(
            pl.col("observed_ms").sum(), *(pl.col(companion).drop_nulls().min() for companion in companions)
        )
        .sort("channel_id", pl.col("observed_ms"), name, descending=[False, True, False])
        .group_by("channel_id", maintain_order=True)
        .first()
        .drop("observed_ms")
    )
