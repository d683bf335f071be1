"""The demo's child processes: the simulator and the collector, started, watched and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from collector_service.clock import ScaledClock, parse_clock
from collector_service.settings import read_config

_START_SECONDS = 60.0
# The collector promises to exit within 25 s of SIGTERM.
_STOP_SECONDS = 40.0
_REAL_SECONDS_PER_DAY = 30.0


class DemoError(Exception):
    """The demo cannot continue; the text has the reason and the log to read."""


@dataclass(frozen=True)
class DemoOptions:
    """The options of `make demo`."""

    seed: int
    channels: int
    viewers: int
    days: int
    data_dir: Path
    first_day: date
    dagster_home: Path | None = None
    mark: str = ""

    @property
    def home(self) -> Path:
        """Folder of the Dagster instance: the given one, or the demo's own."""
        return self.dagster_home or self.data_dir / "dagster"

    @property
    def rate(self) -> float:
        """World seconds per real second."""
        return 86_400 / _REAL_SECONDS_PER_DAY

    @property
    def logs(self) -> Path:
        """Folder of the processes' logs."""
        return self.data_dir / "logs"

    @property
    def oracle(self) -> Path:
        """Folder in which the simulator writes the truth."""
        return self.data_dir / "oracle"

    @property
    def config(self) -> Path:
        """The settings file of the whole demo."""
        return self.data_dir / "config.yaml"


@dataclass(frozen=True)
class World:
    """A running simulated Twitch: its addresses, credentials and clock."""

    urls: dict[str, str]
    client_id: str
    client_secret: str
    clock: ScaledClock
    ends_at: float

    def environment(self) -> dict[str, str]:
        """Environment variables that lead a program to this world instead of Twitch."""
        return {
            "TWITCH_IRC_URL": self.urls["irc_url"],
            "TWITCH_HELIX_URL": self.urls["helix_url"],
            "TWITCH_ID_URL": self.urls["id_url"],
            "TWITCH_GQL_URL": self.urls["gql_url"],
            "TWITCH_CLIENT_ID": self.client_id,
            "TWITCH_CLIENT_SECRET": self.client_secret,
        }


# Not in the settings file: after the demo, the schedules of `make ui` must not read VODs.
VOD_OVERRIDES = {"vod": {"enabled": True, "max_vods_per_run": 500}}


def write_demo_config(options: DemoOptions, base: Path) -> None:
    """Write the demo's settings: the project's own with the demo's folders and a faster refresh."""
    settings: dict[str, Any] = read_config(base)
    root = options.data_dir.resolve()
    settings["storage"] = {"type": "file", "dir": str(root / "lake")}
    settings["privacy"] = settings.get("privacy", {}) | {"viewer_key_file": str(root / "viewer_key.secret")}
    # A small world has small overlaps.
    small = {"first_day": options.first_day, "overlap_threshold": 2}
    settings["analysis"] = settings.get("analysis", {}) | small
    settings["collection"] = settings.get("collection", {}) | {
        "state_dir": str(root / "collector"),
        "bots_file": str((base.parent / "bots.txt").resolve()),
        "top_channels_limit": options.channels,
        # Half an hour of the world is about 0.6 s here.
        "refresh_seconds": 1800,
        # A fast world needs fast joins: the demo's Twitch allows 100 times the usual rate.
        "join_rate": {"joins": 2000, "seconds": 10, "scope": "connection"},
        "connection_interval_seconds": 0.05,
        "max_runtime_hours": 0,
        "max_collection_cycles": 0,
        "http_port": 0,
    }
    options.config.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


@contextmanager
def simulated_twitch(options: DemoOptions) -> Iterator[World]:
    """Run the simulator; it writes its oracle when the block ends.

    Raises:
        DemoError: it did not start, or it failed.
    """
    ready = options.data_dir / "simulator.json"
    command = [
        *("-m", "collector_service.simulator"),
        *("--seed", str(options.seed)),
        *("--channels", str(options.channels)),
        *("--viewers", str(options.viewers)),
        *("--days", str(options.days)),
        *("--start", options.first_day.isoformat()),
        *("--rate", f"{options.rate:g}"),
        *("--start-delay", "4"),
        *("--join-limit", "2000/10"),
        *("--ready", str(ready)),
        *("--oracle", str(options.oracle)),
        *("--mark", options.mark),
    ]
    with _process("simulator", command, options.logs / "simulator.log", {}) as process:
        yield _wait_for_world(process, ready, options.logs / "simulator.log")


@contextmanager
def running_collector(
    options: DemoOptions, world: World, *, ending: signal.Signals = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the collector against the world until the block ends.

    Args:
        options: its folders; a later collector resumes from the files of an earlier one.
        world: the Twitch that it reads.
        ending: SIGTERM, on which it flushes and exits, or SIGKILL, which it cannot catch.

    Raises:
        DemoError: it ended early or failed.
    """
    clock = ScaledClock(world.clock.real_origin, world.clock.world_origin, world.clock.rate, world.ends_at)
    environment = world.environment() | {"VIEWERATLAS_CLOCK": clock.spec(), "COLLECTOR_ID": "demo"}
    command = ["-m", "collector_service", "--config", str(options.config)]
    with _process("collector", command, options.logs / "collector.log", environment, ending) as process:
        yield process


def check_alive(process: subprocess.Popen[bytes], log: Path) -> None:
    """Check that the process is running.

    Raises:
        DemoError: it has ended.
    """
    if process.poll() is not None:
        raise DemoError(f"a process ended early with code {process.returncode}; see {log}:\n{_tail(log)}")


@contextmanager
def _process(
    name: str,
    command: list[str],
    log: Path,
    environment: dict[str, str],
    ending: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own modules with our own arguments
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=own_environment() | environment,
            # Ctrl-C reaches only the demo, which then stops its processes in order.
            start_new_session=True,
        )
        try:
            yield process
        except BaseException:
            process.kill()
            process.wait()
            raise
        _stop(name, process, log, ending)


def own_environment() -> dict[str, str]:
    """This process's environment without variables that would override the demo's settings."""
    ours = ("TWITCH_", "S3_", "AWS_", "STORAGE_TYPE", "LAKE_DIR", "CHANNELS_FILE", "COLLECTOR_", "VIEWER")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _stop(name: str, process: subprocess.Popen[bytes], log: Path, ending: signal.Signals) -> None:
    process.send_signal(ending)
    try:
        code = process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise DemoError(f"the {name} did not stop within {_STOP_SECONDS:g} s; see {log}") from None
    if code != (0 if ending == signal.SIGTERM else -ending):
        raise DemoError(f"the {name} exited with code {code}; see {log}:\n{_tail(log)}")


def _wait_for_world(process: subprocess.Popen[bytes], ready: Path, log: Path) -> World:
    deadline = time.monotonic() + _START_SECONDS
    while not ready.exists():
        check_alive(process, log)
        if time.monotonic() > deadline:
            raise DemoError(f"the simulator was not ready within {_START_SECONDS:g} s; see {log}")
        time.sleep(0.05)
    written = json.loads(ready.read_text(encoding="utf-8"))
    clock = parse_clock(written["clock"])
    if not isinstance(clock, ScaledClock):
        raise DemoError(f"the simulator wrote no scaled clock to {ready}")
    urls = {name: written[name] for name in ("irc_url", "helix_url", "id_url", "gql_url")}
    return World(urls, written["client_id"], written["client_secret"], clock, float(written["ends_at"]))


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
