"""The benchmark of the overlap engine: ``python -m tests.bench.overlap [--quick] [--only PART]``.

Exit code 0 when every bar is met, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from vieweratlas_dagster.analysis.audiences import day_audience, window_audience
from vieweratlas_dagster.analysis.overlap import OverlapGraph, overlap_graph
from vieweratlas_dagster.lake.keys import channels_key, day_audience_key, presence_key
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.tables import CHANNELS, DAY_AUDIENCES, PRESENCE

from .overlap_world import DAYS, MOST_CHANNELS, write_world
from .report import Row, exit_code, progress, render
from .subject import BenchError

RIVAL = "DuckDB 2.0.0"
THRESHOLD = 5

_REQUIREMENT = "duckdb==2.0.0"
_REPOSITORY = Path(__file__).parents[2]
_INSTALL_SECONDS, _RUN_SECONDS = 300, 3600
_TIMES_RIVAL, _TIMES_SETS = 3.0, 60.0
_MOST_GB = 4.0
# Doubling may cost so much more than twice for what a shared machine adds to one of two measurements.
_MOST_TIMES_DOUBLED = 2.0 * 1.1
_LEAST_TIMES_NEW_DAY = 2.0
_ROUNDS = 5


def measure_rival(quick: bool) -> list[Row]:
    """From the same files to the same edges: the engine, and DuckDB's self-join."""
    channels, viewers = (2_000, 300_000) if quick else (10_000, 7_130_000)
    with tempfile.TemporaryDirectory(prefix="vieweratlas-bench-") as name:
        folder = Path(name)
        python = install_rival(folder)
        progress(f"rival: writing a world of {channels:,} channels and {viewers:,} viewers ...")
        world = write_world(_lake(folder), channels=channels, viewers=viewers)
        progress(f"rival: {world.increments:,} increments, the engine ...")
        ours, theirs = folder / "ours.parquet", folder / "theirs.parquet"
        module = [
            sys.executable,
            "-m",
            "tests.bench.overlap_engine",
            str(folder),
            str(ours),
            str(THRESHOLD),
        ]
        # A new machine has nothing compiled yet.
        engine = timed(
            [*module, "whole" if quick else "filtered"], NUMBA_CACHE_DIR=str(folder / "compiled")
        )
        progress(f"rival: {RIVAL} ...")
        files = str(folder / day_audience_key("*"))
        memory = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') * 0.8 / 2**30:.0f}GiB"
        script = str(Path(__file__).with_name("overlap_duckdb.py"))
        arguments = [files, str(theirs), str(THRESHOLD), memory, str(folder / "spill")]
        rival = timed([str(python), script, *arguments])
        found, expected = pl.read_parquet(ours), pl.read_parquet(theirs)
        if not found.equals(expected.select(pl.col(one).cast(found.schema[one]) for one in found.columns)):
            raise BenchError(f"the engine's {found.height:,} edges are not {RIVAL}'s {expected.height:,}")
    return [
        Row("rival", "distinct (channel, viewer) pairs", world.pairs),
        Row("rival", "shared increments", world.increments),
        Row("rival", "edges, the same row for row", found.height),
        Row("rival", "engine", engine["seconds"], "s"),
        Row("rival", RIVAL, rival["seconds"], "s"),
        Row("rival", f"times {RIVAL}", rival["seconds"] / engine["seconds"], least=_TIMES_RIVAL,
            note=f"from {len(DAYS)} files of {world.rows:,} rows to edges of at least {THRESHOLD} viewers, "
                 "each in a new process; the engine's time holds loading, compiling and the measures; "
                 f"{RIVAL} may use every core and {memory}"),
        Row("rival", "engine, peak memory", engine["peak_gb"], "GB", most=_MOST_GB),
        Row("rival", f"{RIVAL}, peak memory", rival["peak_gb"], "GB"),
    ]  # fmt: skip


def measure_sets(quick: bool) -> list[Row]:
    """From the same memberships: the engine, and the intersection of Python sets pair by pair."""
    channels, viewers = (400, 30_000) if quick else (2_000, 600_000)
    pairs, dimension = _world(channels, viewers)
    _graph(pairs.head(100), dimension)
    rounds = [_seconds(lambda: _graph(pairs, dimension)) for _ in range(_ROUNDS)]
    ours, graph = median(seconds for seconds, _ in rounds), rounds[0][1]
    progress(f"sets: {channels * (channels - 1) // 2:,} pairs of sets ...")
    theirs, shared = _seconds(lambda: _by_sets(pairs))
    ids = dict(graph.audiences.select("channel", "channel_id").rows())
    found = {
        tuple(sorted((ids[source], ids[target]))): count
        for source, target, count in graph.edges.select("source", "target", "shared_viewers").rows()
    }
    if found != shared:
        raise BenchError(f"the engine's {len(found):,} edges are not the {len(shared):,} of the sets")
    return [
        Row("sets", "engine", ours, "s"),
        Row("sets", "pairwise sets", theirs, "s"),
        Row("sets", "times pairwise sets", theirs / ours, least=_TIMES_SETS,
            note=f"{channels:,} channels, {pairs.height:,} memberships in memory, the same "
                 f"{len(found):,} edges; the engine is the median of {_ROUNDS} calls, compiled before"),
    ]  # fmt: skip


def measure_growth(quick: bool) -> list[Row]:
    """Twice the viewers, in the same channels."""
    channels, viewers = (2_000, 100_000) if quick else (5_000, 1_000_000)
    worlds = [_world(channels, count) for count in (viewers, 2 * viewers)]
    times = [
        [_seconds(lambda world=world: _graph(*world))[0] for world in worlds] for _ in range(_ROUNDS + 1)
    ]
    single, double = zip(*times[1:], strict=True)
    return [
        Row("growth", f"{viewers:,} viewers", median(single), "s"),
        Row("growth", f"{2 * viewers:,} viewers", median(double), "s"),
        Row("growth", "times as long for twice the viewers",
            median(b / a for a, b in zip(single, double, strict=True)), most=_MOST_TIMES_DOUBLED,
            note=f"median of {_ROUNDS} rounds in turns, {channels:,} channels, from memberships; "
                 "the bar is 2, and a tenth for the noise of the machine"),
    ]  # fmt: skip


def measure_new_day(quick: bool) -> list[Row]:
    """The window's audience when only the last day is new, against all days from presence."""
    channels, viewers = (1_000, 50_000) if quick else (5_000, 700_000)
    with tempfile.TemporaryDirectory(prefix="vieweratlas-bench-") as folder:
        lake = _lake(Path(folder))
        progress(f"new day: writing {len(DAYS)} days of presence ...")
        write_world(lake, channels=channels, viewers=viewers, presence=True)

        def derived(day: str) -> pl.DataFrame:
            return day_audience([read_table(lake, presence_key(day, "live"), PRESENCE)])

        def whole() -> pl.DataFrame:
            return window_audience(derived(day) for day in DAYS)

        def new_day() -> pl.DataFrame:
            kept = (read_table(lake, day_audience_key(day), DAY_AUDIENCES) for day in DAYS[:-1])
            return window_audience(itertools.chain(kept, [derived(DAYS[-1])]))

        if not whole().equals(new_day()):
            raise BenchError("the merged days are not what all presence rows give")
        times = [(_seconds(whole)[0], _seconds(new_day)[0]) for _ in range(_ROUNDS)]
    return [
        Row("new day", "all days from presence", median(a for a, _ in times), "s"),
        Row("new day", "the new day and one merge", median(b for _, b in times), "s"),
        Row("new day", "times cheaper", median(a / b for a, b in times), least=_LEAST_TIMES_NEW_DAY,
            note=f"median of {_ROUNDS} rounds in turns, of {len(DAYS)} days, with reading; equal results"),
    ]  # fmt: skip


PARTS: dict[str, Callable[[bool], list[Row]]] = {
    "rival": measure_rival,
    "sets": measure_sets,
    "growth": measure_growth,
    "new day": measure_new_day,
}


def _lake(folder: Path) -> Lake:
    return Lake.open(StorageSettings(dir=folder))


def _world(channels: int, viewers: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Memberships of one day and the channels of a world."""
    with tempfile.TemporaryDirectory(prefix="vieweratlas-bench-") as folder:
        lake = _lake(Path(folder))
        write_world(lake, channels=channels, viewers=viewers, days=DAYS[:1])
        return (
            read_table(lake, day_audience_key(DAYS[0]), DAY_AUDIENCES),
            read_table(lake, channels_key(DAYS[0]), CHANNELS),
        )


def _graph(pairs: pl.DataFrame, channels: pl.DataFrame) -> OverlapGraph:
    return overlap_graph(
        pairs,
        channels,
        min_channel_viewers=1,
        overlap_threshold=THRESHOLD,
        max_channels_per_viewer=MOST_CHANNELS,
        bot_filter=False,
    )


def _by_sets(pairs: pl.DataFrame) -> dict[tuple[int, int], int]:
    """The usual method: a set of viewers for each channel, intersected pair by pair."""
    members = {
        channel: set(viewers)
        for channel, viewers in pairs.group_by("channel_id")
        .agg("viewer_key")
        .sort("channel_id")
        .iter_rows()
    }
    shared = {}
    for (one, first), (other, second) in itertools.combinations(members.items(), 2):
        count = len(first & second)
        if count >= THRESHOLD:
            shared[one, other] = count
    return shared


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made


def timed(command: list[str], **environment: str) -> dict[str, float]:
    """What a process that measures itself says."""
    try:
        done = subprocess.run(
            command,
            cwd=_REPOSITORY,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{Path(command[0]).name} did not finish within {_RUN_SECONDS} s") from None
    if done.returncode:
        raise BenchError(f"{' '.join(command[:3])} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def install_rival(folder: Path) -> Path:
    """Install the rival into a new environment; returns its Python."""
    progress(f"rival: installing {RIVAL} for the moment ...")
    python = folder / "rival/bin/python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", _REQUIREMENT)
    for command in ((sys.executable, "-m", "venv", folder / "rival"), pip):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"{RIVAL} could not be installed within {_INSTALL_SECONDS} s") from None
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            why = said[-1] if said else "no reason given"
            raise BenchError(f"{RIVAL} could not be installed (is the machine offline?): {why}")
    return python


def measure(quick: bool, only: str | None = None) -> list[Row]:
    """All parts, or one; a part that could not be measured has a row that misses its bar and says why."""
    rows: list[Row] = []
    for part, measured in PARTS.items():
        if only in (None, part):
            progress(f"{part}: measuring ...")
            try:
                rows += measured(quick)
            except BenchError as error:
                rows.append(Row(part, "could not be measured", None, least=1.0, note=str(error)))
    return rows


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.overlap", description="Measure the overlap engine."
    )
    parser.add_argument("--quick", action="store_true", help="small worlds: a look only")
    parser.add_argument("--only", choices=PARTS, help="one part")
    arguments = parser.parse_args()
    rows = measure(arguments.quick, arguments.only)
    print(render(rows))
    return exit_code(rows)


if __name__ == "__main__":
    sys.exit(main())
