"""Switchable faults: what goes wrong on real networks and at the real Twitch.

Belongs here: the switches, and which connections a fault hits. Does not belong here: what a fault does on
the wire (``irc_server``, ``http_api`` ask this module).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Literal, get_args

from collector_service.simulator.irc_server import Connection, IrcServer

HelixFault = Literal["unauthorized", "rate_limited", "server_error", "invalid_cursor", "empty"]
GqlFault = Literal["integrity", "persisted_query", "server_error", "null_comments"]

# None of them proves presence: a correct client counts and skips them.
GARBAGE = {
    "bad_utf8": b"@room-id=\xff\xfe;user-id=\xc3 :\xff!\xff@\xff PRIVMSG #\xfe :\xff\xf0\x28\r\n",
    "nul": b":tmi\x00.twitch.tv \x00PRIVMSG\x00 #\x00 :\x00\r\n",
    "overlong": b"@badges=" + b"x" * 300_000 + b" :tmi.twitch.tv PRIVMSG #x :y\r\n",
    "empty": b"\r\n\r\n:\r\n@\r\n@a=b\r\n: \r\n",
}
Garbage = Literal["bad_utf8", "nul", "overlong", "empty"]


class Faults:
    """Turns faults on. ``which`` is ``"all"``, a connection's number, or ``"#login"`` (who joined it)."""

    def __init__(self, seed: int) -> None:
        self.join_drop_share = 0.0
        self._rng = Random(f"{seed}:faults")
        self._helix: deque[HelixFault] = deque()
        self._gql: dict[GqlFault, float] = {}
        self._irc: IrcServer | None = None

    def attach(self, irc: IrcServer) -> None:
        """Act on this server's connections."""
        self._irc = irc

    # Connections ----------------------------------------------------------------------------------

    def silence(self, which: int | str = "all") -> int:
        """Write nothing more to the connections, though they stay open; returns how many."""
        return self._each(which, Connection.silence)

    def stop_reading(self, which: int | str = "all") -> int:
        """Read nothing more from the connections; returns how many."""
        return self._each(which, Connection.stop_reading)

    def close(self, which: int | str = "all") -> int:
        """Close the connections in good order; returns how many."""
        return self._each(which, Connection.close)

    async def reset(self, which: int | str = "all") -> int:
        """End the connections by TCP RST once what was written has arrived; returns how many."""
        chosen = self._select(which)
        await asyncio.gather(*(connection.reset() for connection in chosen))
        return len(chosen)

    def garbage(self, kind: Garbage, which: int | str = "all") -> int:
        """Write malformed lines to the connections; returns how many got them."""
        return self._each(which, lambda connection: connection.write_raw(GARBAGE[kind]))

    def reconnect(self, which: int | str = "all") -> int:
        """Send RECONNECT now and close some seconds later; returns how many."""
        return self._each(which, self._reconnect)

    def drop_joins(self, share: float) -> None:
        """Swallow this share (0 to 1) of all JOINs from now on.

        Raises:
            ValueError: not a share.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share {share}: expected 0 to 1")
        self.join_drop_share = share

    def drops_join(self) -> bool:
        """Whether to swallow the JOIN at hand."""
        return self._rng.random() < self.join_drop_share

    # HTTP -----------------------------------------------------------------------------------------

    def helix(self, kind: HelixFault, calls: int = 1) -> None:
        """Answer the next calls of Helix with a fault, after those already ordered."""
        self._helix.extend([kind] * calls)

    def next_helix(self) -> HelixFault | None:
        """The fault for the Helix call at hand."""
        return self._helix.popleft() if self._helix else None

    def gql(self, kind: GqlFault, calls: int | None = None) -> None:
        """Answer calls of GraphQL with a fault: the next ``calls`` it applies to, or all (None)."""
        self._gql[kind] = float("inf") if calls is None else calls

    def hits_gql(self, kind: GqlFault) -> bool:
        """Whether the GraphQL call at hand meets this fault."""
        left = self._gql.get(kind, 0)
        self._gql[kind] = max(0, left - 1)
        return left > 0

    def clear(self) -> None:
        """No more faults, except what connections already suffered."""
        self.join_drop_share = 0.0
        self._helix.clear()
        self._gql.clear()

    async def apply(self, order: dict[str, Any]) -> int:
        """One order of the control API, for example ``{"fault": "reset", "which": "all"}``.

        Returns:
            How many connections it hit; 0 for faults that do not concern present connections.

        Raises:
            ValueError: an unknown fault, or its kind is missing.
            TypeError: an argument of the wrong type.
        """
        name, which = order.get("fault"), order.get("which", "all")
        kind, calls = order.get("kind", ""), order.get("calls")
        if not (isinstance(which, int | str) and (calls is None or isinstance(calls, int))):
            raise TypeError(f"which {which!r}, calls {calls!r}: expected a text or a number, and a number")
        on_connections: dict[Any, Callable[[int | str], int]] = {
            "silence": self.silence,
            "stop_reading": self.stop_reading,
            "close": self.close,
            "reconnect": self.reconnect,
        }
        if name in on_connections:
            return on_connections[name](which)
        if name == "reset":
            return await self.reset(which)
        if name == "garbage" and kind in get_args(Garbage):
            return self.garbage(kind, which)
        if name == "drop_joins" and isinstance(order.get("share"), int | float):
            self.drop_joins(order["share"])
        elif name == "helix" and kind in get_args(HelixFault):
            self.helix(kind, 1 if calls is None else calls)
        elif name == "gql" and kind in get_args(GqlFault):
            self.gql(kind, calls)
        elif name == "clear":
            self.clear()
        else:
            raise ValueError(f"unknown fault or missing argument: {order}")
        return 0

    def _select(self, which: int | str) -> list[Connection]:
        if self._irc is None:
            return []
        return [
            connection
            for connection in list(self._irc.connections.values())
            if which in ("all", connection.number)
            or (isinstance(which, str) and which.removeprefix("#") in connection.rooms)
        ]

    def _each(self, which: int | str, act: Callable[[Connection], None]) -> int:
        chosen = self._select(which)
        for connection in chosen:
            act(connection)
        return len(chosen)

    def _reconnect(self, connection: Connection) -> None:
        connection.tell(":tmi.twitch.tv RECONNECT")
        seconds = connection.server.options.reconnect_seconds
        asyncio.get_running_loop().call_later(seconds, connection.close)
