"""The opt-outs in force while the collector runs: read from the lake, with a copy in the state folder."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from collector_service.lake import LAKE_ERRORS, Lake
from collector_service.metrics import Stats
from collector_service.privacy.opt_outs import OPT_OUTS_KEY, BadOptOutsError, OptOuts, listed_opt_outs
from collector_service.support.durable_files import replace_file
from collector_service.support.retry import NETWORK
from collector_service.support.threads import brief, in_daemon_thread

READ_SECONDS = 30.0
# With a copy at hand, the start does not wait for long.
_READ_SECONDS_WITH_COPY = 5.0
_log = logging.getLogger(__name__)


class OptOutsKeeper:
    """The opt-outs of now, from the lake, with a copy in the collector's state folder.

    An object that vanishes from the lake ends nobody's opt-out: the last copy stays in force.

    Args:
        lake: the lake.
        folder: the collector's own folder.
        stats: counters.

    Attributes:
        current: the opt-outs in force; nobody's until `load` has returned.
    """

    def __init__(self, lake: Lake, folder: Path, stats: Stats) -> None:
        self._lake = lake
        self._path = folder / "opt_outs.json"
        self._stats = stats
        self._saved = b""
        self._asked = asyncio.Event()
        self.current = OptOuts()

    def ask(self) -> None:
        """Somebody has opted out: read the lake's object soon."""
        self._asked.set()

    async def asked_within(self, seconds: float) -> None:
        """Wait until somebody asks, but not longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        self._asked.clear()

    async def load(self) -> OptOuts:
        """The opt-outs to start with; waits for the lake as long as there is no copy of an earlier start.

        Raises:
            BadOptOutsError: the lake's object is unusable.
        """
        failures = 0
        copy = await in_daemon_thread(self._read_copy)
        self.current = copy or OptOuts()
        while True:
            try:
                await self._take(copy)
            except LAKE_ERRORS as error:
                failures += 1
                if copy is not None:
                    _log.warning(
                        "the lake cannot be read (%s); the opt-outs of %s are in force",
                        brief(error), self._path,
                    )  # fmt: skip
                    break
                delay = NETWORK.wait_seconds(failures)
                _log.warning(
                    "the lake cannot be read (%s); nothing is collected until %s is known; next try "
                    "in %.0f s", brief(error), OPT_OUTS_KEY, delay,
                )  # fmt: skip
                await asyncio.sleep(delay)
            else:
                break
        return self.current

    async def refresh(self) -> bool:
        """Read the lake's object again; a fault leaves what is in force. Returns whether that changed."""
        before = self.current
        try:
            await self._take(before)
        except (BadOptOutsError, *LAKE_ERRORS) as error:
            self._stats.refresh_failures += 1
            problem = error if isinstance(error, BadOptOutsError) else brief(error)
            _log.error("opt-outs not refreshed, the last ones stay in force: %s", problem)
        return self.current != before

    async def _take(self, last: OptOuts | None) -> None:
        """Put the lake's opt-outs in force and keep a copy of them."""
        async with asyncio.timeout(READ_SECONDS if last is None else _READ_SECONDS_WITH_COPY):
            found = await in_daemon_thread(lambda: listed_opt_outs(self._lake))
        if found is None and last is not None and last != OptOuts():
            self._stats.refresh_failures += 1
            _log.error(
                "%s is gone from %s; the opt-outs of %s stay in force. To end them, write the object "
                "with empty lists", OPT_OUTS_KEY, self._lake.uri, self._path,
            )  # fmt: skip
            return
        self.current = found or OptOuts()
        await in_daemon_thread(self._save)

    def _read_copy(self) -> OptOuts | None:
        try:
            data = self._path.read_bytes()
            copy = OptOuts.from_bytes(data, str(self._path))
        except FileNotFoundError:
            return None
        except (OSError, BadOptOutsError) as error:
            _log.error("the copy of the opt-outs is unusable, only the lake's will do: %s", brief(error))
            return None
        self._saved = data
        return copy

    def _save(self) -> None:
        """Replace the copy: after a crash at any point the old or the new one is there as a whole."""
        data = self.current.to_bytes()
        if data == self._saved:
            return
        try:
            replace_file(self._path, [data])
        except OSError as error:
            _log.warning("cannot keep a copy of the opt-outs in %s: %s", self._path, error.strerror)
        else:
            self._saved = data
