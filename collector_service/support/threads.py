"""Blocking work in threads that do not keep the process from ending."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


def brief(error: Exception) -> str:
    """An error in one short line, for the log."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("T", result))

    def run() -> None:
        result: T | None = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  (it is raised where the work is awaited)
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits for the result
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, daemon=True, name=in_daemon_thread.__name__).start()
    return await done
