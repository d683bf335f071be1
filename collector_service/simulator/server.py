"""Ties the world, the clock and the servers together into one simulated Twitch."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from collector_service.clock import ScaledClock
from collector_service.simulator.broadcast import Broadcaster, Room
from collector_service.simulator.faults import Faults
from collector_service.simulator.http_api import HttpApi
from collector_service.simulator.irc_rules import IrcOptions
from collector_service.simulator.irc_server import IrcServer
from collector_service.simulator.oracle import Oracle, write_files
from collector_service.simulator.world import World

EVERYWHERE = "0.0.0.0"  # noqa: S104 - for containers; the default is this machine alone


@dataclass(slots=True)
class SimulatorOptions:
    """How a world is served.

    Attributes:
        host: address to listen on.
        irc_port: 0 takes a free one, as for ``http_port``.
        client_id: of the one application that Helix knows, as ``client_secret``. Empty: random.
        oracle_dir: where POST /oracle writes.
    """

    host: str = "127.0.0.1"
    window_seconds: int = 300
    tls: bool = False
    irc_port: int = 0
    http_port: int = 0
    client_id: str = ""
    client_secret: str = ""
    points_per_minute: int = 800
    oracle_dir: Path | None = None
    irc: IrcOptions = field(default_factory=IrcOptions)


class Simulator:
    """A running simulated Twitch; `start` makes one."""

    def __init__(self, world: World, clock: ScaledClock, options: SimulatorOptions) -> None:
        self.world = world
        self.clock = clock
        self.options = options
        self.client_id = options.client_id or "simulated" + secrets.token_hex(8)
        self.client_secret = options.client_secret or secrets.token_hex(16)
        self.faults = Faults(world.options.seed)
        self.oracle = Oracle(world, options.window_seconds)
        self.broadcaster = Broadcaster(world, clock, self.oracle.finish, lambda: self.irc.flush())
        suspended = {world.oddities.suspended} if world.oddities else set[str]()
        self.irc = IrcServer(
            self.broadcaster, options.irc, suspended, self.faults, self._present, options.host
        )
        self.faults.attach(self.irc)
        self.oracle.watch(self.broadcaster, self.irc.counts)
        self.http = HttpApi(
            world,
            clock,
            self.faults,
            client_id=self.client_id,
            client_secret=self.client_secret,
            points_per_minute=options.points_per_minute,
            write_oracle=self.write_oracle if options.oracle_dir else None,
            status=self.oracle.totals,
        )
        self.irc_url = ""
        self.ircs_url = ""
        self.ca_file: Path | None = None
        self.id_url = ""

    @property
    def helix_url(self) -> str:
        """Base of Helix, for TWITCH_HELIX_URL."""
        return self.id_url + "/helix"

    @property
    def gql_url(self) -> str:
        """The GraphQL endpoint, for TWITCH_GQL_URL."""
        return self.id_url + "/gql"

    @property
    def control_url(self) -> str:
        """Base of the control API: POST /faults, POST /oracle, GET /status."""
        return self.id_url + "/control"

    @classmethod
    @asynccontextmanager
    async def start(
        cls, world: World, clock: ScaledClock, options: SimulatorOptions | None = None
    ) -> AsyncIterator[Simulator]:
        """Serve the world until the block ends.

        Raises:
            OSError: a port is taken.
        """
        simulator = cls(world, clock.rounded(), options or SimulatorOptions())
        with tempfile.TemporaryDirectory(prefix="simulated-twitch-") as folder:
            runner = web.AppRunner(simulator.http.application(), access_log=None, shutdown_timeout=0.1)
            tasks: list[asyncio.Task[None]] = []
            try:
                await simulator._listen(runner, Path(folder))
                tasks = [
                    asyncio.create_task(simulator.broadcaster.run()),
                    asyncio.create_task(simulator.irc.keep_alive()),
                ]
                yield simulator
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await simulator.irc.close()
                await runner.cleanup()

    def ready(self) -> dict[str, Any]:
        """Addresses, credentials and clock for a client, as JSON values."""
        facts: dict[str, Any] = {"irc_url": self.irc_url}
        if self.ca_file is not None:
            facts |= {"ircs_url": self.ircs_url, "ca_file": str(self.ca_file)}
        if self.world.oddities is not None:
            old, new, instant = self.world.oddities.renamed
            facts["oddities"] = {
                "suspended": self.world.oddities.suspended,
                "nonexistent": self.world.oddities.nonexistent,
                "renamed": {"from": old, "to": new, "at": instant},
            }
        return facts | {
            "helix_url": self.helix_url,
            "id_url": self.id_url,
            "gql_url": self.gql_url,
            "control_url": self.control_url,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "clock": self.clock.spec(),
            "starts_at": self.world.start,
            "ends_at": self.world.end,
        }

    async def write_oracle(self) -> None:
        """Write the truth's files to ``options.oracle_dir``, as of now.

        Raises:
            OSError: they cannot be written.
        """
        if self.options.oracle_dir is not None:
            await asyncio.to_thread(write_files, self.options.oracle_dir, self.oracle.files())

    async def _listen(self, runner: web.AppRunner, folder: Path) -> None:
        await runner.setup()
        site = web.TCPSite(runner, self.options.host, self.options.http_port)
        await site.start()
        # A server that listens everywhere is reachable here, too.
        host = "127.0.0.1" if self.options.host == EVERYWHERE else self.options.host
        self.id_url = f"http://{host}:{runner.addresses[0][1]}"
        self.irc_url = f"irc://{host}:{await self.irc.listen(self.options.irc_port)}"
        if self.options.tls:
            context, self.ca_file = _certificate(folder)
            self.ircs_url = f"ircs://{host}:{await self.irc.listen(0, context)}"

    def _present(self, room: Room) -> list[str]:
        now = self.clock.now()
        return [
            self.world.accounts[account].login
            for broadcast in self.broadcaster.on_air.values()
            if self.world.channels[broadcast.stream.channel] is room.channel
            for account, begin, end, _ in broadcast.stream.visits
            if begin <= now < end
        ]


def _certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, and the file of the authority that signed it."""
    import trustme  # a development dependency, so only --tls needs it

    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return context, ca_file
