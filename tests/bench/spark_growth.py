"""How the time of both overlap engines grows: doubling worlds, both engines on each, in one run.

python -m tests.bench.spark_growth --quick
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from pyspark.sql import SparkSession

from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from tests.bench.overlap_world import DAYS, MOST_WINDOWS, write_world
from tests.bench.report import Row, exit_code, progress, render
from vieweratlas_dagster.analysis.audiences import window_audience
from vieweratlas_dagster.analysis.overlap import OverlapGraph, overlap_graph
from vieweratlas_dagster.curation.merge import channel_attributes
from vieweratlas_dagster.lake.keys import channels_key, day_audience_key
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.spark.finish import graph_of_counts
from vieweratlas_dagster.spark.overlap_job import count_overlaps
from vieweratlas_dagster.tables import CHANNELS, DAY_AUDIENCES

_OPTIONS = {"min_channel_viewers": 10, "overlap_threshold": 5, "max_windows": MOST_WINDOWS}
_BOTH = _OPTIONS | {"bot_filter": True, "max_channels_per_viewer": 100}
_CHANNELS, _QUICK_CHANNELS = 2_000, 500
_VIEWERS = (200_000, 400_000, 800_000)
_QUICK_VIEWERS = (20_000, 40_000)
# Twice the viewers are twice the memberships and the increments; what is above is overhead that grows.
_MOST_GROWTH = 2.5
_TURNS = 2

# Of the local engine, and of Spark.
Seconds = tuple[float, float]


def measure(quick: bool) -> list[Row]:
    """Best seconds of both engines on each world, their ratio, and what doubling the viewers costs each."""
    channels, sizes = (_QUICK_CHANNELS, _QUICK_VIEWERS) if quick else (_CHANNELS, _VIEWERS)
    session = _session()
    rows: list[Row] = []
    before: Seconds | None = None
    with tempfile.TemporaryDirectory(prefix="vieweratlas-bench-") as folder:
        for viewers in (sizes[0], *sizes):
            root = Path(folder) / str(viewers)
            lake = Lake.open(StorageSettings(dir=root))
            progress(f"spark: {viewers:,} viewers of {channels:,} channels ...")
            world = write_world(lake, channels=channels, viewers=viewers)
            local, took = _best_of_turns(session, lake, root)
            if before is None:
                # The first world is done twice: both engines compile what they run when they first run it.
                before = took
                continue
            size = f"{viewers:,} viewers"
            rows += [
                Row("spark", f"{size}: memberships", world.pairs, note=_note(channels)),
                Row("spark", f"{size}: increments", world.increments),
                Row("spark", f"{size}: edges", local.edges.height),
                Row("spark", f"{size}: local engine", took[0], "s"),
                Row("spark", f"{size}: Spark", took[1], "s"),
                Row("spark", f"{size}: Spark, times local", took[1] / took[0]),
            ]
            if viewers != sizes[0]:
                rows += [
                    Row(
                        "spark",
                        f"{size}: local, times half of them",
                        took[0] / before[0],
                    ),
                    Row(
                        "spark",
                        f"{size}: Spark, times half of them",
                        took[1] / before[1],
                        most=_MOST_GROWTH,
                    ),
                ]
            before = took
    session.stop()
    return rows


def _note(channels: int) -> str:
    return (
        f"{channels:,} channels, {len(DAYS)} days, {os.cpu_count()} cores; both engines read the same "
        "Parquet and gave the same graph, row for row; the start of Spark itself is not counted"
    )


def _session() -> SparkSession:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return (
        SparkSession.builder.appName("bench")
        .config("spark.driver.memory", "8g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )


def _channels(lake: Lake) -> pl.DataFrame:
    return channel_attributes([read_table(lake, channels_key(day), CHANNELS) for day in DAYS])


def _locally(lake: Lake) -> OverlapGraph:
    days = (read_table(lake, day_audience_key(day), DAY_AUDIENCES) for day in DAYS)
    return overlap_graph(window_audience(days), _channels(lake), **_OPTIONS)


def _best_of_turns(session: SparkSession, lake: Lake, root: Path) -> tuple[OverlapGraph, Seconds]:
    """The graph, and the best seconds of the local engine and of Spark, which take turns."""
    times = []
    for _ in range(_TURNS):
        started = time.perf_counter()
        local = _locally(lake)
        between = time.perf_counter()
        spark = _on_spark(session, lake, root)
        times.append((between - started, time.perf_counter() - between))
        _check(local, spark)
    return local, (min(first for first, _ in times), min(second for _, second in times))


def _on_spark(session: SparkSession, lake: Lake, root: Path) -> OverlapGraph:
    days = session.read.parquet(*(str(root / day_audience_key(day)) for day in DAYS))
    counts = count_overlaps(days, **_BOTH)
    counts.channels.write.parquet(str(root / "out" / "channels"), mode="overwrite")
    counts.pairs.write.parquet(str(root / "out" / "pairs"), mode="overwrite")
    session.catalog.clearCache()
    channels, pairs = (pl.read_parquet(root / "out" / name / "*.parquet") for name in ("channels", "pairs"))
    return graph_of_counts(
        channels,
        pairs,
        counts.figures,
        _channels(lake),
        min_channel_viewers=_OPTIONS["min_channel_viewers"],
    )


def _check(local: OverlapGraph, spark: OverlapGraph) -> None:
    for table in ("audiences", "edges", "exclusions", "left_out"):
        if not getattr(local, table).equals(getattr(spark, table)):
            raise RuntimeError(f"the engines differ in {table}: their times mean nothing")


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.spark_growth", description="Measure how both overlap engines grow."
    )
    parser.add_argument("--quick", action="store_true", help="small worlds: a look only")
    rows = measure(parser.parse_args().quick)
    print(render(rows))
    return exit_code(rows)


if __name__ == "__main__":
    sys.exit(main())
