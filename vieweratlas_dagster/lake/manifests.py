"""Manifests in the lake: the raw objects behind a day, and whether its map is finished and published."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, TypeAdapter

from collector_service.lake import Lake
from collector_service.support.state_object import StateObject, known_version
from vieweratlas_dagster.curation.validation import ObjectReport, ObjectSummary
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


@dataclass(frozen=True)
class DayManifest:
    """The raw objects that a day (YYYY-MM-DD) was made from."""

    __pydantic_config__ = ConfigDict(strict=True)

    day: str
    objects: tuple[ObjectSummary, ...]
    schema_version: Annotated[int, known_version(1)] = 1


DAY_MANIFESTS = StateObject.of_type(
    manifest_key(""), TypeAdapter(DayManifest), advice="materialize snapshots of its day again"
)


def _file_name(name: str) -> str:
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a file name")
    return name


@dataclass(frozen=True)
class MapManifest:
    """A finished map.

    Attributes:
        channels: how many it has.
        complete: False while the map is being copied to ``latest/``.
        date: its day.
        files: names and SHA-256; the names become keys.
    """

    __pydantic_config__ = ConfigDict(strict=True)

    channels: int
    complete: bool
    date: dt.date
    files: dict[Annotated[str, AfterValidator(_file_name)], str]


MAP_MANIFESTS = StateObject.of_type(
    LATEST_MANIFEST,
    TypeAdapter(MapManifest),
    advice="delete it, and materialize graph_exports of its day again",
    error=BadMapManifestError,
)


def day_manifest(day: str) -> StateObject[DayManifest]:
    """The object that holds a day's manifest."""
    return DAY_MANIFESTS.at(manifest_key(day))


def read_day_manifest(lake: Lake, day: str) -> tuple[ObjectSummary, ...]:
    """The raw objects that a day was made from, as its manifest lists them.

    Raises:
        FileNotFoundError: the day has no manifest.
        UnreadableStateError: it cannot be used.
    """
    manifest = day_manifest(day).read(lake)
    if manifest is None:
        raise FileNotFoundError(lake.address(manifest_key(day)))
    return manifest.objects


def write_day_manifest(lake: Lake, day: str, reports: Iterable[ObjectReport]) -> None:
    """List every object that the day has, and how much of it can be used."""
    objects = tuple(report.summary() for report in reports)
    day_manifest(day).write(lake, DayManifest(day, objects))


def earlier_analysis_days(lake: Lake, day: str) -> Iterator[str]:
    """The days before ``day`` with a finished map that has channels, newest first."""
    names = [name.removeprefix("date=") for name in lake.folders(ANALYSIS_PREFIX) if "date=" in name]
    for name in sorted(names, reverse=True):
        if name < day:
            manifest = read_map_manifest(lake, analysis_key(name, MAP_MANIFEST))
            if manifest and manifest.channels:
                yield name


def previous_analysis_day(lake: Lake, day: str) -> str | None:
    """The newest day before ``day`` with a finished map that has channels, if any."""
    return next(earlier_analysis_days(lake, day), None)


def begin_map(lake: Lake, day: str) -> None:
    """Mark the day's map as unfinished until `finish_map`."""
    lake.delete(analysis_key(day, MAP_MANIFEST))


def finish_map(lake: Lake, day: str, channels: int) -> None:
    """Mark the day's map as finished: its manifest, written last, lists all files with their SHA-256.

    Args:
        lake: the lake.
        day: YYYY-MM-DD.
        channels: how many the map has.
    """
    files = {}
    for info in lake.objects(analysis_key(day, "")):
        name = info.key.rsplit("/", 1)[-1]
        if name != MAP_MANIFEST:
            files[name] = hashlib.sha256(lake.get(info.key)).hexdigest()
    manifest = MapManifest(channels, complete=True, date=dt.date.fromisoformat(day), files=files)
    MAP_MANIFESTS.at(analysis_key(day, MAP_MANIFEST)).write(lake, manifest)


def publish_latest(lake: Lake, day: str) -> bool:
    """Copy a finished day to ``latest/`` unless ``latest/`` has a newer day.

    While files are copied, the manifest in ``latest/`` says ``"complete": false``: readers that need one
    day look for that first.

    Returns:
        Whether the day is now the latest.

    Raises:
        FileNotFoundError: the day's map is not finished.
        BadMapManifestError: a manifest cannot be used.
    """
    latest = read_map_manifest(lake, LATEST_MANIFEST)
    if latest and latest.date > dt.date.fromisoformat(day):
        return False
    key = analysis_key(day, MAP_MANIFEST)
    manifest = read_map_manifest(lake, key)
    if manifest is None:
        raise FileNotFoundError(lake.address(key))
    MAP_MANIFESTS.write(lake, replace(manifest, complete=False))
    for name in manifest.files:
        lake.put(LATEST_PREFIX + name, lake.get(analysis_key(day, name)))
    MAP_MANIFESTS.write(lake, manifest)
    for info in lake.objects(LATEST_PREFIX):
        if info.key != LATEST_MANIFEST and info.key.rsplit("/", 1)[-1] not in manifest.files:
            lake.delete(info.key)
    return True


def read_map_manifest(lake: Lake, key: str) -> MapManifest | None:
    """A map's manifest; None when the map is not finished.

    Raises:
        BadMapManifestError: it cannot be used.
    """
    return MAP_MANIFESTS.at(key).read(lake)
