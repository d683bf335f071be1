"""Removing a channel from published maps: tables are filtered, page, pictures and exports drawn again.

The graph itself is made again later, on the ledger's request; until then the other channels keep the
numbers of a day on which the removed channel was counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import polars as pl

from collector_service.lake import Lake
from vieweratlas_dagster.forgetting.rewriting import rewritten
from vieweratlas_dagster.forgetting.subject import Subject
from vieweratlas_dagster.lake.keys import (
    ANALYSIS_PREFIX,
    LATEST_MANIFEST,
    LATEST_PREFIX,
    MAP_MANIFEST,
    analysis_key,
)
from vieweratlas_dagster.lake.manifests import (
    begin_map,
    earlier_analysis_days,
    finish_map,
    publish_latest,
    read_map_manifest,
)
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.maps.drawing import draw_exports, draw_pages
from vieweratlas_dagster.maps.stored import ShownMap, sum_again
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, COMMUNITIES, EDGES, EVENTS, LEFT_OUT, NODES, PARTITION

# A page uses these tables of each day that it shows, and further ones of its own day.
_OF_EACH_DAY = (NODES, EDGES, COMMUNITIES, EVENTS)
_OF_ITS_DAY = (AUDIENCES, PARTITION, LEFT_OUT)


@dataclass(frozen=True)
class Drawn:
    """The drawn files of a day's map by name, and the number of channels in them."""

    files: dict[str, bytes]
    channels: int


def days_with_maps(lake: Lake) -> list[str]:
    """The days with results, finished or not."""
    return [
        name.removeprefix("date=") for name in lake.folders(ANALYSIS_PREFIX) if name.startswith("date=")
    ]


def is_finished(lake: Lake, day: str) -> bool:
    """Whether the day's map has its manifest."""
    return read_map_manifest(lake, analysis_key(day, MAP_MANIFEST)) is not None


def count_in(lake: Lake, day: str, subject: Subject) -> Counter[str]:
    """Count the channel's data in the day's map; empty without any. Writes nothing."""
    total: Counter[str] = Counter()
    for _, _, counts in _tables(lake, analysis_key(day, ""), subject):
        total += counts
    if not is_finished(lake, day):
        # Its tables may be newer than its drawings, and drawings cannot be searched.
        total += Counter(objects=sum(_is_drawn(info.key) for info in lake.objects(analysis_key(day, ""))))
    if total:
        total["maps"] = 1
    return total


def forget_in(lake: Lake, day: str, subject: Subject, settings: Settings, *, finish: bool) -> bool:
    """Filter the day's tables, and draw its files again.

    Args:
        lake: the lake.
        day: YYYY-MM-DD.
        subject: the channel.
        settings: for the page and the privacy floor.
        finish: whether the map was finished and must be again; otherwise its drawings are removed, and the
            run that makes the map draws it.

    Returns:
        Whether the map is finished.
    """
    begin_map(lake, day)
    for key, data, _ in list(_tables(lake, analysis_key(day, ""), subject)):
        lake.put(key, data)
    with suppress(ValueError, pl.exceptions.PolarsError):  # an older version: only a run can recount
        sum_again(lake, day)
    drawn = draw(lake, day, settings) if finish else None
    files = drawn.files if drawn else {}
    for name, data in files.items():
        lake.put(analysis_key(day, name), data)
    for info in lake.objects(analysis_key(day, "")):
        name = info.key.rsplit("/", 1)[-1]
        # Remove files of any version that show the channel or that cannot be drawn again here.
        if name not in files and _is_drawn(name):
            lake.delete(info.key)
    if drawn:
        finish_map(lake, day, drawn.channels)
    return drawn is not None


def showing(lake: Lake, days: set[str], history_days: int) -> set[str]:
    """The finished maps whose pages show one of the days as an earlier one."""
    return {
        day
        for day in days_with_maps(lake)
        if is_finished(lake, day)
        and not days.isdisjoint(islice(earlier_analysis_days(lake, day), history_days - 1))
    }


def renew_latest(lake: Lake, days: set[str], subject: Subject) -> None:
    """Publish the newest map again if it is of one of ``days`` or contains the channel.

    Without a finished map of its day, remove it.
    """
    latest = read_map_manifest(lake, LATEST_MANIFEST)
    day = f"{latest.date}" if latest else ""
    contains = any(True for _ in _tables(lake, LATEST_PREFIX, subject))
    if day not in days and not contains:
        return
    if day and is_finished(lake, day):
        publish_latest(lake, day)
        return
    for info in lake.objects(LATEST_PREFIX):
        lake.delete(info.key)


def _is_drawn(key: str) -> bool:
    return not key.endswith(".parquet")


def _tables(lake: Lake, prefix: str, subject: Subject) -> Iterator[tuple[str, bytes, Counter[str]]]:
    for info in lake.objects(prefix):
        if info.key.endswith(".parquet"):
            data = lake.get(info.key)
            change = rewritten(info.key, data, subject)
            if change.data is not None and change.data != data:
                yield info.key, change.data, change.counts


def draw(lake: Lake, day: str, settings: Settings) -> Drawn | None:
    """The day's files; None when a table is missing or of an older version: then only a run can draw."""
    if not _has_its_tables(lake, day, settings):
        return None
    shown = ShownMap(lake, day)
    pages = draw_pages(shown, shown.read("nodes.parquet", NODES), settings)
    exports = draw_exports(shown, settings)
    return Drawn({**pages.files, **exports.files}, exports.channels)


def _has_its_tables(lake: Lake, day: str, settings: Settings) -> bool:
    earlier = islice(earlier_analysis_days(lake, day), settings.analysis.history_days - 1)
    wanted = [(day, (*_OF_EACH_DAY, *_OF_ITS_DAY)), *((name, _OF_EACH_DAY) for name in earlier)]
    try:
        for name, tables in wanted:
            for table in tables:
                read_table(lake, analysis_key(name, f"{table.name}.parquet"), table)
    except (FileNotFoundError, ValueError, pl.exceptions.PolarsError):
        return False
    return True
