"""Somebody's own overlap list as a whole atlas, without a lake and without Dagster.

Belongs here: reading edges.csv and nodes.csv strictly, and writing all result files at once. Does not
belong here: the analysis and the drawing, and the command line that calls this.

What the lists may hold
- edges.csv[.gz]: source, target, and shared_viewers (whole numbers) or weight (numbers); shared_viewers
  is taken when both are there. Any order of columns, further columns are passed over.
- nodes.csv[.gz]: channel, and any of viewers, game_name, language. An empty field means unknown.
  Channels that only edges.csv names are added with everything unknown.
- Names are texts of at most 200 characters, whatever they look like, but for control characters, and for
  names of which nothing can be seen.
- The same pair again, also the other way round, is one pair when the values agree. Different values, a
  channel paired with itself, more shared viewers than one of the two has, a negative or unreadable
  number, and a channel listed twice are errors that name file and row. A value of 0 means no overlap.
- Everything else about the files: ``csv_rows``.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from vieweratlas_dagster.analysis.overlap import with_measures
from vieweratlas_dagster.imports.csv_rows import FileError, rows
from vieweratlas_dagster.tables import AUDIENCES, EDGES

_LARGEST_COUNT = 2**53
_SMALLEST_WEIGHT = 2**-53
LONGEST_NAME = 200
# Neither a file of the result nor a screen can show these.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")


@dataclass(frozen=True)
class OverlapList:
    """A list that was read: rows of AUDIENCES and EDGES, and what was tidied up on the way."""

    audiences: pl.DataFrame
    edges: pl.DataFrame
    repeated_rows: int
    zero_rows: int
    added_channels: int


def read_overlap_list(edges_path: Path, nodes_path: Path | None) -> OverlapList:
    """Read both lists strictly; see the head of this module for what they may hold.

    Raises:
        FileError: with the file and the row.
    """
    nodes = {} if nodes_path is None else _read_nodes(nodes_path)
    listed = len(nodes)
    pairs, column, repeated, zero = _read_pairs(edges_path, nodes)
    if not nodes:
        raise FileError(f"{nodes_path or edges_path}: there is no channel in it")
    audiences = AUDIENCES.conform(pl.DataFrame(list(nodes.values()), schema=AUDIENCES.schema, orient="row"))
    counts = column == "shared_viewers"
    links = [(*pair, value if counts else None, float(value)) for pair, value in pairs.items()]
    columns = ("source", "target", "shared_viewers", "weight")
    edges = pl.DataFrame(links, schema={name: EDGES.schema[name] for name in columns}, orient="row")
    # How many people there are in all is not in such a list, so nothing can be said about chance.
    edges = with_measures(edges, audiences).with_columns(significance=None)
    return OverlapList(audiences, EDGES.conform(edges), repeated, zero, len(nodes) - listed)


def _read_nodes(path: Path) -> dict[str, dict[str, Any]]:
    """AUDIENCES rows by channel."""
    nodes: dict[str, dict[str, Any]] = {}
    first_row: dict[str, int] = {}
    for row, fields in rows(path, ("channel",)):
        channel = _name(fields, "channel", path, row)
        if channel in nodes:
            raise FileError(
                f"{path}, row {row}: channel {channel!r} is in row {first_row[channel]} already"
            )
        first_row[channel] = row
        viewers = fields.get("viewers", "")
        nodes[channel] = _unknown_channel(channel) | {
            "viewers": _whole(viewers, "viewers", path, row) if viewers else None,
            "game_name": _text(fields, "game_name", path, row),
            "language": _text(fields, "language", path, row),
        }
    return nodes


def _read_pairs(
    path: Path, nodes: dict[str, dict[str, Any]]
) -> tuple[dict[tuple[str, str], float], str, int, int]:
    """Values by pair (source < target), the column they come from, repeated rows and rows of zero.

    Channels that are not in ``nodes`` are added to it.
    """
    pairs: dict[tuple[str, str], float] = {}
    first_row: dict[tuple[str, str], int] = {}
    repeated = zero = 0
    column = ""
    read_value: Callable[[str, str, Path, int], float] = _whole
    for row, fields in rows(path, ("source", "target"), ("shared_viewers", "weight")):
        if not column:
            column = "shared_viewers" if "shared_viewers" in fields else "weight"
            read_value = _whole if column == "shared_viewers" else _number
        one, other = (_name(fields, end, path, row) for end in ("source", "target"))
        value = read_value(fields[column], column, path, row)
        if one == other:
            raise FileError(f"{path}, row {row}: {one!r} is paired with itself; remove the row")
        pair = (min(one, other), max(one, other))
        if pairs.setdefault(pair, value) != value:
            raise FileError(
                f"{path}, row {row}: {one!r} and {other!r} have {column} {value:g} here and"
                f" {pairs[pair]:g} in row {first_row[pair]}"
            )
        repeated += pair in first_row
        zero += value == 0
        first_row.setdefault(pair, row)
        for channel in pair:
            viewers = nodes.setdefault(channel, _unknown_channel(channel))["viewers"]
            if column == "shared_viewers" and viewers is not None and value > viewers:
                raise FileError(
                    f"{path}, row {row}: {value:g} shared viewers are more than {channel!r} has"
                    f" ({viewers}); correct either, or leave its viewers empty"
                )
    return {pair: value for pair, value in pairs.items() if value}, column, repeated, zero


def _unknown_channel(channel: str) -> dict[str, Any]:
    return dict.fromkeys(AUDIENCES.schema) | {"channel": channel}


def _name(fields: dict[str, str], column: str, path: Path, row: int) -> str:
    if name := _text(fields, column, path, row):
        return name
    raise FileError(f"{path}, row {row}: {column} is empty")


def _text(fields: dict[str, str], column: str, path: Path, row: int) -> str | None:
    text = fields.get(column, "")
    if len(text) > LONGEST_NAME:
        raise FileError(f"{path}, row {row}: {column} has {len(text)} characters; at most {LONGEST_NAME}")
    if _UNSHOWABLE.search(text):
        raise FileError(f"{path}, row {row}: {column} {text!r} holds a control character")
    if text and all(unicodedata.category(character)[0] in "CZ" for character in text):
        raise FileError(f"{path}, row {row}: nothing can be seen of {column} {text!r}")
    return text or None


def _whole(text: str, column: str, path: Path, row: int) -> int:
    if not (text.isascii() and text.isdigit()):
        hint = "; numbers that are no counts go into a column weight" if column == "shared_viewers" else ""
        raise FileError(f"{path}, row {row}: {column} {text[:60]!r} is not a whole number >= 0{hint}")
    if len(text) > 16 or int(text) > _LARGEST_COUNT:
        raise FileError(f"{path}, row {row}: {column} {text[:20]} is beyond 2^53")
    return int(text)


def _number(text: str, column: str, path: Path, row: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise FileError(f"{path}, row {row}: {column} {text[:60]!r} is not a number >= 0")
    if value and not _SMALLEST_WEIGHT <= value <= _LARGEST_COUNT:
        raise FileError(f"{path}, row {row}: {column} {text[:60]} is not between 2^-53 and 2^53")
    return value
