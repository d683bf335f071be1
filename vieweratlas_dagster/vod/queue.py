"""The queue of VODs: its states, and the transitions between them as pure functions.

    pending ──lease──▶ leased ──complete──▶ done
       ▲                 │ ├─fail, release with a part kept──▶ incomplete ──lease──▶ leased …
       └─fail, release───┘ └─fail after max_attempts, bury──▶ dead

The life of a VOD, each line in one conditional write (`queue_store`):

    items = enqueue(items, [item])                             # pending
    items, [leased] = lease(items, now=now, limit=1, ...)      # leased, its first attempt
    items = extend(items, leased, now=now, kept=kept, ...)     # still leased; resumes after kept if killed
    items = complete(items, leased, kept=kept)                 # done

An expired lease (its run was killed) may be taken over. Every lease counts as an attempt, so a VOD that
kills its run each time ends dead too. Transitions identify a lease by its id: a run that has lost its lease
changes nothing. Leases and back-off use real time, whatever the clock of the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime, ConfigDict

from collector_service.support.retry import RetryPolicy
from collector_service.twitch.vod_chat import Vod

_RETRY = RetryPolicy(first_seconds=30.0, longest_seconds=3600.0)

Status = Literal["pending", "leased", "done", "incomplete", "dead"]
_DUE = ("pending", "incomplete")
_FINISHED = ("done", "dead")
_STRICT = ConfigDict(strict=True, extra="forbid")


class LeaseLostError(Exception):
    """The lease expired and the VOD was taken over or removed; this run must not write its result."""


@dataclass(frozen=True)
class VodItem:
    """One VOD in the queue.

    Attributes:
        attempts: how often it was leased.
        next_attempt_at: the time before which it may not be leased; None for at once.
        lease_id: the current lease; None when it is not leased.
        lease_expires_at: the time from which another run may take it over.
        reason: why the last attempt failed.
        coverage_seconds: see `Kept`, like ``comments``, ``viewers`` and ``resume_seconds``.
        queued_at: when it was found, by the clock of the data.
        gone: it can never be read again: Twitch has deleted it, or its channel has opted out.

    Raises:
        ValueError: the fields do not describe a VOD.
    """

    __pydantic_config__ = _STRICT

    vod_id: str
    channel: str
    channel_id: int
    title: str | None
    created_at: AwareDatetime
    duration_seconds: float
    view_count: int
    status: Status = "pending"
    attempts: int = 0
    next_attempt_at: AwareDatetime | None = None
    lease_id: str | None = None
    lease_expires_at: AwareDatetime | None = None
    reason: str | None = None
    coverage_seconds: float = 0.0
    comments: int = 0
    viewers: int = 0
    resume_seconds: int = 0
    queued_at: AwareDatetime | None = None
    gone: bool = False

    def __post_init__(self) -> None:
        _ = self.vod
        if not 0 <= self.coverage_seconds < math.inf:
            raise ValueError(f"VOD {self.vod_id}: its chat cannot cover {self.coverage_seconds} s")

    @property
    def vod(self) -> Vod:
        """The VOD itself."""
        return Vod(
            self.vod_id, self.channel, self.channel_id, self.title, self.created_at, self.duration_seconds
        )

    @property
    def ended_at(self) -> datetime:
        """When the broadcast ended."""
        return self.created_at + timedelta(seconds=self.duration_seconds)

    @property
    def waits(self) -> bool:
        """Whether it will be read, now or later, and is not leased."""
        return self.status in _DUE

    @property
    def waiting_since(self) -> datetime:
        """The time from which it could have been read."""
        return max(self.ended_at, self.queued_at or self.ended_at)


@dataclass(frozen=True)
class Kept:
    """The part of a VOD's chat that is in the lake.

    Attributes:
        coverage_seconds: seconds from the VOD's start.
        comments: comments in this part.
        viewers: distinct viewers.
        resume_seconds: where the next attempt may begin, because the lake has exactly the comments before
            it; 0 when the next attempt must begin at the start.
    """

    coverage_seconds: float
    comments: int
    viewers: int
    resume_seconds: int = 0


Items = Mapping[str, VodItem]


def enqueue(items: Items, found: Iterable[VodItem]) -> dict[str, VodItem]:
    """Add VODs that are not in the queue yet, and update those that are.

    A known VOD gets the new title and views. If it has grown, because it was found while still running, it
    gets the new length too, and is read again if it was finished.
    """
    result = dict(items)
    for new in found:
        old = result.get(new.vod_id)
        if old is None:
            result[new.vod_id] = new
            continue
        changed = replace(old, title=new.title, view_count=new.view_count)
        if new.duration_seconds > old.duration_seconds:
            changed = replace(changed, duration_seconds=new.duration_seconds)
            if old.status in _FINISHED:
                changed = _again(changed)
        result[new.vod_id] = changed
    return result


def lease(
    items: Items, *, now: datetime, limit: int, lease_seconds: float, max_attempts: int, lease_id: str
) -> tuple[dict[str, VodItem], list[VodItem]]:
    """Take up to ``limit`` VODs that are due, the newest first.

    Returns:
        The new queue, and the leased items. Items whose last permitted lease has expired are dead.
    """
    result = dict(items)
    taken: list[VodItem] = []
    for item in sorted(items.values(), key=lambda item: (item.created_at, item.vod_id), reverse=True):
        if not _due(item, now):
            continue
        if item.status == "leased" and item.attempts >= max_attempts:
            reason = "the run that was reading it ended without a result"
            result[item.vod_id] = _unleased(item, status="dead", reason=reason)
            continue
        if len(taken) < limit:
            leased = replace(
                item,
                status="leased",
                attempts=item.attempts + 1,
                next_attempt_at=None,
                lease_id=lease_id,
                lease_expires_at=now + timedelta(seconds=lease_seconds),
            )
            result[item.vod_id] = leased
            taken.append(leased)
    return result, taken


def extend(
    items: Items, leased: VodItem, *, now: datetime, lease_seconds: float, kept: Kept | None = None
) -> dict[str, VodItem]:
    """Extend a lease, counted from now.

    Args:
        items: the queue.
        leased: the item as it was leased.
        now: real time.
        lease_seconds: how long the lease lasts from now.
        kept: the part of the chat in the lake; None when it has not changed.

    Raises:
        LeaseLostError: the lease is lost.
    """
    current = _with(current_lease(items, leased), kept)
    expires = now + timedelta(seconds=lease_seconds)
    return {**items, current.vod_id: replace(current, lease_expires_at=expires)}


def complete(items: Items, leased: VodItem, *, kept: Kept) -> dict[str, VodItem]:
    """Finish a VOD whose whole chat is in the lake; if it has grown since it was leased, it waits again.

    Raises:
        LeaseLostError: the lease is lost.
    """
    current = current_lease(items, leased)
    done = _unleased(_with(current, kept), status="done", reason=None)
    if current.duration_seconds > leased.duration_seconds:
        done = _again(done)
    return {**items, current.vod_id: done}


def fail(
    items: Items,
    leased: VodItem,
    *,
    now: datetime,
    reason: str,
    max_attempts: int,
    kept: Kept | None = None,
) -> dict[str, VodItem]:
    """End an attempt without the whole chat: retry after a pause, dead after ``max_attempts``.

    The pause is min(3600, 30 * 2**(attempts - 1)) seconds.

    Args:
        items: the queue.
        leased: the item as it was leased.
        now: real time.
        reason: why, for people.
        max_attempts: how many attempts a VOD has.
        kept: the part of the chat in the lake; None when this attempt has not changed it.

    Raises:
        LeaseLostError: the lease is lost.
    """
    current = _with(current_lease(items, leased), kept)
    if current.attempts >= max_attempts:
        ended = _unleased(current, status="dead", reason=reason)
    else:
        next_attempt_at = now + timedelta(seconds=_RETRY.wait_seconds(current.attempts))
        ended = _unleased(current, status=_waiting(current), reason=reason, next_attempt_at=next_attempt_at)
    return {**items, current.vod_id: ended}


def release(items: Items, leased: VodItem, *, kept: Kept | None = None) -> dict[str, VodItem]:
    """Return a lease early, through no fault of the VOD; it does not count as an attempt.

    Args:
        items: the queue.
        leased: the item as it was leased.
        kept: the part of the chat in the lake; None when it has not changed.

    Raises:
        LeaseLostError: the lease is lost.
    """
    current = _with(current_lease(items, leased), kept)
    returned = _unleased(current, status=_waiting(current), attempts=current.attempts - 1)
    return {**items, current.vod_id: returned}


def bury(items: Items, leased: VodItem, *, reason: str, kept: Kept | None = None) -> dict[str, VodItem]:
    """Give up a VOD that Twitch has deleted or whose channel has opted out; its part in the lake stays.

    Raises:
        LeaseLostError: the lease is lost.
    """
    current = _with(current_lease(items, leased), kept)
    return {**items, leased.vod_id: _unleased(current, status="dead", reason=reason, gone=True)}


def retry(items: Items, vod_ids: Iterable[str]) -> dict[str, VodItem]:
    """Make VODs due at once, with all their attempts, whatever their status.

    Raises:
        KeyError: a VOD is not in the queue.
    """
    return {**items, **{vod_id: _again(items[vod_id]) for vod_id in vod_ids}}


def prune(items: Items, *, finished_before: datetime, waiting_before: datetime) -> dict[str, VodItem]:
    """Drop old entries.

    Args:
        items: the queue.
        finished_before: finished VODs that ended earlier are dropped; discovery no longer finds them.
        waiting_before: VODs that have waited since before this are dropped; Twitch will delete them soon.
    """
    return {
        vod_id: item
        for vod_id, item in items.items()
        if not (item.status in _FINISHED and item.ended_at < finished_before)
        and not (item.waits and item.waiting_since < waiting_before)
    }


def current_lease(items: Items, leased: VodItem) -> VodItem:
    """The leased item as it is in the queue.

    Raises:
        LeaseLostError: the lease is lost.
    """
    current = items.get(leased.vod_id)
    if current is None or current.status != "leased" or current.lease_id != leased.lease_id:
        raise LeaseLostError(f"VOD {leased.vod_id} is no longer leased to this run")
    return current


def _due(item: VodItem, now: datetime) -> bool:
    if item.status == "leased":
        return item.lease_expires_at is None or item.lease_expires_at <= now
    return item.waits and (item.next_attempt_at is None or item.next_attempt_at <= now)


def _with(item: VodItem, kept: Kept | None) -> VodItem:
    return replace(item, **asdict(kept)) if kept else item


def _unleased(item: VodItem, **changes: Any) -> VodItem:
    return replace(item, lease_id=None, lease_expires_at=None, **changes)


def _again(item: VodItem) -> VodItem:
    return _unleased(item, status=_waiting(item), attempts=0, next_attempt_at=None, gone=False)


def _waiting(item: VodItem) -> Status:
    return "incomplete" if item.coverage_seconds else "pending"
