"""Tables of an older version: a missing column is named, or null where that is allowed."""

import io

import polars as pl
import pytest

from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.tables import NODES

ROW = {"channel": "a", "viewers": 1, "x": 0.0, "y": 0.0, "degree": 0, "color": "#808080"}


def without(column):
    data = io.BytesIO()
    pl.DataFrame([ROW], schema=NODES.schema).drop(column).write_parquet(data)
    return data.getvalue()


def test_a_table_that_lacks_a_column_is_named(lake):
    lake.put("x/nodes.parquet", without("degree"))
    with pytest.raises(ValueError, match=r"x/nodes\.parquet lacks degree; materialize nodes again"):
        read_table(lake, "x/nodes.parquet", NODES)


def test_a_column_that_older_objects_lack_is_null_in_them(lake):
    lake.put("x/nodes.parquet", without("game_name"))
    assert read_table(lake, "x/nodes.parquet", NODES)["game_name"].to_list() == [None]
