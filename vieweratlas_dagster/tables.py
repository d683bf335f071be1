"""One contract per table of the lake: columns, types, meaning, key and order.

The writers, the schema checks, Dagster's column metadata and the documentation all use these contracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True)
class Column:
    """A column: its name, Polars type, meaning, and whether it may be null."""

    name: str
    dtype: Any
    description: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """A table: its name, the meaning of a row, its columns, and the ones that identify and order rows."""

    name: str
    row: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def schema(self) -> pl.Schema:
        """Column names and Polars types, in order."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def empty(self) -> pl.DataFrame:
        """The table without rows."""
        return pl.DataFrame(schema=self.schema)

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with exactly these columns, types and row order.

        Raises:
            ValueError: a column is missing, cannot have its type, is null where it must not be, or
                the key is not unique.
        """
        missing = [name for name in self.schema if name not in frame.columns]
        if missing:
            raise ValueError(f"table {self.name} lacks {', '.join(missing)}")
        frame = frame.select(pl.col(name).cast(dtype) for name, dtype in self.schema.items())
        if not rows_ascend(frame, self.key):
            frame = frame.sort(self.key, nulls_last=True)
        if problems := self.problems(frame):
            raise ValueError(f"table {self.name}: {'; '.join(problems)}")
        return frame

    def problems(self, frame: pl.DataFrame) -> list[str]:
        """Every way in which the frame breaks this contract, as readable texts."""
        found = []
        for column in self.columns:
            if column.name not in frame.columns:
                found.append(f"column {column.name} is missing")
            elif frame.schema[column.name] != column.dtype:
                found.append(f"{column.name} is {frame.schema[column.name]}, not {column.dtype}")
            elif not column.nullable and (nulls := frame[column.name].null_count()):
                found.append(f"{column.name} is null in {nulls} rows")
        if not found and self.key and not rows_ascend(frame, self.key):
            doubled = frame.height - frame.select(self.key).n_unique()
            if doubled:
                found.append(f"{doubled} rows have the same {', '.join(self.key)} as another row")
        return found


def rows_ascend(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether the key of each row is above the one before and without nulls: rows are in order and unique.

    One pass that saves sorting and hashing for tables that are already in order, such as the largest ones.
    """
    if any(frame[name].null_count() for name in key):
        return False
    above = pl.lit(value=False)
    for name in reversed(key):
        one, next_one = pl.col(name).slice(0, pl.len() - 1), pl.col(name).slice(1)
        above = (next_one > one) | ((next_one == one) & above)
    return frame.height < 2 or bool(frame.select(above.all()).item())


_UTC_SECONDS = pl.Datetime("ms", "UTC")

PRESENCE = Table(
    "presence_snapshots",
    "one viewer in one channel in one window",
    (
        Column("channel_id", pl.Int64, "Twitch's numeric channel id"),
        Column("viewer_key", pl.UInt64, "pseudonym of the viewer"),
        Column("window_start", _UTC_SECONDS, "start of the window, whole seconds, UTC"),
        Column("window_seconds", pl.UInt32, "length of the window in seconds"),
        Column("messages", pl.UInt32, "messages in the window; 0 when presence was proven otherwise"),
        Column("known_bot", pl.Boolean, "on the bot list, or wears the chat-bot badge"),
    ),
    ("channel_id", "viewer_key", "window_start", "window_seconds"),
)

CHANNELS = Table(
    "channels",
    "one channel on one UTC day",
    (
        Column("channel_id", pl.Int64, "Twitch's numeric channel id"),
        Column("channel", pl.String, "login, the latest of the day"),
        Column("game_id", pl.String, "Twitch's category id with the most observed time", True),
        Column("game_name", pl.String, "category with the most observed time", True),
        Column("language", pl.String, "ISO 639-1 code with the most observed time", True),
        Column("title", pl.String, "the latest stream title", True),
        Column("first_window", _UTC_SECONDS, "start of the first window"),
        Column("last_window", _UTC_SECONDS, "start of the last window"),
        Column("windows", pl.UInt32, "windows with a record: those in which it should be read"),
        Column("live_windows", pl.UInt32, "windows in which the stream was known to be live"),
        Column("observed_seconds", pl.Float64, "seconds for which it was observed, live or by VOD"),
        Column("recorded_seconds", pl.UInt64, "length of the windows with a record, in seconds"),
        Column("coverage", pl.Float64, "observed_seconds / recorded_seconds"),
        Column("peak_viewer_count", pl.UInt32, "highest viewer count that Twitch reported", True),
        Column("messages", pl.UInt64, "messages of its own chat"),
        Column("mirrored_messages", pl.UInt64, "shared-chat messages that belong to a different channel"),
        Column("viewers", pl.UInt32, "distinct viewers seen, known bots left out"),
        Column("status", pl.String, "observed, silent (joined, but no chat) or unobserved"),
        Column(
            "collector_status", pl.String, "its latest state in the collector: joined, suspended, ..", True
        ),
        Column("reason", pl.String, "the known reason for a missing audience, or for gaps", True),
    ),
    ("channel_id",),
)

DAY_AUDIENCES = Table(
    "day_audiences",
    "one viewer of one channel on one UTC day, live and VOD merged",
    (
        Column("channel_id", pl.Int64, "Twitch's numeric channel id"),
        Column("viewer_key", pl.UInt64, "pseudonym of the viewer"),
        Column("messages", pl.UInt32, "messages of the day; 0 when presence was proven otherwise"),
        Column("windows", pl.UInt32, "windows of the day in which the viewer was present"),
        Column("known_bot", pl.Boolean, "on the bot list, or wears the chat-bot badge"),
    ),
    # By viewer first, as the overlap engine reads it, so that days merge without sorting.
    ("viewer_key", "channel_id"),
)

EDGES = Table(
    "edges",
    "one pair of channels that share viewers; source < target",
    (
        Column("source", pl.String, "channel login"),
        Column("target", pl.String, "channel login"),
        Column("shared_viewers", pl.Int64, "distinct viewers seen in both; null in lists of weights", True),
        Column(
            "weight",
            pl.Float64,
            "the weight for clustering: shared_viewers, their loyalty, or the list's own weight",
        ),
        Column(
            "jaccard", pl.Float64, "shared / (viewers of either); null when audiences are unknown", True
        ),
        Column("overlap", pl.Float64, "shared / viewers of the smaller channel; null as jaccard", True),
        Column("cosine", pl.Float64, "shared / sqrt(product of both audiences); null as jaccard", True),
        Column(
            "significance",
            pl.Float64,
            "binomial z-score of shared against independent audiences; null when the population is unknown",
            True,
        ),
    ),
    ("source", "target"),
)

AUDIENCES = Table(
    "audiences",
    "one channel of the graph's window of days that is in the graph",
    (
        Column("channel_id", pl.Int64, "Twitch's numeric channel id", True),
        Column("channel", pl.String, "login, the latest"),
        Column("viewers", pl.Int64, "distinct viewers, exclusions applied", True),
        Column("messages", pl.Int64, "messages of those viewers", True),
        Column("game_name", pl.String, "category with the most observed time", True),
        Column("language", pl.String, "ISO 639-1 code with the most observed time", True),
    ),
    ("channel",),
)

LEFT_OUT = Table(
    "left_out",
    "one channel that was seen but is not in the graph",
    (
        Column("channel_id", pl.Int64, "Twitch's numeric channel id", True),
        Column("channel", pl.String, "login, the latest"),
        Column("viewers", pl.Int64, "distinct viewers, exclusions applied"),
        Column("reason", pl.String, "the reason for leaving it out, in words"),
        Column(
            "kind",
            pl.String,
            "few_viewers, little_coverage (few, and read for little of the time), excluded (few without "
            "the excluded), offline (read, never live) or never_observed",
            True,
        ),
        Column("excluded_viewers", pl.Int64, "viewers that were excluded as bots", True),
        Column("coverage", pl.Float64, "share of the time to be read that was; null when unknown", True),
    ),
    ("channel",),
)

EXCLUSIONS = Table(
    "exclusions",
    "one reason for leaving viewers out of the graph",
    (
        Column("reason", pl.String, "known bot, too many channels, or too many hours"),
        Column("viewers", pl.Int64, "distinct viewers left out for it"),
        Column("memberships", pl.Int64, "(channel, viewer) pairs left out for it"),
        Column("pairs_avoided", pl.Int64, "increments of channel pairs they would have caused"),
        Column("limit", pl.Int64, "the most channels, or windows of one channel; null: none", True),
        Column("channels", pl.Int64, "channels that they were in", True),
    ),
    ("reason",),
)

PARTITION = Table(
    "partition",
    "one channel's place in the two levels of communities",
    (
        Column("channel", pl.String, "login"),
        Column("community", pl.Int64, "persistent id of its community; null without an edge", True),
        Column("region", pl.Int64, "persistent id of its region; null without an edge", True),
    ),
    ("channel",),
)

# The start of a label that names only a channel of the group.
AROUND = "Around "

COMMUNITIES = Table(
    "communities",
    "one community or region",
    (
        Column("id", pl.Int64, "persistent id, unique within its level"),
        Column("level", pl.String, "community or region"),
        Column("label", pl.String, "name, unique within its level"),
        Column("reason", pl.String, "the reason for its name"),
        Column(
            "confidence",
            pl.Float64,
            "share of the audience that the name describes, 0 to 1; null if not all its channels are shown",
            nullable=True,
        ),
        Column("generic", pl.Boolean, "whether neither game nor language was known to name it"),
        Column("size", pl.Int64, "channels"),
        Column("viewers", pl.Int64, "sum of its channels' known audiences"),
        Column("parent", pl.Int64, "the region of a community; null for a region", True),
        Column("color", pl.String, "#rrggbb, persistent with the id"),
        Column("newest_id", pl.Int64, "highest id ever used on its level, so that no id is used again"),
    ),
    ("level", "id"),
)

EVENTS = Table(
    "events",
    "one change of a community against the previous partition",
    (
        Column("level", pl.String, "community or region"),
        Column("kind", pl.String, "born, gone, split or merged"),
        Column("id", pl.Int64, "the community it is about"),
        Column("others", pl.List(pl.Int64), "the communities it came from or merged into"),
        Column("members", pl.List(pl.String), "its channels"),
    ),
    ("level", "kind", "id"),
)

NODES = Table(
    "nodes",
    "one channel on the map",
    (
        Column("channel", pl.String, "login"),
        Column("channel_id", pl.Int64, "Twitch's numeric channel id", True),
        Column("viewers", pl.Int64, "distinct viewers, exclusions applied", True),
        Column("game_name", pl.String, "category with the most observed time", True),
        Column("language", pl.String, "ISO 639-1 code with the most observed time", True),
        Column("community", pl.Int64, "persistent id; null for a channel without an edge", True),
        Column("region", pl.Int64, "persistent id; null for a channel without an edge", True),
        Column("label", pl.String, "name of its community", True),
        Column("region_label", pl.String, "name of its region", True),
        Column("x", pl.Float64, "place on the map, about -1 to 1"),
        Column("y", pl.Float64, "place on the map, about -1 to 1"),
        Column("degree", pl.Int64, "channels it shares viewers with"),
        Column("color", pl.String, "#rrggbb of its community; grey without one"),
    ),
    ("channel",),
)

ALL_TABLES = (
    PRESENCE, CHANNELS, DAY_AUDIENCES, AUDIENCES, LEFT_OUT, EXCLUSIONS, EDGES, PARTITION, COMMUNITIES,
    EVENTS, NODES,
)  # fmt: skip
