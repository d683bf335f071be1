"""Runs the daily job of a tiny lake and its twin of empty assets in this process, and measures both."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

import vieweratlas_dagster
from collector_service.contract import SnapshotRecord, encode_object, live_key
from collector_service.lake import Lake
from tests.worlds.records import snapshot
from vieweratlas_dagster.commands.run_jobs import open_instance, run_partition
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.settings import Settings

from .subject import BenchError

JOB = "analysis_daily"
FIRST = date(2026, 3, 1)
_CHANNELS, _VIEWERS = 24, 40
# Where computing is done, and what inside of it is not computing but the lake.
_PURE = ("analysis", "curation", "publish", "checks.rules")
_LAKE = "vieweratlas_dagster.lake.keys"


def tiny_lake(folder: Path, days: int) -> Settings:
    """Settings of a lake with so many small days from `FIRST` on: two groups of channels.

    Args:
        folder: an empty folder.
        days: how many.
    """
    settings = Settings(
        storage={"dir": folder / "lake"}, analysis={"min_channel_viewers": 5, "overlap_threshold": 2}
    )
    lake = Lake.open(settings.storage)
    for offset in range(days):
        start = datetime(FIRST.year, FIRST.month, FIRST.day, 20, tzinfo=UTC) + timedelta(days=offset)
        lake.put(live_key(start, "bench"), encode_object([_record(start, one) for one in range(_CHANNELS)]))
    return settings


def _record(start: datetime, number: int) -> SnapshotRecord:
    group = number % 2
    # Neighbours in a group share half of their viewers.
    keys = [1 + group * 100_000 + (number // 2) * _VIEWERS // 2 + viewer for viewer in range(_VIEWERS)]
    return snapshot(
        number + 1,
        channel=f"channel_{number}",
        collector_id="bench",
        window_start=start,
        viewer_count=_VIEWERS,
        game_name=("Chess", "Minecraft")[group],
        language="en",
        messages=_VIEWERS,
        viewer_keys=keys,
        viewer_messages=[1] * _VIEWERS,
    )


def empty_twin(definitions: dg.Definitions) -> dg.Definitions:
    """A job of the same name with the same steps, assets, checks and dependencies, and empty bodies."""
    layer = definitions.resolve_job_def(JOB).asset_layer
    chosen = set(layer.selected_asset_keys)
    wanted = set(layer.asset_graph.asset_check_keys)
    assets: list[dg.AssetsDefinition] = []
    checks: list[dg.AssetsDefinition] = []
    for number, original in enumerate(layer.asset_graph.assets_defs):
        made = [key for key in original.keys if key in chosen]
        judged = [spec for spec in original.check_specs if spec.key in wanted]
        if made:
            assets.append(_empty_asset(original, number, made))
        elif judged:
            checks.append(_empty_check(number, judged))
    everything = dg.AssetSelection.assets(*chosen) | dg.AssetSelection.checks(
        *(spec.key for check in checks for spec in check.check_specs)
    )
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=[dg.define_asset_job(JOB, selection=everything)],
        executor=dg.in_process_executor,
    )


def _empty_asset(
    original: dg.AssetsDefinition, number: int, keys: list[dg.AssetKey]
) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"asset_{number}",
        specs=[
            dg.AssetSpec(key, deps=list(original.specs_by_key[key].deps), group_name="empty")
            for key in keys
        ],
        partitions_def=original.partitions_def,
    )
    def empty() -> Iterator[dg.MaterializeResult]:
        for key in keys:
            yield dg.MaterializeResult(asset_key=key)

    return empty


def _empty_check(number: int, specs: list[dg.AssetCheckSpec]) -> dg.AssetChecksDefinition:
    twins = [
        dg.AssetCheckSpec(
            spec.name, asset=spec.asset_key, blocking=spec.blocking, partitions_def=spec.partitions_def
        )
        for spec in specs
    ]

    @dg.multi_asset_check(name=f"check_{number}", specs=twins)
    def empty() -> Iterator[dg.AssetCheckResult]:
        for spec in twins:
            yield dg.AssetCheckResult(passed=True, asset_key=spec.asset_key, check_name=spec.name)

    return empty


class Meter:
    """Seconds spent computing: in the pure functions, but not in the lake that they read on the way."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._computing = False
        self._since = 0.0

    @contextmanager
    def _turn(self, computing: bool) -> Iterator[None]:
        before, now = self._computing, time.perf_counter()
        if before:
            self.seconds += now - self._since
        self._computing, self._since = computing, now
        try:
            yield
        finally:
            now = time.perf_counter()
            if computing:
                self.seconds += now - self._since
            self._computing, self._since = before, now

    def _around(self, function: Callable[..., Any], computing: bool) -> Callable[..., Any]:
        @functools.wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            # The run waits for what it leaves to threads: their time is in its own.
            if threading.current_thread() is not threading.main_thread():
                return function(*args, **kwargs)
            with self._turn(computing):
                return function(*args, **kwargs)

        return measured

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Measure every call of a pure function and of the lake, wherever the code location names it."""
        undo: list[tuple[Any, str, Any]] = []
        for holder, name, function, computing in [*_functions(), *_lake_methods()]:
            undo.append((holder, name, function))
            setattr(holder, name, self._around(function, computing))
        try:
            yield
        finally:
            for holder, name, function in undo:
                setattr(holder, name, function)


def _functions() -> Iterator[tuple[Any, str, Callable[..., Any], bool]]:
    pure = tuple(f"{vieweratlas_dagster.__name__}.{name}" for name in _PURE)
    for package in ("analysis", "curation", "publish"):
        home = importlib.import_module(f"{vieweratlas_dagster.__name__}.{package}")
        for module in pkgutil.iter_modules(home.__path__, f"{home.__name__}."):
            importlib.import_module(module.name)
    for module in [
        module for name, module in sys.modules.items() if name.startswith("vieweratlas_dagster.")
    ]:
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and not inspect.isgeneratorfunction(value):
                if value.__module__.startswith(pure):
                    yield module, name, value, True
                elif value.__module__ == _LAKE:
                    yield module, name, value, False


def _lake_methods() -> Iterator[tuple[Any, str, Callable[..., Any], bool]]:
    for name in ("get", "put", "exists"):
        yield Lake, name, getattr(Lake, name), False


def timed_runs(folder: Path, days: int) -> Iterator[tuple[float, float, float]]:
    """Seconds of a run of the daily job, of these the ones spent computing, and of its empty twin's run.

    The first day of each, with everything that happens only once, is not among them.

    Args:
        folder: an empty folder.
        days: how many to measure.

    Raises:
        BenchError: a run failed.
    """
    real = build_definitions(tiny_lake(folder, days + 1))
    empty = empty_twin(real)
    with open_instance(folder / "real") as ours, open_instance(folder / "empty") as theirs:
        for offset in range(days + 1):
            day = f"{FIRST + timedelta(days=offset)}"
            meter = Meter()
            with meter.attached():
                whole = _seconds(real, day, ours)
            twin = _seconds(empty, day, theirs)
            if offset:
                yield whole, meter.seconds, twin


def _seconds(definitions: dg.Definitions, day: str, instance: dg.DagsterInstance) -> float:
    began = time.perf_counter()
    outcome = run_partition(definitions, JOB, day, instance)
    took = time.perf_counter() - began
    if not outcome.success:
        raise BenchError(f"the run of {day} failed: {'; '.join(outcome.failures)}")
    return took
