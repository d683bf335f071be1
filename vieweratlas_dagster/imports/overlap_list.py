"""The user's own overlap list, edges.csv and nodes.csv, read strictly.

Format
- edges.csv[.gz]: source, target, and shared_viewers (whole numbers) or weight (numbers); with both columns,
  shared_viewers is used. Columns may be in any order; further columns are ignored.
- nodes.csv[.gz]: channel, and any of viewers, game_name, language. An empty field means unknown.
  Channels that only edges.csv names are added with everything unknown.
- Names are texts of at most 200 characters, without control characters, and with something visible.
- A repeated pair, in either order, is one pair when the values agree. Different values, a channel paired
  with itself, more shared viewers than one of the two has, a negative or unreadable number, and a channel
  listed twice are errors that name file and row. A value of 0 means no overlap.
- ``csv_rows`` describes the files themselves.
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
# The result files and screens cannot show these.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")


@dataclass(frozen=True)
class OverlapList:
    """An overlap list: rows of AUDIENCES and EDGES, and how many rows and channels were tidied up."""

    audiences: pl.DataFrame
    edges: pl.DataFrame
    repeated_rows: int
    zero_rows: int
    added_channels: int


def read_overlap_list(edges_path: Path, nodes_path: Path | None) -> OverlapList:
    """Read both lists strictly; the module's docstring gives their format.

    Raises:
        FileError: with the file and the row.
    """
    nodes = {} if nodes_path is None else _read_nodes(nodes_path)
    listed = len(nodes)
    pairs, column, repeated, zero = _read_pairs(edges_path, nodes)
    if not nodes:
        raise FileError(f"{nodes_path or edges_path}: contains no channel")
    audiences = AUDIENCES.conform(pl.DataFrame(list(nodes.values()), schema=AUDIENCES.schema, orient="row"))
    counts = column == "shared_viewers"
    links = [(*pair, value if counts else None, float(value)) for pair, value in pairs.items()]
    columns = ("source", "target", "shared_viewers", "weight")
    edges = pl.DataFrame(links, schema={name: EDGES.schema[name] for name in columns}, orient="row")
    # Significance needs the number of all viewers, which such a list does not contain.
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
                f"{path}, row {row}: channel {channel!r} is already in row {first_row[channel]}"
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
    """Values by pair (source < target), their column, and the numbers of repeated and zero rows.

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
        source, target = (_name(fields, end, path, row) for end in ("source", "target"))
        value = read_value(fields[column], column, path, row)
        if source == target:
            raise FileError(f"{path}, row {row}: {source!r} is paired with itself; remove the row")
        pair = (min(source, target), max(source, target))
        if pairs.setdefault(pair, value) != value:
            raise FileError(
                f"{path}, row {row}: {source!r} and {target!r} have {column} {value:g} here and"
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
        raise FileError(f"{path}, row {row}: {column} {text!r} contains a control character")
    if text and all(unicodedata.category(character)[0] in "CZ" for character in text):
        raise FileError(f"{path}, row {row}: {column} {text!r} has no visible character")
    return text or None


def _whole(text: str, column: str, path: Path, row: int) -> int:
    if not (text.isascii() and text.isdigit()):
        hint = "; put other numbers into a column weight" if column == "shared_viewers" else ""
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
