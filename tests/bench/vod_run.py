"""The real round of VOD work, in a process of its own: ``python -m tests.bench.vod_run LAKE FACTS``.

It reads everything that ``vod_server`` serves (FACTS is its JSON) into the lake, with the default limits,
and prints one line of JSON with its time and memory.
"""

import asyncio
import json
import sys
import time

from collector_service.clock import utc
from collector_service.lake import Lake
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.collected_channels import CollectedChannel
from vieweratlas_dagster.vod.collecting import read_vods

from .peak import peak_mb
from .vod_world import SECRET, WINDOW_SECONDS


def main() -> None:
    """Read everything, and tell what that took."""
    facts = json.loads(sys.argv[2])
    settings = Settings.model_validate(
        {
            "storage": {"dir": sys.argv[1]},
            "twitch": facts["twitch"],
            "collection": {"bots_file": None},
            "vod": {"enabled": True, "bucket_len_s": WINDOW_SECONDS},
            "privacy": {"viewer_key_secret": SECRET},
            "simulation": {"clock": facts["clock"]},
        }
    )
    lake = Lake.open(settings.storage)
    channels = [CollectedChannel(facts["id"], facts["login"], hidden=True)]
    before = peak_mb()
    began = time.perf_counter()
    report = asyncio.run(read_vods(lake, channels, settings, now=utc(settings.clock.now()))).report
    took = {
        "seconds": time.perf_counter() - began,
        "peak_mb": peak_mb(),
        "start_mb": before,
        "done": report.done,
        "comments": report.comments,
        "null_commenters": report.null_commenters,
        "viewers": report.viewers,
    }
    print(json.dumps(took))


if __name__ == "__main__":
    main()
