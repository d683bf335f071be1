"""How often the collector asks S3, which is what S3 charges for besides bytes."""

import asyncio
from collections import Counter

from tests.faults.harness import eventually, planted, session
from tests.faults.s3 import FaultyS3


def requests(s3: FaultyS3) -> Counter[tuple[str, str]]:
    """How often S3 was asked, by method and by what the object is."""
    known = ("raw/snapshots", "state/opt_outs.json", "state/collectors")
    found: Counter[tuple[str, str]] = Counter()
    for (method, path), times in s3.asked.items():
        found[method, next((part for part in known if part in path), path)] += times
    return found


async def test_each_window_is_written_once_and_each_refresh_reads_and_writes_one_object(tmp_path):
    world = planted(seed=4, channels=40, viewers=800, days=1)
    async with session(tmp_path, rate=1200.0, window=300, world=world, origin=world.start) as it:
        s3 = await it.use_s3()
        collector = await it.start(credentials=True, channels_per_connection=10)
        began = it.now()
        await eventually(lambda: requests(s3)["PUT", "raw/snapshots"] >= 20, 120)
        await collector.stop()
        refreshes = (it.now() - began) / 300 + 2
        asked = requests(s3)
        objects = await asyncio.to_thread(s3.objects, "raw/snapshots/")
    windows = {key.rsplit("/", 1)[1].split("-")[0] for key in objects}
    assert asked.keys() == {
        ("PUT", "raw/snapshots"),
        ("GET", "state/opt_outs.json"),
        ("PUT", "state/collectors"),
    }
    assert asked["PUT", "raw/snapshots"] == len(objects) == len(windows)
    assert len(windows) <= refreshes
    assert 3 <= asked["GET", "state/opt_outs.json"] <= refreshes
    assert asked["PUT", "state/collectors"] <= refreshes
