"""The long chat behind Twitch's HTTP endpoints: ``python -m tests.bench.vod_server COMMENTS``.

It prints one line of JSON with the addresses of the simulator's HTTP side, and ends when its standard input
does.
"""

import asyncio
import json
import sys

from aiohttp import web

from collector_service.clock import ScaledClock
from collector_service.simulator.comments_api import CommentsApi
from collector_service.simulator.faults import Faults
from collector_service.simulator.http_api import HttpApi
from collector_service.simulator.oracle import Comment
from collector_service.simulator.world import Stream, World

from .vod_world import long_chat, long_world


class LongChat(CommentsApi):
    """The comments query, with comments that were made before."""

    def __init__(self, world: World, clock: ScaledClock, made: list[Comment]) -> None:
        super().__init__(world, clock, Faults(0))
        self._made = made

    def chat(self, stream: Stream) -> list[Comment]:
        del stream  # there is only one
        return self._made


async def main() -> None:
    """Serve until nobody listens any more."""
    comments = int(sys.argv[1])
    world = long_world(comments)
    clock = ScaledClock(0.0, world.streams[0].ended_at + 3600.0, 1e-9)
    api = HttpApi(
        world, clock, Faults(0), client_id="bench", client_secret="bench", points_per_minute=800,
        write_oracle=None, status=dict,
    )  # fmt: skip
    api.comments = LongChat(world, clock, long_chat(world, comments))
    runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    twitch = {
        "id_url": base, "helix_url": f"{base}/helix", "gql_url": f"{base}/gql",
        "client_id": "bench", "client_secret": "bench",
    }  # fmt: skip
    channel = world.channels[world.streams[0].channel]
    facts = {"twitch": twitch, "clock": clock.spec(), "id": channel.channel_id, "login": channel.login}
    print(json.dumps(facts), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
