"""Twitch's IRC over plain TCP, reduced to the logins, joins, pings and lines that a load test needs.

Lines are made in blocks while sending, many times faster than a client takes them apart: a long stream
needs no memory, and carries the time of its sending.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from .stream import CHANNELS, LOGINS, ROOM_IDS, Messages, lines

_BLOCK = 500
_TICK_SECONDS = 0.02
_NUMBERS = {login: number for number, login in enumerate(LOGINS)}


class Link:
    """One connection of the client; ``channels`` is a mask over the channels it has joined."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._number = number
        self._reader = reader
        self._writer = writer
        self._nick = ""
        self._done = asyncio.Event()
        self._gone = False
        self.channels = np.zeros(CHANNELS, dtype=bool)

    async def answer(self) -> None:
        """Answer the client until it goes."""
        try:
            while line := await self._reader.readline():
                command, _, rest = line.decode().rstrip().partition(" ")
                self._command(command, rest)
        except ConnectionError:
            pass
        finally:
            self._gone = True
            self._done.set()
            self._writer.transport.abort()

    async def send(self, messages: Messages, seconds: float | None) -> None:
        """Send messages, spread over ``seconds`` or as fast as they are read; returns when all are read."""
        began = time.monotonic()
        total, sent = len(messages), 0
        while sent < total:
            due = total
            if seconds is not None:
                due = min(total, int(total * (time.monotonic() - began + _TICK_SECONDS) / seconds))
            while sent < due:
                end = min(due, sent + _BLOCK)
                made = lines(messages, sent, end, self._number, int(time.time() * 1000))
                self._writer.write(("\r\n".join(made) + "\r\n").encode())
                await self._writer.drain()
                sent = end
            if seconds is not None:
                await asyncio.sleep(_TICK_SECONDS)
        # The client answers in order, so its PONG proves that it has taken everything before.
        self._say("PING :all-sent")
        await self._done.wait()
        if self._gone:
            raise ConnectionResetError("the client closed a connection while it was being fed")

    def _command(self, command: str, rest: str) -> None:
        if command == "CAP":
            self._say(f":tmi.twitch.tv CAP * ACK {rest.removeprefix('REQ ')}")
        elif command == "NICK":
            self._nick = rest
            self._say(f":tmi.twitch.tv 001 {rest} :Welcome, GLHF!", f":tmi.twitch.tv 376 {rest} :>")
        elif command == "PING":
            self._say(f":tmi.twitch.tv PONG tmi.twitch.tv {rest}")
        elif command == "PONG" and rest.endswith("all-sent"):
            self._done.set()
        elif command == "JOIN":
            for name in rest.split(","):
                self._join(name.removeprefix("#"))

    def _join(self, login: str) -> None:
        number = _NUMBERS[login]
        self.channels[number] = True
        nick = self._nick
        self._say(
            f":{nick}!{nick}@{nick}.tmi.twitch.tv JOIN #{login}",
            f"@emote-only=0;followers-only=-1;r9k=0;room-id={ROOM_IDS[number]};slow=0;subs-only=0 "
            f":tmi.twitch.tv ROOMSTATE #{login}",
        )

    def _say(self, *said: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in said).encode())


class LoadServer:
    """The server; ``url`` is what the client connects to, ``links`` are its connections."""

    def __init__(self) -> None:
        self.url = ""
        self.links: list[Link] = []

    @classmethod
    @asynccontextmanager
    async def run(cls) -> AsyncIterator[LoadServer]:
        """A server on a free port of this machine, for as long as the context lasts."""
        made = cls()
        server = await asyncio.start_server(made._accept, "127.0.0.1", 0)
        made.url = f"irc://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield made
        finally:
            server.close()

    async def feed(self, messages: Messages, seconds: float | None = None) -> float:
        """Send every message on the connection that has joined its channel.

        Args:
            messages: what is sent; all its channels must be joined.
            seconds: spread evenly over so long; None: as fast as the client reads.

        Returns:
            Seconds until the client had taken everything.

        Raises:
            ConnectionError: the client closed a connection.
            RuntimeError: a channel is not joined.
        """
        shares = [(link, messages.only(link.channels)) for link in self.links]
        if sum(len(share) for _, share in shares) != len(messages):
            raise RuntimeError("not every channel is joined on exactly one connection")
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for link, share in shares:
                tasks.create_task(link.send(share, seconds))
        return time.monotonic() - began

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(len(self.links), reader, writer)
        self.links.append(link)
        await link.answer()
