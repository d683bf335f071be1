"""A collector without a network: counts, journals, spools and uploads until it is killed.

``python killed_child.py FOLDER FIRST`` counts one message each of the viewers number FIRST, FIRST + 1, and
so on, and prints a line for each viewer that the journal has: the number, and that of the share.
"""

import asyncio
import itertools
import sys
from pathlib import Path

from collector_service.lake import Lake
from collector_service.live.journal import Journal
from collector_service.live.spool import DiskSpool
from collector_service.live.uploader import Uploader
from collector_service.live.windows import Windows
from collector_service.metrics import Stats
from collector_service.settings import StorageSettings
from collector_service.twitch.irc import MESSAGE

# Room for four whole windows, or for a dozen thinned ones; six begin while the lake is away.
SPOOL_BYTES = 4000


class StepClock:
    """Goes on when it is told to."""

    rate = 1.0
    time = 1_700_000_100.0

    def now(self):
        return self.time


def viewer_key(number):
    """A key that does not compress."""
    return number * 0x9E3779B97F4A7C15 % 2**64


def open_lake(folder):
    return Lake.open(StorageSettings(dir=folder / "lake"))


async def main(folder, first):
    journal = Journal(folder / "journal", "c", backlog_bytes=500)
    uploader = Uploader(journal, DiskSpool(folder / "spool", open_lake(folder), SPOOL_BYTES), "c", Stats())
    clock = StepClock()
    clock.time += first
    windows = Windows(clock, 10, uploader.recover())
    windows.joined(7, "seven", clock.time)
    counted = []
    for number in itertools.count(first):
        clock.time += 0.2
        share = windows.share_at(clock.time, clock.time)
        share.count(7, MESSAGE, viewer_key(number), False)
        counted.append((number, share.sequence))
        uploader._closed.extend(windows.tick())
        if number % 3 == 0:
            await uploader._write_journal(lambda: windows.open_shares, windows.now())
            for line in counted:
                print(*line, flush=True)
            counted = []
        while uploader._closed:
            await uploader._spool_next()
        if (number - first) // 100 % 4 == 0:  # else the lake is away
            await uploader._upload_next()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
