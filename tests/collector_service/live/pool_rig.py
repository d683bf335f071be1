"""A pool on a server double, and what it counted."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

from collector_service.live.intake import Intake
from collector_service.live.pool import Pool
from collector_service.live.viewer_keys import ViewerKeys
from collector_service.live.windows import Windows
from collector_service.metrics import Stats
from collector_service.settings import CollectionSettings, TwitchSettings
from tests.collector_service.virtual_time import LoopClock

from .irc_double import irc_double, message

ROOMS = {f"chan{number}": 100 + number for number in range(12)}


class Rig:
    """A pool on a server double, and what it counted."""

    def __init__(self, double, clock, **collection):
        self.double = double
        self.stats = Stats()
        self.windows = Windows(clock, 86_400)
        self.intake = Intake(self.windows, ViewerKeys("secret", ["botty"]), self.stats)
        defaults = {
            "connection_interval_seconds": 0.0,
            "join_rate": {"joins": 2000, "seconds": 1},
        }
        self.tasks = []
        self.pool = Pool(
            TwitchSettings(irc_url=f"irc://127.0.0.1:{double.port}"),
            CollectionSettings(**(defaults | collection)),
            self.windows,
            self.intake,
            self.stats,
        )
        self.pool.start(self.spawn)

    def spawn(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.append(task)
        return task

    @property
    def clients(self):
        return [client for client in self.double.clients if not client.closed.is_set()]

    def say(self, client, room_id, user_id, message_id, channel, text="hi"):
        client.send(self.line(room_id, user_id, message_id, channel, text))

    def line(self, room_id, user_id, message_id, channel, text="hi"):
        return message(room_id, user_id, message_id, int(self.windows.now() * 1000), channel, text)

    def messages(self):
        found = Counter()
        for share in self.windows.open_shares:
            for room, tally in share.tallies.items():
                for number in tally.viewers.values():
                    found[room] += number
        return found

    def observed(self):
        now = self.windows.now()
        return {
            room: sum(until - since for since, until in tally.watched(share.start, now))
            for share in self.windows.open_shares
            for room, tally in share.tallies.items()
        }


@asynccontextmanager
async def pool_rig(rooms=ROOMS, clock=None, **collection):
    """A rig whose pool is stopped at the end; in virtual time unless a clock is given."""
    async with irc_double(rooms) as double:
        made = Rig(double, clock or LoopClock(), **collection)
        try:
            yield made
        finally:
            await made.pool.stop()
            results = await asyncio.gather(*made.tasks, return_exceptions=True)
            assert [r for r in results if r is not None and not isinstance(r, asyncio.CancelledError)] == []


def all_joined(rig):
    return lambda: rig.pool.roster.counts() == {"joined": len(ROOMS)}
