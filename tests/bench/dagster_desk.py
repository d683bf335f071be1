"""The benchmark of the operator's desk: ``python -m tests.bench.dagster_desk [--quick] [--only PART]``.

Exit code 0 when every bar is met, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from . import dagster_history, dagster_runs
from .report import Row, exit_code, progress, render
from .subject import BenchError

_MOST = 2.0
_LOADS = 15
_RUNS = 10
_DAYS = 365
_ROUNDS = 20
_QUICK_LOADS, _QUICK_RUNS, _QUICK_DAYS, _QUICK_ROUNDS = 3, 2, 20, 5
_REPOSITORY = Path(__file__).parents[2]
_LOAD = "from vieweratlas_dagster.definitions import defs; defs()"
_ASSET, _CHECK = "atlas", "atlas_is_complete"


def measure_loading(quick: bool) -> list[Row]:
    """Loading the code location against the import of Dagster alone, each in a new process."""
    progress("loading: importing ...")
    pairs = [
        (_seconds("import dagster"), _seconds(_LOAD))
        for _ in range(1 + (_QUICK_LOADS if quick else _LOADS))
    ][1:]
    alone, whole = (median(times) for times in zip(*pairs, strict=True))
    return [
        Row("loading", "import dagster", alone, "s"),
        Row("loading", "load the code location", whole, "s"),
        Row("loading", "times import dagster", median(b / a for a, b in pairs), most=_MOST,
            note=f"median of {len(pairs)} pairs of new processes, after one that is not counted"),
    ]  # fmt: skip


def _seconds(statement: str) -> float:
    code = f"import time; began = time.perf_counter(); {statement}; print(time.perf_counter() - began)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_REPOSITORY, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"{statement} failed: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout)


def measure_run(quick: bool) -> list[Row]:
    """All that the daily job does besides computing, against a run of empty assets."""
    progress("run: the daily job and its empty twin, in turns ...")
    with tempfile.TemporaryDirectory(prefix="vieweratlas-bench-") as folder:
        runs = list(dagster_runs.timed_runs(Path(folder), _QUICK_RUNS if quick else _RUNS))
    return [
        Row("run", "daily job on a tiny lake", median(whole for whole, _, _ in runs), "s"),
        Row("run", "of this computing", median(computing for _, computing, _ in runs), "s"),
        Row("run", "empty assets", median(empty for _, _, empty in runs), "s"),
        Row("run", "all but computing, times empty assets",
            median((whole - computing) / empty for whole, computing, empty in runs), most=_MOST,
            note=f"median of {len(runs)} runs of each in one process, on SQLite; reading and writing the "
                 "lake is not computing; the empty job has the same steps, assets, checks and partitions"),
    ]  # fmt: skip


def measure_history(quick: bool) -> list[Row]:
    """The queries of an asset's page with a year of history, against one day of it."""
    days, rounds = (_QUICK_DAYS, _QUICK_ROUNDS) if quick else (_DAYS, _ROUNDS)
    progress(f"history: writing {days} days of runs to PostgreSQL ...")
    queries = dagster_history.page_queries(_ASSET, _CHECK, datetime.now(UTC))
    with tempfile.TemporaryDirectory(prefix="vieweratlas-bench-") as folder:
        made = dagster_history.templates(Path(folder))
        with dagster_history.two_pages(Path(folder), made, (1, days)) as urls:
            progress(f"history: {len(queries)} queries, {rounds} times to each webserver ...")
            # Of each query: the seconds with one day, and with all.
            took = {name: _answer_seconds(urls, query, rounds) for name, query in queries.items()}
    rows = [
        Row("history", f"{name}, times one day's", much / little) for name, (little, much) in took.items()
    ]
    one_day, all_days = (sum(times) for times in zip(*took.values(), strict=True))
    return [
        *rows,
        Row("history", "page with one day", 1000 * one_day, "ms"),
        Row("history", f"page with {days} days", 1000 * all_days, "ms"),
        Row("history", "page, times one day's", all_days / one_day, most=_MOST,
            note=f"the sum over its queries, each the median of {rounds} answers of two webservers in "
                 f"turns; asset {_ASSET}; a day has a daily and four 6-hourly runs; one PostgreSQL"),
    ]  # fmt: skip


def _answer_seconds(urls: Iterable[str], query: str, rounds: int) -> tuple[float, float]:
    times = [[dagster_history.ask(url, query)[0] for url in urls] for _ in range(rounds + 1)][1:]
    little, much = (median(one) for one in zip(*times, strict=True))
    return little, much


PARTS: dict[str, Callable[[bool], list[Row]]] = {
    "loading": measure_loading,
    "run": measure_run,
    "history": measure_history,
}


def measure(quick: bool, only: str | None = None) -> list[Row]:
    """All parts, or one; a part that could not be measured has a row that misses its bar and says why."""
    rows: list[Row] = []
    for part, measured in PARTS.items():
        if only in (None, part):
            try:
                rows += measured(quick)
            except BenchError as error:
                rows.append(Row(part, "could not be measured", None, most=_MOST, note=str(error)))
    return rows


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.dagster_desk", description="Measure what Dagster costs."
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, short history: a look only")
    parser.add_argument("--only", choices=PARTS, help="one part")
    arguments = parser.parse_args()
    # Dagster's notes on beta features.
    warnings.simplefilter("ignore")
    rows = measure(arguments.quick, arguments.only)
    print(render(rows))
    return exit_code(rows)


if __name__ == "__main__":
    sys.exit(main())
