"""Ends of processes: kill -9, SIGTERM during faults, two collectors at once; one scenario each."""

import asyncio
from functools import partial
from random import Random

from vieweratlas_dagster.curation.merge import curate

from .harness import eventually, session
from .s3 import FAULTS
from .storage import refused_writes
from .truth import Truth


async def kill_9(seed, folder):
    """Killed four times at random moments: only what came in the last seconds before may be missing."""
    rng = Random(seed)
    async with session(folder) as it:
        collector = await it.start()
        for _ in range(4):
            await it.reading()
            await asyncio.sleep(rng.uniform(0.0, 2.0))
            await it.kill(collector)
            await collector.start()
        await it.reading()
        await it.finish(collector)


async def kill_9_while_s3_loses_answers(folder):
    """Killed while uploads succeed but seem to fail: nothing comes twice after the restart."""
    async with session(folder, rate=60.0) as it:
        store = await it.use_s3()
        collector = await it.start()
        for _ in range(2):
            await it.reading()
            store.mode = "lose"
            await asyncio.sleep(4.0)
            await it.kill(collector)
            store.mode = "pass"
            await collector.start()
        await it.reading()
        await it.finish(collector)
        objects = list(it.objects(collector).values())
        assert len(set(objects)) == len(objects)


async def two_collectors(folder):
    """Two collectors read the same channels: each is complete, and merged nobody is counted twice."""
    async with session(folder) as it:
        first, second = await it.start("first"), await it.start("second")
        await it.reading()
        await it.still(300)
        await asyncio.gather(first.stop(), second.stop())
        records = (await it.collected(first)).records + (await it.collected(second)).records
        assert len({record.collector_id for record in records}) == 2
        truth = Truth.of(it.simulator)
        rows = curate(records).presence["live"].iter_rows(named=True)
        merged = {
            (row["channel_id"], row["viewer_key"], int(row["window_start"].timestamp())): row["messages"]
            for row in rows
        }
        assert set(merged) == truth.presence
        assert {key: count for key, count in merged.items() if count} == dict(+truth.messages)


async def handed_over(folder):
    """A deploy: the new collector starts before the old one is stopped; together they saw everything."""
    async with session(folder) as it:
        old = await it.start("old")
        await it.reading()
        await asyncio.sleep(2.0)
        new = await it.start("new")
        await eventually(lambda: len(it.simulator.irc.connections) == 8)
        await asyncio.sleep(2.0)
        await old.stop()
        await it.still(300)
        await new.stop()
        records = (await it.collected(old)).records + (await it.collected(new)).records
        found = {
            (record.channel_id, key, int(record.window_start.timestamp()))
            for record in records
            for key in record.viewer_keys
        }
        assert found == Truth.of(it.simulator).presence


async def sigterm(fault, folder):
    """Stopped in the middle of a fault: in time, and all that was delivered is in the lake or on disk.

    What was on disk arrives after a restart without the fault.
    """
    async with session(folder) as it:
        store = await it.use_s3() if fault.startswith(("s3-", "disk-")) else None
        collector = await it.start(credentials=fault == "helix-hang", refresh_seconds=it.rate)
        await it.reading(5 if fault == "helix-hang" else None)
        await asyncio.sleep(2.0)
        began, before = it.now(), Truth.of(it.simulator)
        if store is not None and fault.startswith("s3-"):
            store.mode = fault.removeprefix("s3-")
            await asyncio.sleep(3.0)
            await collector.stop()
            store.mode = "pass"
        elif fault == "disk-refuses":
            with refused_writes(collector.pid):
                await asyncio.sleep(3.0)
                await collector.stop()
        else:
            await NETWORK[fault](it)
            await asyncio.sleep(0.5)
            await collector.stop()
        if fault == "unread-by-server":
            # It goes on writing to somebody who has left, for it does not read that.
            it.allowed.lost += Truth.of(it.simulator).since(before)
            it.allowed.unwatched.append((began, float("inf")))
        it.simulator.broadcaster.paused = True
        await it.check(collector)


async def _refuse(it):
    refusing = asyncio.ensure_future(it.faults.refuse_connections(30.0))
    await asyncio.sleep(0.1)
    it.faults.close()
    it.callback(refusing.cancel)


async def _now(act, it):
    act(it.faults)


NETWORK = {
    "nothing": partial(_now, lambda faults: None),
    "close": partial(_now, lambda faults: faults.close()),
    "reconnect": partial(_now, lambda faults: faults.reconnect()),
    "silence": partial(_now, lambda faults: faults.silence()),
    "unread-by-server": partial(_now, lambda faults: faults.stop_reading()),
    "slow-server": partial(_now, lambda faults: faults.trickle(2.0)),
    "login-refused": partial(_now, lambda faults: (faults.refuse_logins(100), faults.close())),
    "login-unanswered": partial(_now, lambda faults: (faults.stall_logins(100), faults.close())),
    "connections-refused": _refuse,
    "helix-hang": partial(_now, lambda faults: faults.helix("hang", 3)),
}

SCENARIOS = {
    **{f"kill-9-seed-{seed}": partial(kill_9, seed) for seed in (1, 2)},
    "kill-9-while-s3-loses-answers": kill_9_while_s3_loses_answers,
    "two-collectors": two_collectors,
    "handed-over": handed_over,
    **{
        f"sigterm-during-{fault}": partial(sigterm, fault)
        for fault in (*NETWORK, *(f"s3-{mode}" for mode in FAULTS), "disk-refuses")
    },
}
