"""Days before a planted world's: audiences and places move a little, a channel comes and one goes."""

import dataclasses

import polars as pl

from tests.worlds.pages import Planted
from vieweratlas_dagster import tables
from vieweratlas_dagster.publish.history import Day, History

TODAY = "2026-01-10"
EARLIER = ("2026-01-09", "2026-01-08", "2026-01-07")
# On the map before, and left out today.
FORMER = "former_channel"
# On the map of today only.
NEWCOMER = "streamer_003"


def day(world: Planted, back: int) -> Day:
    """The world so many days earlier: FORMER instead of NEWCOMER, audiences 10 % smaller each day."""
    renamed = {"channel": FORMER}
    nodes = world.nodes.with_columns(
        channel=pl.col("channel").replace({NEWCOMER: FORMER}),
        viewers=(pl.col("viewers") * 0.9**back).cast(pl.Int64),
        x=pl.col("x") + 0.01 * back,
    )
    ends = [pl.col(end).replace({NEWCOMER: renamed["channel"]}) for end in ("source", "target")]
    shared = (pl.col("shared_viewers") * 0.9**back).cast(pl.Int64)
    edges = world.edges.with_columns(*ends, shared_viewers=shared, weight=shared.cast(pl.Float64))
    edges = edges.with_columns(
        source=pl.min_horizontal("source", "target"), target=pl.max_horizontal("source", "target")
    )
    events = [
        {
            "level": "community",
            "kind": "split",
            "id": 10,
            "others": [10, 11],
            "members": [FORMER, "streamer_000"],
        }
    ]
    frame = pl.DataFrame(events if back == 1 else [], schema=tables.EVENTS.schema)
    return Day(
        EARLIER[back - 1], nodes.sort("channel"), edges.sort("source", "target"), world.communities, frame
    )


def with_past(world: Planted) -> tuple[Planted, History]:
    """The world with dates and reasons, and its three earlier days; a region is new today."""
    born = {"level": "region", "kind": "born", "id": 3, "others": [], "members": ["a", "b"]}
    facts = world.facts | {"date_to": TODAY, "min_channel_viewers": 400, "top_channels_limit": 5000}
    days = [day(world, back) for back in (1, 2, 3)]
    events = pl.DataFrame([born], schema=tables.EVENTS.schema)
    return dataclasses.replace(world, facts=facts), History(days, TODAY, events)


def left_out(*names: str) -> pl.DataFrame:
    """Channels with 120 viewers, too few."""
    rows = [
        {
            "channel": name,
            "viewers": 120,
            "reason": "too few",
            "kind": "few_viewers",
            "excluded_viewers": 0,
            "coverage": 0.9,
        }
        for name in names
    ]
    return pl.DataFrame(rows, schema=tables.LEFT_OUT.schema)
