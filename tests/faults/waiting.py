"""How long a busy machine kept the programs under test waiting, so that nobody blames them for it.

``harness`` extends its time limits by it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

_EVERY_SECONDS = 0.1
_SPAN_SECONDS = 3.0


class Waiting:
    """The longest that this process's event loop and the processes of a test waited within three seconds.

    ``longest`` is in seconds, of all of them together: one may have had to wait for another.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._recent: deque[float] = deque(maxlen=round(_SPAN_SECONDS / _EVERY_SECONDS))

    async def measure(self, pids: Callable[[], Iterable[int]]) -> None:
        """Go on measuring, until cancelled; ``pids`` says which processes there are now."""
        before: dict[int, float] = {}
        while True:
            began = time.monotonic()
            await asyncio.sleep(_EVERY_SECONDS)
            late = time.monotonic() - began - _EVERY_SECONDS
            now = {pid: waited(pid) for pid in pids()}
            self._recent.append(late + sum(max(0.0, now[pid] - before.get(pid, 0.0)) for pid in now))
            before = now
            self.longest = max(self.longest, sum(self._recent))


def waited(pid: int) -> float:
    """Seconds for which a process was ready to run and had no processor (0 once it has ended).

    Source: /proc/PID/schedstat, whose second number is that time in nanoseconds.
    """
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0
