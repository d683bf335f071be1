"""The rival: TwitchIO 2.10.0 in a throwaway environment, fed the same stream over a WebSocket server.

It gets what suits it best: one connection, no channels to join before it may read, frames of many lines.
The time before its first message does not count.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import WSMsgType, web

from .stream import Messages, lines
from .subject import BenchError

NAME = "TwitchIO 2.10.0"
_REQUIREMENT = "twitchio==2.10.0"
_CLIENT = Path(__file__).with_name("rival_client.py")
_FRAME = 50
_INSTALL_SECONDS = 300
_RUN_SECONDS = 600


@dataclass(frozen=True)
class RivalResult:
    """What the rival did: messages, wall seconds and CPU seconds."""

    messages: int
    seconds: float
    cpu_seconds: float


def install(folder: Path) -> Path:
    """Install the rival into a new environment in ``folder``; returns its Python.

    Raises:
        BenchError: it cannot be installed.
    """
    python = folder / "rival/bin/python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", _REQUIREMENT)
    for command in ((sys.executable, "-m", "venv", folder / "rival"), pip):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"{NAME} could not be installed within {_INSTALL_SECONDS} s") from None
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            why = said[-1] if said else "no reason given"
            raise BenchError(f"{NAME} could not be installed (is the machine offline?): {why}")
    return python


async def run(python: Path, messages: Messages) -> RivalResult:
    """Feed the rival.

    Args:
        python: the interpreter of its environment.
        messages: the stream.

    Raises:
        BenchError: it did not count every message and pair in time.
    """
    async with _serving(messages) as url:
        process = await asyncio.create_subprocess_exec(
            *(str(python), str(_CLIENT), url, str(len(messages))),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), _RUN_SECONDS)
        except TimeoutError:
            raise BenchError(f"{NAME} did not read every message within {_RUN_SECONDS} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode:
        raise BenchError(f"{NAME} failed:\n{errors.decode(errors='replace')[-2000:]}")
    found = json.loads(output)
    if (found["messages"], found["pairs"]) != (len(messages), messages.pairs):
        raise BenchError(f"{NAME} counted {found['pairs']:,} pairs instead of {messages.pairs:,}")
    return RivalResult(found["messages"], found["seconds"], found["cpu_seconds"])


@asynccontextmanager
async def _serving(messages: Messages) -> AsyncIterator[str]:
    async def chat(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        feeding: asyncio.Task[None] | None = None
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data.startswith("NICK ") and feeding is None:
                nick = message.data.split()[1]
                await socket.send_str(f":tmi.twitch.tv 001 {nick} :Welcome, GLHF!\r\n")
                await socket.send_str(f":tmi.twitch.tv 376 {nick} :>\r\n")
                feeding = asyncio.ensure_future(_feed(socket, messages))
        if feeding is not None:
            feeding.cancel()
        return socket

    app = web.Application()
    app.add_routes([web.get("/", chat)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _feed(socket: web.WebSocketResponse, messages: Messages) -> None:
    for begin in range(0, len(messages), _FRAME):
        end = min(len(messages), begin + _FRAME)
        made = lines(messages, begin, end, 0, int(time.time() * 1000))
        await socket.send_str("\r\n".join(made) + "\r\n")
