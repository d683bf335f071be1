"""The rules behind the checks of the present, as pure functions of times.

Belongs here: ages, hours and the VOD queue's waiting times. Does not belong here: the lake, thresholds
from settings, Dagster.
"""

from __future__ import annotations

from collections.abc import Iterable
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
