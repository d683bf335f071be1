"""Parquet objects: reading them although they may be damaged or hostile, and writing.

Arrow reads, since Polars panics on some damaged files and aborts the process on others.
"""

from __future__ import annotations

import io
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

# Every table here has a column that differs from row to row. A file that claims more rows than this was
# made to fill memory.
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
        # Not an Exception: callers that expect damage would not catch it.
        raise pl.exceptions.ComputeError(f"damaged: {' '.join(str(error).split())[:200]}") from None


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as Parquet, compressed with zstd: the same rows give the same bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True)
    return buffer.getvalue()
