"""The rules behind the checks of the present, as pure functions: ages, hours and the VOD queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vieweratlas_dagster.vod.queue import VodItem

_HOUR = timedelta(hours=1)


def age_minutes(newest: datetime | None, now: datetime) -> float | None:
    """Minutes since an instant; None without one."""
    return None if newest is None else (now - newest).total_seconds() / 60


def full_hour(instant: datetime) -> datetime:
    """The full hour at or before an instant."""
    return instant.replace(minute=0, second=0, microsecond=0)


def hours_without(
    starts: Iterable[datetime], window: timedelta, *, first: datetime, end: datetime
) -> list[datetime]:
    """The full hours from ``first`` up to ``end`` (excluded) that no window touches.

    Args:
        starts: starts of the windows; each lasts ``window``.
        window: length of a window.
        first: a full hour.
        end: a full hour.
    """
    touched = set()
    for start in starts:
        hour = full_hour(start)
        while hour < start + window:
            touched.add(hour)
            hour += _HOUR
    count = max(0, (end - first) // _HOUR)
    return [hour for hour in (first + number * _HOUR for number in range(count)) if hour not in touched]


@dataclass(frozen=True)
class QueueState:
    """The numbers of VODs that wait, are being read and are given up, and the longest waits in hours."""

    waiting: int
    leased: int
    dead: int
    oldest_waiting_hours: float
    longest_expired_hours: float


def queue_state(items: Iterable[VodItem], *, now: datetime, real_now: datetime) -> QueueState:
    """The VOD queue at a moment.

    Args:
        items: the whole queue.
        now: by the clock of the data; a VOD waits from the time when it can be read.
        real_now: leases are in real time; an expired lease can be taken over.
    """
    every = list(items)
    waiting = [item for item in every if item.waits]
    leased = [item for item in every if item.status == "leased"]
    expired = (item.lease_expires_at for item in leased if item.lease_expires_at)
    return QueueState(
        waiting=len(waiting),
        leased=len(leased),
        dead=sum(item.status == "dead" for item in every),
        oldest_waiting_hours=max(((now - item.waiting_since) / _HOUR for item in waiting), default=0.0),
        longest_expired_hours=max((max(0.0, (real_now - end) / _HOUR) for end in expired), default=0.0),
    )


@dataclass(frozen=True)
class QueueFailures:
    """The outcomes so far of the VODs that were attempted.

    VODs that Twitch no longer has and VODs that are being read do not count.

    Attributes:
        done: VODs that were read.
        dead: VODs that are given up.
        waiting: VODs that failed and will be tried again.
        reasons: the numbers of dead and waiting VODs by reason.
    """

    done: int
    dead: int
    waiting: int
    reasons: Mapping[str, int]

    @property
    def attempted(self) -> int:
        """All attempted VODs."""
        return self.done + self.dead + self.waiting

    @property
    def share(self) -> float:
        """Share of the attempted that failed; 0.0 without any."""
        return (self.dead + self.waiting) / self.attempted if self.attempted else 0.0


def queue_failures(items: Iterable[VodItem]) -> QueueFailures:
    """The failures in a whole VOD queue.

    A reason stays until the VOD has been read, so one that was made due again by hand still counts.
    """
    every = list(items)
    dead = [item for item in every if item.status == "dead" and not item.gone]
    waiting = [item for item in every if item.waits and item.reason]
    return QueueFailures(
        done=sum(item.status == "done" for item in every),
        dead=len(dead),
        waiting=len(waiting),
        reasons=Counter(item.reason or "no reason" for item in (*dead, *waiting)),
    )
