"""The rules of Twitch's IRC: rate limits, time-outs, and the admission of logins and JOINs.

Time-outs and limits are in real seconds, independent of the world's clock.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` in any ``seconds``."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """From text such as ``20/10``.

        Raises:
            ValueError: it has a different form.
        """
        count, _, seconds = text.partition("/")
        try:
            limit = cls(int(count), float(seconds))
        except ValueError:
            limit = cls(0, 0)
        if limit.count < 1 or not 0 < limit.seconds < float("inf"):
            raise ValueError(f"{text!r}: expected COUNT/SECONDS, for example 20/10")
        return limit


@dataclass(slots=True)
class SlidingWindow:
    """Admits what a `Limit` allows, by the real clock."""

    limit: Limit
    _times: deque[float] = field(default_factory=deque)

    def admit(self) -> bool:
        """Whether one more is allowed now; a refused one does not count."""
        now = time.monotonic()
        while self._times and self._times[0] <= now - self.limit.seconds:
            self._times.popleft()
        if len(self._times) >= self.limit.count:
            return False
        self._times.append(now)
        return True


@dataclass(slots=True)
class IrcOptions:
    """The server's rules. ``accounts``: login -> OAuth token of those who may log in by name."""

    join_limit: Limit = field(default_factory=lambda: Limit(20, 10.0))
    auth_limit: Limit = field(default_factory=lambda: Limit(20, 10.0))
    max_named_channels: int = 100
    ping_seconds: float = 290.0
    pong_seconds: float = 20.0
    reconnect_seconds: float = 10.0
    max_buffered_bytes: int = 16 * 1024 * 1024
    accounts: dict[str, str] = field(default_factory=dict)


class Gate(Protocol):
    """Decides about every JOIN and login."""

    def drops_join(self) -> bool:
        """Whether to ignore this JOIN."""
        ...

    def stalls_login(self) -> bool:
        """Whether to leave this login, and everything after it, without an answer."""
        ...

    def login_refusal(self) -> str:
        """The text of the NOTICE that refuses this login, or nothing."""
        ...
