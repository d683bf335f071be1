"""Running partitions of jobs without a daemon, in this process, on the instance that the UI reads."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NoReturn

import dagster as dg

from collector_service.lake import Lake
from collector_service.settings import CONFIG_VARIABLE
from vieweratlas_dagster.commands.terminal import console, errors
from vieweratlas_dagster.lake.keys import LATEST_PREFIX, analysis_key
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.resources.dagster_internals import execute_as_code_location
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import NODES

# As workspace.yaml names it.
_CODE_LOCATION = "vieweratlas"
_LOCAL_INSTANCE = Path(__file__).with_name("local_dagster.yaml")
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunOutcome:
    """The end of one run: its id, the errors of its steps, and the checks that did not pass."""

    job: str
    partition: str
    run_id: str
    success: bool
    failures: tuple[str, ...]
    failed_checks: tuple[str, ...]


def quarters_of(day: date) -> list[str]:
    """The four 6-hour partition keys of a UTC day."""
    return [f"{day}-{hour:02d}:00" for hour in (0, 6, 12, 18)]


def days_between(first: date, last: date) -> Iterator[date]:
    """Every day from ``first`` to ``last``, both included."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


def open_instance(home: Path) -> dg.DagsterInstance:
    """The Dagster instance below ``home``, created with the local configuration when missing."""
    _prepare_home(home)
    return dg.DagsterInstance.from_config(str(home))


def instance_home(settings: Settings) -> Path:
    """The instance's folder: DAGSTER_HOME, else `dagster` beside a lake on this machine."""
    if named := os.environ.get("DAGSTER_HOME"):
        return Path(named)
    storage = settings.storage
    return storage.dir.parent / "dagster" if storage.type == "file" else Path("data/dagster")


def _prepare_home(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        # Written as a whole: a truncated file would mean different settings forever.
        draft = config.with_suffix(".draft")
        draft.write_bytes(_LOCAL_INSTANCE.read_bytes())
        draft.replace(config)


def exec_ui(data_dir: Path, port: int) -> NoReturn:
    """Become `dagster dev` over the lake and the instance below ``data_dir``.

    Alerts link to this UI unless a setting names a different one.

    Raises:
        FileNotFoundError: ``data_dir`` does not contain a lake.
        OSError: the port is not available.
        SettingsError: a setting is wrong.
    """
    root = data_dir.resolve()
    if not (root / "lake").is_dir():
        raise FileNotFoundError(f"{data_dir} does not contain a lake; run `make demo` or `make live` first")
    _prepare_home(root / "dagster")
    places = {
        "DAGSTER_HOME": str(root / "dagster"),
        "LAKE_DIR": str(root / "lake"),
        "VIEWER_KEY_FILE": str(root / "viewer_key.secret"),
    }
    if (root / "config.yaml").exists():
        places[CONFIG_VARIABLE] = str(root / "config.yaml")
    url = f"http://127.0.0.1:{port}"
    if "ui_url" not in Settings.load(environment=os.environ | places).alerts.model_fields_set:
        places["DAGSTER_UI_URL"] = url
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise OSError(f"port {port}: {error.strerror}; try a different --port") from error
    console.print(f"In a few seconds: {url}/asset-groups (lineage), {url}/runs, {url}/assets/atlas")
    console.print(
        f"The atlas itself: {root}/lake/{LATEST_PREFIX}atlas.html. Stop with Ctrl-C.", soft_wrap=True
    )
    # A background job of a shell ignores SIGINT, and Dagster would then ignore SIGTERM as well.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    places["PYTHONWARNINGS"] = "ignore"
    command = ["-m", "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    os.execve(sys.executable, [sys.executable, *command], os.environ | places)  # noqa: S606 - no shell wanted


def analyze_days(settings: Settings, first: date, last: date, home: Path) -> Iterator[RunOutcome]:
    """Run the daily job for every day of a range, oldest first, up to the first failure."""
    # Dagster looks for its home in the environment when a step runs.
    os.environ["DAGSTER_HOME"] = str(home.resolve())
    from vieweratlas_dagster.definitions import build_definitions

    definitions = build_definitions(settings)
    with open_instance(home) as instance:
        for day in days_between(first, last):
            outcome = run_partition(definitions, "analysis_daily", day.isoformat(), instance)
            yield outcome
            if not outcome.success:
                return


def run_partition(
    definitions: dg.Definitions, job: str, partition: str, instance: dg.DagsterInstance
) -> RunOutcome:
    """Run one partition of a job to its end; a failure is in the outcome, not raised.

    For the UI and the daemon it is a run of the code location like any other.

    Raises:
        ValueError: the partition does not exist in the job.
    """
    definition = definitions.resolve_job_def(job)
    partitions = definition.partitions_def
    if partitions is None or not partitions.has_partition_key(partition):
        ends = (
            partitions
            and f"{partitions.get_first_partition_key()} to {partitions.get_last_partition_key()}"
        )
        raise ValueError(f"{partition} is not a partition of {job}, which has {ends or 'none'}")
    # Not job.execute_in_process: a run without an origin cannot be re-executed and is missing in timelines.
    result = execute_as_code_location(
        definition, instance, location=_CODE_LOCATION, partition=partition, run_config=_QUIET
    )
    failures = []
    for event in result.filter_events(lambda event: event.is_step_failure or event.is_run_failure):
        data = event.event_specific_data
        error = getattr(data, "error", None)
        cause = getattr(error, "cause", None) or error
        failures.append(f"{event.step_key or job}: {cause.message.strip() if cause else event.message}")
    checks = [
        f"{check.asset_key.to_user_string()}: {check.description or check.check_name}"
        for check in result.get_asset_check_evaluations()
        if not check.passed
    ]
    return RunOutcome(job, partition, result.run_id, result.success, tuple(failures), tuple(checks))


def print_map(settings: Settings, day: date) -> bool:
    """Print the place and the size of the day's atlas, or why it is empty; whether it has any channel."""
    lake = Lake.open(settings.storage)
    nodes = read_table(lake, analysis_key(f"{day}", "nodes.parquet"), NODES)
    if nodes.is_empty():
        errors.print(
            f"vieweratlas: the map of {day} has no channels: nothing was collected or imported in the "
            f"{settings.analysis.window_days} days up to it, or no channel has "
            f"{settings.analysis.min_channel_viewers} viewers (analysis.min_channel_viewers)",
            soft_wrap=True,
            highlight=False,
        )
        return False
    communities = nodes["community"].drop_nulls().n_unique()
    console.print(f"{nodes.height} channels in {communities} communities", highlight=False)
    where = f"{lake.uri}/{analysis_key(f'{day}', 'atlas.html')}"
    console.print(f"The atlas: {where}", soft_wrap=True, highlight=False)
    return True
