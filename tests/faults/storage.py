"""Faults of S3, of the local disk, and of the machine's clock; one scenario each."""

import asyncio
import os
import resource
import struct
import subprocess
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from .harness import CLOCK_LAUNCHER, eventually, session
from .s3 import FAULTS

OUTAGE_SECONDS = 600.0


@contextmanager
def refused_writes(pid):
    """The kernel refuses the process every byte it wants to add to a file."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder):
    """A disk of 1 MiB for a collector's journal and spool; only root may mount one.

    Yields:
        Where it is mounted.
    """
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk; disk-refuses holds the same promise for everybody")
    disk = folder / "disk"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        state = folder / "collector" / "state"
        state.mkdir(parents=True)
        for name in ("journal", "spool"):
            (disk / name).mkdir()
            (state / name).symlink_to(disk / name)
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


async def s3(mode, folder):
    """S3 fails for ten simulated minutes, comes back, and has every object once, byte for byte."""
    async with session(folder, rate=60.0) as it:
        store = await it.use_s3()
        collector = await it.start()
        await it.reading()
        await eventually(lambda: store.hits["pass"] > 0)
        store.mode = mode
        began = it.now()
        waiting = {}
        while it.now() < began + OUTAGE_SECONDS:
            for path in collector.folder.glob("state/spool/*.ndjson.gz"):
                waiting[path.name] = path.read_bytes()
            await asyncio.sleep(0.2)
        assert store.hits[mode] > 0
        assert len(waiting) >= 3
        store.mode = "pass"
        await it.finish(collector)
        objects = list(it.objects(collector).values())
        assert len(set(objects)) == len(objects)
        assert set(waiting.values()) <= set(objects)


async def disk_refuses(folder):
    """The disk refuses every write for eight seconds: what was seen meanwhile stays in memory."""
    async with session(folder) as it:
        collector = await it.start()
        await it.reading()
        await asyncio.sleep(1.0)
        with refused_writes(collector.pid):
            await asyncio.sleep(8.0)
        await asyncio.sleep(2.0)
        await it.finish(collector)
        assert "cannot write the journal" in collector.logs[0]


async def disk_full(folder):
    """The disk is full, to the last byte, and has room again later."""
    with small_disk(folder) as disk:
        async with session(folder) as it:
            collector = await it.start()
            await it.reading()
            await asyncio.sleep(1.0)
            with pytest.raises(OSError, match="No space left"):
                fill(disk / "filler")
            await asyncio.sleep(8.0)
            (disk / "filler").unlink()
            await asyncio.sleep(2.0)
            await it.finish(collector)
            assert "No space left" in collector.logs[0]


async def disk_read_only(folder):
    """The disk becomes read-only, as after an error, and is writable again later."""
    with small_disk(folder) as disk:
        async with session(folder) as it:
            collector = await it.start()
            await it.reading()
            await asyncio.sleep(1.0)
            # Refused while a file is open for writing, which it is for moments only.
            await eventually(lambda: remounted(disk, "ro"), 10)
            await asyncio.sleep(8.0)
            assert remounted(disk, "rw")
            await asyncio.sleep(2.0)
            await it.finish(collector)
            assert "Read-only file system" in collector.logs[0]


def fill(path):
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def remounted(disk, option):
    """Whether the disk could be mounted anew with this option."""
    command = ["mount", "-o", f"remount,{option}", disk]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


async def clock_jumps(seconds, folder):
    """The machine's clock is set by so many seconds, and later set right again.

    Counts follow Twitch's time, so nothing is lost or doubled. While the clock is behind Twitch's, events
    stand in the window that it shows; and when it watched, the collector can only say by the wrong clock.
    """
    async with session(folder) as it:
        offset = folder / "offset"
        offset.write_bytes(struct.pack("<d", 0.0))
        collector = await it.start(launcher=(str(CLOCK_LAUNCHER), str(offset)))
        await it.reading()
        for jump in (seconds, 0.0):
            await asyncio.sleep(3.0)
            with offset.open("r+b") as file:
                file.write(struct.pack("<d", jump))
        await asyncio.sleep(3.0)
        everything = [(0.0, float("inf"))]
        it.allowed.unwatched = it.allowed.overstated = everything
        it.allowed.moved = seconds < 0
        found = await it.finish(collector)
        assert all(0 <= record.observed_seconds <= record.window_seconds for record in found.records)
        for channel, watched in found.observed.items():
            # No moment twice, in whatever parts and windows.
            assert watched <= sum(end - begin for begin, end in found.covered[channel]) + 0.1


SCENARIOS = {
    **{f"s3-{mode}": partial(s3, mode) for mode in FAULTS},
    "disk-refuses": disk_refuses,
    "disk-full": disk_full,
    "disk-read-only": disk_read_only,
    "clock-set-forward": partial(clock_jumps, 40.0),
    "clock-set-back": partial(clock_jumps, -40.0),
}
