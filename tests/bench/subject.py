"""The real collector process under measurement (Linux only), with its own configuration, disk and lake."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from collector_service.contract import decode_lines, parse_record

from .stream import CHANNELS, LOGINS

WINDOW_SECONDS = 300
CONNECTIONS = math.ceil(CHANNELS / 90)

_REPOSITORY = Path(__file__).parents[2]
_JOIN_SECONDS = 120.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.02
# The journal is flushed every second.
_SETTLE_SECONDS = 1.5
_LAG = re.compile(r'^vieweratlas_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
_OURS = ("TWITCH", "S3", "LAKE", "COLLECTOR", "VIEWER", "CHANNELS", "STORAGE", "LOG_", "AWS")


class BenchError(Exception):
    """A part could not be measured; the text says why."""


@dataclass(frozen=True)
class Lags:
    """How often the event loop was at most so late: cumulated counts by upper bound in seconds."""

    counts: dict[float, int]

    def since(self, before: Lags) -> Lags:
        """What came after ``before``."""
        return Lags({bound: count - before.counts[bound] for bound, count in self.counts.items()})

    def bound(self, share: float) -> float:
        """The smallest bound that ``share`` of the samples keep, in seconds; infinite beyond the last."""
        total = self.counts[math.inf]
        return min(bound for bound, count in self.counts.items() if count >= share * total)

    @property
    def samples(self) -> int:
        """How many there are."""
        return self.counts[math.inf]

    def within(self, seconds: float) -> float:
        """The share of samples that are at most ``seconds`` late; ``seconds`` must be a bound."""
        return self.counts[seconds] / self.samples


@dataclass(frozen=True)
class Collected:
    """What the lake holds: messages by channel, and most (channel, viewer) pairs in one object."""

    messages: Counter[str]
    pairs: int

    def lost(self, sent: dict[str, int]) -> int:
        """Messages that are missing or too many, over all channels."""
        return sum(abs(sent.get(login, 0) - self.messages[login]) for login in sent.keys() | self.messages)


class Subject:
    """A running collector; made by `running`.

    Attributes:
        peak_bytes: its largest resident memory so far, also while it stops.
    """

    def __init__(self, folder: Path, port: int, process: asyncio.subprocess.Process) -> None:
        self._folder = folder
        self._port = port
        self._process = process
        self.peak_bytes = 0

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far, user and system."""
        text = Path(f"/proc/{self._process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def settled(self) -> None:
        """Wait until what it has read is in the journal."""
        await asyncio.sleep(_SETTLE_SECONDS)

    async def lags(self) -> Lags:
        """The event loop's lateness since the start."""
        found = _LAG.findall(await self._page("metrics"))
        return Lags({float(bound): int(float(count)) for bound, count in found})

    async def joined(self) -> None:
        """Wait until all channels are joined.

        Raises:
            BenchError: that takes too long.
        """
        joined = 0
        deadline = time.monotonic() + _JOIN_SECONDS
        while time.monotonic() < deadline:
            self._must_run()
            try:
                joined = json.loads(await self._page("healthz"))["channels"]["joined"]
            except aiohttp.ClientConnectionError:
                joined = 0
            if joined == CHANNELS:
                return
            await asyncio.sleep(0.2)
        raise BenchError(f"only {joined} of {CHANNELS} channels are joined after {_JOIN_SECONDS:.0f} s")

    async def stop(self) -> Collected:
        """End it with SIGTERM; returns what is in the lake then.

        Raises:
            BenchError: it does not end well, or not everything is in the lake.
        """
        self._must_run()
        self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while self._process.returncode is None and time.monotonic() < deadline:
            self._look_at_memory()
            await asyncio.sleep(_POLL_SECONDS)
        if self._process.returncode != 0:
            raise BenchError(f"the collector did not end well ({self._process.returncode}):\n{self._log()}")
        return self._collected()

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()

    def _look_at_memory(self) -> None:
        try:
            text = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return
        if found := re.search(r"VmHWM:\s+(\d+) kB", text):
            self.peak_bytes = max(self.peak_bytes, int(found[1]) * 1024)

    def _must_run(self) -> None:
        if self._process.returncode is not None:
            raise BenchError(f"the collector ended by itself ({self._process.returncode}):\n{self._log()}")

    async def _page(self, name: str) -> str:
        url = f"http://127.0.0.1:{self._port}/{name}"
        async with aiohttp.ClientSession() as web, web.get(url) as response:
            return await response.text()

    def _log(self) -> str:
        return "\n".join((self._folder / "log").read_text(errors="replace").splitlines()[-15:])

    def _collected(self) -> Collected:
        messages: Counter[str] = Counter()
        most = 0
        for path in (self._folder / "lake").rglob("*.ndjson.gz"):
            pairs = 0
            for line in decode_lines(path.read_bytes()):
                record = parse_record(line)
                if record.messages != sum(record.viewer_messages):
                    raise BenchError(f"{path.name}: {record.channel}: viewers' messages do not add up")
                messages[record.channel] += record.messages
                pairs += len(record.viewer_keys)
            most = max(most, pairs)
        return Collected(messages, most)


@asynccontextmanager
async def running(folder: Path, irc_url: str) -> AsyncIterator[Subject]:
    """A collector that reads all channels of the stream; it is gone when the context ends.

    Args:
        folder: an empty folder for everything it writes.
        irc_url: where it connects to.
    """
    port = _free_port()
    channels = folder / "channels.txt"
    channels.write_text("\n".join(LOGINS) + "\n")
    config = folder / "config.yaml"
    # JSON is YAML.
    config.write_text(
        json.dumps(
            {
                "storage": {"type": "file", "dir": str(folder / "lake")},
                "twitch": {"irc_url": irc_url},
                "collection": {
                    "channels_file": str(channels),
                    "bots_file": str(_REPOSITORY / "config/bots.txt"),
                    "window_seconds": WINDOW_SECONDS,
                    "join_rate": {"joins": 2000, "seconds": 0.01, "scope": "connection"},
                    "connection_interval_seconds": 0,
                    "state_dir": str(folder / "state"),
                    "http_port": port,
                },
                "privacy": {"viewer_key_file": str(folder / "viewer_key.secret")},
            }
        )
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "collector_service", "--config", str(config)),
            cwd=_REPOSITORY,
            env=environment,
            stdout=log,
            stderr=log,
        )
    subject = Subject(folder, port, process)
    try:
        yield subject
    finally:
        subject.kill()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
