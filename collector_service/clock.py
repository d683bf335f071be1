"""The clocks of the data: the instant that a message, a window or a refresh belongs to, in UTC.

Time-outs, pings, retries and rate limits concern the network. They use the event loop's monotonic clock,
even when the world's clock runs faster.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """UTC now, in seconds since 1970, and how many such seconds pass per real second."""

    @property
    def rate(self) -> float:
        """World seconds per real second."""
        ...

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC."""
        ...


@dataclass(frozen=True)
class SystemClock:
    """The machine's own clock."""

    rate: float = 1.0

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC."""
        return time.time()


@dataclass(frozen=True)
class ScaledClock:
    """A simulated world's clock: ``rate`` world seconds pass per real second.

    It stands at ``world_origin`` until the real clock reaches ``real_origin``, and stops at
    ``world_end``. Two processes on one machine that share the four numbers share the clock.
    """

    real_origin: float
    world_origin: float
    rate: float
    world_end: float = math.inf

    def now(self) -> float:
        """World seconds since the Unix epoch, UTC."""
        elapsed = max(0.0, time.time() - self.real_origin) * self.rate
        return min(self.world_origin + elapsed, self.world_end)

    def rounded(self) -> ScaledClock:
        """This clock as its `spec` gives it, so that processes that share the text count the same."""
        return ScaledClock(*map(float, self.spec().split("/")))

    def spec(self) -> str:
        """The text that `parse_clock` turns back into this clock."""
        return f"{self.real_origin:.6f}/{self.world_origin:.3f}/{self.rate:g}/{self.world_end:.3f}"


def parse_clock(spec: str) -> Clock:
    """``"system"`` or ``"REAL_ORIGIN/WORLD_ORIGIN/RATE[/WORLD_END]"``: Unix times and a factor > 0.

    Raises:
        ValueError: the text is neither.
    """
    if spec == "system":
        return SystemClock()
    try:
        clock = ScaledClock(*(float(part) for part in spec.split("/")))
    except (TypeError, ValueError):
        raise ValueError(
            'expected "system" or "REAL_ORIGIN/WORLD_ORIGIN/RATE", for example "1767225600/1767225600/60"'
        ) from None
    if not 0 < clock.rate < math.inf:
        raise ValueError("the clock's rate must be a positive number")
    return clock


def utc(seconds: float) -> datetime:
    """An aware UTC datetime from seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)
