"""One round of VOD work with the real clients: look for recordings, then read what is queued.

Belongs here: putting clients, settings and key together. Does not belong here: either step (``run``).
"""

from __future__ import annotations

from datetime import datetime

from collector_service.identity import load_viewer_key_secret
from collector_service.lake import Lake
from collector_service.logins import read_logins
from collector_service.twitch.helix import Helix
from collector_service.twitch.vod_chat import GraphqlComments
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.run import Discovery, VodRunReport, discover, process


async def read_vods(
    lake: Lake, channels: list[tuple[int, str]], settings: Settings, *, now: datetime
) -> tuple[Discovery, VodRunReport]:
    """Queue the recordings that had ended by ``now`` and read queued ones within the run's limits.

    Args:
        lake: for the queue and the raw objects.
        channels: (channel_id, login) whose recordings to look for.
        settings: Twitch access, limits, viewer key and bot list.
        now: aware, UTC; by the clock of the data.

    Raises:
        HelixError: Helix cannot be asked.
        QueueError: the queue is unusable.
        SettingsError: the viewer key or the bot list is.
    """
    secret = load_viewer_key_secret(settings.privacy)
    bots_file = settings.collection.bots_file
    bots = frozenset(read_logins(bots_file, "collection.bots_file")) if bots_file else frozenset[str]()
    async with Helix.open(settings.twitch) as helix:
        discovery = await discover(helix, lake, channels, settings.vod, now=now)
    async with GraphqlComments.open(settings.twitch) as comments:
        report = await process(lake, comments, settings.vod, secret=secret, clock=settings.clock, bots=bots)
    return discovery, report
