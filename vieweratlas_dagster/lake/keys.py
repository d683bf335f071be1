"""Keys of curated, analysis, quarantine and state objects (raw keys: ``collector_service.contract``)."""

from __future__ import annotations

from datetime import date, timedelta

PRESENCE_PREFIX = "curated/presence_snapshots/"
CHANNELS_PREFIX = "curated/channels/"
AUDIENCES_PREFIX = "curated/audiences/"
ANALYSIS_PREFIX = "curated/analysis/"
MANIFESTS_PREFIX = "state/manifests/"
# Unusable input, with the reasons.
QUARANTINE_PREFIX = "quarantine/"
# One run's copies of tables.
SPARK_PREFIX = "state/spark/"
LATEST_PREFIX = "curated/analysis/latest/"
MAP_MANIFEST = "manifest.json"
LATEST_MANIFEST = LATEST_PREFIX + MAP_MANIFEST
SOURCES = ("live", "vod")


def presence_key(day: str, source: str) -> str:
    """Presence rows of one day and source."""
    return f"{PRESENCE_PREFIX}date={day}/source={source}/presence.parquet"


def channels_key(day: str) -> str:
    """Channel dimension of one day."""
    return f"{CHANNELS_PREFIX}date={day}/channels.parquet"


def day_audience_key(day: str) -> str:
    """Distinct channel and viewer pairs of one day."""
    return f"{AUDIENCES_PREFIX}date={day}/audience.parquet"


def manifest_key(day: str) -> str:
    """Manifest of one day's raw objects."""
    return f"{MANIFESTS_PREFIX}date={day}.json"


def analysis_key(day: str, name: str) -> str:
    """A result file of one day's graph."""
    return f"{ANALYSIS_PREFIX}date={day}/{name}"


def quarantine_prefix(day: str) -> str:
    """Refused input of one day."""
    return f"{QUARANTINE_PREFIX}snapshots/date={day}/"


def days_up_to(day: str, count: int) -> list[str]:
    """The ``count`` days that end with ``day`` (YYYY-MM-DD), oldest first."""
    last = date.fromisoformat(day)
    return [(last - timedelta(days=back)).isoformat() for back in reversed(range(count))]
