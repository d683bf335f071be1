"""One connection of Twitch's IRC: its registration, its rooms, the protocol's replies and faults."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from fcntl import ioctl
from random import Random
from typing import Any, Protocol, cast

from collector_service.simulator.broadcast import Broadcaster, Room
from collector_service.simulator.irc_rules import Gate, IrcOptions, SlidingWindow

CAPABILITIES = ("twitch.tv/tags", "twitch.tv/commands", "twitch.tv/membership")
_ANONYMOUS_NICK = re.compile(r"justinfan[0-9]+")
_NICK = re.compile(r"[a-z0-9_]{1,50}")
_LONGEST_CLIENT_LINE = 8_192
_HELD_BACK_EVERY = 16
_DRAIN_SECONDS = 2.0
_TRICKLE_BYTES = 120


@dataclass(slots=True)
class ConnectionTotals:
    """Counts of all connections since the start."""

    connections: int = 0
    accepted_joins: int = 0
    refused_joins: int = 0
    ignored_joins: int = 0
    dropped_joins: int = 0
    refused_logins: int = 0
    slow_clients: int = 0
    unanswered_pings: int = 0


class Server(Protocol):
    """The part of the server that a connection uses; see ``irc_server.IrcServer``."""

    broadcaster: Broadcaster
    options: IrcOptions
    gate: Gate
    suspended: set[str]
    totals: ConnectionTotals

    def now(self) -> float:
        """World seconds."""
        ...

    def opened(self, connection: Connection) -> int:
        """Register a new connection; returns its number."""
        ...

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        ...

    def admit_login(self, nick: str, transport: Any) -> bool:
        """Whether the limit of logins allows this one."""
        ...

    def joins_of(self, nick: str) -> SlidingWindow:
        """The JOIN limit that all connections of an account share."""
        ...

    def channels_of(self, nick: str) -> int:
        """How many channels an account has joined, over all its connections."""
        ...

    def present(self, room: Room) -> list[str]:
        """Logins for NAMES."""
        ...


class Connection(asyncio.Protocol):
    """One client. ``silenced`` keeps the TCP connection alive but writes nothing more to it."""

    def __init__(self, server: Server) -> None:
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
            self.server.totals.slow_clients += 1
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

        Waiting keeps the oracle exact: everything that counts as delivered has arrived.
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
        """Write a few bytes at a time for some real seconds; the rest waits, nothing is lost."""
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
            # Lines that the rooms already counted as delivered are still sent, to the last byte.
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
        # Chat from readers, and further commands of older clients, stay without an answer.
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
            self.server.totals.refused_logins += 1
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
            server.totals.refused_joins += 1
            self.close()
            return
        if server.gate.drops_join():
            server.totals.dropped_joins += 1
            return
        if login in server.suspended:
            self._say_suspended(login)
            return
        room = server.broadcaster.room(login)
        if room is None or login in self.rooms or not name.startswith("#"):
            return
        anonymous = _ANONYMOUS_NICK.fullmatch(self.nick) is not None
        if not anonymous and server.channels_of(self.nick) >= server.options.max_named_channels:
            server.totals.ignored_joins += 1
            return
        self.rooms[login] = room
        server.totals.accepted_joins += 1
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
