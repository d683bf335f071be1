"""Schema and uniqueness of every written table, each whole and broken in each way."""

import polars as pl
import pytest

from tests.worlds.checked_day import DAY, numbers, put, result, verdict
from vieweratlas_dagster.checks import contracts
from vieweratlas_dagster.lake.keys import analysis_key, channels_key, day_audience_key, presence_key
from vieweratlas_dagster.tables import ALL_TABLES

# Every table, the check that is to judge it, and where it is.
PLACES = {
    "presence_snapshots": (contracts.presence_follows_contract, presence_key(DAY, "live")),
    "channels": (contracts.channels_follow_contract, channels_key(DAY)),
    "day_audiences": (contracts.audiences_follow_contract, day_audience_key(DAY)),
    "audiences": (contracts.graph_follows_contract, analysis_key(DAY, "audiences.parquet")),
    "left_out": (contracts.graph_follows_contract, analysis_key(DAY, "left_out.parquet")),
    "exclusions": (contracts.graph_follows_contract, analysis_key(DAY, "exclusions.parquet")),
    "edges": (contracts.graph_follows_contract, analysis_key(DAY, "edges.parquet")),
    "partition": (contracts.partition_follows_contract, analysis_key(DAY, "partition.parquet")),
    "events": (contracts.partition_follows_contract, analysis_key(DAY, "events.parquet")),
    "communities": (contracts.communities_follow_contract, analysis_key(DAY, "communities.parquet")),
    "nodes": (contracts.nodes_follow_contract, analysis_key(DAY, "nodes.parquet")),
}


def sample(table):
    """One row of the table that keeps its contract."""
    values = {
        pl.Boolean: True,
        pl.String: "word",
        pl.Datetime: 0,
    }
    row = {
        name: [] if isinstance(dtype, pl.List) else values.get(dtype.base_type(), 1)
        for name, dtype in table.schema.items()
    }
    return pl.DataFrame([row], schema=table.schema, orient="row")


def faults(table):
    """Frames that break the contract, each with what is to be said of it."""
    good = sample(table)
    required = next(column.name for column in table.columns if not column.nullable)
    return {
        f"column {table.columns[-1].name} is missing": good.drop(table.columns[-1].name),
        f"{required} is Binary, not": good.with_columns(pl.lit(b"x").alias(required)),
        f"{required} is null in 1 rows": good.with_columns(
            pl.lit(None, table.schema[required]).alias(required)
        ),
        "1 rows have the same": pl.concat([good, good]),
        "column viewer_login is not in the contract": good.with_columns(viewer_login=pl.lit("x")),
    }


def test_every_table_has_a_place_here():
    assert {table.name for table in ALL_TABLES} == set(PLACES)


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.name)
def test_a_broken_table_blocks_and_says_how(table, resource, made):
    check, key = PLACES[table.name]
    put(resource.lake, key, sample(table))
    whole = result(check, resource)
    assert whole.passed, whole.description
    assert whole.blocking
    for text, frame in faults(table).items():
        put(resource.lake, key, frame)
        evaluation = result(check, resource)
        assert verdict(evaluation) == (False, "ERROR")
        assert evaluation.description.startswith(f"{table.name}: {text}")
        assert numbers(evaluation)["problems"] == 1
        assert numbers(evaluation)["rows"] == numbers(whole)["rows"] + frame.height - 1
    resource.lake.delete(key)
    assert result(check, resource).description == f"{key} is missing"
