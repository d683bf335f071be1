"""SIGTERM in the middle of faults: in time, and all that was delivered is in the lake or on disk.

What was on disk arrives after a restart without the fault.

``network``, ``storage`` and ``processes`` have the same faults for a collector that goes on.
"""

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from inspect import isawaitable
from typing import get_args

from collector_service.simulator.garbage import Garbage

from .harness import eventually, session
from .machine import MachineClock, SmallDisk, refused_writes
from .s3 import FAULTS
from .truth import Truth


async def sigterm(fault, folder):
    """Stop a collector in the middle of a fault."""
    async with session(folder, past=60.0) as it:
        async with INTERRUPTED[fault](it) as collector:
            await collector.stop()
        it.simulator.broadcaster.paused = True
        await it.check(collector)


async def _reading(it, **options):
    """A collector that has been reading for a while."""
    collector = await it.start(**options)
    await it.reading(5 if options.get("credentials") else None)
    await asyncio.sleep(2.0)
    return collector


@asynccontextmanager
async def _network(act, it):
    """Something happens to the connections. ``act`` takes the session, and may be a coroutine function."""
    collector = await _reading(it)
    done = act(it)
    if isawaitable(done):
        await done
    await asyncio.sleep(0.5)
    yield collector


@asynccontextmanager
async def _unread(it):
    """The server reads nothing any more: it goes on writing to somebody who has left."""
    collector = await _reading(it)
    began, before = it.now(), Truth.of(it.simulator)
    it.faults.stop_reading()
    await asyncio.sleep(0.5)
    yield collector
    it.allowed.lost += Truth.of(it.simulator).since(before)
    it.allowed.unwatched.append((began, float("inf")))


@asynccontextmanager
async def _refused_connections(it):
    collector = await _reading(it)
    refusing = asyncio.ensure_future(it.faults.refuse_connections(30.0))
    it.callback(refusing.cancel)
    await asyncio.sleep(0.1)
    it.faults.close()
    await asyncio.sleep(0.5)
    yield collector


@asynccontextmanager
async def _helix(kind, it):
    collector = await _reading(it, credentials=True, refresh_seconds=it.rate)
    it.faults.helix(kind, 100)
    await asyncio.sleep(1.5)
    yield collector
    it.faults.clear()


@asynccontextmanager
async def _s3(mode, it):
    store = await it.use_s3()
    collector = await _reading(it)
    store.mode = mode
    await asyncio.sleep(3.0)
    yield collector
    store.mode = "pass"


@asynccontextmanager
async def _disk_refuses(it):
    await it.use_s3()
    collector = await _reading(it)
    with refused_writes(collector.pid):
        await asyncio.sleep(3.0)
        yield collector


@asynccontextmanager
async def _disk_full(it):
    disk = it.enter(SmallDisk.mounted(it.folder / "collector"))
    collector = await _reading(it)
    disk.fill()
    await asyncio.sleep(3.0)
    yield collector
    disk.empty()


@asynccontextmanager
async def _disk_read_only(it):
    disk = it.enter(SmallDisk.mounted(it.folder / "collector"))
    collector = await _reading(it)
    await eventually(lambda: disk.becomes("ro"), 10)
    await asyncio.sleep(3.0)
    yield collector
    assert disk.becomes("rw")


@asynccontextmanager
async def _clock_set_back(it):
    seconds, clock = -40.0, MachineClock(it.folder)
    collector = await _reading(it, launcher=clock.launcher)
    began = it.now()
    clock.set_wrong(seconds)
    await asyncio.sleep(3.0)
    yield collector
    it.allow_wrong_clock(seconds, began, it.now())
    clock.set_wrong(0.0)


@asynccontextmanager
async def _beside_another(it):
    """Another collector reads the same channels, and goes on."""
    other = await it.start("other")
    # All that anybody is sent, this one must have.
    await it.reading()
    collector = await it.start()
    await eventually(lambda: all(len(room.subscribers) == 2 for room in it.simulator.broadcaster.rooms))
    begin, first = it.now(), Truth.of(it.simulator)
    await asyncio.sleep(2.0)
    end, last = it.now(), Truth.of(it.simulator)
    yield collector
    await asyncio.sleep(2.0)
    await other.stop()
    await it.check(other)
    # What only the other one was there to see, perhaps.
    it.allowed.lost += first + Truth.of(it.simulator).since(last)
    it.allowed.unwatched += [(0.0, begin), (end, float("inf"))]


async def _storm(it):
    for _ in range(5):
        it.faults.reconnect()
        await asyncio.sleep(0.2)


NETWORK = {
    "nothing": lambda it: None,
    "close": lambda it: it.faults.close(),
    "mass-disconnect": lambda it: it.faults.reset(),
    "reconnect": lambda it: it.faults.reconnect(),
    "reconnect-storm": _storm,
    "garbage": lambda it: [it.faults.garbage(kind) for kind in get_args(Garbage)],
    "silence": lambda it: it.faults.silence(),
    "slow-server": lambda it: it.faults.trickle(2.0),
    "swallowed-joins": lambda it: (it.faults.drop_joins(0.4), it.faults.close()),
    "suspended": lambda it: it.faults.suspend(it.all_logins()[0]),
    "login-refused": lambda it: (it.faults.refuse_logins(100), it.faults.close()),
    "login-unanswered": lambda it: (it.faults.stall_logins(100), it.faults.close()),
}

INTERRUPTED = {
    **{name: partial(_network, act) for name, act in NETWORK.items()},
    "unread-by-server": _unread,
    "connections-refused": _refused_connections,
    "helix-hang": partial(_helix, "hang"),
    "helix-server_error": partial(_helix, "server_error"),
    **{f"s3-{mode}": partial(_s3, mode) for mode in FAULTS},
    "disk-refuses": _disk_refuses,
    "disk-full": _disk_full,
    "disk-read-only": _disk_read_only,
    "clock-set-back": _clock_set_back,
    "two-collectors": _beside_another,
}

SCENARIOS = {f"sigterm-during-{fault}": partial(sigterm, fault) for fault in INTERRUPTED}
