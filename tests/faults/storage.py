"""Faults of S3, of the local disk, and of the machine's clock; one scenario each.

``s3`` and ``machine`` make S3, a disk or a clock fail.
"""

import asyncio
from functools import partial

from collector_service.live.windows import MAX_STEP_BACK_SECONDS

from .harness import eventually, session
from .machine import MachineClock, SmallDisk, refused_writes
from .s3 import FAULTS

# Real seconds. Refusals and silence outlast the request's own time-out and retries (30 s), so that the
# collector's back-off is played, too.
OUTAGE_SECONDS = {"refuse": 40.0, "hang": 45.0, "reset": 10.0, "lose": 10.0}


async def s3(mode, folder):
    """S3 fails for ten simulated minutes or more; the same process brings every object once, unchanged."""
    async with session(folder, rate=60.0) as it:
        store = await it.use_s3()
        collector = await it.start()
        await it.reading()
        await eventually(lambda: store.hits["pass"] > 0)
        store.mode = mode
        ends = it.now() + OUTAGE_SECONDS[mode] * it.rate
        waiting = {}
        while it.now() < ends:
            waiting |= collector.spooled()
            await asyncio.sleep(0.2)
        assert store.hits[mode] > 0
        assert len(waiting) >= 3
        store.mode = "pass"
        await it.caught_up(collector)
        await it.still()
        await collector.stop()
        assert not collector.on_disk, collector.logs[-1]
        found = await it.check(collector)
        assert found.twice() == []
        assert len(collector.logs) == 1, "recovered by a restart"
        if OUTAGE_SECONDS[mode] > 30:
            assert "upload failed" in collector.logs[0]
        assert set(waiting.values()) <= set(it.objects(collector).values())


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
    async with session(folder) as it:
        disk = it.enter(SmallDisk.mounted(folder / "collector"))
        collector = await it.start()
        await it.reading()
        await asyncio.sleep(1.0)
        disk.fill()
        await asyncio.sleep(8.0)
        disk.empty()
        await asyncio.sleep(2.0)
        await it.finish(collector)
        assert "No space left" in collector.logs[0]


async def disk_read_only(folder):
    """The disk becomes read-only, as after an error, and is writable again later."""
    async with session(folder) as it:
        disk = it.enter(SmallDisk.mounted(folder / "collector"))
        collector = await it.start()
        await it.reading()
        await asyncio.sleep(1.0)
        await eventually(lambda: disk.becomes("ro"), 10)
        await asyncio.sleep(8.0)
        assert disk.becomes("rw")
        await asyncio.sleep(2.0)
        await it.finish(collector)
        assert "Read-only file system" in collector.logs[0]


async def clock_jumps(seconds, folder):
    """The machine's clock is set by so many real seconds, and later set right again.

    While it is wrong, the collector goes on in the windows that the wrong clock shows. Counts follow
    Twitch's time, but an event from the clock's future stands in the window of now.
    """
    async with session(folder, past=60.0) as it:
        clock = MachineClock(folder)
        collector = await it.start(launcher=clock.launcher)
        await it.reading()
        await it.goes_on(collector)
        wrong_from = it.now()
        clock.set_wrong(seconds)
        # After a small step back the clock stands still until the right time has passed it.
        await it.goes_on(collector, seconds if abs(seconds) > MAX_STEP_BACK_SECONDS else 0.0)
        wrong_until = it.now()
        clock.set_wrong(0.0)
        it.allow_wrong_clock(seconds, wrong_from, wrong_until)
        await it.goes_on(collector)
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
    "clock-set-back-a-little": partial(clock_jumps, -3.0),
}
