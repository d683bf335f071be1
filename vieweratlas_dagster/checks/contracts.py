"""Checks of schema and uniqueness: every written table against its contract in ``tables``.

They read the objects in the lake as they are, since reading a table by its contract would mend it.
"""

from vieweratlas_dagster.checks.check import Verdict, View, check
from vieweratlas_dagster.checks.rules import contract_problems
from vieweratlas_dagster.lake.keys import (
    SOURCES,
    analysis_key,
    channels_key,
    day_audience_key,
    presence_key,
)
from vieweratlas_dagster.lake.parquet import read_parquet
from vieweratlas_dagster.tables import (
    AUDIENCES,
    CHANNELS,
    COMMUNITIES,
    DAY_AUDIENCES,
    EDGES,
    EVENTS,
    EXCLUSIONS,
    LEFT_OUT,
    NODES,
    PARTITION,
    PRESENCE,
    Table,
)


def _follows(view: View, keys: dict[str, Table]) -> Verdict:
    """Whether the tables with these keys follow their contracts."""
    problems, rows = [], 0
    for key, table in keys.items():
        try:
            frame = read_parquet(view.lake.get(key))
        except FileNotFoundError:
            problems.append(f"{key} is missing")
        else:
            problems += contract_problems(table, frame)
            rows += frame.height
    return Verdict.of(problems, rows=rows)


def _maps(view: View, *tables: Table) -> dict[str, Table]:
    return {analysis_key(view.day, f"{table.name}.parquet"): table for table in tables}


@check("presence_snapshots")
def presence_follows_contract(view: View) -> Verdict:
    """Presence rows, live and VOD, have the promised columns and types, and no row appears twice."""
    return _follows(view, {presence_key(view.day, source): PRESENCE for source in SOURCES})


@check("channels")
def channels_follow_contract(view: View) -> Verdict:
    """The channel dimension has the promised columns and types, and no channel is in it twice."""
    return _follows(view, {channels_key(view.day): CHANNELS})


@check("day_audiences")
def audiences_follow_contract(view: View) -> Verdict:
    """The day's audiences have the promised columns and types, and no viewer is in a channel twice."""
    return _follows(view, {day_audience_key(view.day): DAY_AUDIENCES})


@check("overlap_graph")
def graph_follows_contract(view: View) -> Verdict:
    """Audiences, edges, exclusions and left-out channels are as promised, and no key appears twice."""
    return _follows(view, _maps(view, AUDIENCES, EDGES, LEFT_OUT, EXCLUSIONS))


@check("community_partitions")
def partition_follows_contract(view: View) -> Verdict:
    """The partition and its events have the promised columns and types; no channel is in it twice."""
    return _follows(view, _maps(view, PARTITION, EVENTS))


@check("community_labels")
def communities_follow_contract(view: View) -> Verdict:
    """The communities have the promised columns and types, and no id appears twice on its level."""
    return _follows(view, _maps(view, COMMUNITIES))


@check("atlas")
def nodes_follow_contract(view: View) -> Verdict:
    """The map's channels have the promised columns and types, and no channel is on it twice."""
    return _follows(view, _maps(view, NODES))


CHECKS = (
    presence_follows_contract,
    channels_follow_contract,
    audiences_follow_contract,
    graph_follows_contract,
    partition_follows_contract,
    communities_follow_contract,
    nodes_follow_contract,
)
