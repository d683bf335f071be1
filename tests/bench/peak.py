"""The peak memory of this process.

``ru_maxrss`` will not do: a new process inherits it from the one that started it.
"""

from __future__ import annotations

import re
from pathlib import Path


def peak_mb() -> float:
    """The largest resident memory so far, in MB (Linux only)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6
