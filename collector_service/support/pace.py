"""Rate limits, in real seconds."""

from __future__ import annotations

import asyncio
from collections import deque


class Pace:
    """At most ``count`` permits in any ``seconds``."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._seconds = seconds
        self._given: deque[float] = deque()
        self._turn = asyncio.Lock()

    async def take(self, wanted: int = 1) -> int:
        """Wait until there is a permit, then take up to ``wanted`` at once; returns how many (>= 1)."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            while True:
                now = loop.time()
                while self._given and self._given[0] <= now - self._seconds:
                    self._given.popleft()
                if len(self._given) < self._count:
                    break
                await asyncio.sleep(self._given[0] + self._seconds - now)
            granted = min(wanted, self._count - len(self._given))
            self._given.extend([now] * granted)
            return granted
