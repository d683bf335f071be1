"""Processes: kill -9, two collectors at once, a deploy; one scenario each.

SIGTERM in the middle of a fault is in ``interruptions``.
"""

import asyncio
from functools import partial
from random import Random

from vieweratlas_dagster.curation.merge import curate

from .harness import eventually, session
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
        found = await it.finish(collector)
        assert found.twice() == []


async def two_collectors(folder):
    """Two collectors read the same channels: each is complete, and merged nobody is counted twice."""
    async with session(folder) as it:
        first, second = await it.start("first"), await it.start("second")
        await it.reading()
        await it.still()
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
        await it.still()
        await new.stop()
        records = (await it.collected(old)).records + (await it.collected(new)).records
        found = {
            (record.channel_id, key, int(record.window_start.timestamp()))
            for record in records
            for key in record.viewer_keys
        }
        assert found == Truth.of(it.simulator).presence


SCENARIOS = {
    **{f"kill-9-seed-{seed}": partial(kill_9, seed) for seed in (1, 2)},
    "kill-9-while-s3-loses-answers": kill_9_while_s3_loses_answers,
    "two-collectors": two_collectors,
    "handed-over": handed_over,
}
