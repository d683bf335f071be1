"""Finding VODs and reading their chat: one discovery, and one run over the queue.

Belongs here: which archives are worth reading, and taking leased VODs from the source to raw objects.
Does not belong here: the queue's rules (``queue``), schedules and metadata (``assets``).

Raw objects are written before the queue says so, and the same chat gives the same bytes, so a run that
is killed anywhere is simply repeated. Only whole reads replace better ones.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from collector_service.clock import Clock, SystemClock, utc
from collector_service.lake import Lake
from collector_service.settings import VodSettings
from collector_service.twitch.helix import CredentialsRefusedError, HelixError, Video
from collector_service.twitch.vod_chat import (
    CommentPage,
    CommentSource,
    CommentsUnavailableError,
    VodGoneError,
)
from collector_service.vod_windows import VodWindows, vod_objects
from vieweratlas_dagster.vod import queue
from vieweratlas_dagster.vod.queue import Items, Kept, LeaseLostError, QueueStore, VodItem

# A broadcast that is still running reports a length that lags behind.
_FINISHED_SECONDS = 300.0
_KEEP_FINISHED = timedelta(days=7)

Progress = Callable[[VodItem, float], None]


class Archives(Protocol):
    """What discovery needs of Helix."""

    async def archives(self, user_id: int, limit: int) -> list[Video]:
        """A channel's past broadcasts, the newest first."""
        ...


@dataclass(frozen=True)
class Discovery:
    """What one discovery saw: every video is in exactly one of the counts after ``videos``.

    ``queued`` are new in the queue, ``known`` were in it, ``unusable`` have no proper id or login.
    ``failed_channels`` could not be listed. ``pruned`` are old finished entries dropped.
    """

    channels: int
    failed_channels: int
    videos: int
    queued: int
    known: int
    running: int
    too_old: int
    too_few_views: int
    unusable: int
    pruned: int


@dataclass(frozen=True)
class VodRunReport:
    """What one run did, and how the queue is after it.

    ``done``, ``incomplete``, ``dead``, ``failed`` (to be tried again, nothing new read), ``released``
    (unused: time was up or the endpoint refused us) and ``lost`` (taken over by another run) count the
    VODs this run leased. ``comments``, ``viewers`` (summed over VODs), ``null_commenters`` and
    ``outside`` count what was written. ``stopped`` is why the run ended early, when the endpoint refused.
    """

    done: int
    incomplete: int
    dead: int
    failed: int
    released: int
    lost: int
    queued: int
    comments: int
    viewers: int
    null_commenters: int
    outside: int
    oldest_pending_age_seconds: float | None
    objects: int
    days: tuple[str, ...]
    stopped: str | None


async def discover(
    helix: Archives,
    lake: Lake,
    channels: Sequence[tuple[int, str]],
    settings: VodSettings,
    *,
    now: datetime,
) -> Discovery:
    """Queue the finished VODs of channels that are recent enough and have enough views.

    Args:
        helix: where archives are listed; one call a channel.
        lake: where the queue is.
        channels: (channel_id, login) of each.
        settings: ``vod_limit_per_channel``, ``max_age_hours`` (since the broadcast's end), ``min_views``
            and ``concurrency`` (calls at a time).
        now: by the clock of the data.

    Raises:
        HelixError: Helix refuses the credentials, or answered for no channel.
        QueueError: the queue is unusable.
    """
    slots = asyncio.Semaphore(settings.concurrency)

    async def videos_of(channel_id: int) -> list[Video] | HelixError:
        async with slots:
            try:
                return await helix.archives(channel_id, settings.vod_limit_per_channel)
            except CredentialsRefusedError:
                raise
            except HelixError as error:
                return error

    answers = await asyncio.gather(*(videos_of(channel_id) for channel_id, _ in channels))
    failures = [answer for answer in answers if isinstance(answer, HelixError)]
    if failures and len(failures) == len(answers):
        raise failures[0]
    logins = dict(channels)
    videos = {video.id: video for listed in answers if isinstance(listed, list) for video in listed}
    oldest = now - timedelta(hours=settings.max_age_hours)
    counts: Counter[str] = Counter()
    wanted = []
    for video in videos.values():
        try:
            item = _item(video, logins.get(video.user_id, video.login))
        except ValueError:
            counts["unusable"] += 1
            continue
        if item.ended_at > now - timedelta(seconds=_FINISHED_SECONDS):
            counts["running"] += 1
        elif item.ended_at < oldest:
            counts["too_old"] += 1
        elif item.view_count < settings.min_views:
            counts["too_few_views"] += 1
        else:
            wanted.append(item)

    def add(items: Items) -> tuple[dict[str, VodItem], tuple[int, int]]:
        kept = queue.prune(items, ended_before=oldest - _KEEP_FINISHED)
        known = sum(item.vod_id in items for item in wanted)
        return queue.enqueue(kept, wanted), (known, len(items) - len(kept))

    known, pruned = await asyncio.to_thread(QueueStore(lake).change, add)
    return Discovery(
        channels=len(channels),
        failed_channels=len(failures),
        videos=len(videos),
        queued=len(wanted) - known,
        known=known,
        running=counts["running"],
        too_old=counts["too_old"],
        too_few_views=counts["too_few_views"],
        unusable=counts["unusable"],
        pruned=pruned,
    )


def _item(video: Video, login: str) -> VodItem:
    return VodItem(
        vod_id=video.id,
        channel=login,
        channel_id=video.user_id,
        title=video.title or None,
        created_at=video.created_at,
        duration_seconds=float(video.duration_seconds),
        view_count=video.view_count,
    )


async def process(
    lake: Lake,
    source: CommentSource,
    settings: VodSettings,
    *,
    secret: str,
    clock: Clock,
    bots: Collection[str] = frozenset(),
    progress: Progress | None = None,
    wall: Clock | None = None,
) -> VodRunReport:
    """Read the chat of queued VODs into the lake until the queue or the run's limits are used up.

    Args:
        lake: for raw objects and the queue.
        source: where comments come from.
        settings: ``max_vods_per_run``, ``max_processing_hours``, ``concurrency``, ``lease_seconds``,
            ``max_attempts`` and ``bucket_len_s``.
        secret: the key behind viewer keys.
        clock: the clock of the data, for ages in the report.
        bots: logins to mark as known bots.
        progress: called after each page with the VOD and the seconds of it that are known.
        wall: the clock of leases, back-off and the run's limit; real time unless a test says otherwise.

    Raises:
        QueueError: the queue is unusable.
    """
    run = _Run(lake, source, settings, secret, bots, progress, wall or SystemClock())
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(settings.concurrency):
                workers.create_task(run.work())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return await run.report(clock.now())


class _Run:
    """The state that the workers of one run share."""

    def __init__(
        self,
        lake: Lake,
        source: CommentSource,
        settings: VodSettings,
        secret: str,
        bots: Collection[str],
        progress: Progress | None,
        wall: Clock,
    ) -> None:
        self._lake = lake
        self._queue = QueueStore(lake)
        self._source = source
        self._settings = settings
        self._secret = secret
        self._bots = bots
        self._progress = progress
        self._wall = wall
        self._deadline = wall.now() + settings.max_processing_hours * 3600
        self._leases = 0
        self._counts: Counter[str] = Counter()
        self._days: set[str] = set()
        self._stopped: str | None = None

    async def work(self) -> None:
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
            # The thread cannot be stopped, so what it leases has to be given back.
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
        """Read one VOD; whatever happens to it, its queue entry says so."""
        try:
            await self._read(item)
        except VodGoneError as error:
            await self._settle(item, "dead", partial(queue.bury, leased=item, reason=str(error)))
        except CommentsUnavailableError as error:
            self._stopped = str(error)
            await self._release(item)
        except LeaseLostError:
            self._counts["lost"] += 1
        except asyncio.CancelledError:
            await asyncio.shield(self._release(item))
            raise

    async def _read(self, item: VodItem) -> None:
        settings = self._settings
        windows = VodWindows(
            item.vod, window_seconds=settings.bucket_len_s, secret=self._secret, bots=self._bots
        )
        renew_at = self._wall.now() + settings.lease_seconds / 2
        async with aclosing(self._source.pages(item.vod_id, item.duration_seconds)) as pages:
            async for page in pages:
                for comment in page.comments:
                    windows.add(comment)
                if self._progress:
                    self._progress(item, page.coverage_seconds)
                if page.complete or page.reason:
                    await self._keep(item, windows, page)
                elif self._time_is_up():
                    await self._release(item)
                    return
                elif self._wall.now() >= renew_at:
                    await self._extend(item)
                    renew_at = self._wall.now() + settings.lease_seconds / 2

    async def _keep(self, item: VodItem, windows: VodWindows, page: CommentPage) -> None:
        """Write what was read, unless the lake has more of it already, and tell the queue."""
        kept = Kept(page.coverage_seconds, windows.comments, windows.viewers)
        better = (kept.coverage_seconds, kept.comments) > (item.coverage_seconds, item.comments)
        if page.complete or better:
            await self._extend(item)
            await self._write(item, windows, page.coverage_seconds)
        if page.complete:
            await self._settle(item, "done", partial(queue.complete, leased=item, kept=kept))
            return
        failed = partial(
            queue.fail,
            leased=item,
            now=utc(self._wall.now()),
            reason=page.reason or "",
            max_attempts=self._settings.max_attempts,
            kept=kept if better else None,
        )
        await self._settle(item, "incomplete" if better else "failed", failed)

    async def _write(self, item: VodItem, windows: VodWindows, coverage: float) -> None:
        def write() -> list[str]:
            records = windows.records((0.0, coverage))
            for key, data in vod_objects(item.vod_id, records).items():
                self._lake.put(key, data)
            return [f"{record.window_start:%Y-%m-%d}" for record in records]

        days = set(await asyncio.to_thread(write))
        self._days |= days
        self._counts["objects"] += len(days)
        for name in ("comments", "viewers", "null_commenters", "outside"):
            self._counts[name] += getattr(windows, name)

    async def _settle(
        self, item: VodItem, outcome: str, transition: Callable[[Items], dict[str, VodItem]]
    ) -> None:
        """End a lease, and count the outcome; an attempt that was the last one counts as dead."""

        def settle(items: Items) -> tuple[dict[str, VodItem], bool]:
            changed = transition(items)
            return changed, changed[item.vod_id].status == "dead"

        try:
            dead = await asyncio.to_thread(self._queue.change, settle)
        except LeaseLostError:
            self._counts["lost"] += 1
        else:
            self._counts["dead" if dead else outcome] += 1

    async def _release(self, item: VodItem) -> None:
        await self._settle(item, "released", partial(queue.release, leased=item))

    async def _extend(self, item: VodItem) -> None:
        extend = partial(
            queue.extend,
            leased=item,
            now=utc(self._wall.now()),
            lease_seconds=self._settings.lease_seconds,
        )
        await asyncio.to_thread(self._queue.apply, extend)

    async def report(self, now: float) -> VodRunReport:
        """The report, with the queue as it is now."""
        items = await asyncio.to_thread(self._queue.load)
        waiting = [item for item in items.values() if item.status in ("pending", "incomplete")]
        ages = [now - item.ended_at.timestamp() for item in waiting]
        counts = self._counts
        return VodRunReport(
            done=counts["done"],
            incomplete=counts["incomplete"],
            dead=counts["dead"],
            failed=counts["failed"],
            released=counts["released"],
            lost=counts["lost"],
            queued=len(waiting),
            comments=counts["comments"],
            viewers=counts["viewers"],
            null_commenters=counts["null_commenters"],
            outside=counts["outside"],
            oldest_pending_age_seconds=max(ages, default=None),
            objects=counts["objects"],
            days=tuple(sorted(self._days)),
            stopped=self._stopped,
        )
