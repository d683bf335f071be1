"""Faults of the network and of Twitch, one scenario each.

The simulator plays them on the wire; faults of the machine and of S3 are in ``storage``.
"""

import asyncio
from functools import partial
from typing import get_args

from collector_service.live.channel_list import CHECK_SECONDS
from collector_service.simulator.garbage import Garbage
from collector_service.simulator.http_faults import HelixFault
from collector_service.simulator.irc_rules import Limit

from .harness import eventually, planted, session


async def closed(folder):
    """Every connection is closed in good order, three times."""
    async with session(folder) as it:
        collector = await it.start()
        await it.reading()
        for _ in range(3):
            await asyncio.sleep(1.0)
            assert it.faults.close() == 4
            await it.reading()
        await it.finish(collector)


async def reset(folder):
    """Every connection is ended by TCP RST, three times."""
    async with session(folder) as it:
        collector = await it.start()
        await it.reading()
        for _ in range(3):
            await asyncio.sleep(1.0)
            assert await it.faults.reset() == 4
            await it.reading()
        await it.finish(collector)


async def reconnect(folder):
    """Twitch asks for new connections: none of the channels is ever unwatched."""
    async with session(folder, reconnect_seconds=4.0) as it:
        collector = await it.start()
        await it.reading()
        await asyncio.sleep(1.0)
        assert it.faults.reconnect() == 4
        found = await it.finish(collector)
        assert all(len(stretches) == 1 for stretches in found.covered.values())


async def reconnect_storm(folder):
    """RECONNECT five times a second on all connections, for three seconds."""
    async with session(folder) as it:
        collector = await it.start()
        await it.reading()
        for _ in range(15):
            await asyncio.sleep(0.2)
            it.faults.reconnect()
        await it.finish(collector)
        assert it.simulator.oracle.totals()["connections"] <= 4 + 4 * 15


async def garbage(kind, folder):
    """Malformed lines on every connection, among the sound ones."""
    async with session(folder) as it:
        collector = await it.start()
        await it.reading()
        for _ in range(5):
            await asyncio.sleep(0.5)
            assert it.faults.garbage(kind) == 4
        await it.finish(collector)
        assert it.simulator.oracle.totals()["connections"] == 4


async def truncated(folder):
    """Connections end in the middle of a line that has everything but its end."""
    async with session(folder) as it:
        collector = await it.start()
        await it.reading()
        for _ in range(3):
            await asyncio.sleep(1.0)
            assert it.faults.truncate() == 4
            await it.reading()
        await it.finish(collector)


async def hostile(folder):
    """Chat that looks like the protocol is counted, protocol that looks like chat is not."""
    world = planted(seed=7, channels=24, viewers=6000, days=1, hostile=True)
    async with session(folder, world=world) as it:
        collector = await it.start()
        await it.reading()
        for _ in range(5):
            await asyncio.sleep(0.5)
            assert it.faults.noise() == 4
        await it.finish(collector)
        assert it.simulator.oracle.totals()["connections"] == 4


async def trickling(folder):
    """The server's bytes come a few at a time, and so late that windows have closed meanwhile."""
    async with session(folder) as it:
        collector = await it.start()
        await it.reading()
        await asyncio.sleep(1.0)
        assert it.faults.trickle(6.0) == 4
        await asyncio.sleep(6.0)
        await it.finish(collector)


async def unread(folder):
    """The server reads nothing from us any more, but goes on sending."""
    async with session(folder) as it:
        collector = await it.start()
        await it.reading()
        assert it.faults.stop_reading() == 4
        await it.still()
        # The server never reads that we have left, so it believes us joined for longer.
        it.allowed.unwatched.append((it.now() - it.rate, float("inf")))
        await collector.stop()
        await it.check(collector)


async def swallowed_joins(folder):
    """Four of ten JOINs get no answer; asked again, the channels are joined all the same."""
    async with session(folder, rate=15.0) as it:
        it.faults.drop_joins(0.4)
        collector = await it.start()
        await it.reading(1)
        await asyncio.sleep(2.0)
        assert len(it.joined()) < 24
        it.faults.drop_joins(0.0)
        await it.reading()
        await it.finish(collector)
        assert it.simulator.oracle.totals()["dropped_joins"] >= 3


async def suspended_while_read(folder):
    """A channel is suspended while it is read: its coverage ends there, and its records say why."""
    async with session(folder) as it:
        login = it.all_logins()[0]
        collector = await it.start()
        await it.reading()
        await asyncio.sleep(1.0)
        assert it.faults.suspend(login) == 1
        found = await it.finish(collector)
        assert "suspended" in found.statuses[login]
        assert found.statuses[it.all_logins()[1]] <= {"joining", "joined"}


async def odd_channels(folder):
    """A suspended and a nonexistent channel are reported; a renamed one is read under its new name."""
    world = planted(seed=5, channels=24, viewers=6000, days=1, oddities=True)
    old, new, instant = world.oddities.renamed
    async with session(folder, rate=300.0, world=world, origin=instant - 3000) as it:
        odd = [world.oddities.suspended, world.oddities.nonexistent]
        # An offline channel is looked up once an hour; until then nobody can know of its new name.
        it.allowed.overstated = [(instant - 1, instant + CHECK_SECONDS + 4 * it.rate)]
        channels = [*it.all_logins(), *odd]
        collector = await it.start(channels=channels, credentials=True, refresh_seconds=it.rate)
        await it.reading()
        await asyncio.sleep((instant + 60 - it.now()) / it.rate)
        await eventually(lambda: new in it.joined(), 30)
        await asyncio.sleep(120 / it.rate)
        found = await it.finish(collector)
        assert found.statuses.get(new)
        assert found.statuses[old] >= {"joined"}


async def mass_disconnect(folder):
    """All sockets die at once, twice: the JOINs come back at the pace that Twitch allows."""
    world = planted(seed=8, channels=90, viewers=6000, days=1)
    async with session(folder, world=world, join_limit=Limit(20, 1.0)) as it:
        # Far from the limit, as a busy machine may read what two turns sent within one second.
        collector = await it.start(channels_per_connection=45, join_rate={"joins": 18, "seconds": 4.0})
        await it.reading()
        for _ in range(2):
            await it.faults.reset()
            await asyncio.sleep(1.0)
            await it.reading()
        await it.finish(collector)
        totals = it.simulator.oracle.totals()
        assert totals["refused_joins"] == 0
        assert totals["accepted_joins"] >= 3 * 90


async def login_refused(folder):
    """Logins are refused with each of Twitch's texts, then accepted again."""
    async with session(folder) as it:
        collector = await it.start()
        await it.reading()
        await asyncio.sleep(1.0)
        it.faults.refuse_logins(6)
        it.faults.close()
        await eventually(lambda: it.simulator.oracle.totals()["refused_logins"] == 6)
        await it.reading()
        await it.finish(collector)


async def login_unanswered(folder):
    """Two connections are accepted, but their logins never answered; the others go on."""
    async with session(folder, rate=15.0) as it:
        collector = await it.start()
        await it.reading()
        await asyncio.sleep(1.0)
        it.faults.stall_logins(2)
        it.faults.close(1)
        it.faults.close(2)
        await it.reading()
        await it.finish(collector)


async def refused_connections(folder):
    """Nobody listens for three seconds."""
    async with session(folder) as it:
        collector = await it.start()
        await it.reading()
        refusing = asyncio.ensure_future(it.faults.refuse_connections(3.0))
        await asyncio.sleep(0.1)
        it.faults.close()
        await refusing
        await it.reading()
        await it.finish(collector)


async def silence(folder):
    """Connections stay up but say nothing: noticed in time, and the silence counts as unwatched."""
    async with session(folder, rate=15.0) as it:
        collector = await it.start()
        await it.reading()
        await asyncio.sleep(1.0)
        began = it.now()
        assert it.faults.silence(1) == 1
        # Since when nothing came is all that the collector can know.
        it.allowed.unwatched.append((began - 10 * it.rate, began))
        await eventually(lambda: len(it.joined()) == 24, 60)
        assert (it.now() - began) / it.rate < 50
        await asyncio.sleep(1.0)
        await it.finish(collector)


async def helix(kind, folder):
    """Helix fails again and again: the list does not shrink, and no channel is left for a moment."""
    async with session(folder) as it:
        collector = await it.start(credentials=True, refresh_seconds=it.rate)
        await it.reading(5)
        await asyncio.sleep(1.0)
        before = it.joined()
        for _ in range(3):
            # A second refusal in a row would be final, and rightly so.
            it.faults.helix(kind, 1 if kind == "unauthorized" else 4)
            await asyncio.sleep(3.0)
        assert it.joined() >= before
        found = await it.finish(collector)
        logins = {channel.channel_id: channel.login for channel in it.simulator.world.channels}
        lengths = {logins[channel]: len(stretches) for channel, stretches in found.covered.items()}
        assert all(lengths[login] == 1 for login in before)


SCENARIOS = {
    "close": closed,
    "reset": reset,
    "reconnect": reconnect,
    "reconnect-storm": reconnect_storm,
    **{f"garbage-{kind}": partial(garbage, kind) for kind in get_args(Garbage)},
    "truncated-line": truncated,
    "hostile-text": hostile,
    "slow-server": trickling,
    "unread-by-server": unread,
    "swallowed-joins": swallowed_joins,
    "suspended-while-read": suspended_while_read,
    "odd-channels": odd_channels,
    "mass-disconnect": mass_disconnect,
    "login-refused": login_refused,
    "login-unanswered": login_unanswered,
    "connections-refused": refused_connections,
    "silence": silence,
    **{f"helix-{kind}": partial(helix, kind) for kind in get_args(HelixFault)},
}
