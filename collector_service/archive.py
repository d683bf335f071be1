"""The archive: from open windows to objects in the lake, whatever fails on the way.

Belongs here: when to tick the windows, flush the journal, spool and upload. Does not belong here: the
formats (``journal``, ``spool``) and the windows' content.

A part's journal is removed only after its object is in the spool, and an object is uploaded only after
its journal is removed. So a crash at any point leaves exactly one of the two to start from.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar, cast

from obstore.exceptions import BaseError as LakeError

from collector_service.clock import utc
from collector_service.contract import encode_object, format_utc
from collector_service.journal import Flush, Journal
from collector_service.pacing import backoff
from collector_service.spool import PartName, Spool
from collector_service.stats import Stats
from collector_service.windows import Part, Windows

FLUSH_SECONDS = 1.0
SYNC_SECONDS = 3.0
_LONGEST_TICK_SECONDS = 0.5

UPLOAD_ERRORS = (LakeError, OSError, RuntimeError)

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Archive:
    """Takes the windows' parts to the lake."""

    def __init__(self, journal: Journal, spool: Spool, collector_id: str, stats: Stats) -> None:
        self._journal = journal
        self._spool = spool
        self._collector_id = collector_id
        self._stats = stats
        self._journal_turn = asyncio.Lock()
        self._spool_turn = asyncio.Lock()
        self._upload_turn = asyncio.Lock()
        self._closed: deque[Part] = deque()
        self._has_closed = asyncio.Event()
        self._ready: list[PartName] = []
        self._has_spooled = asyncio.Event()
        self._last_sync = 0.0

    def recover(self) -> int:
        """Spool what an earlier process left in its journal. Blocks; call before anything else.

        Returns:
            The number for the next part: larger than any in use.

        Raises:
            OSError: the state directory cannot be used.
        """
        spooled = set(self._spool.names())
        sequences = [name.sequence for name in spooled]
        for found in self._journal.recover():
            sequences.append(found.name.sequence)
            if found.name not in spooled:
                records = found.part.records(found.name.collector_id)
                self._spool.add(found.name, encode_object(records))
                self._stats.recovered_parts += 1
                self._stats.recovered_lost_bytes += found.lost_bytes
                _log.info(
                    "recovered the window of %s from the journal (%d torn bytes cut)",
                    format_utc(utc(found.part.start)),
                    found.lost_bytes,
                )
            self._journal.discard(found.name)
        self._ready = self._spool.names()
        self._measure()
        return max(sequences, default=-1) + 1

    async def tick(self, windows: Windows, longest: float, on_closed: Callable[[], None]) -> None:
        """Open and close windows as time goes by, until cancelled.

        Args:
            windows: the windows.
            longest: real seconds between two ticks, at most; half a second in any case.
            on_closed: called after windows have closed.
        """
        while True:
            await asyncio.sleep(min(longest, _LONGEST_TICK_SECONDS))
            if over := windows.tick():
                self._closed.extend(over)
                self._has_closed.set()
                on_closed()

    async def keep_journal(self, windows: Windows) -> None:
        """Flush the open parts to the journal every second, until cancelled."""
        failing = False
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await asyncio.shield(self._write_journal(lambda: windows.open_parts, windows.now()))
            except OSError as error:
                self._stats.journal_failures += 1
                if not failing:
                    _log.error("cannot write the journal: %s; going on without", error.strerror)
                failing = True
            else:
                failing = False

    async def keep_spooling(self) -> None:
        """Spool the parts that close, in order, until cancelled."""
        failures = 0
        while True:
            self._has_closed.clear()
            try:
                while self._closed:
                    await asyncio.shield(self._spool_next())
                    failures = 0
            except OSError as error:
                failures += 1
                self._stats.spool_failures += 1
                _log.error("cannot write the spool: %s; the window stays in memory", error.strerror)
                await asyncio.sleep(backoff(failures))
            else:
                await self._has_closed.wait()

    async def keep_uploading(self) -> None:
        """Upload what is in the spool, oldest window first, until cancelled."""
        failures = 0
        while True:
            self._has_spooled.clear()
            try:
                while await asyncio.shield(self._upload_next()):
                    failures = 0
            except UPLOAD_ERRORS as error:
                failures += 1
                delay = backoff(failures)
                _log.warning("upload failed (%s); next try in %.0f s", brief(error), delay)
                await asyncio.sleep(delay)
            else:
                await self._has_spooled.wait()

    async def finish(self, parts: Iterable[Part], seconds: float) -> bool:
        """Spool the last parts and upload everything, within a time.

        What is not uploaded by then stays in the spool (what is not spooled, in the journal) for the next
        start. The tasks above must have been cancelled.

        Returns:
            Whether everything is in the lake.
        """
        self._closed.extend(parts)
        try:
            async with asyncio.timeout(seconds):
                await self._flush_closed()
                done = False
                while not done:
                    done = await self._finish_step()
        except TimeoutError:
            names = self._spool.names()
            _log.warning(
                "%d objects stay in the spool and %d windows in the journal for the next start",
                len(names),
                len(self._closed),
            )
            return False
        return True

    async def _flush_closed(self) -> None:
        """Whatever happens to the spool, the journal has the closed parts as they are."""
        try:
            await self._write_journal(lambda: self._closed, math.inf)
        except OSError as error:
            _log.error("cannot write the journal: %s", error.strerror)

    async def _finish_step(self) -> bool:
        """Spool or upload one object; True when there is none left."""
        try:
            if self._closed:
                await asyncio.shield(self._spool_next())
                return False
            return not await asyncio.shield(self._upload_next())
        except UPLOAD_ERRORS as error:
            _log.warning("%s; trying again", brief(error))
            await asyncio.sleep(0.5)
            return False

    async def _write_journal(self, parts: Callable[[], Iterable[Part]], now: float) -> None:
        async with self._journal_turn:
            # Asked for only now: a part whose file was discarded meanwhile must not get a new one.
            flushes = self._journal.take(parts(), now)
            sync = time.monotonic() - self._last_sync >= SYNC_SECONDS
            await asyncio.to_thread(self._write_and_sync, flushes, sync)

    def _write_and_sync(self, flushes: list[Flush], sync: bool) -> None:
        self._journal.write(flushes)
        if sync:
            self._journal.sync()
            self._last_sync = time.monotonic()

    async def _spool_next(self) -> None:
        """Move the oldest closed part from memory and journal into the spool."""
        async with self._spool_turn:
            if not self._closed:
                return
            part = self._closed[0]
            name = PartName.of(part, self._collector_id)
            started = time.monotonic()
            data = await asyncio.to_thread(lambda: encode_object(part.records(self._collector_id)))
            await asyncio.to_thread(self._spool.add, name, data)
            async with self._journal_turn:
                await asyncio.to_thread(self._journal.discard, name)
            self._closed.popleft()
            self._stats.windows_spooled += 1
            self._stats.window_flush.observe(time.monotonic() - started)
            self._measure()
            self._ready.append(name)
            self._has_spooled.set()

    async def _upload_next(self) -> bool:
        """Upload the oldest object that is ready; False when there is none."""
        async with self._upload_turn:
            if not self._ready:
                return False
            name = min(self._ready)
            try:
                await in_daemon_thread(lambda: self._spool.upload(name))
            except UPLOAD_ERRORS:
                self._stats.upload_failures += 1
                raise
            self._ready.remove(name)
            self._stats.uploads += 1
            self._measure()
            return True

    def _measure(self) -> None:
        self._stats.spool_files, self._stats.spool_bytes, self._stats.spool_oldest = self._spool.size()


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
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, daemon=True).start()
    return await done
