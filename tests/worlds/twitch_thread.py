"""A simulated Twitch in a thread, for tests whose own code, or whose child processes, ask it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from collector_service.clock import ScaledClock
from collector_service.contract import encode_object
from collector_service.simulator.server import Simulator
from collector_service.simulator.world import World
from tests.worlds.records import snapshot


@contextmanager
def twitch_in_thread(world: World, now: float) -> Iterator[dict[str, str]]:
    """A Twitch whose time stands still at ``now``, as environment variables for those who ask it."""
    loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    environment: dict[str, str] = {}

    async def play() -> None:
        async with Simulator.start(world, ScaledClock(0.0, now, 1e-9)) as simulator:
            environment.update(
                TWITCH_HELIX_URL=simulator.helix_url,
                TWITCH_ID_URL=simulator.id_url,
                TWITCH_GQL_URL=simulator.gql_url,
                TWITCH_CLIENT_ID=simulator.client_id,
                TWITCH_CLIENT_SECRET=simulator.client_secret,
            )
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(play(),))
    thread.start()
    try:
        assert ready.wait(20), "the simulated Twitch did not start"
        yield environment
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


def unseen(world: World, start: datetime) -> bytes:
    """A live object: the collector wanted every channel of the world in this window, and had none."""
    return encode_object(
        [
            snapshot(
                one.channel_id,
                channel=one.login,
                window_start=start,
                observed_seconds=0.0,
                partial=True,
                status="joining",
            )
            for one in world.channels
        ]
    )
