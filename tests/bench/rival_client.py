"""TwitchIO 2.10.0's own client, counting who chats where. Runs in the rival's environment alone.

Usage: ``python rival_client.py ws://HOST:PORT MESSAGES``. Prints a JSON object when it has counted so many:
``messages``, ``pairs``, ``seconds`` and ``cpu_seconds`` from the first message to the last.
"""

import asyncio
import json
import sys
import time

import aiohttp
import twitchio
import twitchio.websocket


class Counting(twitchio.Client):
    def __init__(self, expected):
        super().__init__("anonymous", loop=asyncio.get_running_loop())
        self.expected = expected
        self.finished = asyncio.Event()
        self.messages = 0
        self.seen = {}
        self.began = (0.0, 0.0)
        self.ended = (0.0, 0.0)

    async def event_message(self, message):
        if not self.messages:
            self.began = (time.perf_counter(), time.process_time())
        self.seen.setdefault(message.channel.name, set()).add(message.author.id)
        self.messages += 1
        if self.messages == self.expected:
            self.ended = (time.perf_counter(), time.process_time())
            self.finished.set()


async def main(url, expected):
    # There is no official way to another server, nor to read without an account.
    twitchio.websocket.HOST = url
    client = Counting(expected)
    client._http.nick = "justinfan12345"
    client._http.session = aiohttp.ClientSession()
    await client.connect()
    await client.finished.wait()
    print(
        json.dumps(
            {
                "messages": client.messages,
                "pairs": sum(len(people) for people in client.seen.values()),
                "seconds": client.ended[0] - client.began[0],
                "cpu_seconds": client.ended[1] - client.began[1],
            }
        ),
        flush=True,
    )
    await client.close()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
