"""Pacing and back-off."""

import asyncio

import pytest

from collector_service.support.pace import Pace
from collector_service.support.retry import NETWORK


@pytest.mark.virtual_time
async def test_no_more_permits_than_allowed_in_any_span():
    pace = Pace(3, 0.2)
    loop = asyncio.get_running_loop()
    times = []

    async def worker(wanted):
        while wanted:
            granted = await pace.take(wanted)
            assert 1 <= granted <= min(wanted, 3)
            times.extend([loop.time()] * granted)
            wanted -= granted

    await asyncio.gather(worker(4), worker(1), worker(4))
    assert len(times) == 9
    assert min(late - early for early, late in zip(times, times[3:], strict=False)) >= 0.19


def test_backoff_grows_to_a_minute_and_is_spread():
    for failures, longest in ((1, 1), (2, 2), (4, 8), (7, 60), (500, 60)):
        delays = [NETWORK.wait_seconds(failures) for _ in range(200)]
        assert longest / 2 <= min(delays) < max(delays) <= longest
        assert len(set(delays)) > 100
