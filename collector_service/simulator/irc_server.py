"""Twitch's IRC server: its ports, its connections, and the limits and totals over all of them."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from collector_service.simulator.broadcast import Broadcaster, Room
from collector_service.simulator.irc_connection import Connection, ConnectionTotals
from collector_service.simulator.irc_rules import Gate, IrcOptions, SlidingWindow

_NAMES_LIMIT = 1_000


class IrcServer:
    """All connections of one simulated Twitch, over plain TCP and TLS.

    Args:
        broadcaster: the rooms.
        options: the rules.
        suspended: logins that answer JOIN with ``msg_channel_suspended``.
        gate: asked about each JOIN and login.
        present: logins that membership's NAMES list for a room.
        host: address to listen on.
    """

    def __init__(
        self,
        broadcaster: Broadcaster,
        options: IrcOptions,
        suspended: set[str],
        gate: Gate,
        present: Callable[[Room], list[str]],
        host: str = "127.0.0.1",
    ) -> None:
        self.broadcaster = broadcaster
        self.options = options
        self.connections: dict[int, Connection] = {}
        self.totals = ConnectionTotals()
        self.gate = gate
        self.suspended = suspended
        self._present = present
        self._host = host
        self._logins: dict[str, SlidingWindow] = {}
        self._named_joins: dict[str, SlidingWindow] = {}
        self._servers: list[asyncio.Server] = []
        self._ports: list[tuple[int, ssl.SSLContext | None]] = []

    async def listen(self, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Accept connections; returns the port.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self), self._host, port, ssl=tls, backlog=512)
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        self._ports.append((bound, tls))
        return bound

    async def stop_listening(self, seconds: float) -> None:
        """Refuse TCP connections for some real seconds; open ones stay.

        Raises:
            OSError: the port was taken by then.
        """
        ports, self._ports = self._ports, []
        self._stop_listening()
        await asyncio.sleep(seconds)
        for port, tls in ports:
            await self.listen(port, tls)

    async def close(self) -> None:
        """Close all connections and stop listening."""
        self._stop_listening()
        for connection in list(self.connections.values()):
            connection.close()
        await asyncio.sleep(0)

    async def keep_alive(self) -> None:
        """PING clients and close those that do not answer, until cancelled."""
        options = self.options
        while True:
            await asyncio.sleep(min(options.ping_seconds, options.pong_seconds) / 4)
            now = time.monotonic()
            for connection in list(self.connections.values()):
                waited = now - connection.pinged_at
                if connection.silenced:
                    continue
                if connection.awaiting_pong and waited >= options.pong_seconds:
                    self.totals.unanswered_pings += 1
                    connection.close()
                elif not connection.awaiting_pong and waited >= options.ping_seconds:
                    connection.pinged_at, connection.awaiting_pong = now, True
                    connection.tell("PING :tmi.twitch.tv")

    def flush(self) -> None:
        """Write what all connections have queued."""
        for connection in list(self.connections.values()):
            connection.flush()

    def counts(self) -> dict[str, int]:
        """Counts since the start, and the connections that are open now."""
        totals = asdict(self.totals)
        return {
            "connections": totals.pop("connections"),
            "connections_open": len(self.connections),
        } | totals

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    # For connections --------------------------------------------------------------------------

    def now(self) -> float:
        """World seconds."""
        return self.broadcaster.clock.now()

    def opened(self, connection: Connection) -> int:
        """Register a new connection; returns its number."""
        self.totals.connections += 1
        self.connections[self.totals.connections] = connection
        return self.totals.connections

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.pop(connection.number, None)

    def admit_login(self, nick: str, transport: Any) -> bool:
        """Whether the AUTH limit lets this login through; nameless ones count by address."""
        peer = transport.get_extra_info("peername") if transport is not None else None
        key = nick or str(peer[0] if peer else "")
        window = self._logins.setdefault(key, SlidingWindow(self.options.auth_limit))
        if not window.admit():
            self.totals.refused_logins += 1
            return False
        return True

    def joins_of(self, nick: str) -> SlidingWindow:
        """The JOIN limit that all connections of an account share."""
        return self._named_joins.setdefault(nick, SlidingWindow(self.options.join_limit))

    def channels_of(self, nick: str) -> int:
        """How many channels an account has joined, over all its connections."""
        return sum(
            len(connection.rooms) for connection in self.connections.values() if connection.nick == nick
        )

    def present(self, room: Room) -> list[str]:
        """Logins for NAMES; none for a large room, of which Twitch lists the moderators at most."""
        logins = self._present(room)
        return logins if len(logins) <= _NAMES_LIMIT else []
