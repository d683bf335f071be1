"""A round of reading: it leases queued VODs, reads them within its limits, and updates the queue.

Raw objects are written before the queue changes, and the same chat gives the same bytes, so a round that is
killed anywhere can simply be repeated. Only a complete reading may replace a longer one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TypeVar

from collector_service.clock import Clock, SystemClock, utc
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import NOBODY, OptOuts, read_opt_outs
from collector_service.privacy.populations import counting_since
from collector_service.settings import VodSettings
from collector_service.twitch.vod_chat import (
    CommentSource,
    CommentsRefusedError,
    CommentsUnavailableError,
    VodGoneError,
)
from vieweratlas_dagster.vod import queue
from vieweratlas_dagster.vod.queue import Items, Kept, LeaseLostError, VodItem
from vieweratlas_dagster.vod.queue_store import QueueStore
from vieweratlas_dagster.vod.reading import VodReading

T = TypeVar("T")
# After this many refusals without one success, blame the endpoint, not the VODs.
_REFUSALS = 3


@dataclass(frozen=True)
class RoundReport:
    """The figures of one round, and the queue after it.

    The first six count the VODs that this round leased.

    Attributes:
        done: read completely.
        incomplete: broke off with something new read; to be continued.
        dead: given up.
        failed: nothing new read; to be retried.
        released: returned because the time was up or the endpoint refused; the part that was read is kept.
        lost: taken over by another run.
        queue_pending: VODs in the queue with this status now; the same for the four that follow.
        comments: comments read.
        viewers: distinct viewers of each VOD, summed over VODs.
        null_commenters: comments of deleted accounts.
        mirrored: comments of other channels in a shared chat.
        opted_out: comments of viewers who have opted out.
        outside: comments outside the VOD's length.
        before_key: windows of days before the present viewer key; they are not written.
        oldest_pending_age_seconds: how long the VOD that waits longest could have been read; None without.
        objects: raw objects written.
        days: the days of these objects, YYYY-MM-DD.
        stopped: why the endpoint ended the round early; None when it did not.
    """

    done: int
    incomplete: int
    dead: int
    failed: int
    released: int
    lost: int
    queue_pending: int
    queue_incomplete: int
    queue_leased: int
    queue_done: int
    queue_dead: int
    comments: int
    viewers: int
    null_commenters: int
    mirrored: int
    opted_out: int
    outside: int
    before_key: int
    oldest_pending_age_seconds: float | None
    objects: int
    days: tuple[str, ...]
    stopped: str | None


class ReadingRound:
    """Reads the chat of queued VODs into the lake until the queue or the round's limits are used up.

    Args:
        lake: for raw objects and the queue.
        source: where comments come from.
        settings: ``max_vods_per_run``, ``max_processing_hours``, ``concurrency``, ``lease_seconds``,
            ``max_attempts`` and ``bucket_len_s``.
        secret: the key behind viewer keys.
        clock: the clock of the data, for ages in the report.
        bots: logins to mark as known bots.
        opt_outs: viewers and channels that have opted out, besides those on the lake's list.
        wall: the clock of leases, back-off and the round's limit: real time outside tests.
    """

    def __init__(
        self,
        lake: Lake,
        source: CommentSource,
        settings: VodSettings,
        *,
        secret: str,
        clock: Clock,
        bots: Collection[str] = frozenset(),
        opt_outs: OptOuts = NOBODY,
        wall: Clock | None = None,
    ) -> None:
        self._lake = lake
        self._queue = QueueStore(lake)
        self._source = source
        self._settings = settings
        self._secret = secret
        self._clock = clock
        self._bots = bots
        self._opt_outs = opt_outs
        self._wall = wall or SystemClock()
        self._deadline = self._wall.now() + settings.max_processing_hours * 3600
        self._leases = 0
        self._counts: Counter[str] = Counter()
        self._days: set[str] = set()
        self._stopped: str | None = None
        self._refused: list[tuple[VodItem, str]] = []
        self._answered = False

    async def run(self) -> RoundReport:
        """Read the queue once.

        Raises:
            QueueError: the queue is unusable.
            WrongKeyError: the lake has a different viewer key.
            BadOptOutsError: the lake's list of opt-outs is unusable.
        """
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._settings.concurrency):
                    workers.create_task(self._work())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        await self._judge_refused()
        return await self._report()

    async def _work(self) -> None:
        while (item := await self._lease()) is not None:
            await self._read_safely(item)

    async def _lease(self) -> VodItem | None:
        if self._stopped or self._time_is_up() or self._leases >= self._settings.max_vods_per_run:
            return None
        self._leases += 1
        leasing = asyncio.create_task(
            asyncio.to_thread(
                self._queue.change,
                partial(
                    queue.lease,
                    now=utc(self._wall.now()),
                    limit=1,
                    lease_seconds=self._settings.lease_seconds,
                    max_attempts=self._settings.max_attempts,
                    lease_id=uuid.uuid4().hex,
                ),
            )
        )
        try:
            taken: list[VodItem] = await asyncio.shield(leasing)
        except asyncio.CancelledError:
            # The thread cannot be stopped, so its lease must be returned.
            for item in await leasing:
                await self._release(item)
            raise
        if not taken:
            self._leases -= 1
            return None
        return taken[0]

    def _time_is_up(self) -> bool:
        return self._wall.now() >= self._deadline

    async def _read_safely(self, item: VodItem) -> None:
        """Read one VOD and record the outcome in its queue entry."""
        try:
            # A round takes hours, so both are read again for each VOD.
            opt_outs = self._opt_outs | await asyncio.to_thread(read_opt_outs, self._lake)
            first = await asyncio.to_thread(counting_since, self._lake, self._secret)
            if reason := _why_skipped(item, opt_outs, first):
                await self._settle(item, "dead", partial(queue.bury, leased=item, reason=reason))
                return
            reading = await asyncio.to_thread(
                VodReading,
                self._lake,
                item,
                window_seconds=self._settings.bucket_len_s,
                secret=self._secret,
                bots=self._bots,
                opt_outs=opt_outs,
            )
            try:
                await self._read(item, reading)
            except VodGoneError as error:
                kept = await self._save(item, partial(reading.keep, last=True))
                bury = partial(queue.bury, leased=item, reason=str(error), kept=kept)
                await self._settle(item, "dead", bury)
            except CommentsRefusedError as error:
                self._refused.append((item, str(error)))
                if not self._answered and len(self._refused) >= _REFUSALS:
                    self._stopped = f"it refuses every VOD: {error}"
            except CommentsUnavailableError as error:
                self._stopped = str(error)
                await self._release(item, await self._save(item, reading.keep))
            finally:
                self._count(reading)
        except LeaseLostError:
            self._counts["lost"] += 1
        except asyncio.CancelledError:
            await asyncio.shield(self._release(item))
            raise

    async def _read(self, item: VodItem, reading: VodReading) -> None:
        settings = self._settings
        renew_at = self._wall.now() + settings.lease_seconds / 2
        source = self._source.pages(item.vod_id, item.duration_seconds, reading.start)
        async with aclosing(source) as pages:
            async for page in pages:
                self._answered = True
                reading.add(page)
                if page.complete:
                    kept = await self._save(item, reading.finish)
                    await self._settle(item, "done", partial(queue.complete, leased=item, kept=kept))
                elif page.reason:
                    await self._break_off(item, reading, page.reason)
                elif self._time_is_up():
                    await self._release(item, await self._save(item, reading.keep))
                    return
                elif self._wall.now() >= renew_at:
                    # Save the part read so far, in case this run is killed.
                    await self._extend(item, await self._save(item, reading.keep))
                    renew_at = self._wall.now() + settings.lease_seconds / 2

    async def _judge_refused(self) -> None:
        """End the leases of refused VODs; when all were refused, none loses an attempt."""
        for item, reason in self._refused:
            if self._stopped:
                await self._release(item)
            else:
                await self._fail(item, reason, None)

    async def _break_off(self, item: VodItem, reading: VodReading, reason: str) -> None:
        last = item.attempts >= self._settings.max_attempts
        await self._fail(item, reason, await self._save(item, partial(reading.keep, last=last)))

    async def _fail(self, item: VodItem, reason: str, kept: Kept | None) -> None:
        failed = partial(
            queue.fail,
            leased=item,
            now=utc(self._wall.now()),
            reason=reason,
            max_attempts=self._settings.max_attempts,
            kept=kept,
        )
        await self._settle(item, "incomplete" if kept else "failed", failed)

    async def _save(self, item: VodItem, write: Callable[[], T]) -> T:
        """Let a reading write, if its lease is still valid."""
        await self._extend(item)
        return await asyncio.to_thread(write)

    def _count(self, reading: VodReading) -> None:
        """Add a reading to the report, if it has written anything."""
        self._counts["before_key"] += reading.before_key
        if not reading.written:
            return
        windows = reading.windows
        self._days |= {key.split("/date=")[1][:10] for key in reading.written}
        self._counts["objects"] += len(reading.written)
        self._counts["comments"] += windows.comments - reading.earlier
        for name in ("viewers", "null_commenters", "mirrored", "opted_out", "outside"):
            self._counts[name] += getattr(windows, name)

    async def _settle(
        self, item: VodItem, outcome: str, transition: Callable[[Items], dict[str, VodItem]]
    ) -> None:
        """End a lease and count the outcome; a VOD without attempts left counts as dead."""

        def settle(items: Items) -> tuple[dict[str, VodItem], bool]:
            changed = transition(items)
            return changed, changed[item.vod_id].status == "dead"

        try:
            dead = await asyncio.to_thread(self._queue.change, settle)
        except LeaseLostError:
            self._counts["lost"] += 1
        else:
            self._counts["dead" if dead else outcome] += 1

    async def _release(self, item: VodItem, kept: Kept | None = None) -> None:
        await self._settle(item, "released", partial(queue.release, leased=item, kept=kept))

    async def _extend(self, item: VodItem, kept: Kept | None = None) -> None:
        extend = partial(
            queue.extend,
            leased=item,
            now=utc(self._wall.now()),
            lease_seconds=self._settings.lease_seconds,
            kept=kept,
        )
        await asyncio.to_thread(self._queue.apply, extend)

    async def _report(self) -> RoundReport:
        now = self._clock.now()
        items = await asyncio.to_thread(self._queue.load)
        states = Counter(item.status for item in items.values())
        ages = [now - item.waiting_since.timestamp() for item in items.values() if item.waits]
        counts = self._counts
        return RoundReport(
            done=counts["done"],
            incomplete=counts["incomplete"],
            dead=counts["dead"],
            failed=counts["failed"],
            released=counts["released"],
            lost=counts["lost"],
            queue_pending=states["pending"],
            queue_incomplete=states["incomplete"],
            queue_leased=states["leased"],
            queue_done=states["done"],
            queue_dead=states["dead"],
            comments=counts["comments"],
            viewers=counts["viewers"],
            null_commenters=counts["null_commenters"],
            mirrored=counts["mirrored"],
            opted_out=counts["opted_out"],
            outside=counts["outside"],
            before_key=counts["before_key"],
            oldest_pending_age_seconds=max(ages, default=None),
            objects=counts["objects"],
            days=tuple(sorted(self._days)),
            stopped=self._stopped,
        )


def _why_skipped(item: VodItem, opt_outs: OptOuts, first: date | None) -> str | None:
    """Why a VOD must not be read at all; None when it may be."""
    if opt_outs.has_channel(item.channel, item.channel_id):
        return "the channel has opted out"
    if first is not None and item.ended_at.date() < first:
        return f"it ended before {first}, the first day that is counted with the present viewer key"
    return None
