"""How often the collector asks S3, which is what S3 charges for besides bytes."""

import asyncio
from collections import Counter

from collector_service.contract import LIVE_PREFIX
from tests.faults.harness import eventually, planted, session
from tests.faults.s3 import FaultyS3

DAY = 86_400


def requests(s3: FaultyS3) -> Counter[tuple[str, str]]:
    """How often S3 was asked, by method and by what the object is."""
    known = ("raw/snapshots", "state/opt_outs.json", "state/viewer_key.json", "state/collectors")
    found: Counter[tuple[str, str]] = Counter()
    for (method, path), times in s3.asked.items():
        found[method, next((part for part in known if part in path), path)] += times
    return found


async def test_a_day_of_the_collector_asks_s3_three_hundred_times_at_most(tmp_path):
    world = planted(seed=4, channels=12, viewers=400, days=1)
    # The limit of 100 windows is the default's; whatever supervises the process starts it again.
    async with session(tmp_path, rate=1200.0, window=300, world=world, origin=world.start) as it:
        s3 = await it.use_s3()
        collector = await it.start(credentials=True, max_collection_cycles=100)
        starts = 1
        while it.now() < world.start + DAY:
            await eventually(lambda: collector.ended or it.now() >= world.start + DAY, 120)
            if collector.ended:
                await collector.start()
                starts += 1
        # One that has just begun may not know yet what SIGTERM asks of it.
        await eventually(lambda: collector.ended or it.joined(), 120)
        if not collector.ended:
            await collector.stop()
        asked = requests(s3)
        objects = await asyncio.to_thread(s3.objects, LIVE_PREFIX)
    assert starts >= 2  # a busy machine starts slowly
    assert asked.keys() == {
        ("PUT", "raw/snapshots"),
        ("GET", "state/opt_outs.json"),
        ("GET", "state/viewer_key.json"),
        # In the lake's whole life once.
        ("PUT", "state/viewer_key.json"),
        ("PUT", "state/collectors"),
    }
    assert asked["PUT", "raw/snapshots"] == len(objects)
    assert asked["PUT", "state/viewer_key.json"] == 1
    # A start more than a day has on the average reads both, and may begin its own part of a window.
    assert sum(asked.values()) <= 300 + 4
