"""Twitch's IRC: connections, their registration, limits, and the protocol's own replies.

Belongs here: what a client may send and what Twitch answers, refuses or ignores. Does not belong here:
the chat itself (``broadcast``, ``lines``) and who asks for faults (``faults``).

Time-outs and limits are in real seconds, whatever the world's clock does.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
import termios
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fcntl import ioctl
from random import Random
from typing import Any, Protocol, cast

from collector_service.simulator.broadcast import Broadcaster, Room

CAPABILITIES = ("twitch.tv/tags", "twitch.tv/commands", "twitch.tv/membership")
_ANONYMOUS_NICK = re.compile(r"justinfan[0-9]+")
_NICK = re.compile(r"[a-z0-9_]{1,50}")
_LONGEST_CLIENT_LINE = 8_192
_NAMES_LIMIT = 1_000
_HELD_BACK_EVERY = 16
_DRAIN_SECONDS = 2.0
_TRICKLE_BYTES = 120


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` in any ``seconds``."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """From text such as ``20/10``.

        Raises:
            ValueError: it has another form.
        """
        count, _, seconds = text.partition("/")
        try:
            limit = cls(int(count), float(seconds))
        except ValueError:
            limit = cls(0, 0)
        if limit.count < 1 or not 0 < limit.seconds < float("inf"):
            raise ValueError(f"{text!r}: expected COUNT/SECONDS, for example 20/10")
        return limit


@dataclass(slots=True)
class SlidingWindow:
    """Admits what a `Limit` allows, by the real clock."""

    limit: Limit
    _times: deque[float] = field(default_factory=deque)

    def admit(self) -> bool:
        """Whether one more is allowed now; a refused one does not count."""
        now = time.monotonic()
        while self._times and self._times[0] <= now - self.limit.seconds:
            self._times.popleft()
        if len(self._times) >= self.limit.count:
            return False
        self._times.append(now)
        return True


@dataclass(slots=True)
class IrcOptions:
    """The server's rules. ``accounts``: login -> OAuth token of those who may log in by name."""

    join_limit: Limit = field(default_factory=lambda: Limit(20, 10.0))
    auth_limit: Limit = field(default_factory=lambda: Limit(20, 10.0))
    max_named_channels: int = 100
    ping_seconds: float = 290.0
    pong_seconds: float = 20.0
    reconnect_seconds: float = 10.0
    max_buffered_bytes: int = 16 * 1024 * 1024
    accounts: dict[str, str] = field(default_factory=dict)


class Gate(Protocol):
    """Asked about every JOIN and login; a quiet server says no and nothing."""

    def drops_join(self) -> bool:
        """Whether to swallow the JOIN at hand."""
        ...

    def stalls_login(self) -> bool:
        """Whether to leave the login at hand, and everything after it, without an answer."""
        ...

    def login_refusal(self) -> str:
        """The text of the NOTICE that refuses the login at hand, or nothing."""
        ...


class Connection(asyncio.Protocol):
    """One client. ``silenced`` keeps the TCP connection alive but writes nothing more to it."""

    def __init__(self, server: IrcServer) -> None:
        self.server = server
        self.number = 0
        self.tags = False
        self.commands = False
        self.membership = False
        self.silenced = False
        self.nick = ""
        self.rooms: dict[str, Room] = {}
        self.pinged_at = time.monotonic()
        self.awaiting_pong = False
        self.closing = False
        self._password = ""
        self._received = b""
        self._queued: list[bytes] = []
        self._held_back = b""
        self._rng = Random(0)
        self._joins = SlidingWindow(server.options.join_limit)
        self._trickle_until = 0.0
        self._transport: asyncio.Transport | None = None

    # Transport ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)
        self.number = self.server.opened(self)
        self._rng = Random(self.number)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Called by asyncio."""
        self.closing = True
        self._leave_all()
        self.server.closed(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            if self.closing:
                return
            self._handle(line.rstrip(b"\r").decode("utf-8", "replace"))
        if len(self._received) > _LONGEST_CLIENT_LINE:
            self.close()

    def send(self, data: bytes) -> None:
        """Queue bytes for the next flush; nothing reaches a silenced or closing connection."""
        if not (self.silenced or self.closing):
            self._queued.append(data)

    def flush(self) -> None:
        """Write what is queued; now and then the end of a line has to wait for the next flush."""
        if self._transport is None or not (self._queued or self._held_back) or self.closing:
            return
        data = self._held_back + b"".join(self._queued)
        self._queued.clear()
        self._held_back = b""
        if time.monotonic() < self._trickle_until:
            cut = self._rng.randrange(1, _TRICKLE_BYTES)
            data, self._held_back = data[:cut], data[cut:]
        elif not self._rng.randrange(_HELD_BACK_EVERY):
            cut = len(data) - self._rng.randrange(1, min(len(data), 200) + 1)
            data, self._held_back = data[:cut], data[cut:]
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > self.server.options.max_buffered_bytes:
            self.server.slow_clients += 1
            self._stop()
            self._transport.abort()

    def close(self) -> None:
        """Write what is queued, then close."""
        if self.closing or self._transport is None:
            return
        rest = self._held_back + b"".join(self._queued)
        self._stop()
        if not self.silenced:
            self._transport.write(rest)
        self._transport.close()

    async def reset(self) -> None:
        """Let the client receive what was written, then send a TCP RST.

        Waiting keeps the oracle exact: what counts as delivered has arrived.
        """
        transport = self._transport
        if transport is None or self.closing:
            return
        if not self.silenced:
            transport.write(self._held_back + b"".join(self._queued))
        self._stop()
        sock = transport.get_extra_info("socket")
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline and not transport.is_closing():
            pending = struct.unpack("i", ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
            if not pending and not transport.get_write_buffer_size():
                break
            await asyncio.sleep(0.005)
        if not transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def write_raw(self, data: bytes) -> None:
        """Queue bytes that need not be lines."""
        self.send(data)

    def trickle(self, seconds: float) -> None:
        """For so many real seconds write a few bytes at a time; the rest waits, nothing is lost."""
        self._trickle_until = time.monotonic() + seconds

    def suspend(self, login: str) -> None:
        """Say that a joined channel is suspended, and send nothing of it any more."""
        if room := self.rooms.pop(login, None):
            room.unsubscribe(self, self.server.now())
            self._say_suspended(login)

    def stop_reading(self) -> None:
        """Read nothing more from the client."""
        if self._transport is not None and not self.closing:
            self._transport.pause_reading()

    def silence(self) -> None:
        """Turn into a zombie: the connection stays up, nothing is written, no room counts it."""
        if not self.silenced:
            # What the rooms already counted as delivered still goes out, to its last byte.
            if self._transport is not None and not self.closing:
                self._transport.write(self._held_back + b"".join(self._queued))
            self._held_back = b""
            self._queued.clear()
            self.silenced = True
            self._leave_all()

    def _stop(self) -> None:
        self._queued.clear()
        self._held_back = b""
        self.closing = True
        self._leave_all()

    def _leave_all(self) -> None:
        now = self.server.now()
        for room in self.rooms.values():
            room.unsubscribe(self, now)

    # Protocol -----------------------------------------------------------------------------------

    def tell(self, line: str) -> None:
        """Queue one line."""
        self.send(line.encode() + b"\r\n")

    def _handle(self, line: str) -> None:
        if line.startswith("@"):
            line = line.partition(" ")[2]
        words, colon, last = line.partition(" :")
        command, *params = words.split() or [""]
        if colon:
            params.append(last)
        answers: dict[str, Callable[[list[str]], None]] = {
            "CAP": self._capabilities,
            "JOIN": self._join_all,
            "NICK": self._log_in,
            "PART": self._part_all,
            "PASS": self._keep_password,
            "PING": self._answer_ping,
            "PONG": self._take_pong,
            "QUIT": lambda _: self.close(),
        }
        # Chat from readers, and what older clients send along with NICK, has no answer.
        if answer := answers.get(command.upper()):
            answer(params)
        elif self.nick and command.upper() not in ("", "PRIVMSG", "USER"):
            self.tell(f":tmi.twitch.tv 421 {self.nick} {command} :Unknown command")

    def _take_pong(self, _: list[str]) -> None:
        self.awaiting_pong = False

    def _answer_ping(self, params: list[str]) -> None:
        self.tell(":tmi.twitch.tv PONG tmi.twitch.tv" + (f" :{params[0]}" if params else ""))

    def _keep_password(self, params: list[str]) -> None:
        self._password = params[0] if params else ""

    def _join_all(self, params: list[str]) -> None:
        for name in params[0].split(",") if params and self.nick else ():
            if not self.closing:
                self._join(name)

    def _part_all(self, params: list[str]) -> None:
        for name in params[0].split(",") if params and self.nick else ():
            self._part(name)

    def _capabilities(self, params: list[str]) -> None:
        action = params[0].upper() if params else ""
        if action == "LS":
            self.tell(f":tmi.twitch.tv CAP * LS :{' '.join(CAPABILITIES)}")
        elif action == "REQ":
            wanted = " ".join(params[1:]).split()
            known = bool(wanted) and all(name in CAPABILITIES for name in wanted)
            if known:
                self.tags |= CAPABILITIES[0] in wanted
                self.commands |= CAPABILITIES[1] in wanted
                self.membership |= CAPABILITIES[2] in wanted
            self.tell(f":tmi.twitch.tv CAP * {'ACK' if known else 'NAK'} :{' '.join(wanted)}")

    def _log_in(self, params: list[str]) -> None:
        if self.nick:
            return
        nick = params[0].lower() if params else ""
        anonymous = _ANONYMOUS_NICK.fullmatch(nick) is not None
        if self.server.gate.stalls_login():
            self._queued.clear()
            self.silenced = True
            return
        problem = self.server.gate.login_refusal()
        if problem:
            self.server.refused_logins += 1
        elif not self.server.admit_login(nick if not anonymous else "", self._transport):
            problem = "Login unsuccessful"
        elif not anonymous:
            token = self._password.removeprefix("oauth:")
            if not self._password.startswith("oauth:") or not _NICK.fullmatch(nick):
                problem = "Improperly formatted auth"
            elif self.server.options.accounts.get(nick) != token:
                problem = "Login authentication failed"
        if problem:
            self.tell(f":tmi.twitch.tv NOTICE * :{problem}")
            self.close()
            return
        self.nick = nick
        if not anonymous:
            self._joins = self.server.joins_of(nick)
        for number, text in (
            ("001", "Welcome, GLHF!"),
            ("002", "Your host is tmi.twitch.tv"),
            ("003", "This server is rather new"),
            ("004", "-"),
            ("375", "-"),
            ("372", "You are in a maze of twisty passages, all alike."),
            ("376", ">"),
        ):
            self.tell(f":tmi.twitch.tv {number} {nick} :{text}")

    def _join(self, name: str) -> None:
        server, login = self.server, name.lower().removeprefix("#")
        if not self._joins.admit():
            server.refused_joins += 1
            self.close()
            return
        if server.gate.drops_join():
            server.dropped_joins += 1
            return
        if login in server.suspended:
            self._say_suspended(login)
            return
        room = server.broadcaster.room(login)
        if room is None or login in self.rooms or not name.startswith("#"):
            return
        anonymous = _ANONYMOUS_NICK.fullmatch(self.nick) is not None
        if not anonymous and server.channels_of(self.nick) >= server.options.max_named_channels:
            server.ignored_joins += 1
            return
        self.rooms[login] = room
        server.accepted_joins += 1
        self.tell(f":{self._prefix()} JOIN #{login}")
        host = f"{self.nick}.tmi.twitch.tv"
        present = server.present(room) if self.membership else []
        self.tell(f":{host} 353 {self.nick} = #{login} :{' '.join([self.nick, *present])}")
        self.tell(f":{host} 366 {self.nick} #{login} :End of /NAMES list")
        if self.commands:
            state = "emote-only=0;followers-only=-1;r9k=0;room-id={};slow=0;subs-only=0"
            tags = f"@{state.format(room.channel.channel_id)} " if self.tags else ""
            self.tell(f"{tags}:tmi.twitch.tv ROOMSTATE #{login}")
        if not self.silenced:
            room.subscribe(self, server.now())

    def _part(self, name: str) -> None:
        login = name.lower().removeprefix("#")
        room = self.rooms.pop(login, None)
        if room is not None:
            if self.server.broadcaster.room(login) is room:
                room.unsubscribe(self, self.server.now())
            self.tell(f":{self._prefix()} PART #{login}")

    def _say_suspended(self, login: str) -> None:
        if self.commands:
            text = "This channel does not exist or has been suspended."
            tags = "@msg-id=msg_channel_suspended " if self.tags else ""
            self.tell(f"{tags}:tmi.twitch.tv NOTICE #{login} :{text}")

    def _prefix(self) -> str:
        return f"{self.nick}!{self.nick}@{self.nick}.tmi.twitch.tv"


class IrcServer:
    """All connections of one simulated Twitch, over plain TCP and TLS.

    Args:
        broadcaster: the rooms.
        options: the rules.
        suspended: logins that answer JOIN with ``msg_channel_suspended``.
        gate: asked about each JOIN and login.
        present: logins that membership's NAMES list for a room.
    """

    def __init__(
        self,
        broadcaster: Broadcaster,
        options: IrcOptions,
        suspended: set[str],
        gate: Gate,
        present: Callable[[Room], list[str]],
    ) -> None:
        self.broadcaster = broadcaster
        self.options = options
        self.connections: dict[int, Connection] = {}
        self.total_connections = 0
        self.accepted_joins = 0
        self.refused_joins = 0
        self.ignored_joins = 0
        self.dropped_joins = 0
        self.refused_logins = 0
        self.slow_clients = 0
        self.unanswered_pings = 0
        self.gate = gate
        self.suspended = suspended
        self._present = present
        self._logins: dict[str, SlidingWindow] = {}
        self._named_joins: dict[str, SlidingWindow] = {}
        self._servers: list[asyncio.Server] = []
        self._ports: list[tuple[int, ssl.SSLContext | None]] = []

    async def listen(self, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Accept connections on 127.0.0.1; returns the port.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self), "127.0.0.1", port, ssl=tls, backlog=512)
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        self._ports.append((bound, tls))
        return bound

    async def stop_listening(self, seconds: float) -> None:
        """Refuse TCP connections for so many real seconds; those that are open go on.

        Raises:
            OSError: somebody else took the port meanwhile.
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
                    self.unanswered_pings += 1
                    connection.close()
                elif not connection.awaiting_pong and waited >= options.ping_seconds:
                    connection.pinged_at, connection.awaiting_pong = now, True
                    connection.tell("PING :tmi.twitch.tv")

    def flush(self) -> None:
        """Write what all connections have queued."""
        for connection in list(self.connections.values()):
            connection.flush()

    def totals(self) -> dict[str, int]:
        """Counts since the start."""
        return {
            "connections": self.total_connections,
            "connections_open": len(self.connections),
            "accepted_joins": self.accepted_joins,
            "refused_joins": self.refused_joins,
            "ignored_joins": self.ignored_joins,
            "dropped_joins": self.dropped_joins,
            "refused_logins": self.refused_logins,
            "slow_clients": self.slow_clients,
            "unanswered_pings": self.unanswered_pings,
        }

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    # What connections ask -------------------------------------------------------------------------

    def now(self) -> float:
        """World seconds."""
        return self.broadcaster.clock.now()

    def opened(self, connection: Connection) -> int:
        """Register a new connection; returns its number."""
        self.total_connections += 1
        self.connections[self.total_connections] = connection
        return self.total_connections

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.pop(connection.number, None)

    def admit_login(self, nick: str, transport: Any) -> bool:
        """Whether the AUTH limit lets this login through; nameless ones count by address."""
        peer = transport.get_extra_info("peername") if transport is not None else None
        key = nick or str(peer[0] if peer else "")
        window = self._logins.setdefault(key, SlidingWindow(self.options.auth_limit))
        if not window.admit():
            self.refused_logins += 1
            return False
        return True

    def joins_of(self, nick: str) -> SlidingWindow:
        """The JOIN limit that all connections of an account share."""
        return self._named_joins.setdefault(nick, SlidingWindow(self.options.join_limit))

    def channels_of(self, nick: str) -> int:
        """How many channels an account has joined, over all its connections."""
        return sum(len(one.rooms) for one in self.connections.values() if one.nick == nick)

    def present(self, room: Room) -> list[str]:
        """Logins for NAMES; none for a large room, of which Twitch lists the moderators at most."""
        logins = self._present(room)
        return logins if len(logins) <= _NAMES_LIMIT else []
