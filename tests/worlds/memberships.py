"""Days of small worlds, and what the local engine makes of them."""

from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from vieweratlas_dagster.analysis.audiences import window_audience
from vieweratlas_dagster.analysis.overlap import overlap_graph
from vieweratlas_dagster.tables import DAY_AUDIENCES

NO_SPARK = "pyspark is not installed: make .venv/spark"
needs_spark = pytest.mark.skipif(find_spec("pyspark") is None, reason=NO_SPARK)
CHANNELS = pl.Schema(
    {
        "channel_id": pl.Int64,
        "channel": pl.String,
        "game_name": pl.String,
        "language": pl.String,
        "observed_seconds": pl.Float64,
        "recorded_seconds": pl.UInt64,
        "live_windows": pl.UInt32,
        "reason": pl.String,
    }
)
OPTIONS = {
    "min_channel_viewers": 2,
    "overlap_threshold": 2,
    "bot_filter": True,
    "max_channels_per_viewer": 100,
    "max_windows": None,
    "loyalty": "none",
}


def day_frame(rows):
    """DAY_AUDIENCES from (channel_id, viewer_key, messages, windows, known_bot)."""
    return DAY_AUDIENCES.conform(pl.DataFrame(rows, schema=DAY_AUDIENCES.schema, orient="row"))


def channel_frame(ids):
    """Channels whose names sort otherwise than their ids; some share a name."""
    rows = [
        (key, f"c{(key * 7919) % 31:02d}", f"g{key % 3}", "en", 60.0 * (key % 4), 240, key % 2, None)
        for key in ids
    ]
    return pl.DataFrame(rows, schema=CHANNELS, orient="row")


def planted_days(seed=1, viewers=600, channels=40, days=3):
    """Days of a world with regulars, and of accounts that are no people.

    A known bot is in every channel, one account in most of them, and one in all windows of one channel.
    """
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**63, viewers, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    home = rng.integers(0, channels, viewers)
    frames = []
    for day in range(days):
        rows = {}
        for viewer in np.flatnonzero(rng.random(viewers) < 0.7):
            for _ in range(rng.geometric(0.3)):
                channel = (home[viewer] + int(abs(rng.normal(0, 3)))) % channels
                rows[int(channel) + 1, int(keys[viewer])] = (
                    int(rng.integers(0, 9)),
                    int(rng.integers(1, 20)),
                    False,
                )
        rows |= {(channel + 1, 2**64 - 1): (1, 1, day == 1) for channel in range(channels)}
        rows |= {(channel + 1, 0): (1, 1, False) for channel in range(channels - 3)}
        rows |= {(1, 2): (900, 288, False), (2, 2): (1, 1, False)}
        frames.append(day_frame([(*where, *what) for where, what in rows.items()]))
    return frames, channel_frame(range(1, channels + 4))


def local_graph(days, channels, **options):
    """What the local engine makes of the days."""
    return overlap_graph(window_audience(days), channels, **(OPTIONS | options))


def assert_same_graph(found, expected):
    """Every table equal, row for row and bit for bit."""
    for table in ("audiences", "edges", "exclusions", "left_out"):
        assert_frame_equal(getattr(found, table), getattr(expected, table), check_exact=True)


ROLE = "arn:aws:iam::123456789012:role/vieweratlas-spark"


SMALL = ("--driver-memory", "1g", "--conf", "spark.ui.enabled=false", "--master", "local[2]")
