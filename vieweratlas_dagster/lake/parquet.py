"""Parquet: reading what others may have damaged or made, and writing.

Belongs here: one way to read it whole, and one to write it. Does not belong here: which columns there must
be (``lake_layout``).

Arrow reads it, since Polars panics over some damaged files and aborts the process over others.
"""

from __future__ import annotations

import io
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

# Every table here has a column that differs from row to row. What claims more was made to fill memory.
_ROWS_PER_BYTE = 64
_FREE_ROWS = 1_000_000


def read_parquet(data: bytes) -> pl.DataFrame:
    """All columns of a Parquet object.

    Raises:
        polars.exceptions.PolarsError: it cannot be read, or claims more rows than its bytes can hold.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            claimed = file.metadata.num_rows
            if not 0 <= claimed <= _FREE_ROWS + _ROWS_PER_BYTE * len(data):
                raise pl.exceptions.ComputeError(f"{claimed} rows in {len(data)} bytes")
            return cast("pl.DataFrame", pl.from_arrow(file.read()))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise pl.exceptions.ComputeError(" ".join(str(error).split())[:200]) from None
    except pl.exceptions.PanicException as error:
        # Not even an Exception, so that nobody who expects damage would catch it.
        raise pl.exceptions.ComputeError(f"damaged: {' '.join(str(error).split())[:200]}") from None


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as Parquet, compressed with zstd: the same rows give the same bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True)
    return buffer.getvalue()
