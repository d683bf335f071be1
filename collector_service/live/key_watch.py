"""The collector's check that its viewer key is the lake's: before it collects, and again while it does."""

from __future__ import annotations

import asyncio
import logging
from datetime import date
from pathlib import Path

from collector_service.lake import LAKE_ERRORS, Lake
from collector_service.privacy.populations import (
    agree,
    compare,
    fingerprint,
    populations,
    refuse_if_lost,
)
from collector_service.privacy.viewer_secret import given_viewer_key_secret
from collector_service.settings import PrivacySettings, SettingsError
from collector_service.support.durable_files import replace_file
from collector_service.support.retry import NETWORK
from collector_service.support.threads import brief, in_daemon_thread

_COPY = "viewer_key.json"
_READ_SECONDS = 30.0
# With a copy at hand, the start does not wait for long.
_READ_SECONDS_WITH_COPY = 5.0
_log = logging.getLogger(__name__)


async def refuse_if_lost_before_collecting(privacy: PrivacySettings, lake: Lake) -> None:
    """Like `refuse_if_lost`, for the collector: waits for the lake where no key is at hand.

    Raises: see `refuse_if_lost`.
    """
    failures = 0
    while given_viewer_key_secret(privacy) is None:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                await in_daemon_thread(lambda: refuse_if_lost(privacy, lake))
        except LAKE_ERRORS as error:
            failures += 1
            await _wait_for_lake(error, failures)
        else:
            return


async def agree_while_collecting(lake: Lake, secret: str) -> None:
    """Compare again, since the key may have been rotated meanwhile; a lake that is away changes nothing.

    Raises:
        WrongKeyError: the lake's viewers are counted with another key by now.
    """
    try:
        async with asyncio.timeout(_READ_SECONDS):
            known = await in_daemon_thread(lambda: populations(lake))
    except (*LAKE_ERRORS, SettingsError) as error:
        problem = error if isinstance(error, SettingsError) else brief(error)
        _log.error("it was not looked whether the viewer key is the lake's still: %s", problem)
        return
    await in_daemon_thread(lambda: compare(fingerprint(secret), known, lake.uri))


async def agree_before_collecting(lake: Lake, secret: str, folder: Path, today: date) -> None:
    """Like `agree`, for the collector: waits for the lake, unless a copy of an earlier start says the same.

    Raises:
        WrongKeyError: the lake's viewers were counted with another key.
        SettingsError: the lake's record is unusable.
    """
    path = folder / _COPY
    mine = fingerprint(secret)
    failures = 0
    has_copy = _copy(path) == mine
    while True:
        try:
            async with asyncio.timeout(_READ_SECONDS_WITH_COPY if has_copy else _READ_SECONDS):
                await in_daemon_thread(lambda: agree(lake, secret, today))
        except LAKE_ERRORS as error:
            failures += 1
            if has_copy:
                _log.warning(
                    "the lake cannot be read (%s); the viewer key is that of the last start", brief(error)
                )
                return
            await _wait_for_lake(error, failures)
        else:
            try:
                replace_file(path, [mine.encode() + b"\n"])
            except OSError as error:
                _log.warning("cannot keep %s: %s", path, error.strerror)
            return


async def _wait_for_lake(error: Exception, failures: int) -> None:
    delay = NETWORK.wait_seconds(failures)
    _log.warning(
        "the lake cannot be read (%s); nothing is collected until it is known which viewer key is its own; "
        "next try in %.0f s", brief(error), delay,
    )  # fmt: skip
    await asyncio.sleep(delay)


def _copy(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
