"""The collector as a process that waits for the lake for a short time only."""

import sys

from collector_service.live.collector_parts import CollectorTimings
from collector_service.live.lake_reads import LakeReadTimings
from collector_service.live.service import run
from collector_service.settings import Settings

TIMINGS = CollectorTimings(finish_seconds=2.0, lake_reads=LakeReadTimings(read_with_copy_seconds=0.5))

if __name__ == "__main__":
    sys.exit(run(Settings.load(), TIMINGS))
