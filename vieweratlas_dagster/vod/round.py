"""VOD work with the real clients: a round of looking for recordings and reading, and adding some by hand.

Belongs here: putting clients, settings and key together. Does not belong here: either step
(``discovery``, ``run``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from collector_service.clock import utc
from collector_service.identity import load_viewer_key_secret
from collector_service.lake import Lake
from collector_service.logins import read_logins
from collector_service.opt_outs import read_opt_outs
from collector_service.twitch.helix import Helix
from collector_service.twitch.vod_chat import GraphqlComments
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.channels import CollectedChannel
from vieweratlas_dagster.vod.discovery import Addition, Discovery, discover, queue_videos
from vieweratlas_dagster.vod.run import VodRunReport, process

# The collector asks Helix too, with the same credentials.
_POINTS_LEFT_TO_OTHERS = 0.5


async def read_vods(
    lake: Lake, channels: list[CollectedChannel], settings: Settings, *, now: datetime
) -> tuple[Discovery, VodRunReport]:
    """Queue the recordings that had ended by ``now`` and read queued ones within the run's limits.

    Args:
        lake: for the queue and the raw objects.
        channels: those that the collector had.
        settings: Twitch access, limits, viewer key and bot list.
        now: aware, UTC; by the clock of the data.

    Raises:
        HelixError: Helix cannot be asked.
        QueueError: the queue is unusable.
        SettingsError: the viewer key, the bot list or the list of opt-outs is.
    """
    secret, bots = load_viewer_key_secret(settings.privacy), known_bots(settings)
    opt_outs = read_opt_outs(lake)
    wanted = [one for one in channels if not opt_outs.has_channel(one.login, one.channel_id)]
    async with Helix.open(settings.twitch, leave=_POINTS_LEFT_TO_OTHERS) as helix:
        found_at = utc(settings.clock.now())
        discovery = await discover(helix, lake, wanted, settings.vod, now=now, found_at=found_at)
    async with GraphqlComments.open(settings.twitch) as comments:
        report = await process(
            lake,
            comments,
            settings.vod,
            secret=secret,
            clock=settings.clock,
            bots=bots,
            opt_outs=opt_outs,
        )
    return discovery, report


async def add_vods(lake: Lake, vod_ids: Sequence[str], settings: Settings, *, now: datetime) -> Addition:
    """Queue VODs that somebody wants, whatever their age and views.

    Args:
        lake: for the queue.
        vod_ids: Twitch's ids.
        settings: Twitch access.
        now: aware, UTC; by the clock of the data.

    Raises:
        HelixError: Helix cannot be asked.
        QueueError: the queue is unusable.
    """
    async with Helix.open(settings.twitch) as helix:
        videos = await helix.videos(vod_ids)
    return queue_videos(lake, vod_ids, videos, now=now)


def known_bots(settings: Settings) -> frozenset[str]:
    """The logins of the bot list.

    Raises:
        SettingsError: the list is unusable.
    """
    bots_file = settings.collection.bots_file
    return frozenset(read_logins(bots_file, "collection.bots_file")) if bots_file else frozenset()
