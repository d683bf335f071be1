"""The opt-outs in force while the collector runs: read from the lake, with a copy in the state folder."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from collector_service.lake import LAKE_ERRORS, Lake
from collector_service.live.lake_reads import LakeReadTimings, read_before_collecting, read_within
from collector_service.metrics import Stats
from collector_service.privacy.opt_outs import OPT_OUTS_KEY, BadOptOutsError, OptOuts, listed_opt_outs
from collector_service.support.durable_files import replace_file
from collector_service.support.threads import brief, in_daemon_thread

_log = logging.getLogger(__name__)


class OptOutWatch:
    """The current opt-outs from the lake, with a copy in the collector's state folder.

    An object that vanishes from the lake does not end an opt-out: the last copy stays in force.

    Args:
        lake: the lake.
        folder: the collector's own folder.
        stats: counters.
        timings: how long a read of the lake may take.

    Attributes:
        current: the opt-outs in force; empty until `load` has returned.
    """

    def __init__(self, lake: Lake, folder: Path, stats: Stats, timings: LakeReadTimings) -> None:
        self._lake = lake
        self._path = folder / "opt_outs.json"
        self._stats = stats
        self._timings = timings
        self._saved = b""
        self._asked = asyncio.Event()
        self.current = OptOuts()

    def ask(self) -> None:
        """Ask for the lake's object to be read soon: it has a new opt-out."""
        self._asked.set()

    async def asked_within(self, seconds: float) -> None:
        """Wait for the next `ask`, at most this long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        self._asked.clear()

    async def load(self) -> OptOuts:
        """The opt-outs to start with; waits for the lake, unless there is a copy of an earlier start.

        Raises:
            BadOptOutsError: the lake's object is unusable.
        """
        copy = await in_daemon_thread(self._read_copy)
        self.current = copy or OptOuts()
        try:
            found = await read_before_collecting(
                self._read_lake, OPT_OUTS_KEY, has_copy=copy is not None, timings=self._timings
            )
        except LAKE_ERRORS as error:
            _log.warning(
                "cannot read the lake (%s); the opt-outs of %s are in force", brief(error), self._path
            )
        else:
            await self._put_in_force(found, copy)
        return self.current

    async def refresh(self) -> bool:
        """Read the lake's object again; a fault leaves the opt-outs as they are.

        Returns:
            Whether they have changed.
        """
        before = self.current
        try:
            found = await read_within(self._timings.read_with_copy_seconds, self._read_lake)
        except (BadOptOutsError, *LAKE_ERRORS) as error:
            self._stats.refresh_failures += 1
            problem = error if isinstance(error, BadOptOutsError) else brief(error)
            _log.error("opt-outs not refreshed, the last ones stay in force: %s", problem)
        else:
            await self._put_in_force(found, before)
        return self.current != before

    def _read_lake(self) -> OptOuts | None:
        return listed_opt_outs(self._lake)

    async def _put_in_force(self, found: OptOuts | None, last: OptOuts | None) -> None:
        """Put the lake's opt-outs in force and keep a copy of them."""
        if found is None and last is not None and last != OptOuts():
            self._stats.refresh_failures += 1
            _log.error(
                "%s is missing from %s; the opt-outs of %s stay in force. To end them, write the object "
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
            _log.error("the copy of the opt-outs is unusable, the lake's are needed: %s", brief(error))
            return None
        self._saved = data
        return copy

    def _save(self) -> None:
        """Replace the copy: a crash at any point leaves the old or the new one complete."""
        data = self.current.to_bytes()
        if data == self._saved:
            return
        try:
            replace_file(self._path, [data])
        except OSError as error:
            _log.warning("cannot keep a copy of the opt-outs in %s: %s", self._path, error.strerror)
        else:
            self._saved = data
