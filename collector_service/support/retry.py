"""Retries: how long to wait after a failure. Rate limits are in ``pace``."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

# Keeps the power within what a float holds.
_MOST_DOUBLINGS = 64


@dataclass(frozen=True)
class RetryPolicy:
    """Waits that grow by a factor up to a bound, in real seconds.

    Attributes:
        first_seconds: the wait after the first failure.
        longest_seconds: no wait is longer.
        factor: each wait is this many times the one before.
        jitter: the share of a wait, 0 to 1, that may be left off at random. It keeps clients that failed
            together from coming back together.
        attempts: how many attempts there are; None for any number.
    """

    first_seconds: float
    longest_seconds: float
    factor: float = 2.0
    jitter: float = 0.0
    attempts: int | None = None

    def wait_seconds(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row (>= 1)."""
        seconds = self.first_seconds * self.factor ** min(failures - 1, _MOST_DOUBLINGS)
        return min(self.longest_seconds, seconds) * random.uniform(1.0 - self.jitter, 1.0)  # noqa: S311 - no secret

    def is_over(self, failures: int) -> bool:
        """Whether no attempt is left after this many failures."""
        return self.attempts is not None and failures >= self.attempts


# For Twitch and the lake while they are away: until they answer.
NETWORK = RetryPolicy(first_seconds=1.0, longest_seconds=60.0, jitter=0.5)
# For one request, which fails in the end.
REQUEST = replace(NETWORK, attempts=6)
