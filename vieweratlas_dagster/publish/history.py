"""Earlier days for the atlas page: one compressed block that the page unpacks on request.

``viewer/src/data/earlier-days.ts`` decodes the block: JSON in a zlib stream (RFC 1950) in base64. Every
list of numbers has one entry per channel of the day, in the order of ``names``: the difference from the
channel's entry on the following day (newer days come first; 0 before the first). Most entries stay the same
from day to day, and zeros take hardly any room.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from vieweratlas_dagster.publish.floor import published_pairs
from vieweratlas_dagster.publish.map_names import with_short_names

FORMAT = 1
COORDINATE_STEPS = 1000
# Strongest neighbours kept per channel and day: the first number that fits.
NEIGHBOURS_TRIED = (8, 5, 3, 2, 1, 0)
# A fifth of level 9's time, for three per cent more bytes.
_LEVEL = 6
_NUMBERS = ("viewers", "game", "language", "community", "region", "x", "y", "neighbours")


@dataclass(frozen=True)
class Day:
    """A finished map: its name (mostly its date), NODES, EDGES, COMMUNITIES and EVENTS."""

    name: str
    nodes: pl.DataFrame
    edges: pl.DataFrame
    communities: pl.DataFrame
    events: pl.DataFrame


@dataclass(frozen=True)
class History:
    """Earlier maps, newest first, and today's EVENTS: the changes since the first of them."""

    days: Sequence[Day]
    today: str
    events: pl.DataFrame


@dataclass(frozen=True)
class Block:
    """The block (ASCII), and the names of the days in it, newest first."""

    data: bytes
    days: tuple[str, ...] = ()


def encode_history(history: History, *, floor: int, budget: int) -> Block:
    """The block of earlier days, at most ``budget`` bytes; the same input gives the same bytes.

    Each channel keeps as many of its strongest neighbours as fit for all days; where not even the days
    without neighbours fit, the oldest days are dropped.

    Args:
        history: the earlier maps, each by its own name.
        floor: pairs with fewer shared viewers are withheld.
        budget: bytes.

    Raises:
        ValueError: two days have the same name.
    """
    days = [day for day in history.days if day.nodes.height]
    names = [day.name for day in days]
    if len({history.today, *names}) <= len(names):
        raise ValueError(f"history: a day occurs more than once: {', '.join([history.today, *names])}")
    while days:
        for kept in NEIGHBOURS_TRIED:
            data = _pack(_content(days, history.events, floor, kept))
            if len(data) <= budget:
                return Block(data, tuple(day.name for day in days))
        days = days[: len(days) * 3 // 4]
    return Block(b"")


def _pack(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), _LEVEL))


def _content(days: Sequence[Day], events: pl.DataFrame, floor: int, kept: int) -> dict[str, Any]:
    names = sorted(set().union(*(day.nodes["channel"] for day in days)))
    texts = _Texts()
    shown = [_shown_pairs(day, floor) for day in days]
    table = _pair_table(shown, kept, names)
    last: dict[str, dict[int, int]] = {column: {} for column in _NUMBERS}
    earlier = table.with_columns(amount=pl.lit(0, pl.Int64))
    at = {name: position for position, name in enumerate(names)}
    encoded = []
    for day, pairs in zip(days, shown, strict=True):
        rows = _channel_rows(day, pairs, at, texts)
        amount, amounts, earlier = _amounts(table, pairs, earlier, counted=_counted(day))
        encoded.append(
            {
                "name": day.name,
                "regions": _groups(day.communities, "region", texts),
                "communities": _groups(day.communities, "community", texts),
                "channels": {"at": _gaps(rows["at"])}
                | {column: _changes(rows["at"], rows[column], last[column]) for column in _NUMBERS},
                "amount": amount,
                "amounts": amounts,
                "events": _events(day.events),
            }
        )
    first, second = table["first"].to_list(), table["second"].to_list()
    steps = [
        target - (second[row - 1] if row and first[row - 1] == source else source)
        for row, (source, target) in enumerate(zip(first, second, strict=True))
    ]
    return {
        "format": FORMAT,
        "min_shared": floor,
        "neighbours_kept": kept,
        "coordinate_steps": COORDINATE_STEPS,
        "names": names,
        "pairs": {"first": _gaps(first), "second": steps},
        "days": encoded,
        "events": _events(events),
        "texts": texts.all,
    }


class _Texts:
    """Texts that repeat from day to day, by position; -1 for none."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}

    def __call__(self, value: str | None) -> int:
        return -1 if value is None else self._at.setdefault(value, len(self._at))

    @property
    def all(self) -> list[str]:
        return list(self._at)


def _counted(day: Day) -> bool:
    """Whether the day's pairs have shared viewers, and not only a list's weights."""
    return not day.edges["shared_viewers"].null_count()


def _shown_pairs(day: Day, floor: int) -> pl.DataFrame:
    """Columns one, other (names) and amount of the published pairs, from both ends of each."""
    shown = published_pairs(day.edges, floor)
    counted = pl.col("shared_viewers").cast(pl.Float64)
    amount = counted if _counted(day) else pl.col("weight").round_sig_figs(4)
    return pl.concat(
        [
            shown.select(one="source", other="target", amount=amount),
            shown.select(one="target", other="source", amount=amount),
        ]
    )


def _pair_table(shown: Iterable[pl.DataFrame], kept: int, names: Sequence[str]) -> pl.DataFrame:
    """Every pair that is among the strongest of either end on any day, as positions first < second."""
    strongest = [
        pairs.sort("amount", "other", descending=[True, False])
        .group_by("one", maintain_order=True)
        .head(kept)
        .filter(pl.col("other").is_not_null())
        .select(
            pl.min_horizontal("one", "other").alias("one"), pl.max_horizontal("one", "other").alias("other")
        )
        for pairs in shown
    ]
    numbered = pl.DataFrame({"name": names}, schema={"name": pl.String}).with_row_index("at")
    numbered = numbered.with_columns(pl.col("at").cast(pl.Int64))
    table = pl.concat(strongest).unique()
    for end, position in (("one", "first"), ("other", "second")):
        table = table.join(numbered.rename({"name": end, "at": position}), on=end)
    return table.sort("first", "second")


def _amounts(
    table: pl.DataFrame, pairs: pl.DataFrame, newer: pl.DataFrame, *, counted: bool
) -> tuple[str, list[Any], pl.DataFrame]:
    """The kind of amounts, the day's amounts of the table, and the frame to compare the next day with.

    Shared viewers as differences from the newer day, weights as they are; 0 where the pair is not shown.
    """
    today = table.join(pairs, on=["one", "other"], how="left", maintain_order="left").with_columns(
        pl.col("amount").fill_null(0)
    )
    if not counted:
        return "weight", today["amount"].to_list(), newer
    counts = today["amount"].cast(pl.Int64)
    steps = counts - newer["amount"]
    return "shared_viewers", steps.to_list(), today.with_columns(amount=counts)


def _channel_rows(
    day: Day, pairs: pl.DataFrame, at: Mapping[str, int], texts: _Texts
) -> dict[str, list[int]]:
    degree = dict(pairs["one"].value_counts().iter_rows())
    nodes = day.nodes.sort("channel")
    names = nodes["channel"].to_list()
    return {
        "at": [at[name] for name in names],
        # One more than the audience, so that 0 is an unknown one.
        "viewers": [0 if value is None else value + 1 for value in nodes["viewers"]],
        "game": [texts(value) for value in nodes["game_name"]],
        "language": [texts(value) for value in nodes["language"]],
        "community": [-1 if value is None else value for value in nodes["community"]],
        "region": [-1 if value is None else value for value in nodes["region"]],
        "x": (nodes["x"] * COORDINATE_STEPS).round().cast(pl.Int64).to_list(),
        "y": (nodes["y"] * COORDINATE_STEPS).round().cast(pl.Int64).to_list(),
        "neighbours": [degree.get(name, 0) for name in names],
    }


def _groups(communities: pl.DataFrame, level: str, texts: _Texts) -> dict[str, list[Any]]:
    rows = (
        with_short_names(communities)
        .filter(pl.col("level") == level)
        .sort("viewers", "size", "id", descending=[True, True, False])
    )
    groups: dict[str, list[Any]] = {name: rows[name].to_list() for name in ("id", "size", "viewers")}
    groups |= {
        name: [texts(value) for value in rows[name]] for name in ("label", "short", "reason", "color")
    }
    return groups | ({"region": rows["parent"].to_list()} if level == "community" else {})


def _events(events: pl.DataFrame) -> list[dict[str, Any]]:
    """The changes of communities and regions, without the names of their channels."""
    rows = events.sort("level", "kind", "id").with_columns(channels=pl.col("members").list.len())
    return rows.select("level", "kind", "id", "others", "channels").to_dicts()


def _gaps(positions: Sequence[int]) -> list[int]:
    return [at - before for at, before in zip(positions, [0, *positions], strict=False)]


def _changes(positions: Sequence[int], values: Sequence[int], last: dict[int, int]) -> list[int]:
    """Each value minus the channel's last one; ``last`` then has the new values."""
    changes = [value - last.get(at, 0) for at, value in zip(positions, values, strict=True)]
    last.update(zip(positions, values, strict=True))
    return changes
