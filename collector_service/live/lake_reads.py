"""Reads of the lake that decide whether anything may be collected: in a thread, within a time, retried."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from collector_service.lake import LAKE_ERRORS
from collector_service.support.retry import NETWORK, RetryPolicy
from collector_service.support.threads import brief, in_daemon_thread

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LakeReadTimings:
    """How long one read may take, in real seconds, and how it is retried.

    Attributes:
        read_seconds: without a local copy of the answer.
        read_with_copy_seconds: with one. A start that has a copy must not wait long for the lake.
        retry: the waits after failed reads.
    """

    read_seconds: float = 30.0
    read_with_copy_seconds: float = 5.0
    retry: RetryPolicy = NETWORK


async def read_within(seconds: float, read: Callable[[], T]) -> T:
    """Read in a thread, within a time.

    Raises:
        LAKE_ERRORS: the lake cannot be read, or not in time.
    """
    async with asyncio.timeout(seconds):
        return await in_daemon_thread(read)


async def read_before_collecting(
    read: Callable[[], T], subject: str, *, has_copy: bool, timings: LakeReadTimings
) -> T:
    """Read until the lake answers; only once if a local copy can stand in for the answer.

    Args:
        read: the read; blocks.
        subject: the answer, for the log.
        has_copy: whether there is a local copy of the answer.
        timings: how long one read may take, and the waits between reads.

    Raises:
        LAKE_ERRORS: the lake cannot be read, and there is a copy.
    """
    failures = 0
    while True:
        try:
            return await read_within(
                timings.read_with_copy_seconds if has_copy else timings.read_seconds, read
            )
        except LAKE_ERRORS as error:
            if has_copy:
                raise
            failures += 1
            delay = timings.retry.wait_seconds(failures)
            _log.warning(
                "cannot read the lake (%s); nothing is collected until %s is known; next try in %.0f s",
                brief(error), subject, delay,
            )  # fmt: skip
            await asyncio.sleep(delay)
