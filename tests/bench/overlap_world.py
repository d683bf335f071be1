"""A world of channels and viewers in the curated tables of a lake, deterministic for a seed.

How many channels a viewer visits follows a power law. Most visits stay in the viewer's own community of
about a hundred channels, whose sizes follow Zipf's law; the others go anywhere. The exponents are
set so that 10,000 channels and 7,130,000 viewers make 37 million distinct (channel, viewer) pairs, whose
viewers add 926 million times to a pair of channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from collector_service.lake import Lake
from vieweratlas_dagster.lake.keys import channels_key, day_audience_key, presence_key
from vieweratlas_dagster.lake.tables_io import write_table
from vieweratlas_dagster.tables import CHANNELS, DAY_AUDIENCES, PRESENCE

DAYS = tuple(f"2026-03-{day:02d}" for day in range(1, 8))
CHANNELS_PER_COMMUNITY = 100
COMMUNITIES_PER_REGION = 10
MOST_CHANNELS = 500
# More than any viewer has, so that everybody is judged by hours, and nobody is left out.
MOST_WINDOWS = 288 * len(DAYS)

_VISITS_EXPONENT = 1.8255
_POPULARITY_EXPONENT = 0.7
_COMMUNITY_EXPONENT = 0.5
# Shares of the visits that stay in the region, and of those in the community too.
_IN_REGION = 0.95
_IN_COMMUNITY = 0.6
# A pair is seen on one day of the window, and on each of the others with this chance.
_OTHER_DAYS = 0.13
_CHUNK = 500_000
_WINDOW_SECONDS = 300


@dataclass(frozen=True)
class World:
    """What was written: distinct (channel, viewer) pairs, their pair increments, and rows of all days."""

    pairs: int
    increments: int
    rows: int


def write_world(
    lake: Lake,
    *,
    channels: int,
    viewers: int,
    seed: int = 1,
    days: tuple[str, ...] = DAYS,
    presence: bool = False,
) -> World:
    """Write the days' audiences and channels, and on demand the presence rows that they come from.

    Args:
        lake: where to.
        channels: their number, at least `CHANNELS_PER_COMMUNITY`.
        viewers: their number.
        seed: the same numbers and seed give the same files.
        days: YYYY-MM-DD, ascending.
        presence: whether to write presence rows too.
    """
    rng = np.random.default_rng(seed)
    parts: list[list[pl.DataFrame]] = [[] for _ in days]
    pairs = increments = rows = 0
    for begin in range(0, viewers, _CHUNK):
        size = min(_CHUNK, viewers - begin)
        viewer, channel = _visits(rng, size, channels)
        degrees = np.bincount(viewer, minlength=size)
        pairs += len(viewer)
        increments += int((degrees * (degrees - 1) // 2).sum())
        key = _keys(rng, begin, size, viewers)[viewer]
        seen = rng.random((len(days), len(viewer))) < _OTHER_DAYS
        seen[rng.integers(len(days), size=len(viewer)), np.arange(len(viewer))] = True
        for part, today in zip(parts, seen, strict=True):
            made = _day_rows(rng, channel[today] + 1, key[today])
            rows += made.height
            part.append(made)
    for day, part in zip(days, parts, strict=True):
        frame = pl.concat(part)
        part.clear()
        write_table(lake, day_audience_key(day), frame, DAY_AUDIENCES)
        write_table(lake, channels_key(day), _channel_rows(day, channels), CHANNELS)
        if presence:
            write_table(lake, presence_key(day, "live"), _presence_rows(day, frame), PRESENCE)
            write_table(lake, presence_key(day, "vod"), PRESENCE.empty(), PRESENCE)
    return World(pairs, increments, rows)


def _visits(
    rng: np.random.Generator, viewers: int, channels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct (viewer, channel) pairs, ordered by them."""
    visits = np.arange(1, MOST_CHANNELS + 1)
    chance = np.cumsum(visits**-_VISITS_EXPONENT)
    count = np.searchsorted(chance / chance[-1], rng.random(viewers)) + 1
    viewer = np.repeat(np.arange(viewers), count)
    communities = max(1, channels // CHANNELS_PER_COMMUNITY)
    regions = max(1, communities // COMMUNITIES_PER_REGION)
    home = np.repeat(_zipf(rng.random(viewers), communities, _COMMUNITY_EXPONENT), count)
    # Channel c is in community c % communities and in region c % regions, since the one divides the other.
    where, place = rng.random(len(viewer)), rng.random(len(viewer))
    channel = _zipf(place, channels, _POPULARITY_EXPONENT)
    for share, groups in ((_IN_REGION, regions), (_IN_COMMUNITY, communities)):
        inside = home % groups + groups * _zipf(place, channels // groups, _POPULARITY_EXPONENT)
        channel = np.where(where < share, inside, channel)
    pair = np.unique(viewer * channels + channel)
    return pair // channels, pair % channels


def _zipf(chance: NDArray[np.float64], ranks: int, exponent: float) -> NDArray[np.int64]:
    """Ranks 0 to ranks - 1, whose density falls with the exponent, by the inverse of its integral."""
    power = 1 - exponent
    rank = (1 + chance * ((ranks + 1) ** power - 1)) ** (1 / power)
    return np.minimum(rank.astype(np.int64) - 1, ranks - 1)


def _keys(rng: np.random.Generator, begin: int, size: int, viewers: int) -> NDArray[np.uint64]:
    """Distinct ascending pseudonyms over all 64 bits, those of later chunks above."""
    step = 2**64 // viewers
    return (np.arange(begin, begin + size, dtype=np.uint64) * np.uint64(step)) + rng.integers(
        0, step, size, dtype=np.uint64
    )


def _day_rows(
    rng: np.random.Generator, channel: NDArray[np.int64], key: NDArray[np.uint64]
) -> pl.DataFrame:
    windows = np.minimum(rng.geometric(0.5, len(channel)), 288).astype(np.uint32)
    return pl.DataFrame(
        {
            "channel_id": channel,
            "viewer_key": key,
            "messages": windows * rng.integers(1, 4, len(channel), dtype=np.uint32),
            "windows": windows,
            "known_bot": np.zeros(len(channel), dtype=np.bool_),
        },
        schema=DAY_AUDIENCES.schema,
    )


def _presence_rows(day: str, audience: pl.DataFrame) -> pl.DataFrame:
    """Presence in the first windows of the day; a viewer's messages are spread evenly."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    window = pl.int_ranges(0, pl.col("windows").cast(pl.Int64))
    return (
        audience.with_columns(
            messages=pl.col("messages") // pl.col("windows"),
            window_seconds=pl.lit(_WINDOW_SECONDS, pl.UInt32),
            window=window,
        )
        .explode("window")
        .with_columns(window_start=pl.lit(start) + pl.duration(seconds=pl.col("window") * _WINDOW_SECONDS))
    )


def _channel_rows(day: str, channels: int) -> pl.DataFrame:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    number = np.arange(1, channels + 1)
    values = {
        **dict.fromkeys(("game_id", "game_name", "title", "collector_status", "reason")),
        **dict.fromkeys(("windows", "live_windows"), 288),
        **dict.fromkeys(("first_window", "last_window"), start),
        **dict.fromkeys(("observed_seconds", "recorded_seconds"), 86_400),
        **dict.fromkeys(("messages", "mirrored_messages", "peak_viewer_count", "viewers"), 1),
        "language": "en",
        "coverage": 1.0,
        "status": "observed",
    }
    return pl.DataFrame(
        {"channel_id": number, "channel": [f"channel{one:05d}" for one in number]}
    ).with_columns(pl.lit(value).alias(name) for name, value in values.items())
