"""Where the code location keeps its results in the lake, and how tables become objects.

Belongs here: keys of curated, analysis, quarantine and state objects; tables to and from Parquet.
Does not belong here: raw keys (``collector_service.contract``), a table's columns (``tables``).
"""

from __future__ import annotations

import hashlib
import io
import json
from datetime import date, timedelta

import polars as pl

from collector_service.lake import Lake
from vieweratlas_dagster.tables import NODES, Table

ANALYSIS_PREFIX = "curated/analysis/"
LATEST_PREFIX = "curated/analysis/latest/"
LATEST_MANIFEST = "curated/analysis/latest/manifest.json"
SOURCES = ("live", "vod")


def presence_key(day: str, source: str) -> str:
    """Presence rows of one day and source."""
    return f"curated/presence_snapshots/date={day}/source={source}/presence.parquet"


def channels_key(day: str) -> str:
    """Channel dimension of one day."""
    return f"curated/channels/date={day}/channels.parquet"


def manifest_key(day: str) -> str:
    """Manifest of one day's raw objects."""
    return f"state/manifests/date={day}.json"


def analysis_key(day: str, name: str) -> str:
    """A result file of one day's graph."""
    return f"{ANALYSIS_PREFIX}date={day}/{name}"


def quarantine_prefix(day: str) -> str:
    """Refused input of one day."""
    return f"quarantine/snapshots/date={day}/"


def days_up_to(day: str, count: int) -> list[str]:
    """The ``count`` days that end with ``day`` (YYYY-MM-DD), oldest first."""
    last = date.fromisoformat(day)
    return [(last - timedelta(days=back)).isoformat() for back in reversed(range(count))]


def write_table(lake: Lake, key: str, frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Write a frame as one Parquet object after making it conform to its contract.

    Raises:
        ValueError: the frame breaks the contract; nothing is written then.
    """
    frame = table.conform(frame)
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True)
    lake.put(key, buffer.getvalue())
    return frame


def read_table(lake: Lake, key: str, table: Table) -> pl.DataFrame:
    """Read a Parquet object with the columns of its contract.

    Columns that may be null are null in objects that were written before the contract had them.

    Raises:
        FileNotFoundError: there is no such object.
        ValueError: it lacks columns of the contract.
    """
    frame = pl.read_parquet(io.BytesIO(lake.get(key)))
    absent = [column for column in table.columns if column.name not in frame.columns]
    if missing := [column.name for column in absent if not column.nullable]:
        raise ValueError(f"{lake.uri}/{key} lacks {', '.join(missing)}; materialize {table.name} again")
    frame = frame.with_columns(pl.lit(None, column.dtype).alias(column.name) for column in absent)
    return frame.select(pl.col(name).cast(dtype) for name, dtype in table.schema.items())


def read_table_if_there(lake: Lake, key: str, table: Table) -> pl.DataFrame | None:
    """Like `read_table`, but None when the object does not exist."""
    try:
        return read_table(lake, key, table)
    except FileNotFoundError:
        return None


def previous_analysis_day(lake: Lake, day: str) -> str | None:
    """The newest day before ``day`` with a finished map that has channels, if any."""
    names = [name.removeprefix("date=") for name in lake.folders(ANALYSIS_PREFIX) if "date=" in name]
    for name in sorted(names, reverse=True):
        if name < day:
            nodes = read_table_if_there(lake, analysis_key(name, "nodes.parquet"), NODES)
            if nodes is not None and nodes.height:
                return name
    return None


def begin_map(lake: Lake, day: str) -> None:
    """Mark the day's map as unfinished until its nodes.parquet, the last of its tables, is there again."""
    lake.delete(analysis_key(day, "nodes.parquet"))


def publish_latest(lake: Lake, day: str) -> bool:
    """Copy a day's results to ``latest/`` unless a newer day is there; the manifest goes last.

    Returns:
        Whether the day is now the latest.
    """
    if _latest_day(lake) > day:
        return False
    # Without its manifest, latest/ is being written; readers that need one day look for that first.
    lake.delete(LATEST_MANIFEST)
    files = {}
    for info in lake.objects(analysis_key(day, "")):
        name = info.key.rsplit("/", 1)[-1]
        data = lake.get(info.key)
        lake.put(LATEST_PREFIX + name, data)
        files[name] = hashlib.sha256(data).hexdigest()
    body = {"date": day, "files": files}
    lake.put(LATEST_MANIFEST, (json.dumps(body, indent=1, sort_keys=True) + "\n").encode())
    for info in lake.objects(LATEST_PREFIX):
        if info.key != LATEST_MANIFEST and info.key.rsplit("/", 1)[-1] not in files:
            lake.delete(info.key)
    return True


def _latest_day(lake: Lake) -> str:
    try:
        return str(json.loads(lake.get(LATEST_MANIFEST))["date"])
    except FileNotFoundError:
        return ""
