"""Discovery: finding past broadcasts that are worth reading, and queueing them.

A call per channel is the price, so a channel is asked once per broadcast: after it was seen live, when it
no longer is. The lake remembers which channels were asked. That memory only saves calls: without it every
channel is asked again, and the queue recognises the recordings that it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Protocol

from pydantic import AwareDatetime, TypeAdapter

from collector_service.lake import Lake
from collector_service.privacy.opt_outs import NOBODY, OptOuts
from collector_service.settings import VodSettings
from collector_service.support.limits import MAX_STATE_BYTES
from collector_service.support.state_object import StateObject, known_version, validated
from collector_service.twitch.helix import CredentialsRefusedError, HelixError, Video
from vieweratlas_dagster.vod import queue
from vieweratlas_dagster.vod.collected_channels import CollectedChannel
from vieweratlas_dagster.vod.queue import Items, VodItem
from vieweratlas_dagster.vod.queue_store import QueueFullError, QueueStore

MEMORY_KEY = "state/vod/discovery.json"
# The reported length of a running broadcast lags behind by less than this.
_FINISHED = timedelta(seconds=300)
_KEEP_FINISHED = timedelta(days=7)
# A channel's span of time is one element of the memory, and takes more than 60 bytes.
_MAX_ELEMENTS = MAX_STATE_BYTES // 60


class PastBroadcasts(Protocol):
    """The one method of Helix that discovery uses."""

    async def past_broadcasts(self, user_id: int, limit: int) -> list[Video]:
        """A channel's past broadcasts, newest first."""
        ...


@dataclass(frozen=True)
class Memory:
    """Results of earlier discoveries, by channel id.

    Attributes:
        asked: the span of time in which every broadcast that ended has been seen.
        owed: logins of channels to ask next time, because their broadcast was still running or because
            they could not be listed.
    """

    schema_version: Annotated[int, known_version(1)] = 1
    asked: Mapping[int, tuple[AwareDatetime, AwareDatetime]] = field(default_factory=dict)
    owed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Discovery:
    """The figures of one discovery. Every video is in exactly one of the counts from queued to unusable.

    Attributes:
        channels: channels considered; those not asked had no new broadcast.
        asked_channels: channels asked for their recordings.
        running_channels: channels to be asked once their broadcast is over.
        failed_channels: channels that were asked and could not be listed.
        videos: distinct videos found.
        queued: new in the queue.
        known: already in the queue.
        no_room: not queued because the queue is full; they will be looked for again.
        running: of a broadcast that is still running.
        too_old: ended before ``vod.max_age_hours``.
        too_few_views: fewer than ``vod.min_views``.
        unusable: without a valid id or login.
        pruned: finished entries dropped from the queue because of their age.
        expired: entries dropped from the queue unread, after ``vod.max_wait_hours``.
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
        helix: lists past broadcasts; one call per channel.
        lake: where the queue and the memory are.
        channels: the channels that the collector had.
        settings: ``vod_limit_per_channel``, ``max_age_hours`` (since the broadcast's end), ``min_views``,
            ``max_wait_hours`` and ``concurrency`` (calls at a time).
        now: by the clock of the data; broadcasts that ended later are ignored.
        found_at: the time from which entries wait in the queue; ``now`` unless it lies in the past.
        opt_outs: channels that have opted out.

    Raises:
        HelixError: Helix refuses the credentials, or answered for no channel.
        QueueError: the queue is unusable.
    """
    plan = _plan(channels, _read_memory(lake), opt_outs)
    answers = await _ask(helix, plan.due, settings)
    found = _sift(answers, plan.logins, settings, now=now, queued_at=found_at or now)
    oldest = now - timedelta(hours=settings.max_age_hours)
    changes, has_room = await asyncio.to_thread(
        _enqueue,
        QueueStore(lake),
        found.wanted,
        finished_before=oldest - _KEEP_FINISHED,
        waiting_before=now - timedelta(hours=settings.max_wait_hours),
    )
    failed = {key for key, answer in answers.items() if isinstance(answer, HelixError)}
    listed = set(plan.due) - failed
    owed = failed | (found.unfinished & listed) | plan.running
    if not has_room:
        owed |= {item.channel_id for item in found.wanted.values()} & plan.logins.keys()
    await asyncio.to_thread(
        _remember,
        lake,
        asked=dict.fromkeys(listed, (oldest, now - _FINISHED)),
        owed={key: plan.logins[key] for key in owed},
        settled=listed - owed,
        forget_before=oldest - _KEEP_FINISHED,
    )
    return Discovery(
        channels=len(plan.logins),
        asked_channels=len(plan.due),
        running_channels=len(plan.running),
        failed_channels=len(failed),
        videos=found.videos,
        queued=changes["queued"],
        known=changes["known"],
        no_room=changes["no_room"],
        running=found.counts["running"],
        too_old=found.counts["too_old"],
        too_few_views=found.counts["too_few_views"],
        unusable=found.counts["unusable"],
        pruned=changes["pruned"],
        expired=changes["expired"],
    )


@dataclass(frozen=True)
class _Plan:
    """The channels of a discovery, by id.

    Attributes:
        logins: the logins of all channels.
        running: channels whose broadcast was still running.
        due: channels to ask, in order.
    """

    logins: Mapping[int, str]
    running: set[int]
    due: Sequence[int]


def _plan(channels: Sequence[CollectedChannel], memory: Memory, opt_outs: OptOuts) -> _Plan:
    collected = {channel.channel_id: channel for channel in channels}
    every = {**memory.owed, **{key: channel.login for key, channel in collected.items()}}
    logins = {key: login for key, login in every.items() if not opt_outs.has_channel(login, key)}
    running = {
        key
        for key, channel in collected.items()
        if key in logins and channel.running and not channel.hidden
    }
    due = [
        key
        for key in sorted(logins.keys() - running)
        if key in memory.owed or _is_news(collected[key], memory.asked.get(key))
    ]
    return _Plan(logins, running, due)


def _is_news(channel: CollectedChannel, asked: tuple[datetime, datetime] | None) -> bool:
    """Whether the channel may have had a broadcast since it was last asked."""
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


@dataclass(frozen=True)
class _Found:
    """The videos of a discovery, sifted.

    Attributes:
        videos: how many there were.
        wanted: the entries to queue, by VOD id.
        unfinished: ids of channels with a broadcast that is still running.
        counts: how many of the other videos were passed over, by the reason.
    """

    videos: int
    wanted: dict[str, VodItem] = field(default_factory=dict)
    unfinished: set[int] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)


def _sift(
    answers: Mapping[int, list[Video] | HelixError],
    logins: Mapping[int, str],
    settings: VodSettings,
    *,
    now: datetime,
    queued_at: datetime,
) -> _Found:
    lists = [answer for answer in answers.values() if not isinstance(answer, HelixError)]
    videos = {video.id: video for answer in lists for video in answer}
    found = _Found(len(videos))
    oldest = now - timedelta(hours=settings.max_age_hours)
    for video in videos.values():
        try:
            item = _item(video, logins.get(video.user_id, video.login), queued_at)
        except ValueError:
            found.counts["unusable"] += 1
            continue
        if item.ended_at > now - _FINISHED:
            found.counts["running"] += 1
            found.unfinished.add(video.user_id)
        elif item.ended_at < oldest:
            found.counts["too_old"] += 1
        elif item.view_count < settings.min_views:
            found.counts["too_few_views"] += 1
        else:
            found.wanted[item.vod_id] = item
    return found


def _enqueue(
    store: QueueStore,
    wanted: Mapping[str, VodItem],
    *,
    finished_before: datetime,
    waiting_before: datetime,
) -> tuple[Counter[str], bool]:
    """Prune the queue and add the wanted VODs, if the queue has room for all of them.

    Returns:
        Counts of VODs ``queued``, ``known``, ``no_room``, ``pruned`` and ``expired``, and whether there was
        room.
    """

    def change(items: Items, added: Iterable[VodItem]) -> tuple[dict[str, VodItem], Counter[str]]:
        kept = queue.prune(items, finished_before=finished_before, waiting_before=waiting_before)
        counts = Counter(
            "expired" if item.waits else "pruned" for key, item in items.items() if key not in kept
        )
        counts["known"] = sum(vod_id in items for vod_id in wanted)
        return queue.enqueue(kept, added), counts

    try:
        counts = store.change(partial(change, added=wanted.values()))
    except QueueFullError:
        counts = store.change(partial(change, added=()))
        counts["no_room"] = len(wanted) - counts["known"]
        return counts, False
    counts["queued"] = len(wanted) - counts["known"]
    return counts, True


def forget(lake: Lake) -> None:
    """Let the next discovery ask every channel again, because the queue may have lost recordings."""
    lake.delete(MEMORY_KEY)


def remembers(lake: Lake, opt_outs: OptOuts) -> bool:
    """Whether the memory has any of these channels."""
    memory = _read_memory(lake)
    return _without(memory, opt_outs) != memory


def forget_channels(lake: Lake, opt_outs: OptOuts) -> None:
    """Remove channels from the memory."""
    _MEMORY.update(lake, lambda memory: _without(memory or Memory(), opt_outs))


def _without(memory: Memory, opt_outs: OptOuts) -> Memory:
    return Memory(
        asked={key: span for key, span in memory.asked.items() if key not in opt_outs.channel_ids},
        owed={key: login for key, login in memory.owed.items() if not opt_outs.has_channel(login, key)},
    )


@dataclass(frozen=True)
class Addition:
    """The outcome of adding VODs by hand; each VOD is in exactly one of the fields.

    Attributes:
        queued: new in the queue.
        known: already in the queue.
        missing: ids that Twitch does not know.
        running: ids of broadcasts that are still running.
        opted_out: ids of channels that have opted out.
    """

    queued: tuple[VodItem, ...]
    known: tuple[VodItem, ...]
    missing: tuple[str, ...]
    running: tuple[str, ...]
    opted_out: tuple[str, ...]


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
        vod_ids: the VODs to queue.
        videos: Helix's answer for these ids.
        now: by the clock of the data; broadcasts that are still running are not queued.
        opt_outs: channels that have opted out.

    Raises:
        QueueError: the queue is unusable.
    """
    items: dict[str, VodItem] = {}
    for video in videos:
        # A video without a valid id or login counts as missing.
        with suppress(ValueError):
            items[video.id] = _item(video, video.login, now)
    opted_out = {key for key, item in items.items() if opt_outs.has_channel(item.channel, item.channel_id)}
    running = {key for key, item in items.items() if item.ended_at > now - _FINISHED} - opted_out
    ids = tuple(dict.fromkeys(vod_ids))
    wanted = [items[vod_id] for vod_id in ids if vod_id in items.keys() - running - opted_out]

    def add(before: Items) -> tuple[dict[str, VodItem], set[str]]:
        return queue.enqueue(before, wanted), {item.vod_id for item in wanted if item.vod_id in before}

    known = QueueStore(lake).change(add)
    return Addition(
        queued=tuple(item for item in wanted if item.vod_id not in known),
        known=tuple(item for item in wanted if item.vod_id in known),
        missing=tuple(vod_id for vod_id in ids if vod_id not in items),
        running=tuple(vod_id for vod_id in ids if vod_id in running),
        opted_out=tuple(vod_id for vod_id in ids if vod_id in opted_out),
    )


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
    return _MEMORY.read(lake) or Memory()


def _remember(
    lake: Lake,
    *,
    asked: Mapping[int, tuple[datetime, datetime]],
    owed: Mapping[int, str],
    settled: set[int],
    forget_before: datetime,
) -> None:
    def change(before: Memory | None) -> Memory:
        memory = before or Memory()
        every = dict(memory.asked)
        for key, span in asked.items():
            every[key] = _joined(every.get(key), span)
        fresh = {key: every[key] for key in sorted(every) if every[key][1] >= forget_before}
        still = {**memory.owed, **owed}
        kept = {key: still[key] for key in sorted(still) if key not in settled}
        return Memory(asked=fresh, owed=kept)

    _MEMORY.update(lake, change)


def _joined(
    old: tuple[datetime, datetime] | None, new: tuple[datetime, datetime]
) -> tuple[datetime, datetime]:
    """The union of two spans that touch, else the later one."""
    if old is None:
        return new
    if new[0] <= old[1] and old[0] <= new[1]:
        return min(old[0], new[0]).astimezone(UTC), max(old[1], new[1]).astimezone(UTC)
    return max(old, new)


def _decode(data: bytes) -> Memory:
    try:
        return validated(_ADAPTER, data, _MAX_ELEMENTS)
    except ValueError:
        # Costs one call per channel, nothing else.
        return Memory()


_ADAPTER = TypeAdapter(Memory)
_MEMORY = replace(
    StateObject.of_type(MEMORY_KEY, _ADAPTER, advice="delete it; every channel is then asked again"),
    decode=_decode,
)
