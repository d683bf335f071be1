"""The queue of VODs: its states, the transitions between them, and its one object in the lake.

Belongs here: what happens to a VOD from discovery to done, as pure functions, and `QueueStore`. Does
not belong here: fetching, discovery, reports (``run``).

    pending ──lease──▶ leased ──complete──▶ done
       ▲                 │ ├────break_off──▶ incomplete ──lease──▶ leased …
       └─release, fail───┘ └────after max_attempts──▶ dead

A lease that runs out (its run was killed) may be taken over. Every lease counts as an attempt, so a
VOD that kills its run each time ends dead too. Transitions take a lease by its id: a run that lost its
lease changes nothing. Lease and back-off times are real time, whatever clock the data have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from pydantic import AwareDatetime, ConfigDict, TypeAdapter, ValidationError

from collector_service.lake import Lake
from collector_service.twitch.vod_chat import Vod

QUEUE_KEY = "state/vod/queue.json"
MARKER_KEY = "state/vod/queue_exists"
_FIRST_BACKOFF_SECONDS = 30.0
_LONGEST_BACKOFF_SECONDS = 3600.0

Status = Literal["pending", "leased", "done", "incomplete", "dead"]
Result = TypeVar("Result")
_DUE = ("pending", "incomplete")
_FINISHED = ("done", "dead")
_STRICT = ConfigDict(strict=True, extra="forbid")


class QueueError(Exception):
    """The queue in the lake is unusable; the text names the object and how to repair it."""


class LeaseLostError(Exception):
    """The lease ran out and the VOD was taken over, or removed; its result belongs to others now."""


@dataclass(frozen=True)
class VodItem:
    """One VOD in the queue.

    ``attempts`` counts leases; ``next_attempt_at`` is null when the item may be leased at once.
    ``reason`` tells why the last attempt failed. ``coverage_seconds``, ``comments`` and ``viewers``
    describe what is in the lake by now.

    Raises:
        ValueError: the fields describe no VOD.
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

    def __post_init__(self) -> None:
        _ = self.vod

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


@dataclass(frozen=True)
class Kept:
    """What the lake has of a VOD's chat: seconds from its start, comments, distinct viewers."""

    coverage_seconds: float
    comments: int
    viewers: int


Items = Mapping[str, VodItem]


def enqueue(items: Items, found: Iterable[VodItem]) -> dict[str, VodItem]:
    """Add VODs that are not in the queue yet.

    A known one takes over title and views. One that has grown since (it was still running then) takes
    over its length, and is read again if it was finished.
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
        The new queue, and the leased items. Items whose last permitted lease ran out are dead now.
    """
    result = dict(items)
    taken: list[VodItem] = []
    for item in sorted(items.values(), key=lambda item: (item.created_at, item.vod_id), reverse=True):
        if not _due(item, now):
            continue
        if item.status == "leased" and item.attempts >= max_attempts:
            reason = "the run that had it ended without a word"
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


def extend(items: Items, leased: VodItem, *, now: datetime, lease_seconds: float) -> dict[str, VodItem]:
    """Prolong a lease from now.

    Raises:
        LeaseLostError: it is no longer held.
    """
    current = _held(items, leased)
    expires = now + timedelta(seconds=lease_seconds)
    return {**items, current.vod_id: replace(current, lease_expires_at=expires)}


def complete(items: Items, leased: VodItem, *, kept: Kept) -> dict[str, VodItem]:
    """The whole chat is in the lake. A VOD that has grown since it was leased is pending again.

    Raises:
        LeaseLostError: the lease is no longer held.
    """
    current = _held(items, leased)
    done = _unleased(replace(current, **asdict(kept)), status="done", reason=None)
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
    """This attempt did not bring the whole chat: tried again after a pause, dead after ``max_attempts``.

    The pause is min(3600, 30 * 2**(attempts - 1)) seconds.

    Args:
        items: the queue.
        leased: the item as it was leased.
        now: real time.
        reason: why, for people.
        max_attempts: how many attempts a VOD has.
        kept: what the lake has of the chat since this attempt; None when it brought nothing new.

    Raises:
        LeaseLostError: the lease is no longer held.
    """
    current = _held(items, leased)
    if kept:
        current = replace(current, **asdict(kept))
    if current.attempts >= max_attempts:
        ended = _unleased(current, status="dead", reason=reason)
    else:
        pause = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** (current.attempts - 1))
        next_attempt_at = now + timedelta(seconds=pause)
        ended = _unleased(current, status=_waiting(current), reason=reason, next_attempt_at=next_attempt_at)
    return {**items, current.vod_id: ended}


def release(items: Items, leased: VodItem) -> dict[str, VodItem]:
    """Give a lease back unused; it does not count as an attempt.

    Raises:
        LeaseLostError: the lease is no longer held.
    """
    current = _held(items, leased)
    returned = _unleased(current, status=_waiting(current), attempts=current.attempts - 1)
    return {**items, current.vod_id: returned}


def bury(items: Items, leased: VodItem, *, reason: str) -> dict[str, VodItem]:
    """The VOD can never be read (again); what the lake has of it stays.

    Raises:
        LeaseLostError: the lease is no longer held.
    """
    return {**items, leased.vod_id: _unleased(_held(items, leased), status="dead", reason=reason)}


def retry(items: Items, vod_ids: Iterable[str]) -> dict[str, VodItem]:
    """Make VODs due at once with all attempts before them, whatever became of them.

    Raises:
        KeyError: a VOD is not in the queue.
    """
    return {**items, **{vod_id: _again(items[vod_id]) for vod_id in vod_ids}}


def prune(items: Items, *, ended_before: datetime) -> dict[str, VodItem]:
    """Drop finished VODs that ended before an instant from which discovery no longer finds them."""
    return {
        vod_id: item
        for vod_id, item in items.items()
        if item.status not in _FINISHED or item.ended_at >= ended_before
    }


def _due(item: VodItem, now: datetime) -> bool:
    if item.status == "leased":
        return item.lease_expires_at is None or item.lease_expires_at <= now
    return item.status in _DUE and (item.next_attempt_at is None or item.next_attempt_at <= now)


def _held(items: Items, leased: VodItem) -> VodItem:
    current = items.get(leased.vod_id)
    if current is None or current.status != "leased" or current.lease_id != leased.lease_id:
        raise LeaseLostError(f"VOD {leased.vod_id} is no longer leased to this run")
    return current


def _unleased(item: VodItem, **changes: Any) -> VodItem:
    return replace(item, lease_id=None, lease_expires_at=None, **changes)


def _again(item: VodItem) -> VodItem:
    return _unleased(item, status=_waiting(item), attempts=0, next_attempt_at=None)


def _waiting(item: VodItem) -> Status:
    return "incomplete" if item.coverage_seconds else "pending"


class QueueStore:
    """The queue's one object in the lake, changed by conditional writes only.

    A marker beside it remembers that a queue was created: from then on a missing object is an error
    and not an empty queue.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._marked = False

    def load(self) -> dict[str, VodItem]:
        """The queue, as it is now.

        Raises:
            QueueError: it is missing though it was created before, or not readable.
        """
        try:
            data: bytes | None = self._lake.get(QUEUE_KEY)
        except FileNotFoundError:
            data = None
        return self._decode(data)

    def change(self, transition: Callable[[Items], tuple[dict[str, VodItem], Result]]) -> Result:
        """Apply a transition to the newest state; it may be called several times, its last result counts.

        Raises:
            QueueError: see `load`; nothing is written then.
            RuntimeError: others kept changing the queue; nothing was written.
        """
        outcome: list[Result] = []

        def rewrite(data: bytes | None) -> bytes:
            items, result = transition(self._decode(data))
            outcome[:] = [result]
            return encode(items)

        self._lake.update(QUEUE_KEY, rewrite)
        if not self._marked:
            self._lake.create(MARKER_KEY, b"The VOD queue exists; without it, queue.json was lost.\n")
            self._marked = True
        return outcome[0]

    def apply(self, transition: Callable[[Items], dict[str, VodItem]]) -> None:
        """Like `change`, for a transition that only has a new state."""
        self.change(lambda items: (transition(items), None))

    def _decode(self, data: bytes | None) -> dict[str, VodItem]:
        place = f"{self._lake.uri}/{QUEUE_KEY}"
        repair = (
            f"Restore an earlier version of it, or delete it and {MARKER_KEY} to begin with an empty "
            "queue: the next run finds recent VODs again"
        )
        if data is None:
            if self._lake.exists(MARKER_KEY):
                raise QueueError(f"The VOD queue {place} is missing, but it existed before. {repair}.")
            return {}
        try:
            return decode(data)
        except ValueError as error:
            raise QueueError(f"The VOD queue {place} is not usable ({error}). {repair}.") from None


def encode(items: Items) -> bytes:
    """The queue as JSON, ordered by VOD id, one field a line; the same queue gives the same bytes."""
    return _adapter.dump_json(_File(1, [items[vod_id] for vod_id in sorted(items)]), indent=1) + b"\n"


def decode(data: bytes) -> dict[str, VodItem]:
    """The queue from its JSON.

    Raises:
        ValueError: it is no such JSON.
    """
    try:
        rows = _adapter.validate_json(data).items
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
    result = {item.vod_id: item for item in rows}
    if len(result) != len(rows):
        raise ValueError("a VOD is in it twice")
    return result


@dataclass(frozen=True)
class _File:
    __pydantic_config__ = _STRICT

    schema_version: Literal[1]
    items: list[VodItem]


_adapter = TypeAdapter(_File)
