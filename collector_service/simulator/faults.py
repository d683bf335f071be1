"""Switchable faults of networks and of Twitch: the switches, and the connections that a fault hits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, get_args

from collector_service.simulator.garbage import GARBAGE, Garbage, cut_message, noise
from collector_service.simulator.http_faults import GqlFault, HelixFault, HttpFaults
from collector_service.simulator.irc_connection import Connection
from collector_service.simulator.irc_server import IrcServer

REFUSALS = ("Login unsuccessful", "Login authentication failed", "Improperly formatted auth")


class Faults(HttpFaults):
    """Turns faults on. A silenced connection sends nothing more, not even its end.

    ``which`` is ``"all"``, a connection's number, or ``"#login"`` (the connections that joined it).
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.join_drop_share = 0.0
        self._rng = Random(f"{seed}:faults")
        self._refusals: deque[str] = deque()
        self._stalls = 0
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

    def noise(self, which: int | str = "all") -> int:
        """Write sound lines without chat to the connections, for each of their rooms; returns how many."""
        return self._each(which, lambda connection: self._write_rooms(connection, noise))

    def truncate(self, which: int | str = "all") -> int:
        """Close the connections in the middle of a line; returns how many."""

        def cut(connection: Connection) -> None:
            self._write_rooms(connection, cut_message, most=1)
            connection.close()

        return self._each(which, cut)

    def trickle(self, seconds: float, which: int | str = "all") -> int:
        """Write a few bytes at a time for some real seconds; returns to how many connections."""
        return self._each(which, lambda connection: connection.trickle(seconds))

    def reconnect(self, which: int | str = "all") -> int:
        """Send RECONNECT now and close some seconds later; returns how many."""
        return self._each(which, self._reconnect)

    def drop_joins(self, share: float) -> None:
        """Ignore this share (0 to 1) of all further JOINs.

        Raises:
            ValueError: not a share.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share {share}: expected 0 to 1")
        self.join_drop_share = share

    def drops_join(self) -> bool:
        """Whether to ignore this JOIN."""
        return self._rng.random() < self.join_drop_share

    def refuse_logins(self, count: int) -> None:
        """Refuse the next logins with a NOTICE and close, with each of Twitch's reasons in turn."""
        self._refusals.extend(REFUSALS[number % len(REFUSALS)] for number in range(count))

    def login_refusal(self) -> str:
        """The text of the NOTICE that refuses this login, or nothing."""
        return self._refusals.popleft() if self._refusals else ""

    def stall_logins(self, count: int) -> None:
        """Accept the next connections, but never answer them."""
        self._stalls += count

    def stalls_login(self) -> bool:
        """Whether this login stays without an answer."""
        self._stalls, stalled = max(0, self._stalls - 1), self._stalls > 0
        return stalled

    async def refuse_connections(self, seconds: float) -> None:
        """Refuse TCP connections for some real seconds; returns when they are over."""
        if self._irc is not None:
            await self._irc.stop_listening(seconds)

    # Channels -------------------------------------------------------------------------------------

    def suspend(self, login: str) -> int:
        """Suspend a channel: its subscribers get a NOTICE and nothing more; returns how many."""
        if self._irc is None:
            return 0
        self._irc.suspended.add(login)
        return self._each(f"#{login}", lambda connection: connection.suspend(login))

    def lift(self, login: str) -> None:
        """Lift a channel's suspension without a message."""
        if self._irc is not None:
            self._irc.suspended.discard(login)

    def clear(self) -> None:
        """No more faults, except what connections already suffered."""
        self.join_drop_share = 0.0
        self._refusals.clear()
        self._stalls = 0
        self.clear_http()

    async def apply(self, order: dict[str, Any]) -> int:
        """One order of the control API, for example ``{"fault": "reset", "which": "all"}``.

        Returns:
            How many connections it hit; 0 for faults that do not concern present connections.

        Raises:
            ValueError: an unknown fault, or its kind is missing.
            TypeError: an argument of the wrong type.
        """
        name, kind = order.get("fault"), order.get("kind", "")
        which, calls, seconds = order.get("which", "all"), order.get("calls"), order.get("seconds", 0)
        if not (
            isinstance(which, int | str)
            and isinstance(calls, int | None)
            and isinstance(seconds, int | float)
        ):
            raise TypeError(f"which, calls, seconds of {order}: expected a text or a number, and numbers")
        on_connections: dict[Any, Callable[[int | str], int]] = {
            "silence": self.silence,
            "stop_reading": self.stop_reading,
            "close": self.close,
            "reconnect": self.reconnect,
            "noise": self.noise,
            "truncate": self.truncate,
            "trickle": lambda which: self.trickle(seconds, which),
            "suspend": lambda which: self.suspend(str(which).removeprefix("#")),
        }
        if name in on_connections:
            return on_connections[name](which)
        if name == "reset":
            return await self.reset(which)
        if name == "garbage" and kind in get_args(Garbage):
            return self.garbage(kind, which)
        if name == "refuse_connections":
            await self.refuse_connections(seconds)
        elif not self._switch(order, 1 if calls is None else calls):
            raise ValueError(f"unknown fault or missing argument: {order}")
        return 0

    def _switch(self, order: dict[str, Any], calls: int) -> bool:
        """Orders about later connections and requests; False for an unknown one."""
        name, kind = order.get("fault"), order.get("kind", "")
        if name == "drop_joins" and isinstance(order.get("share"), int | float):
            self.drop_joins(order["share"])
        elif name == "helix" and kind in get_args(HelixFault):
            self.helix(kind, calls)
        elif name == "gql" and kind in get_args(GqlFault):
            self.gql(kind, order.get("calls"))
        elif name == "delete_vod" and isinstance(order.get("which"), str):
            self.delete_vod(order["which"], order.get("calls") or 0)
        elif name == "refuse_logins":
            self.refuse_logins(calls)
        elif name == "stall_logins":
            self.stall_logins(calls)
        elif name == "lift":
            self.lift(str(order.get("which", "")).removeprefix("#"))
        elif name == "clear":
            self.clear()
        else:
            return False
        return True

    def _select(self, which: int | str) -> list[Connection]:
        if self._irc is None:
            return []
        return [
            connection
            for connection in list(self._irc.connections.values())
            if not connection.silenced
            and (
                which in ("all", connection.number)
                or (isinstance(which, str) and which.removeprefix("#") in connection.rooms)
            )
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

    def _write_rooms(
        self, connection: Connection, write: Callable[[int, str, int], bytes], most: int | None = None
    ) -> None:
        ms = int(connection.server.now() * 1_000)
        for login, room in list(connection.rooms.items())[:most]:
            connection.write_raw(write(room.channel.channel_id, login, ms))
