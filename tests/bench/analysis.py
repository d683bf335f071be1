"""The benchmark of the whole daily analysis: ``python -m tests.bench.analysis [--quick]``.

Exit code 0 when every bar is met, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import polars as pl

from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from vieweratlas_dagster.lake.keys import analysis_key, presence_key
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, EDGES, PRESENCE

from .overlap import RIVAL, install_rival, timed
from .overlap_world import DAYS, write_world
from .report import Row, exit_code, progress, render
from .subject import BenchError

_MOST_TIMES_RIVAL = 6.0
# Their presence in the days of the window makes 25 million rows.
_CHANNELS, _VIEWERS = 5_000, 1_350_000
_QUICK_CHANNELS, _QUICK_VIEWERS = 1_000, 50_000
STEPS = ("loading", "overlap", "communities", "labels", "layout", "judging the layout", "atlas", "writing")


def measure(quick: bool) -> list[Row]:
    """From the same presence rows: the whole atlas, and DuckDB's self-join."""
    channels, viewers = (_QUICK_CHANNELS, _QUICK_VIEWERS) if quick else (_CHANNELS, _VIEWERS)
    with tempfile.TemporaryDirectory(prefix="vieweratlas-bench-") as name:
        folder = Path(name)
        python = install_rival(folder)
        lake = Lake.open(StorageSettings(dir=folder / "lake"))
        progress(f"writing a world of {channels:,} channels and {viewers:,} viewers ...")
        write_world(lake, channels=channels, viewers=viewers, presence=True)
        rows = sum(read_table(lake, presence_key(day, "live"), PRESENCE).height for day in DAYS)
        progress(f"{rows:,} rows of presence, the analysis ...")
        # A new machine has nothing compiled yet.
        ours = timed(
            [sys.executable, "-m", "tests.bench.analysis_run", str(folder / "lake")],
            NUMBA_CACHE_DIR=str(folder / "compiled"),
        )
        progress(f"{RIVAL} ...")
        threshold = Settings().analysis.overlap_threshold
        memory = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') * 0.8 / 2**30:.0f}GiB"
        result = folder / "edges.parquet"
        files = str(folder / "lake" / presence_key("*", "live"))
        script = str(Path(__file__).with_name("overlap_duckdb.py"))
        theirs = timed(
            [str(python), script, files, str(result), str(threshold), memory, str(folder / "spill")]
        )
        compare(lake, pl.read_parquet(result))
    whole = sum(ours[f"{step} seconds"] for step in STEPS)
    return [
        Row("analysis", "rows of presence", rows),
        Row("analysis", "channels", ours["channels"]),
        Row("analysis", "edges, as many shared viewers in each", ours["edges"]),
        Row("analysis", "communities", ours["communities"]),
        *(Row("analysis", step, ours[f"{step} seconds"], "s") for step in STEPS),
        Row("analysis", "all of it", whole, "s"),
        Row("analysis", f"{RIVAL}, the self-join alone", theirs["seconds"], "s"),
        Row("analysis", f"times {RIVAL}", whole / theirs["seconds"], most=_MOST_TIMES_RIVAL,
            note=f"from the presence rows of {len(DAYS)} days, none of which was read before; default "
                 "settings, but nobody is left out; each in a new process; the steps hold compiling"),
        Row("analysis", "peak memory", ours["peak_gb"], "GB"),
        Row("analysis", f"{RIVAL}, peak memory", theirs["peak_gb"], "GB"),
    ]  # fmt: skip


def compare(lake: Lake, expected: pl.DataFrame) -> None:
    """Refuse a result whose edges are not those of the self-join."""
    audiences = read_table(lake, analysis_key(DAYS[-1], "audiences.parquet"), AUDIENCES)
    ids = dict(audiences.select("channel", "channel_id").iter_rows())
    found = (
        read_table(lake, analysis_key(DAYS[-1], "edges.parquet"), EDGES)
        .select(
            *(pl.col(end).replace_strict(ids, return_dtype=pl.Int64) for end in ("source", "target")),
            "shared_viewers",
        )
        .sort("source", "target")
    )
    if not found.equals(expected.select(pl.col(name).cast(pl.Int64) for name in found.columns)):
        raise BenchError(f"the {found.height:,} edges are not the {expected.height:,} of {RIVAL}")


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.analysis", description="Measure the whole daily analysis."
    )
    parser.add_argument("--quick", action="store_true", help="a small world: a look only")
    try:
        rows = measure(parser.parse_args().quick)
    except BenchError as error:
        rows = [Row("analysis", "could not be measured", None, most=_MOST_TIMES_RIVAL, note=str(error))]
    print(render(rows))
    return exit_code(rows)


if __name__ == "__main__":
    sys.exit(main())
