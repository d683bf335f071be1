"""One IRC connection: log in, join, stay alive, and hand over the chat lines.

All times are real: seconds of the event loop's clock.
"""

from __future__ import annotations

import asyncio
import math
import random
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from collector_service.contract import ChannelStatus
from collector_service.metrics import Stats
from collector_service.settings import TwitchSettings
from collector_service.twitch.irc import Chat, Control, Ignored, Malformed, parse

# Twitch's lines stay below 8 KiB of tags and 512 bytes of message.
MAX_LINE_BYTES = 64 * 1024
_JOIN_BYTES = 450
_TOKEN_BYTES = 300

# NOTICE msg-ids that refuse a channel.
REFUSALS = {
    b"msg_channel_suspended": ChannelStatus.SUSPENDED,
    b"tos_ban": ChannelStatus.SUSPENDED,
    b"msg_banned": ChannelStatus.BANNED,
    b"msg_room_not_found": ChannelStatus.NOT_FOUND,
}
_DRAIN = "vieweratlas-drain"
_LOGIN_REFUSED = (b"Login", b"Improperly")


@dataclass(frozen=True)
class ConnectionTimings:
    """Real seconds.

    Attributes:
        connect_seconds: within which a connection must be open and logged in.
        idle_seconds: without a byte, after which the server is asked for a sign of life.
        pong_seconds: within which it must answer.
    """

    connect_seconds: float = 20.0
    idle_seconds: float = 10.0
    pong_seconds: float = 10.0


class ConnectError(Exception):
    """No usable connection; ``cause`` is a short stable word for counting."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"cannot use Twitch's IRC: {cause}")
        self.cause = cause


class Listener(Protocol):
    """The receiver of a connection's events. Its methods must not block or raise."""

    def chats(self, chats: Sequence[Chat]) -> None:
        """Chat lines have arrived, in order."""

    def joined(self, connection: Connection, login: str) -> None:
        """The channel is joined on this connection."""

    def left(self, connection: Connection, login: str, ago: float) -> None:
        """The channel is not joined on this connection, for ``ago`` seconds."""

    def identified(self, login: str, channel_id: int) -> None:
        """The channel has this id."""

    def refused(self, login: str, why: ChannelStatus) -> None:
        """The channel cannot be joined."""


class Connection(asyncio.Protocol):
    """An anonymous connection. Made by `connect`; over when `ended` says its cause.

    Attributes:
        joined: logins that the server confirmed.
        ended: the cause of the end, once the connection is over.
    """

    def __init__(self, listener: Listener, stats: Stats, timings: ConnectionTimings) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._stats = stats
        self._timings = timings
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._oversize = False
        self._nick = f"justinfan{random.randrange(10_000, 10_000_000)}"  # noqa: S311 - not a secret
        self._login: asyncio.Future[str] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._asked_for_life = False
        self._drained_at = math.inf
        self.last_received = self._loop.time()
        self.joined: set[str] = set()
        self._asked: set[str] = set()
        self._reconnect = asyncio.Event()
        self.ended: asyncio.Future[str] = self._loop.create_future()

    @classmethod
    async def connect(
        cls,
        twitch: TwitchSettings,
        listener: Listener,
        stats: Stats,
        timings: ConnectionTimings = ConnectionTimings(),
    ) -> Connection:
        """Connect and log in.

        Raises:
            ConnectError: it did not work; nothing is left open.
        """
        url = urlsplit(twitch.irc_url)
        secure = url.scheme == "ircs"
        context = ssl.create_default_context(cafile=twitch.ca_file) if secure else None
        connection: Connection | None = None
        try:
            async with asyncio.timeout(timings.connect_seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: cls(listener, stats, timings),
                    url.hostname or "",
                    url.port or (6697 if secure else 6667),
                    ssl=context,
                )
                cause = await connection.logged_in()
        except asyncio.CancelledError:
            if connection is not None:
                connection.close("stopped")
            raise
        except TimeoutError:
            cause = "time-out"
        except ssl.SSLError:
            cause = "tls"
        except OSError:
            cause = "unreachable"
        else:
            if not cause:
                return connection
        if connection is not None:
            connection.close(cause)
        raise ConnectError(cause)

    async def logged_in(self) -> str:
        """Wait for the login; returns the cause of a failure, or an empty text."""
        return await asyncio.shield(self._login)

    async def over(self) -> str:
        """Wait until the connection ends or the server wants a new one; returns the cause.

        ``reconnect`` means the latter: this connection lasts a while longer.
        """
        asked = asyncio.ensure_future(self._reconnect.wait())
        either: list[asyncio.Future[Any]] = [asked, self.ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        return self.ended.result() if self.ended.done() else "reconnect"

    def join(self, logins: Sequence[str]) -> None:
        """Ask for channels; `Listener.joined` reports the answer."""
        self._asked.update(logins)
        for chunk in _chunks(logins):
            self._send("JOIN " + chunk)

    def leave(self, logins: Sequence[str]) -> None:
        """Leave channels, at once as far as the listener is concerned: since something was last heard."""
        for chunk in _chunks(logins):
            self._send("PART " + chunk)
        for login in logins:
            self._left(login, self._loop.time() - self.last_received)

    def ping(self) -> None:
        """Ask for a sign of life now; without one in time the connection is over."""
        if self._timer is not None and not self._asked_for_life and not self.ended.done():
            self._asked_for_life = True
            self._timer.cancel()
            self._send("PING :vieweratlas")
            self._timer = self._loop.call_later(
                self._timings.pong_seconds, self._check_pong, self._loop.time()
            )

    def drain(self) -> None:
        """Leave all channels, and end the connection as soon as everything sent before is read.

        The channels count as watched up to now.
        """
        self._drained_at = self._loop.time()
        # In one write: if the server has closed by then, a second one would fail, and asyncio then throws
        # away what has arrived and was not read yet. Channels whose JOIN is on its way are left, too: no
        # line is read after the PONG.
        parts = [f"PART {chunk}" for chunk in _chunks(sorted(self.joined | self._asked))]
        self._send(*parts, f"PING :{_DRAIN}")

    def close(self, cause: str, *, silent: bool = False) -> None:
        """End the connection at once, without waiting for undelivered data.

        Args:
            cause: what `ended` will say.
            silent: whether to count its channels as watched only until it was last heard.
        """
        self._end(cause, self._loop.time() - self.last_received if silent else 0.0)
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in. No membership capability: it would add nothing that may be counted."""
        self._transport = cast("asyncio.Transport", transport)
        self._send("CAP REQ :twitch.tv/tags twitch.tv/commands")
        self._send(f"NICK {self._nick}")
        self._timer = self._loop.call_later(self._timings.idle_seconds, self._check_idle)

    def data_received(self, data: bytes) -> None:
        """Take the lines apart: pass chat to the listener in one batch, and answer everything else."""
        self.last_received = self._loop.time()
        self._asked_for_life = False
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if self._oversize and lines:
            self._oversize = False
            del lines[0]
        if len(self._rest) > MAX_LINE_BYTES:
            if not self._oversize:
                self._stats.parse_errors["oversize"] += 1
            self._oversize = True
            self._rest = b""
        chats: list[Chat] = []
        for raw in lines:
            line = parse(raw)
            if type(line) is Chat:
                chats.append(line)
            elif type(line) is Control:
                self._control(line)
            elif type(line) is Ignored:
                self._stats.messages["ignored"] += 1
            elif type(line) is Malformed and raw.strip():
                self._stats.parse_errors[line.reason] += 1
        if chats:
            self._listener.chats(chats)

    def connection_lost(self, exc: Exception | None) -> None:
        """End with the transport."""
        # A reset proves that the peer was there until now. Any other error proves nothing.
        known = exc is None or isinstance(exc, ConnectionResetError | BrokenPipeError)
        silent = 0.0 if known else self._loop.time() - self.last_received
        self._end("closed" if exc is None else "reset", silent)

    def _control(self, line: Control) -> None:
        command = line.command
        if command == b"PING":
            token = line.params[-1] if line.params else b"tmi.twitch.tv"
            self._send("PONG :" + _one_line(token))
        elif command == b"JOIN" and self._is_mine(line):
            self._joined(line.channel)
        elif command == b"ROOMSTATE":
            self._roomstate(line)
        elif command == b"PART" and self._is_mine(line):
            self._left(line.channel, 0.0)
        elif command == b"NOTICE":
            self._notice(line)
        elif command == b"PONG":
            if line.params[-1:] == (_DRAIN.encode(),):
                self.close("stopped")
        elif command == b"RECONNECT":
            self._reconnect.set()
        elif command == b"001" and not self._login.done():
            self._login.set_result("")
        elif command == b"CAP" and b"NAK" in line.params:
            self.close("capabilities refused")
        else:
            self._stats.messages["other"] += 1

    def _is_mine(self, line: Control) -> bool:
        return line.prefix.partition(b"!")[0] == self._nick.encode()

    def _roomstate(self, line: Control) -> None:
        channel_id = line.tag(b"room-id")
        if line.channel in self._asked and channel_id.isdigit() and len(channel_id) <= 18:
            self._listener.identified(line.channel, int(channel_id))
            self._joined(line.channel)

    def _notice(self, line: Control) -> None:
        if line.params[:1] == (b"*",) and line.params[-1].startswith(_LOGIN_REFUSED):
            self.close("login refused")
            return
        why = REFUSALS.get(line.tag(b"msg-id"))
        if why and line.channel in self._asked:
            self._listener.refused(line.channel, why)
            self._left(line.channel, 0.0)

    def _joined(self, login: str) -> None:
        if login in self._asked and login not in self.joined:
            self.joined.add(login)
            self._listener.joined(self, login)

    def _left(self, login: str, ago: float) -> None:
        if login in self.joined:
            self.joined.discard(login)
            self._listener.left(self, login, max(ago, self._loop.time() - self._drained_at))

    def _send(self, *lines: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write("".join(f"{line}\r\n" for line in lines).encode())

    def _check_idle(self) -> None:
        idle = self._loop.time() - self.last_received
        if idle >= self._timings.idle_seconds:
            self.ping()
        else:
            self._timer = self._loop.call_later(self._timings.idle_seconds - idle, self._check_idle)

    def _check_pong(self, asked: float) -> None:
        if self.last_received > asked:
            self._timer = self._loop.call_later(self._timings.idle_seconds, self._check_idle)
            return
        # Nothing was heard since then, so nothing was watched either.
        self._end("silent", self._loop.time() - self.last_received)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, cause: str, silent_seconds: float) -> None:
        if self.ended.done():
            return
        self.ended.set_result(cause)
        if self._timer is not None:
            self._timer.cancel()
        if not self._login.done():
            self._login.set_result(cause)
        for login in sorted(self.joined):
            self._left(login, silent_seconds)


def _one_line(token: bytes) -> str:
    """A server's token, safe to send back: one short line."""
    return "".join(filter(str.isprintable, token[:_TOKEN_BYTES].decode("ascii", "ignore")))


def _chunks(logins: Sequence[str]) -> list[str]:
    """``#a,#b,...`` in pieces that fit a line."""
    chunks: list[str] = []
    for login in logins:
        if chunks and len(chunks[-1]) + len(login) + 2 <= _JOIN_BYTES:
            chunks[-1] += f",#{login}"
        else:
            chunks.append(f"#{login}")
    return chunks
