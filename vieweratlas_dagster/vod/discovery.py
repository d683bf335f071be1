"""Discovery: looking through channels' archives, and queueing the recordings that are worth reading.

Belongs here: whom to ask now, what was learned by asking, and the filters. Does not belong here: which
channels there are (``channels``), the queue's rules (``queue``), reading (``run``).

Asking costs a call a channel, so it is done once a broadcast: a channel is asked when it was seen live and
no longer is. What was asked is remembered in the lake. The memory only saves calls: without it, everybody
is asked again, and the queue knows what it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal, Protocol

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from collector_service.lake import Lake
from collector_service.privacy.opt_outs import NOBODY, OptOuts
from collector_service.settings import VodSettings
from collector_service.twitch.helix import CredentialsRefusedError, HelixError, Video
from vieweratlas_dagster.vod import queue
from vieweratlas_dagster.vod.channels import CollectedChannel
from vieweratlas_dagster.vod.queue import Items, VodItem
from vieweratlas_dagster.vod.queue_store import QueueFullError, QueueStore

MEMORY_KEY = "state/vod/discovery.json"
# A broadcast that is still running reports a length that lags behind.
_FINISHED = timedelta(seconds=300)
_KEEP_FINISHED = timedelta(days=7)


class PastBroadcasts(Protocol):
    """What discovery needs of Helix."""

    async def past_broadcasts(self, user_id: int, limit: int) -> list[Video]:
        """A channel's past broadcasts, the newest first."""
        ...


@dataclass(frozen=True)
class Memory:
    """What earlier discoveries learned, by channel id.

    ``asked`` is the time, from and to, in which no broadcast can have ended unseen. ``owed`` are logins of
    channels to be asked at the next occasion: their broadcast was running, or they could not be listed.
    """

    schema_version: Literal[1] = 1
    asked: Mapping[int, tuple[AwareDatetime, AwareDatetime]] = field(default_factory=dict)
    owed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Discovery:
    """What one discovery saw.

    Of ``channels``, ``asked_channels`` were asked, ``running_channels`` wait for the end of their
    broadcast, and the rest had nothing new; ``failed_channels`` of those asked could not be listed. Every
    video is in exactly one of the counts after ``videos``: ``queued`` are new in the queue, ``known`` were
    in it, ``no_room`` found it full and will be looked for again, ``unusable`` have no proper id or login.
    ``pruned`` are old finished entries dropped, ``expired`` are entries that nobody came to read for
    max_wait_hours.
    """

    channels: int
    asked_channels: int
    running_channels: int
    failed_channels: int
    videos: int
    queued: int
    known: int
    no_room: int
    running: int
    too_old: int
    too_few_views: int
    unusable: int
    pruned: int
    expired: int


async def discover(
    helix: PastBroadcasts,
    lake: Lake,
    channels: Sequence[CollectedChannel],
    settings: VodSettings,
    *,
    now: datetime,
    found_at: datetime | None = None,
    opt_outs: OptOuts = NOBODY,
) -> Discovery:
    """Queue the finished VODs of channels that are recent enough and have enough views.

    Args:
        helix: where archives are listed; one call a channel.
        lake: where the queue and the memory are.
        channels: those that the collector had.
        settings: ``vod_limit_per_channel``, ``max_age_hours`` (since the broadcast's end), ``min_views``,
            ``max_wait_hours`` and ``concurrency`` (calls at a time).
        now: by the clock of the data; broadcasts that ended later are not looked at.
        found_at: when entries were queued, for how long they wait; ``now`` unless it lies in the past.
        opt_outs: channels that are left out.

    Raises:
        HelixError: Helix refuses the credentials, or answered for no channel.
        QueueError: the queue is unusable.
    """
    memory = _read_memory(lake)
    oldest = now - timedelta(hours=settings.max_age_hours)
    known = {one.channel_id: one for one in channels}
    every = {**memory.owed, **{one.channel_id: one.login for one in channels}}
    logins = {key: login for key, login in every.items() if not opt_outs.has_channel(login, key)}
    running = {one.channel_id for one in channels if one.running and not one.hidden} & logins.keys()
    due = [
        channel_id
        for channel_id in sorted(logins)
        if channel_id not in running
        and (channel_id in memory.owed or _is_news(known[channel_id], memory.asked.get(channel_id)))
    ]
    answers = await _ask(helix, due, settings)
    failed = {key for key, answer in answers.items() if isinstance(answer, HelixError)}
    counts: Counter[str] = Counter()
    wanted: dict[str, VodItem] = {}
    unfinished = set()
    videos = {
        video.id: video
        for answer in answers.values()
        if not isinstance(answer, HelixError)
        for video in answer
    }
    for video in videos.values():
        try:
            item = _item(video, logins.get(video.user_id, video.login), found_at or now)
        except ValueError:
            counts["unusable"] += 1
            continue
        if item.ended_at > now - _FINISHED:
            counts["running"] += 1
            unfinished.add(video.user_id)
        elif item.ended_at < oldest:
            counts["too_old"] += 1
        elif item.view_count < settings.min_views:
            counts["too_few_views"] += 1
        else:
            wanted[item.vod_id] = item

    def add(items: Items, found: Iterable[VodItem]) -> tuple[dict[str, VodItem], Counter[str]]:
        kept = queue.prune(
            items,
            finished_before=oldest - _KEEP_FINISHED,
            waiting_before=now - timedelta(hours=settings.max_wait_hours),
        )
        gone = Counter(
            "expired" if item.waits else "pruned" for key, item in items.items() if key not in kept
        )
        gone["known"] = sum(vod_id in items for vod_id in wanted)
        return queue.enqueue(kept, found), gone

    store, no_room = QueueStore(lake), set[int]()
    try:
        changes = await asyncio.to_thread(store.change, partial(add, found=list(wanted.values())))
    except QueueFullError:
        changes = await asyncio.to_thread(store.change, partial(add, found=()))
        no_room = {item.channel_id for item in wanted.values()}
    listed = set(due) - failed
    owed = failed | (unfinished & listed) | running | (no_room & logins.keys())
    await asyncio.to_thread(
        _remember,
        lake,
        asked=dict.fromkeys(listed, (oldest, now - _FINISHED)),
        owed={key: logins[key] for key in owed},
        settled=listed - owed,
        forget_before=oldest - _KEEP_FINISHED,
    )
    return Discovery(
        channels=len(logins),
        asked_channels=len(due),
        running_channels=len(running),
        failed_channels=len(failed),
        videos=len(videos),
        queued=0 if no_room else len(wanted) - changes["known"],
        known=changes["known"],
        no_room=len(wanted) - changes["known"] if no_room else 0,
        running=counts["running"],
        too_old=counts["too_old"],
        too_few_views=counts["too_few_views"],
        unusable=counts["unusable"],
        pruned=changes["pruned"],
        expired=changes["expired"],
    )


def forget(lake: Lake) -> None:
    """Let the next discoveries ask everybody again, since the queue may have lost what they once found."""
    lake.delete(MEMORY_KEY)


def remembers(lake: Lake, left_out: OptOuts) -> bool:
    """Whether the memory has any of these channels."""
    memory = _read_memory(lake)
    return _without(memory, left_out) != memory


def forget_channels(lake: Lake, left_out: OptOuts) -> None:
    """Take channels out of the memory."""

    def change(data: bytes | None) -> bytes:
        return _adapter.dump_json(_without(_decode(data), left_out), indent=1) + b"\n"

    lake.update(MEMORY_KEY, change)


def _without(memory: Memory, left_out: OptOuts) -> Memory:
    return Memory(
        asked={key: span for key, span in memory.asked.items() if key not in left_out.channel_ids},
        owed={key: login for key, login in memory.owed.items() if not left_out.has_channel(login, key)},
    )


@dataclass(frozen=True)
class Addition:
    """What became of VODs that were added by hand; each is in one of the lists."""

    queued: tuple[VodItem, ...]
    known: tuple[VodItem, ...]
    missing: tuple[str, ...]
    running: tuple[str, ...]
    left_out: tuple[str, ...]


def queue_videos(
    lake: Lake,
    vod_ids: Sequence[str],
    videos: Sequence[Video],
    *,
    now: datetime,
    opt_outs: OptOuts = NOBODY,
) -> Addition:
    """Queue VODs by their ids.

    Args:
        lake: where the queue is.
        vod_ids: those that are wanted.
        videos: what Helix knows of them; ``missing`` are the others.
        now: by the clock of the data; broadcasts that are still ``running`` are not queued.
        opt_outs: channels that are ``left_out``.

    Raises:
        QueueError: the queue is unusable.
    """
    items: dict[str, VodItem] = {}
    for video in videos:
        # One without a proper id or login is as good as none.
        with suppress(ValueError):
            items[video.id] = _item(video, video.login, now)
    left_out = {key for key, item in items.items() if opt_outs.has_channel(item.channel, item.channel_id)}
    running = {key for key, item in items.items() if item.ended_at > now - _FINISHED} - left_out
    wanted = [items[key] for key in dict.fromkeys(vod_ids) if key in items.keys() - running - left_out]

    def add(before: Items) -> tuple[dict[str, VodItem], set[str]]:
        return queue.enqueue(before, wanted), {item.vod_id for item in wanted if item.vod_id in before}

    known = QueueStore(lake).change(add)
    return Addition(
        queued=tuple(item for item in wanted if item.vod_id not in known),
        known=tuple(item for item in wanted if item.vod_id in known),
        missing=tuple(vod_id for vod_id in dict.fromkeys(vod_ids) if vod_id not in items),
        running=tuple(vod_id for vod_id in dict.fromkeys(vod_ids) if vod_id in running),
        left_out=tuple(vod_id for vod_id in dict.fromkeys(vod_ids) if vod_id in left_out),
    )


def _is_news(channel: CollectedChannel, asked: tuple[datetime, datetime] | None) -> bool:
    """Whether the channel may have had a broadcast of which nobody has asked."""
    if channel.hidden or asked is None:
        return channel.hidden or channel.seen_at is not None
    return channel.seen_at is not None and not asked[0] <= channel.seen_at <= asked[1]


async def _ask(
    helix: PastBroadcasts, channel_ids: Sequence[int], settings: VodSettings
) -> dict[int, list[Video] | HelixError]:
    slots = asyncio.Semaphore(settings.concurrency)

    async def videos_of(channel_id: int) -> list[Video] | HelixError:
        async with slots:
            try:
                return await helix.past_broadcasts(channel_id, settings.vod_limit_per_channel)
            except CredentialsRefusedError:
                raise
            except HelixError as error:
                return error

    answers = await asyncio.gather(*(videos_of(channel_id) for channel_id in channel_ids))
    failures = [answer for answer in answers if isinstance(answer, HelixError)]
    if failures and len(failures) == len(answers):
        raise failures[0]
    return dict(zip(channel_ids, answers, strict=True))


def _item(video: Video, login: str, now: datetime) -> VodItem:
    return VodItem(
        vod_id=video.id,
        channel=login,
        channel_id=video.user_id,
        title=video.title or None,
        created_at=video.created_at,
        duration_seconds=float(video.duration_seconds),
        view_count=video.view_count,
        queued_at=now,
    )


def _read_memory(lake: Lake) -> Memory:
    try:
        return _decode(lake.get(MEMORY_KEY))
    except FileNotFoundError:
        return Memory()


def _decode(data: bytes | None) -> Memory:
    try:
        return _adapter.validate_json(data) if data else Memory()
    except ValidationError:
        # Without it, discovery asks once more than it needs to.
        return Memory()


def _remember(
    lake: Lake,
    *,
    asked: Mapping[int, tuple[datetime, datetime]],
    owed: Mapping[int, str],
    settled: set[int],
    forget_before: datetime,
) -> None:
    def change(data: bytes | None) -> bytes:
        memory = _decode(data)
        every = dict(memory.asked)
        for key, span in asked.items():
            every[key] = _joined(every.get(key), span)
        fresh = {key: every[key] for key in sorted(every) if every[key][1] >= forget_before}
        still = {**memory.owed, **owed}
        kept = {key: still[key] for key in sorted(still) if key not in settled}
        return _adapter.dump_json(Memory(asked=fresh, owed=kept), indent=1) + b"\n"

    lake.update(MEMORY_KEY, change)


def _joined(
    old: tuple[datetime, datetime] | None, new: tuple[datetime, datetime]
) -> tuple[datetime, datetime]:
    """One span of both when they touch, else the later."""
    if old is None:
        return new
    if new[0] <= old[1] and old[0] <= new[1]:
        return min(old[0], new[0]).astimezone(UTC), max(old[1], new[1]).astimezone(UTC)
    return max(old, new)


_adapter = TypeAdapter(Memory)
