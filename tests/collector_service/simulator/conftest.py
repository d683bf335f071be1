"""Small worlds, running simulators, and a plain IRC client that knows nothing but lines."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from collector_service.clock import ScaledClock
from collector_service.simulator.irc_rules import IrcOptions, Limit
from collector_service.simulator.planting import plant
from collector_service.simulator.server import Simulator, SimulatorOptions
from collector_service.simulator.world import World, WorldOptions

SECONDS = 10.0


class Client:
    """A socket and its lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, url: str, ca_file: Path | None = None) -> "Client":
        host, port = url.partition("://")[2].split(":")
        context = ssl.create_default_context(cafile=ca_file) if url.startswith("ircs") else None
        return cls(*await asyncio.open_connection(host, int(port), ssl=context, limit=2**22))

    def send(self, *lines: str) -> None:
        self.writer.write("".join(line + "\r\n" for line in lines).encode())

    async def raw(self) -> bytes:
        """The next line with its ending; empty at the end of the stream."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.readline()

    async def line(self) -> str:
        data = await self.raw()
        assert data.endswith(b"\r\n"), f"no whole line: {data!r}"
        return data[:-2].decode()

    async def until(self, pattern: str) -> list[str]:
        """Lines up to the first that matches, which is the last of the result."""
        lines = [await self.line()]
        while not re.search(pattern, lines[-1]):
            lines.append(await self.line())
        return lines

    async def is_closed(self) -> bool:
        """Reads whatever is left; True when the server has ended the connection."""
        try:
            async with asyncio.timeout(SECONDS):
                while await self.reader.read(65536):
                    pass
        except ConnectionResetError:
            return True
        return self.reader.at_eof()

    async def silent_for(self, seconds: float) -> bool:
        """Whether nothing arrives."""
        try:
            async with asyncio.timeout(seconds):
                await self.reader.readexactly(1)
        except TimeoutError:
            return True
        return False

    async def log_in(self, *capabilities: str, nick: str = "justinfan77", password: str = "") -> None:
        if capabilities:
            self.send("CAP REQ :" + " ".join(f"twitch.tv/{name}" for name in capabilities))
        if password:
            self.send(f"PASS {password}")
        self.send(f"NICK {nick}")
        await self.until(rf"^:tmi\.twitch\.tv 376 {nick} ")

    async def join(self, *logins: str) -> None:
        self.send(*(f"JOIN #{login}" for login in logins))
        for _ in logins:
            await self.until(r" 366 ")


class HeldClock:
    """A clock that stands at a world second until `go`: a busy machine has the time that it needs."""

    def __init__(self, instant: float, rate: float) -> None:
        self.rate = rate
        self._instant = instant
        self._running: ScaledClock | None = None

    def now(self) -> float:
        return self._instant if self._running is None else self._running.now()

    def go(self) -> None:
        self._running = ScaledClock(time.time(), self._instant, self.rate)

    def rounded(self) -> "HeldClock":
        return self


@pytest.fixture
def held() -> Callable[[float, float], HeldClock]:
    """Makes a clock that stands at a world second until it is let go."""
    return HeldClock


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Waits until a condition holds."""

    async def eventually(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.01)

    return eventually


@pytest.fixture(scope="session")
def world() -> World:
    """26 channels, 500 viewers, one day, with oddities; tests only read it."""
    return plant(WorldOptions(seed=5, channels=26, viewers=500, days=1, oddities=True))


@pytest.fixture
def standing() -> Callable[[float], ScaledClock]:
    """Makes a clock that stands at a world second."""
    return lambda instant: ScaledClock(time.time() + 1e6, instant, 1.0)


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Awaitable[Simulator]]]:
    """Starts simulators that end with the test; JOINs are not limited unless asked."""
    async with AsyncExitStack() as stack:

        async def start(world: World, clock: ScaledClock, **options: Any) -> Simulator:
            rules = {
                name: options.pop(name) for name in list(options) if name in IrcOptions.__dataclass_fields__
            }
            rules = {"join_limit": Limit(2000, 10.0), "auth_limit": Limit(1000, 10.0)} | rules
            chosen = SimulatorOptions(irc=IrcOptions(**rules), **options)
            return await stack.enter_async_context(Simulator.start(world, clock, chosen))

        yield start


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Opens clients that are closed with the test."""
    clients: list[Client] = []

    async def connect(url: str, ca_file: Path | None = None) -> Client:
        clients.append(await Client.open(url, ca_file))
        return clients[-1]

    yield connect
    for client in clients:
        client.writer.close()
