"""A round of VOD work in a process of its own: ``python vod_round.py CHANNELS [SIGNAL WRITES PREFIX]``.

It runs the real round with the ``config.yaml`` of the working directory, and prints its report as one line
of JSON.

CHANNELS is a JSON object of channel ids and logins. After WRITES writes below PREFIX in the lake, when the
next one is due, the process sends itself SIGNAL. Requests are given up and asked again soon, so that tests
need not wait long.
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import obstore

from collector_service.clock import utc
from collector_service.lake import Lake
from collector_service.support.retry import RetryPolicy
from collector_service.twitch import vod_chat
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.collected_channels import CollectedChannel
from vieweratlas_dagster.vod.collecting import read_vods


def interrupt(number: signal.Signals, writes: int, prefix: str) -> None:
    """Send this process a signal before the write after so many below a prefix."""
    put, left = obstore.put, writes

    def counted(*what, **how):
        nonlocal left
        if what[1].startswith(prefix):
            if left == 0:
                os.kill(os.getpid(), number)
            left -= 1
        return put(*what, **how)

    obstore.put = counted


def be_quick() -> None:
    """Shorten how long the client of the comments query waits."""
    vod_chat.GraphqlComments.open = staticmethod(
        partial(
            vod_chat.GraphqlComments.open,
            retry=RetryPolicy(0.005, 0.005, attempts=6),
            request_seconds=1.0,
        )
    )


def main() -> None:
    """Play one round."""
    settings = Settings.load(Path("config.yaml"))
    channels = [
        CollectedChannel(int(number), login, hidden=True)
        for number, login in json.loads(sys.argv[1]).items()
    ]
    lake = Lake.open(settings.storage)
    be_quick()
    if len(sys.argv) > 2:
        interrupt(signal.Signals[sys.argv[2]], int(sys.argv[3]), sys.argv[4])
    round_ = asyncio.run(read_vods(lake, channels, settings, now=utc(settings.clock.now())))
    print(json.dumps(asdict(round_)))


if __name__ == "__main__":
    main()
