"""Tables to and from Parquet objects of the lake, checked against their contracts."""

from __future__ import annotations

import polars as pl

from collector_service.lake import Lake
from vieweratlas_dagster.lake.parquet import parquet_bytes, read_parquet
from vieweratlas_dagster.tables import Table


def write_table(lake: Lake, key: str, frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Write a frame as one Parquet object after making it conform to its contract.

    Raises:
        ValueError: the frame breaks the contract; nothing is written then.
    """
    frame = table.conform(frame)
    lake.put(key, parquet_bytes(frame))
    return frame


def read_table(lake: Lake, key: str, table: Table) -> pl.DataFrame:
    """Read a Parquet object with the columns of its contract.

    Columns that may be null are null in objects that were written before the contract had them.

    Raises:
        FileNotFoundError: the object does not exist.
        ValueError: it lacks columns of the contract.
        polars.exceptions.PolarsError: it cannot be read.
    """
    frame = read_parquet(lake.get(key))
    absent = [column for column in table.columns if column.name not in frame.columns]
    if missing := [column.name for column in absent if not column.nullable]:
        raise ValueError(f"{lake.uri}/{key} lacks {', '.join(missing)}; materialize {table.name} again")
    frame = frame.with_columns(pl.lit(None, column.dtype).alias(column.name) for column in absent)
    return frame.select(pl.col(name).cast(dtype) for name, dtype in table.schema.items())


def read_table_if_there(lake: Lake, key: str, table: Table) -> pl.DataFrame | None:
    """Like `read_table`, but None when the object does not exist."""
    try:
        return read_table(lake, key, table)
    except FileNotFoundError:
        return None
