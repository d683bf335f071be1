"""The collector's benchmark: ``python -m tests.bench.collector [--quick] [--only PART]``.

Exit code 0 when every bar is met, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from . import rival
from .load_server import LoadServer
from .report import Row, exit_code, progress, render
from .stream import CHANNELS, Messages, draw
from .subject import CONNECTIONS, WINDOW_SECONDS, BenchError, Collected, Lags, Subject, running

PARTS = ("throughput", "memory", "rival", "lag", "burst")
QUICK = 0.1

_MESSAGES = 2_000_000
_RIVAL_MESSAGES = 120_000
_LAG_RATE, _LAG_SECONDS = 10_000, 30.0
_BURST_RATE, _BURST_SECONDS = 20_000, 60.0

_PER_CPU_SECOND = 60_000.0
_BETTER_THAN_RIVAL = 5.0
_MEGABYTE = 1_000_000
_MEMORY_MEGABYTES = 300.0
_PAIRS = 1_000_000
_LONGEST_LAG = 0.25
_LONGEST_BACKLOG_SECONDS = 1.0
# Slower than any machine that meets the bars; for guessing whether a run fits into the window.
_SLOW = 40_000
_START_SECONDS = 15.0


@dataclass(frozen=True)
class Feeding:
    """What one collector was fed, what that cost, and what became of it."""

    sent: Messages
    seconds: float
    cpu_seconds: float
    lags: Lags
    peak_bytes: int
    collected: Collected

    @property
    def lost(self) -> int:
        """Messages that are not in the lake as sent."""
        return self.collected.lost(self.sent.by_channel)

    @property
    def per_cpu_second(self) -> float:
        """Messages per CPU second, so per core."""
        return len(self.sent) / self.cpu_seconds


async def feed(part: str, messages: Messages, seconds: float | None = None) -> Feeding:
    """Start a collector, let it join, feed it, stop it, and read the lake.

    Raises:
        BenchError: that did not work.
    """
    async with _joined_collector(part) as (server, subject):
        pace = "as fast as it reads" if seconds is None else f"{len(messages) / seconds:,.0f} a second"
        progress(f"{part}: {len(messages):,} messages, {pace} ...")
        lags, cpu = await subject.lags(), subject.cpu_seconds()
        try:
            took = await server.feed(messages, seconds)
        except* (ConnectionError, RuntimeError) as group:
            raise BenchError(f"the feeding broke off: {group.exceptions[0]}") from None
        await subject.settled()
        lags, cpu = (await subject.lags()).since(lags), subject.cpu_seconds() - cpu
        progress(f"{part}: stopping, reading the lake ...")
        collected = await subject.stop()
        return Feeding(messages, took, cpu, lags, subject.peak_bytes, collected)


@asynccontextmanager
async def _joined_collector(part: str) -> AsyncIterator[tuple[LoadServer, Subject]]:
    with tempfile.TemporaryDirectory(prefix="vieweratlas-bench-") as folder:
        async with LoadServer.run() as server, running(Path(folder), server.url) as subject:
            progress(f"{part}: joining {CHANNELS:,} channels on {CONNECTIONS} connections ...")
            await subject.joined()
            yield server, subject


async def measure_throughput(scale: float) -> tuple[Feeding, list[Row]]:
    """As fast as it reads; rows of the parts throughput and memory."""
    messages = draw(int(_MESSAGES * scale), seed=1)
    await _wait_for_room(len(messages) / _SLOW + _START_SECONDS)
    fed = await feed("throughput", messages)
    how = f"{len(messages):,} messages in {fed.seconds:.1f} s, {fed.cpu_seconds:.1f} CPU s"
    return fed, [
        Row("throughput", "messages per CPU second (per core)", fed.per_cpu_second, least=_PER_CPU_SECOND,
            note=f"{how}, on {CONNECTIONS} plain connections with {CHANNELS:,} channels, with the journal"),
        Row("throughput", "messages per second", len(messages) / fed.seconds),
        Row("throughput", "messages lost", fed.lost, most=0),
        Row("memory", "peak resident memory", fed.peak_bytes / _MEGABYTE, "MB", most=_MEMORY_MEGABYTES,
            note="from the start to the end of the process, the last window's upload included"),
        Row("memory", "(channel, viewer) pairs in the window", fed.collected.pairs, least=_PAIRS * scale),
    ]  # fmt: skip


async def measure_rival(scale: float, ours: float) -> list[Row]:
    """The rival on the same kind of stream, and how many times faster the collector is.

    Args:
        scale: 1 is the full length.
        ours: the collector's messages per CPU second.
    """
    what = f"times {rival.NAME}, per CPU second"
    progress(f"rival: installing {rival.NAME} into a throwaway environment ...")
    with tempfile.TemporaryDirectory(prefix="vieweratlas-bench-") as folder:
        try:
            python = await asyncio.to_thread(rival.install, Path(folder))
            messages = draw(int(_RIVAL_MESSAGES * scale), seed=1)
            progress(f"rival: {len(messages):,} messages ...")
            found = await rival.run(python, messages)
        except BenchError as error:
            return [Row("rival", what, None, least=_BETTER_THAN_RIVAL, note=str(error))]
    theirs = found.messages / found.cpu_seconds
    how = f"{found.messages:,} messages in {found.seconds:.1f} s, {found.cpu_seconds:.1f} CPU s"
    return [
        Row("rival", f"{rival.NAME}: messages per CPU second", theirs,
            note=f"{how}; one WebSocket, nothing to join, many lines a frame; counts (channel, user id)"),
        Row("rival", what, ours / theirs, least=_BETTER_THAN_RIVAL),
    ]  # fmt: skip


async def measure_lag(scale: float) -> list[Row]:
    """The event loop's lateness at a steady pace."""
    seconds = _LAG_SECONDS * scale
    fed = await feed("lag", draw(int(_LAG_RATE * seconds), seed=2), seconds)
    return [
        _largest_lag("lag", fed, f"{_LAG_RATE:,}/s for {seconds:g} s over {CONNECTIONS} connections"),
        Row("lag", "99% of the samples, at most", fed.lags.bound(0.99), "s"),
        Row("lag", "share of samples under 250 ms", 100 * fed.lags.within(_LONGEST_LAG), "%"),
        Row("lag", "messages lost", fed.lost, most=0),
    ]


async def measure_burst(scale: float) -> list[Row]:
    """A burst at twice the steady pace: nothing lost, and read as it comes."""
    seconds = _BURST_SECONDS * scale
    fed = await feed("burst", draw(int(_BURST_RATE * seconds), seed=3), seconds)
    behind = max(0.0, fed.seconds - seconds)
    return [
        Row("burst", f"messages lost of {len(fed.sent):,}", fed.lost, most=0),
        Row("burst", "seconds behind at the end", behind, "s", most=_LONGEST_BACKLOG_SECONDS,
            note=f"{fed.cpu_seconds:.1f} CPU s in {fed.seconds:.1f} s"),
        Row("burst", "largest event-loop lag, at most", fed.lags.bound(1.0), "s"),
    ]  # fmt: skip


async def measure(scale: float, only: str | None = None) -> list[Row]:
    """All parts, or one; the parts throughput, memory and rival need the same run.

    Args:
        scale: 1 is the full length.
        only: one of `PARTS`.

    Returns:
        The rows; a part that could not be measured has one that misses its bar and says why.
    """
    rows: list[Row] = []
    if only in (None, "throughput", "memory", "rival"):
        try:
            fed, rows = await measure_throughput(scale)
        except BenchError as error:
            rows = [_unmeasured(part, error) for part in ("throughput", "memory", "rival")]
        else:
            if only in (None, "rival"):
                rows += await measure_rival(scale, fed.per_cpu_second)
    for part, measure_part in (("lag", measure_lag), ("burst", measure_burst)):
        if only in (None, part):
            try:
                rows += await measure_part(scale)
            except BenchError as error:
                rows.append(_unmeasured(part, error))
    return [row for row in rows if only in (None, row.part)]


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.collector", description="Measure the collector."
    )
    parser.add_argument(
        "--quick", action="store_true", help="each part a tenth as long: a look, not a measurement"
    )
    parser.add_argument("--only", choices=PARTS, help="one part")
    arguments = parser.parse_args()
    rows = asyncio.run(measure(QUICK if arguments.quick else 1.0, arguments.only))
    print(render(rows))
    return exit_code(rows)


def _unmeasured(part: str, error: BenchError) -> Row:
    return Row(part, "the whole part", None, least=1, note=str(error))


def _largest_lag(part: str, fed: Feeding, note: str) -> Row:
    return Row(
        part, "largest event-loop lag, at most", fed.lags.bound(1.0), "s", most=_LONGEST_LAG,
        note=f"{note}, {fed.lags.samples} samples of the lag",
    )  # fmt: skip


async def _wait_for_room(seconds: float) -> None:
    """Wait for the next window if this one ends within ``seconds``."""
    left = WINDOW_SECONDS - time.time() % WINDOW_SECONDS
    if left < seconds:
        progress(f"waiting {left:.0f} s for the next window, into which the whole stream has to fit ...")
        await asyncio.sleep(left)


if __name__ == "__main__":
    sys.exit(main())
