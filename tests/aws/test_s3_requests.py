"""How often the collector asks S3, which is what S3 charges for besides bytes."""

import asyncio
from collections import Counter

from tests.faults.harness import planted, session


def kind(path: str) -> str:
    """What an object is, from its path."""
    known = ("raw/snapshots", "state/opt_outs.json", "state/collectors")
    return next((part for part in known if part in path), path)


async def test_each_window_is_written_once_and_each_refresh_reads_and_writes_one_object(tmp_path):
    world = planted(seed=4, channels=40, viewers=800, days=1)
    async with session(tmp_path, rate=1200.0, window=300, world=world, origin=world.start) as it:
        s3 = await it.use_s3()
        collector = await it.start(credentials=True, channels_per_connection=10)
        began = it.now()
        await asyncio.sleep(8.0)
        await collector.stop()
        refreshes = (it.now() - began) / 300 + 2
        asked = Counter()
        for (method, path), times in s3.asked.items():
            asked[method, kind(path)] += times
        objects = await asyncio.to_thread(s3.objects, "raw/snapshots/")
    windows = {key.rsplit("/", 1)[1].split("-")[0] for key in objects}
    assert asked.keys() == {
        ("PUT", "raw/snapshots"),
        ("GET", "state/opt_outs.json"),
        ("PUT", "state/collectors"),
    }
    assert asked["PUT", "raw/snapshots"] == len(objects) == len(windows)
    assert 10 < len(windows) <= refreshes
    assert 5 < asked["GET", "state/opt_outs.json"] <= refreshes
    assert asked["PUT", "state/collectors"] <= refreshes
