"""Manifests in the lake: the raw objects behind a day, and whether its map is finished and published."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from collector_service.lake import Lake
from collector_service.support.limits import MAX_STATE_BYTES, read_json
from vieweratlas_dagster.curation.validation import manifest_objects
from vieweratlas_dagster.lake.keys import (
    ANALYSIS_PREFIX,
    LATEST_MANIFEST,
    LATEST_PREFIX,
    MAP_MANIFEST,
    analysis_key,
    manifest_key,
)

_FILE_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


class BadMapManifestError(ValueError):
    """The manifest of a map cannot be used; the text says which one and what to do."""


def read_day_manifest(lake: Lake, day: str) -> list[dict[str, Any]]:
    """The raw objects that a day was made from, as its manifest lists them.

    Raises:
        FileNotFoundError: the day has no manifest.
        ValueError: it cannot be used.
    """
    key = manifest_key(day)
    try:
        return manifest_objects(lake.get(key, MAX_STATE_BYTES))
    except ValueError as error:
        raise ValueError(f"{lake.address(key)}: {error}; materialize snapshots of its day again") from None


def earlier_analysis_days(lake: Lake, day: str) -> Iterator[str]:
    """The days before ``day`` with a finished map that has channels, newest first."""
    names = [name.removeprefix("date=") for name in lake.folders(ANALYSIS_PREFIX) if "date=" in name]
    for name in sorted(names, reverse=True):
        if name < day and read_map_manifest(lake, analysis_key(name, MAP_MANIFEST)).get("channels"):
            yield name


def previous_analysis_day(lake: Lake, day: str) -> str | None:
    """The newest day before ``day`` with a finished map that has channels, if any."""
    return next(earlier_analysis_days(lake, day), None)


def begin_map(lake: Lake, day: str) -> None:
    """Mark the day's map as unfinished until `finish_map`."""
    lake.delete(analysis_key(day, MAP_MANIFEST))


def finish_map(lake: Lake, day: str, channels: int) -> None:
    """Mark the day's map as finished: its manifest names all files with their SHA-256, and goes last.

    Args:
        lake: where.
        day: whose map.
        channels: how many the map has.
    """
    files = {}
    for info in lake.objects(analysis_key(day, "")):
        name = info.key.rsplit("/", 1)[-1]
        if name != MAP_MANIFEST:
            files[name] = hashlib.sha256(lake.get(info.key)).hexdigest()
    body = {"channels": channels, "complete": True, "date": day, "files": files}
    lake.put(analysis_key(day, MAP_MANIFEST), _json(body))


def publish_latest(lake: Lake, day: str) -> bool:
    """Copy a finished day to ``latest/`` unless a newer day is there.

    Meanwhile the manifest there says ``"complete": false``: readers that need one day look for that first.

    Returns:
        Whether the day is now the latest.

    Raises:
        FileNotFoundError: the day's map is not finished.
        BadMapManifestError: a manifest cannot be used.
    """
    if str(read_map_manifest(lake, LATEST_MANIFEST).get("date", "")) > day:
        return False
    body = _map_manifest(lake, analysis_key(day, MAP_MANIFEST))
    lake.put(LATEST_MANIFEST, _json(body | {"complete": False}))
    for name in body["files"]:
        lake.put(LATEST_PREFIX + name, lake.get(analysis_key(day, name)))
    lake.put(LATEST_MANIFEST, _json(body))
    for info in lake.objects(LATEST_PREFIX):
        if info.key != LATEST_MANIFEST and info.key.rsplit("/", 1)[-1] not in body["files"]:
            lake.delete(info.key)
    return True


def read_map_manifest(lake: Lake, key: str) -> dict[str, Any]:
    """A map's manifest (channels, complete, date, files); empty when there is none.

    Raises:
        BadMapManifestError: it cannot be used.
    """
    try:
        return _map_manifest(lake, key)
    except FileNotFoundError:
        return {}


def _map_manifest(lake: Lake, key: str) -> dict[str, Any]:
    """Its date and the names of its files become keys, so they are looked at first."""
    try:
        body: dict[str, Any] = read_json(lake.get(key, MAX_STATE_BYTES))
        date.fromisoformat(body["date"])
        bad = [name for name in body["files"] if not _FILE_NAME.fullmatch(name)]
        problem = f"{bad[0]!r} is no name of a file" if bad else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = str(error) or type(error).__name__
    if problem:
        raise BadMapManifestError(
            f"{lake.address(key)} cannot be read ({problem[:200]}): delete it, and materialize "
            "graph_exports of its day again"
        )
    return body


def _json(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()
