"""The uploader: from open windows to objects in the lake, whatever fails on the way.

It decides when to tick the windows, flush the journal, spool and upload; ``journal`` and ``spool`` have the
formats.

A share moves from memory into the spool, then its journal is removed, then its object is uploaded and
removed from the spool. When the disk refuses the object, it waits in memory: it moves into the spool when
the disk takes it again, or straight into the lake, and then its journal is removed. So a share's journal is
removed only after its object is in the spool or in the lake, and a crash at any point loses nothing.
Nothing doubles either: a share may be left in two places, but it has the same number in all of them, and an
upload that finds this number in the lake ends there, even if the journal's share is shorter (see
`Spool.upload`).
The spool's copy is preferred to the journal's at the start, since it is never shorter, unless it was
thinned.

A disk that hangs lets nothing through at all. Closed shares wait for it within a number of (channel,
viewer) pairs; beyond that the oldest are thinned where they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter

from collector_service.clock import utc
from collector_service.contract import encode_object, format_utc
from collector_service.lake import LAKE_ERRORS
from collector_service.live.journal import Flush, Journal, Recovered, Whole
from collector_service.live.spool import DiskSpool, MemorySpool, ShareName, Spool, thin_share
from collector_service.live.windows import LATENCY_SECONDS, Windows, WindowShare
from collector_service.metrics import Stats
from collector_service.privacy.opt_outs import OptOuts
from collector_service.support.retry import NETWORK, RetryPolicy
from collector_service.support.threads import brief, in_daemon_thread

# After this many failed uploads, and after each further one, an object yields to the others.
PATIENCE = 3
# Room for closed shares while the disk hangs: five busy windows, about 200 bytes a pair. A thinned share
# still has every channel, about 2 MB of them.
CLOSED_PAIRS = 1_000_000
CLOSED_SHARES = 30
_LONGEST_TICK_SECONDS = 0.5
# Half of the numbers that a record may hold, so that the other half is left to count on.
_FIRST_SHARES = 2**30

_STUCK = "the disk hangs, and no room for the next window in memory"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploaderTimings:
    """Real seconds.

    Attributes:
        flush_seconds: between two flushes of the open shares to the journal.
        sync_seconds: between two syncs of the journal, which survive a power failure.
        hold_seconds: for which an object that has failed `PATIENCE` times yields to the others: longer than
            the longest back-off, so that they get their turn even if the lake fails for several.
        retry: the waits after failed uploads, and after failed writes of the spool.
    """

    flush_seconds: float = 1.0
    sync_seconds: float = 3.0
    hold_seconds: float = 90.0
    retry: RetryPolicy = NETWORK


@dataclass
class _Failures:
    """How often an object's upload has failed, and until when (event loop's time) it yields to others."""

    count: int = 0
    until: float = 0.0


class Uploader:
    """Takes the windows' shares to the lake.

    Args:
        journal: keeps open shares, without Twitch's ids.
        spool: keeps objects until the lake has them.
        collector_id: the collector that the objects are from.
        stats: counters.
        user_ids: gives Twitch's ids by key for the objects; None if they must not be kept. Shares
            from the journal have none.
        closed_pairs: (channel, viewer) pairs that closed shares may hold while the disk hangs.
        closed_shares: how many closed shares may wait for such a disk.
        timings: how often to flush and sync, and how long a failing object yields.
    """

    def __init__(
        self,
        journal: Journal,
        spool: DiskSpool,
        collector_id: str,
        stats: Stats,
        user_ids: Callable[[], Mapping[int, bytes]] | None = None,
        *,
        closed_pairs: int = CLOSED_PAIRS,
        closed_shares: int = CLOSED_SHARES,
        timings: UploaderTimings = UploaderTimings(),
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._memory = MemorySpool(spool.lake)
        self._collector_id = collector_id
        self._user_ids = user_ids
        self._stats = stats
        self._closed_pairs = closed_pairs
        self._closed_shares = closed_shares
        self._timings = timings
        self._journal_turn = asyncio.Lock()
        self._spool_turn = asyncio.Lock()
        self._upload_turn = asyncio.Lock()
        self._closed: deque[WindowShare] = deque()
        self._has_closed = asyncio.Event()
        self._has_spooled = asyncio.Event()
        self._failures: dict[ShareName, _Failures] = {}
        self._losses: Counter[str] = Counter()
        self._synced_at = -math.inf

    def recover(self) -> int:
        """Spool the shares that earlier processes left in the journal. Blocks; call before anything else.

        Objects that the disk refuses wait in memory, and their journals stay.

        Returns:
            The number for this process's first share. It is drawn at random: no other process may give
            the same number to a share of the same window, not even one whose state directory was lost.

        Raises:
            OSError: the state directory cannot be read.
        """
        self._spool_journal()
        return secrets.randbelow(_FIRST_SHARES)

    def obey(self, opt_outs: OptOuts, since: float) -> None:
        """Upload nothing of these viewers and channels; see `Spool.obey`."""
        self._spool.obey(opt_outs, since)
        self._memory.obey(opt_outs, since)

    async def tick(self, windows: Windows, longest: float, on_closed: Callable[[], None]) -> None:
        """Open and close windows on time, until cancelled.

        Args:
            windows: the windows.
            longest: real seconds between two ticks, at most; half a second in any case.
            on_closed: called after windows have closed.
        """
        while True:
            await asyncio.sleep(min(longest, _LONGEST_TICK_SECONDS))
            if over := windows.tick():
                self._closed.extend(over)
                self._bound_closed()
                self._has_closed.set()
                on_closed()

    async def keep_journal(self, windows: Windows) -> None:
        """Flush the open shares to the journal every second, until cancelled."""
        failing = False
        while True:
            await asyncio.sleep(self._timings.flush_seconds)
            # Lines that are on their way are not in the journal and must not be relied on.
            arrived = windows.now() - LATENCY_SECONDS * windows.rate
            quiet = windows.reader.quiet(arrived)
            try:
                await asyncio.shield(self._write_journal(lambda: windows.open_shares, arrived, quiet))
            except OSError as error:
                self._stats.journal_failures += 1
                if not failing:
                    _log.error("cannot write the journal: %s; going on without", error.strerror)
                failing = True
            else:
                failing = False

    async def keep_spooling(self) -> None:
        """Spool the shares that close, in order, until cancelled.

        Objects that the disk refuses wait in memory, for the disk or the lake, whichever comes first.
        """
        failures = 0
        while True:
            self._has_closed.clear()
            try:
                while await asyncio.shield(self._spool_next()):
                    failures = 0
            except OSError as error:
                failures += 1
                _log.error("cannot write the spool: %s; windows wait in memory", error.strerror)
                if self._closed:  # they cannot wait as they are: an object is far smaller
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._timings.retry.wait_seconds(failures)):
                        await self._has_closed.wait()
            else:
                await self._has_closed.wait()

    async def keep_uploading(self) -> None:
        """Upload the waiting objects, oldest window first, until cancelled.

        A failed upload is retried after a while; an object that fails again and again yields to the others.
        """
        failures = 0
        while True:
            self._has_spooled.clear()
            try:
                while await asyncio.shield(self._upload_next()):
                    failures = 0
            except LAKE_ERRORS as error:
                failures += 1
                delay = self._timings.retry.wait_seconds(failures)
                _log.warning("upload failed (%s); next try in %.0f s", brief(error), delay)
                await asyncio.sleep(delay)
            else:
                await self._has_spooled.wait()

    async def finish(self, shares: Iterable[WindowShare], seconds: float) -> bool:
        """Spool the last shares and upload everything, within a time.

        Objects that are not uploaded by then stay in the spool for the next start, and shares that are not
        spooled in the journal. The tasks above must have been cancelled.

        Returns:
            Whether everything is in the lake.
        """
        self._closed.extend(shares)
        try:
            async with asyncio.timeout(seconds):
                await self._flush_closed(self._closed)
                await self._finish_steps()
                if self._losses["removed"] or self._memory.losses["removed"]:
                    # Windows that were dropped for lack of memory are still in the journal.
                    await in_daemon_thread(self._spool_journal)
                    await self._finish_steps()
        except OSError as error:  # a TimeoutError is one
            _log.warning(
                "%d objects stay in the spool and %d windows in the journal for the next start%s",
                len(self._spool.names()),
                len(self._journal.names()),
                f": {error.strerror}" if error.strerror else "",
            )
            return False
        return True

    def _spool_journal(self) -> None:
        """Spool the content of the journal. Blocks; the journal must not be used during the call.

        Raises:
            OSError: the state directory cannot be read.
        """
        spooled = set(self._spool.names())
        for found in self._journal.recover():
            if found.name not in spooled and not self._spool_recovered(found):
                continue
            self._journal.discard(found.name)
        self._measure()

    def _spool_recovered(self, found: Recovered) -> bool:
        """Bring a recovered share, if any, into the spool; False when it has to wait in memory."""
        self._stats.recovered_lost_bytes += found.lost_bytes
        window = format_utc(utc(found.name.window_start))
        if found.share is None:
            _log.error("the journal of the window of %s is unusable (%d bytes)", window, found.lost_bytes)
            return True
        data = encode_object(found.share.records(found.name.collector_id))
        self._stats.recovered_parts += 1
        _log.info(
            "recovered the window of %s from the journal (%d torn bytes cut)", window, found.lost_bytes
        )
        try:
            self._spool.add(found.name, data)
        except OSError as error:
            self._stats.spool_failures += 1
            _log.error("cannot write the spool: %s; windows wait in memory", error.strerror)
            self._memory.add(found.name, data)
            return False
        return True

    async def _flush_closed(self, shares: Iterable[WindowShare]) -> None:
        """Write the closed shares to the journal, in case the spool fails.

        Shares without channels are skipped: they are empty, or were thinned.
        """
        try:
            await self._write_journal(lambda: [share for share in shares if share.tallies], math.inf)
        except OSError as error:
            self._stats.journal_failures += 1
            _log.error("cannot write the journal: %s", error.strerror)

    async def _finish_steps(self) -> None:
        while not await self._finish_step():
            pass

    async def _finish_step(self) -> bool:
        """Spool or upload one object; True when there is none left."""
        try:
            if await asyncio.shield(self._spool_next()):
                return False
        except OSError as error:
            _log.warning("cannot write the spool: %s; trying the lake", error.strerror)
        try:
            return not await asyncio.shield(self._upload_next())
        except LAKE_ERRORS as error:
            _log.warning("%s; trying again", brief(error))
            await asyncio.sleep(0.5)
            return False

    async def _write_journal(
        self,
        shares: Callable[[], Iterable[WindowShare]],
        now: float,
        quiet: Mapping[int, float] | None = None,
    ) -> None:
        async with self._journal_turn:
            # Evaluated here: a share whose file was discarded during the wait must not get a new one.
            flushes = self._journal.take(shares(), now, quiet)
            tried_at = asyncio.get_running_loop().time()
            sync = tried_at - self._synced_at >= self._timings.sync_seconds
            await asyncio.to_thread(self._write_and_sync, flushes, sync)
            if sync:
                self._synced_at = tried_at

    def _write_and_sync(self, flushes: list[Flush | Whole], sync: bool) -> None:
        self._journal.write(flushes)
        if sync:
            self._journal.sync()

    async def _discard_journal(self, name: ShareName) -> None:
        async with self._journal_turn:
            await asyncio.to_thread(self._journal.discard, name)

    def _bound_closed(self) -> None:
        """Make room among the closed shares, oldest first, in memory alone: the disk may hang."""
        pairs = [share.pairs for share in self._closed]
        surplus = sum(pairs) - self._closed_pairs
        # The first may be on its way into the spool.
        busy = 1 if self._spool_turn.locked() else 0
        for share, held in list(zip(self._closed, pairs, strict=True))[busy:]:
            if surplus <= 0:
                break
            if held:
                thin_share(share)
                surplus -= held
                self._losses["thinned"] += 1
                _log.error("%s: dropped the viewers of the window of %s", _STUCK, _window(share))
        while len(self._closed) > self._closed_shares + busy:
            share = self._closed[busy]
            del self._closed[busy]
            self._losses["removed"] += 1
            _log.error("%s: removed the window that began at %s", _STUCK, _window(share))
        self._measure()

    async def _spool_next(self) -> bool:
        """Spool the oldest closed share, or an object that waits in memory; False when there is neither.

        Raises:
            OSError: the disk refuses; the share waits in memory.
        """
        async with self._spool_turn:
            try:
                if self._closed:
                    await self._spool_closed(self._closed[0])
                elif waiting := self._memory.names():
                    await self._spool_waiting(waiting[0])
                else:
                    return False
            except OSError:
                self._stats.spool_failures += 1
                raise
            finally:
                self._measure()
                self._has_spooled.set()
            return True

    async def _spool_closed(self, share: WindowShare) -> None:
        """Move the oldest closed share from memory and journal into the spool."""
        name = ShareName.of(share, self._collector_id)
        started = time.monotonic()
        user_ids = self._user_ids() if self._user_ids else None
        data = await asyncio.to_thread(lambda: encode_object(share.records(self._collector_id, user_ids)))
        try:
            await asyncio.to_thread(self._spool.add, name, data)
        except OSError:
            await self._flush_closed([share])
            await asyncio.to_thread(self._memory.add, name, data)
            self._closed.popleft()
            raise
        await self._discard_journal(name)
        self._closed.popleft()
        self._stats.windows_spooled += 1
        self._stats.window_flush.observe(time.monotonic() - started)

    async def _spool_waiting(self, name: ShareName) -> None:
        """Move an object from memory into the spool, unless it has just reached the lake."""
        try:
            data = self._memory.read(name)
        except FileNotFoundError:
            return
        await asyncio.to_thread(self._spool.add, name, data)
        self._memory.remove(name)
        await self._discard_journal(name)
        self._stats.windows_spooled += 1

    async def _upload_next(self) -> bool:
        """Upload the oldest object that waits; False when there is none.

        Objects that yield come last; among them, the one that has yielded for longest is first.
        """
        async with self._upload_turn:
            waiting = [(name, spool) for spool in (self._spool, self._memory) for name in spool.names()]
            here = {name for name, _ in waiting}
            self._failures = {name: failed for name, failed in self._failures.items() if name in here}
            if not waiting:
                return False
            now = asyncio.get_running_loop().time()
            turns = [(self._held_until(name, now), name, spool) for name, spool in waiting]
            _, name, spool = min(turns, key=itemgetter(0, 1))
            try:
                await in_daemon_thread(lambda: spool.upload(name))
            except LAKE_ERRORS:
                self._stats.upload_failures += 1
                self._hold_back(name)
                self._measure()
                raise
            if spool is self._memory:
                await self._discard_journal(name)
            self._stats.uploads += 1
            self._measure()
            return True

    def _held_until(self, name: ShareName, now: float) -> float:
        """Until when an object yields to others; 0 if it does not."""
        until = self._failures[name].until if name in self._failures else 0.0
        return until if until > now else 0.0

    def _hold_back(self, name: ShareName) -> None:
        """Yield to others after a failure, if it was one too many."""
        failed = self._failures.setdefault(name, _Failures())
        failed.count += 1
        if failed.count >= PATIENCE:
            failed.until = asyncio.get_running_loop().time() + self._timings.hold_seconds

    def _measure(self) -> None:
        """Count the objects that wait for the lake, on disk and in memory."""
        stats = self._stats
        spools: tuple[Spool, ...] = (self._spool, self._memory)
        sizes = [spool.size() for spool in spools]
        stats.spool_files = sum(files for files, _, _ in sizes)
        stats.spool_bytes = sum(size for _, size, _ in sizes)
        stats.spool_oldest = min((oldest for files, _, oldest in sizes if files), default=0.0)
        losses = [self._losses, *(spool.losses for spool in spools)]
        stats.spool_thinned = sum(lost["thinned"] for lost in losses)
        stats.spool_removed = sum(lost["removed"] for lost in losses)
        stats.spool_unreadable = sum(lost["unreadable"] for lost in losses)


def _window(share: WindowShare) -> str:
    return format_utc(utc(share.start))
