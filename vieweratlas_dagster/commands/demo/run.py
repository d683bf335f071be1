"""`vieweratlas demo`: the steps from an empty folder to an atlas, progress, and the report."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from collector_service.clock import utc
from collector_service.contract import live_day_prefix
from collector_service.lake import Lake
from collector_service.privacy.viewer_secret import load_viewer_key_secret
from vieweratlas_dagster.commands.demo.stage import (
    VOD_OVERRIDES,
    DemoError,
    DemoOptions,
    World,
    check_alive,
    own_environment,
    running_collector,
    simulated_twitch,
    write_demo_config,
)
from vieweratlas_dagster.commands.demo.truth import (
    CollectionTruth,
    Outage,
    Restored,
    agreement,
    compare_collection,
    compare_outage,
    first_join,
    true_presence,
)
from vieweratlas_dagster.commands.run_jobs import (
    RunOutcome,
    days_between,
    open_instance,
    quarters_of,
    run_partition,
)
from vieweratlas_dagster.curation.validation import Rejection, usable_records
from vieweratlas_dagster.lake.keys import LATEST_PREFIX, analysis_key, presence_key
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, COMMUNITIES, EDGES, NODES, PRESENCE

DEFAULT_DATA_DIR = Path("data/demo")
_MARKER = ".vieweratlas-demo"
_LEAST_AGREEMENT = 0.9
# The least share restored of the presences in the hours without a collector. It cannot be all: recordings
# have no notices, and those of channels that the collector has never seen are not looked for.
_LEAST_RESTORED = 0.7
# Real seconds for the last messages of the world to arrive.
_SETTLE_SECONDS = 2.0
# When the collector is killed on the second day, in world seconds after midnight. Chat is busy then,
# and broadcasts of that time end within a world of two days, so that their recordings can be read.
_KILLED_AFTER = 3600
# World seconds without a process; starting one takes about one more hour in this fast world.
_WITHOUT_PROCESS = 2 * 3600
# Real seconds whose messages a killed collector may not have on disk: one flush per second, plus the time
# to write it on a busy machine.
_UNSAVED_SECONDS = 3.0


def run_demo(options: DemoOptions, base_config: Path, console: Console) -> bool:
    """Run the demo and print its report.

    Returns:
        Whether everything succeeded: every run, every check, no loss, agreement with the truth.

    Raises:
        DemoError: the demo could not finish.
    """
    _prepare(options.data_dir)
    write_demo_config(options, base_config)
    days = list(days_between(options.first_day, options.first_day + timedelta(days=options.days - 1)))
    began = time.monotonic()
    console.print(
        f"A simulated Twitch with {options.channels} channels and {options.viewers} viewers, "
        f"{days[0]} to {days[-1]}, seed {options.seed}; all files are in {options.data_dir}/"
    )
    with simulated_twitch(options) as world, _progress(console) as progress:
        settings = Settings.load(options.config, VOD_OVERRIDES, own_environment() | world.environment())
        lake = Lake.open(settings.storage)
        downtime = _collect(options, world, lake, progress)
        outcomes = list(_run_jobs(settings, days, options.home, progress))
    secret = load_viewer_key_secret(settings.privacy)
    outage = _outage(downtime, options, settings.collection.window_seconds) if downtime else None
    collection, restored = _compare(options, lake, secret, days, outage)
    hours = _outage_figures(outage, restored) if outage and restored else None
    report = _report(options, lake, collection, hours, outcomes, days)
    report["seconds"] = round(time.monotonic() - began, 1)
    (options.data_dir / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    _print_report(report, outcomes, options, console)
    return bool(report["success"])


def _prepare(data_dir: Path) -> None:
    if data_dir.exists() and any(data_dir.iterdir()):
        if not (data_dir / _MARKER).exists():
            raise DemoError(
                f"{data_dir} contains files that are not a demo's; choose a different --data-dir"
            )
        for entry in data_dir.iterdir():
            if entry.name != _MARKER:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / _MARKER).touch()


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _collect(
    options: DemoOptions, world: World, lake: Lake, progress: Progress
) -> tuple[float, float] | None:
    """Run the collector through the world's days, with some hours of downtime.

    Returns:
        When it was killed and when it was started again, in Unix seconds of the world; None in a world
        of one day, which has no downtime.
    """
    origin = world.clock.world_origin
    length = world.ends_at - origin
    task = progress.add_task("collecting", total=length, note="connecting")
    printed = ""

    def watch(until: float, collector: subprocess.Popen[bytes] | None) -> None:
        nonlocal printed
        while (now := world.clock.now()) < until:
            if collector:
                check_alive(collector, options.logs / "collector.log")
            doing = f"{'collecting' if collector else 'killed, down'} {utc(now):%d %b}"
            if doing != printed and not progress.console.is_terminal:
                progress.console.print(doing, highlight=False)
            printed = doing
            objects = len(lake.objects(live_day_prefix(f"{utc(now):%Y-%m-%d}")))
            note = f"{objects:>3} windows" if collector else "collector down"
            progress.update(task, completed=now - origin, note=f"{utc(now):%d %b %H:%M} UTC, {note}")
            time.sleep(min(0.5, (until - now) / world.clock.rate))

    downtime = None
    if options.days > 1:
        kill_at = origin + 86_400 + _KILLED_AFTER
        with running_collector(options, world, ending=signal.SIGKILL) as collector:
            watch(kill_at, collector)
            killed_at = world.clock.now()
        watch(kill_at + _WITHOUT_PROCESS, None)
        downtime = killed_at, world.clock.now()
    with running_collector(options, world) as collector:
        watch(world.ends_at, collector)
        time.sleep(_SETTLE_SECONDS)
    progress.update(task, completed=length, note=f"{options.days} days simulated")
    return downtime


def _run_jobs(settings: Settings, days: list[date], home: Path, progress: Progress) -> Iterator[RunOutcome]:
    """Run all VOD quarters, then the days, so that a day is made after all its chat has arrived."""
    os.environ["DAGSTER_HOME"] = str(home.resolve())
    # Imported late because Dagster is heavy.
    from vieweratlas_dagster.definitions import build_definitions

    definitions = build_definitions(settings)
    quarters = [("vod_6h", quarter) for day in days for quarter in quarters_of(day)]
    runs = [*quarters, *(("analysis_daily", day.isoformat()) for day in days)]
    task = progress.add_task("Dagster", total=len(runs), note="")
    with open_instance(home) as instance:
        for job, partition in runs:
            progress.update(task, note=f"{job} {partition}")
            yield run_partition(definitions, job, partition, instance)
            progress.advance(task)
    progress.update(task, note=f"{len(runs)} runs")


def _outage(downtime: tuple[float, float], options: DemoOptions, window_seconds: int) -> Outage:
    """The outage, which ends with the first join that the simulator saw.

    Raises:
        DemoError: the collector did not come back.
    """
    killed_at, started_at = downtime
    back_at = first_join(pl.read_csv(options.oracle / "joined.csv"), started_at)
    if back_at is None:
        raise DemoError(
            f"the collector did not join again after the kill; see {options.logs}/collector.log"
        )
    return Outage(killed_at - _UNSAVED_SECONDS * options.rate, killed_at, back_at, window_seconds)


def _outage_figures(outage: Outage, restored: Restored) -> dict[str, Any]:
    return {
        "killed_at": utc(outage.killed_at).isoformat(timespec="seconds"),
        "back_at": utc(outage.back_at).isoformat(timespec="seconds"),
        "hours": round((outage.back_at - outage.killed_at) / 3600, 2),
        **asdict(restored),
    }


def _compare(
    options: DemoOptions, lake: Lake, secret: str, days: list[date], outage: Outage | None
) -> tuple[CollectionTruth, Restored | None]:
    oracle = pl.read_csv(io.BytesIO((options.oracle / "presence.csv.gz").read_bytes()))
    names = [day.isoformat() for day in days]
    live, vod = (
        pl.concat([read_table(lake, presence_key(name, source), PRESENCE) for name in names])
        for source in ("live", "vod")
    )
    truth = true_presence(oracle, secret)
    collection = compare_collection(truth, live, vod, _declared(lake, names), outage)
    return collection, compare_outage(truth, live, vod, outage) if outage else None


def _declared(lake: Lake, days: list[str]) -> pl.DataFrame:
    """The collector's own record of how long it observed each channel and window."""
    rows = [
        (record.channel_id, record.window_start, record.observed_seconds, record.window_seconds)
        for day in days
        for info in lake.objects(live_day_prefix(day))
        for record in usable_records(info.key, lake.get(info.key), day=day, now=datetime.now(UTC))
        if not isinstance(record, Rejection)
    ]
    schema: dict[str, Any] = {
        "channel_id": pl.Int64,
        "window_start": PRESENCE.schema["window_start"],
        "observed_seconds": pl.Float64,
        "window_seconds": pl.UInt32,
    }
    return (
        pl.DataFrame(rows, schema=schema, orient="row")
        .group_by("channel_id", "window_start", "window_seconds")
        .agg(pl.col("observed_seconds").sum())
    )


def _report(
    options: DemoOptions,
    lake: Lake,
    collection: CollectionTruth,
    outage: dict[str, Any] | None,
    outcomes: list[RunOutcome],
    days: list[date],
) -> dict[str, Any]:
    last = days[-1].isoformat()
    succeeded = all(outcome.success for outcome in outcomes)
    report: dict[str, Any] = {
        "success": False,
        "seed": options.seed,
        "days": options.days,
        "runs": len(outcomes),
        "failed_runs": sum(not outcome.success for outcome in outcomes),
        "failed_checks": sum(len(outcome.failed_checks) for outcome in outcomes),
        "collection": asdict(collection) | {"coverage": round(collection.coverage, 4)},
        "outage": outage,
    }
    if not succeeded:
        return report
    nodes = read_table(lake, analysis_key(last, "nodes.parquet"), NODES)
    communities = read_table(lake, analysis_key(last, "communities.parquet"), COMMUNITIES)
    planted = pl.read_csv(io.BytesIO((options.oracle / "channels.csv").read_bytes()))
    ami_communities, ami_regions = agreement(nodes, planted)
    presence = pl.concat(
        [
            read_table(lake, presence_key(day.isoformat(), source), PRESENCE).select("viewer_key")
            for day in days
            for source in ("live", "vod")
        ]
    )
    sound = collection.lost == collection.lost_messages == collection.invented == collection.undeclared == 0
    filled = outage is None or outage["restored"] >= _LEAST_RESTORED * outage["missed"]
    agrees = ami_communities >= _LEAST_AGREEMENT
    report |= {
        "channels": read_table(lake, analysis_key(last, "audiences.parquet"), AUDIENCES).height,
        "viewers": presence["viewer_key"].n_unique(),
        "presence_rows": presence.height,
        "edges": read_table(lake, analysis_key(last, "edges.parquet"), EDGES).height,
        "communities": communities.filter(level="community").height,
        "regions": communities.filter(level="region").height,
        "ami_communities": round(ami_communities, 4),
        "ami_regions": round(ami_regions, 4),
        "atlas": str(options.data_dir / "lake" / LATEST_PREFIX / "atlas.html"),
        "success": sound and filled and agrees and not report["failed_checks"],
    }
    return report


def _print_report(
    report: dict[str, Any], outcomes: list[RunOutcome], options: DemoOptions, console: Console
) -> None:
    for outcome in outcomes:
        for problem in (*outcome.failures, *outcome.failed_checks):
            console.print(
                f"{outcome.job} {outcome.partition}: {problem}", style="red", markup=False, soft_wrap=True
            )
    collection = report["collection"]
    table = RichTable(show_header=False, box=None, padding=(0, 2))
    if report["failed_runs"] == 0:
        table.add_row("channels", f"{report['channels']:,} on the map")
        table.add_row("viewers", f"{report['viewers']:,} (pseudonyms)")
        table.add_row(
            "presence rows", f"{report['presence_rows']:,} (viewer, channel, window), live and VOD"
        )
        table.add_row("edges", f"{report['edges']:,} pairs of channels that share viewers")
        table.add_row("communities", f"{report['communities']} in {report['regions']} regions")
        table.add_row(
            "agreement",
            f"AMI {report['ami_communities']:.3f} with the planted communities, "
            f"{report['ami_regions']:.3f} with the planted regions",
        )
    table.add_row(
        "collector",
        f"loss {collection['lost']} of {collection['collected'] + collection['lost']:,} presences, "
        f"{collection['invented']} invented, {collection['undeclared']} undeclared gaps",
    )
    if outage := report["outage"]:
        killed_at, back_at = (datetime.fromisoformat(outage[name]) for name in ("killed_at", "back_at"))
        hours = f"{outage['hours']:.1f} hours without a collector"
        table.add_row("killed", f"{killed_at:%d %b %H:%M} to {back_at:%H:%M} UTC, {hours}")
        table.add_row("", f"VODs restored {_of(outage['restored'], outage['missed'])} presences of these")
        table.add_row(
            "", f"{collection['cut_off']:,} just before were not on disk yet, and were declared missing"
        )
    missed = collection["happened"] - collection["collected"]
    restored = _of(collection["restored"], missed)
    table.add_row("coverage", f"{collection['coverage']:.1%} live; VODs restored {restored} missed")
    table.add_row(
        "Dagster",
        f"{report['runs']} runs, {report['failed_runs']} failed; {report['failed_checks']} failed checks",
    )
    table.add_row("time", f"{report['seconds']:.0f} s")
    console.print()
    console.print(table)
    console.print()
    if report["success"]:
        console.print(f"[bold]The atlas:[/bold] {report['atlas']}", soft_wrap=True)
        ui = "make ui" if options.data_dir == DEFAULT_DATA_DIR else f"make ui DATA={options.data_dir}"
        console.print(f"Next: open that file in a browser; `{ui}` shows the same in the Dagster UI;")
        console.print("      `make live` collects from the real Twitch.")
    else:
        console.print(
            "[red bold]The demo did not succeed:[/red bold] a loss was not declared, a run or a check "
            f"failed, or the communities are not the planted ones; see above. Logs: {options.logs}/",
            soft_wrap=True,
        )
        if "atlas" in report:
            console.print(f"It made an atlas: {report['atlas']}", soft_wrap=True)
        console.print("If this machine was busy with other work, run it again when that is done.")


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" + (f" ({part / whole:.1%})" if whole else "")
