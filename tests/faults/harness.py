"""The collector as a process against a simulated Twitch.

It starts, stops and kills both, and collects their objects and logs; ``truth`` compares them.
"""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import yaml

from collector_service.clock import ScaledClock
from collector_service.contract import LIVE_PREFIX
from collector_service.live.windows import MAX_PAUSE_SECONDS, MAX_STEP_BACK_SECONDS
from collector_service.simulator.irc_rules import IrcOptions, Limit
from collector_service.simulator.planting import plant
from collector_service.simulator.server import Simulator, SimulatorOptions
from collector_service.simulator.world import World, WorldOptions
from collector_service.twitch.irc_client import ConnectionTimings

from .s3 import FaultyS3, faulty_s3
from .truth import SECRET, Allowed, Collected, Truth, Verdict, compare
from .waiting import Waiting

STOP_SECONDS = 25.0
# Real seconds by which the end of a joined stretch may be off, beside those for which a busy machine kept
# the programs waiting.
EDGE_SECONDS = 1.0
# What a killed process may not have written yet: a flush a second, and some time to write it.
UNFLUSHED_SECONDS = 3.0

T = TypeVar("T")


@cache
def planted(**options) -> World:
    """A world; nobody changes it, so it is shared."""
    return plant(WorldOptions(**options))


async def start_seconds() -> float:
    """The real seconds that this machine needs to load a collector."""
    began = time.monotonic()
    loading = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import collector_service.live.service"
    )
    assert await loading.wait() == 0
    return time.monotonic() - began


async def eventually(condition, seconds=30.0):
    """Wait until ``condition()`` is true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - other processes cannot set an event here
            await asyncio.sleep(0.02)


class Collector:
    """A collector's folder and, while it runs, its process. ``logs`` holds what each process said."""

    def __init__(self, folder: Path, environment: dict[str, str], launcher: tuple[str, ...]) -> None:
        self.folder = folder
        self.logs: list[str] = []
        self._environment = environment
        self._launcher = launcher
        self.process: asyncio.subprocess.Process | None = None
        self._ended: asyncio.Future[None] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def ended(self) -> bool:
        """Whether no process runs now."""
        return self.process is None or self.process.returncode is not None

    @property
    def on_disk(self) -> list[Path]:
        """What waits for the lake, or for recovery."""
        state = self.folder / "state"
        return [*state.glob("spool/*.ndjson.gz"), *state.glob("journal/*.journal")]

    def spooled(self) -> dict[str, bytes]:
        """The objects that wait on the disk for the lake: file name -> bytes."""
        found = {}
        for path in self.folder.glob("state/spool/*.ndjson.gz"):
            with suppress(FileNotFoundError):  # it has just reached the lake
                found[path.name] = path.read_bytes()
        return found

    async def start(self) -> None:
        """Start a process on the folder."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._launcher, "--config", "config.yaml"),
            cwd=self.folder,
            env=kept | self._environment,
            stderr=asyncio.subprocess.PIPE,
        )
        self._ended = asyncio.ensure_future(self._follow(self.process))

    async def stop(self) -> float:
        """End it as a deploy does; it must end well and in time. Returns the seconds that took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.process.wait()
        finally:
            await self.kill()
        code = self.process.returncode
        assert code == 0, f"exit code {code} after SIGTERM:\n{self.logs[-1]}"
        return time.monotonic() - began

    async def kill(self) -> None:
        """Kill -9, if it is still running."""
        assert self.process is not None
        assert self._ended is not None
        if not self.ended:
            self.process.kill()
        await self._ended

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        _, log = await process.communicate()
        self.logs.append(log.decode())


class Session:
    """A simulated Twitch for some real seconds, and the collectors that read it.

    ``allowed`` says what the faults so far may take away.
    """

    def __init__(self, folder: Path, simulator: Simulator, origin: float, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.simulator = simulator
        self.faults = simulator.faults
        self._origin = origin
        self.allowed = Allowed()
        self.collectors: list[Collector] = []
        self._stack = stack
        self.s3: FaultyS3 | None = None
        self._waiting = Waiting()
        measuring = asyncio.ensure_future(self._waiting.measure(self._pids))
        self.callback(measuring.cancel)

    @property
    def rate(self) -> float:
        """World seconds per real second."""
        return self.simulator.clock.rate

    @property
    def lag(self) -> float:
        """The longest that the machine kept the programs waiting, in real seconds."""
        return self._waiting.longest

    def now(self) -> float:
        """World seconds."""
        return self.simulator.clock.now()

    def all_logins(self) -> list[str]:
        """The world's channels as they are called now."""
        return [channel.login_at(self.now()) for channel in self.simulator.world.channels]

    def joined(self) -> set[str]:
        """The channels that somebody reads now."""
        return {
            room.channel.login_at(self.now())
            for room in self.simulator.broadcaster.rooms
            if room.subscribers
        }

    def callback(self, act: Callable[[], object]) -> None:
        """Call this when the session ends."""
        self._stack.callback(act)

    def enter(self, context: AbstractContextManager[T]) -> T:
        """Enter a context until the session ends."""
        return self._stack.enter_context(context)

    async def use_s3(self) -> FaultyS3:
        """From now on collectors write to an S3 API that can fail."""
        self.s3 = await self._stack.enter_async_context(faulty_s3())
        return self.s3

    async def start(
        self,
        name: str = "collector",
        *,
        channels: list[str] | None = None,
        credentials: bool = False,
        launcher: tuple[str, ...] = ("-m", "collector_service"),
        **collection,
    ) -> Collector:
        """Start a collector in a folder of its own.

        Args:
            name: of the folder.
            channels: logins; None: the whole world, or what Helix says when there are credentials.
            credentials: whether it may ask Helix.
            launcher: what Python runs.
            **collection: settings of that section.
        """
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        simulator = self.simulator
        twitch = {
            "irc_url": simulator.irc_url,
            "helix_url": simulator.helix_url,
            "id_url": simulator.id_url,
        }
        if simulator.ca_file is not None:
            twitch |= {"irc_url": simulator.ircs_url, "ca_file": str(simulator.ca_file)}
        if credentials:
            twitch |= {"client_id": simulator.client_id, "client_secret": simulator.client_secret}
        if channels is None and not credentials:
            channels = self.all_logins()
        sections = {
            "storage": {"dir": "lake"},
            "twitch": twitch,
            "collection": {
                "bots_file": None,
                "state_dir": "state",
                "http_port": 0,
                "window_seconds": simulator.options.window_seconds,
                "join_rate": {"joins": 2000, "seconds": 1},
                "connection_interval_seconds": 0,
                "channels_per_connection": 6,
                "max_collection_cycles": 0,
                **({"channels": ",".join(channels)} if channels else {}),
                **collection,
            },
            "privacy": {"viewer_key_secret": SECRET},
            "simulation": {"clock": simulator.clock.spec()},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(sections))
        collector = Collector(folder, self.s3.environment if self.s3 else {}, launcher)
        self.collectors.append(collector)
        self._stack.push_async_callback(collector.kill)
        await collector.start()
        return collector

    async def reading(self, count: int | None = None, seconds: float = 60.0) -> None:
        """Wait until so many channels are read; None: every channel of the world."""
        wanted = len(self.simulator.world.channels) if count is None else count
        await eventually(lambda: len(self.joined()) >= wanted and self.now() > self._origin, seconds)

    async def goes_on(self, collector: Collector, clock_error: float = 0.0) -> None:
        """Wait until every channel was watched throughout two windows, and those are in its lake.

        Args:
            collector: the collector; it writes to a lake of its own.
            clock_error: the real seconds that its clock shows too much. Only windows count that begin
                later than now by this clock.
        """
        error = clock_error * self.rate
        begin, channels = self.now() + error, len(self.simulator.world.channels)

        def whole_windows() -> int:
            watched = Counter(
                record.window_start
                for record in Collected(self.objects(collector).values()).records
                if begin <= record.window_start.timestamp() < self.now() + error
                and record.observed_seconds == record.window_seconds
            )
            return sum(number == channels for number in watched.values())

        async with asyncio.timeout(60):
            while await asyncio.to_thread(whole_windows) < 2:  # noqa: ASYNC110 - other processes, as above
                await asyncio.sleep(0.3)

    async def caught_up(self, collector: Collector) -> None:
        """Wait until the process that is running has brought into the lake what waits on its disk now."""
        waiting = collector.spooled()
        await eventually(lambda: not collector.spooled(), 90)
        arrived = await asyncio.to_thread(self.objects, collector)
        missing = set(waiting.values()) - set(arrived.values())
        assert not missing, f"{len(missing)} objects left the disk but are not in the lake"

    async def still(self, at_least: int = 300) -> None:
        """Let the world stand still once so many messages were delivered from now on, and have arrived."""
        totals = self.simulator.oracle.totals
        wanted = totals()["messages_delivered"] + at_least
        await eventually(lambda: totals()["messages_delivered"] >= wanted, 60)
        self.simulator.broadcaster.paused = True
        await asyncio.sleep(1.0)

    async def kill(self, collector: Collector) -> None:
        """Kill -9; what came in the last seconds may be lost."""
        began, before = self.now(), Truth.of(self.simulator)
        await asyncio.sleep(UNFLUSHED_SECONDS)
        await collector.kill()
        # Without a reader at the other end the server would go on writing to some.
        self.faults.close()
        await eventually(lambda: not self.simulator.irc.connections)
        self.allowed.lost += Truth.of(self.simulator).since(before)
        # A quiet channel may count as watched only until it was last heard.
        quiet_since = began - (ConnectionTimings.idle_seconds + 1.0) * self.rate
        self.allowed.unwatched.append((quiet_since, self.now()))

    def allow_wrong_clock(self, seconds: float, begin: float, end: float) -> None:
        """The collector's clock was so many real seconds wrong between two world times.

        By how much it was watching then, it could only say by the wrong clock; and an event from that
        clock's future counts in its present.
        """
        shown = begin + seconds * self.rate, end + seconds * self.rate
        if not -MAX_STEP_BACK_SECONDS <= seconds <= MAX_PAUSE_SECONDS:
            self.allowed.unwatched.append((begin, end))
            self.allowed.overstated.append(shown)
        if seconds < 0:
            # Events are on their way for a moment, too.
            moved = ((begin, end), shown)
            self.allowed.moved += [(since - self.rate, until + self.rate) for since, until in moved]

    async def bring_home(self, collector: Collector) -> None:
        """Restart until everything that waits on the disk is in the lake."""
        for _ in range(3):
            if not collector.on_disk:
                return
            await collector.start()
            await self.reading(1)
            await collector.stop()
        assert not collector.on_disk, f"still on disk:\n{collector.logs[-1]}"

    def objects(self, collector: Collector) -> dict[str, bytes]:
        """The snapshots in a collector's lake: key -> bytes. Collectors share an S3 lake."""
        if self.s3 is not None:
            return self.s3.objects(LIVE_PREFIX)
        lake = collector.folder / "lake"
        return {
            path.relative_to(lake).as_posix(): path.read_bytes()
            for path in sorted((lake / LIVE_PREFIX).rglob("*.ndjson.gz"))
        }

    async def collected(self, collector: Collector) -> Collected:
        """What a collector brought into its lake."""
        objects = await asyncio.to_thread(self.objects, collector)
        return Collected(objects.values())

    def compare(self, found: Collected) -> Verdict:
        """What was collected against what happened."""
        return compare(self.simulator, found, self.allowed, EDGE_SECONDS + self.lag)

    async def check(self, collector: Collector) -> Collected:
        """The property; the collector must have ended."""
        await self.bring_home(collector)
        found = await self.collected(collector)
        verdict = await asyncio.to_thread(self.compare, found)
        assert not verdict.errors, "\n".join([*verdict.errors, *collector.logs])
        return found

    async def finish(self, collector: Collector) -> Collected:
        """Let the world stand still after some more messages, stop the collector, check the property."""
        await self.still()
        await collector.stop()
        return await self.check(collector)

    def _pids(self) -> list[int]:
        return [one.pid for one in self.collectors if not one.ended]


@asynccontextmanager
async def session(
    folder: Path,
    *,
    rate: float = 30.0,
    window: int = 60,
    world: World | None = None,
    origin: float | None = None,
    join_limit: Limit | None = None,
    reconnect_seconds: float = 1.0,
    head_start: float = 2.0,
    past: float = 0.0,
    tls: bool = False,
):
    """A simulated Twitch from the world second ``origin`` on.

    Args:
        folder: for the collectors.
        rate: world seconds per real second.
        window: world seconds.
        world: what happens.
        origin: where it starts; None: after half an hour.
        join_limit: of each connection, in real seconds.
        reconnect_seconds: real seconds between RECONNECT and the end of the connection.
        head_start: real seconds for which the world stands still first, so that collectors can join.
        past: real seconds by which a collector's clock can be set back; before them time stands still.
        tls: whether collectors read over TLS.

    Yields:
        A `Session`. All processes have ended after the block.
    """
    world = world or planted(seed=7, channels=24, viewers=6000, days=1)
    origin = world.start + 1800 if origin is None else origin
    clock = ScaledClock(time.time() + head_start - past, origin - past * rate, rate)
    irc = IrcOptions(join_limit=join_limit or Limit(10_000, 1.0), reconnect_seconds=reconnect_seconds)
    irc.auth_limit = Limit(1000, 1.0)
    options = SimulatorOptions(window_seconds=window, tls=tls, points_per_minute=100_000, irc=irc)
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator.start(world, clock, options))
        yield Session(folder, simulator, origin, stack)
