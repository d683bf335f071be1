"""The rules behind the checks of the present, as pure functions.

Belongs here: ages, hours, and the VOD queue's size, waiting times and failures. Does not belong here: the
lake, thresholds from settings, Dagster.
"""

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
    """Minutes since an instant; None when there is none."""
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
    """How many VODs wait, are being read and are given up, and the longest waits in hours (0.0 without)."""

    waiting: int
    leased: int
    dead: int
    oldest_waiting_hours: float
    longest_expired_hours: float


def queue_state(items: Iterable[VodItem], *, now: datetime, real_now: datetime) -> QueueState:
    """The VOD queue at a moment.

    Args:
        items: the whole queue.
        now: by the clock of the data; waiting counts from when it could be read.
        real_now: leases are in real time; one that ran out is there to be taken over.
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
    """How the VODs of the queue that were attempted ended so far.

    ``done`` were read; ``dead`` are given up; ``waiting`` failed and will be tried again. ``reasons`` says
    how many of those two failed why. VODs that are gone from Twitch or just being read are in none of them.
    """

    done: int
    dead: int
    waiting: int
    reasons: Mapping[str, int]

    @property
    def attempted(self) -> int:
        """All of them."""
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
