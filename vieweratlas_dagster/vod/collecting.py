"""VOD work with the real clients: a round of discovery and reading, and adding recordings by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from collector_service.clock import utc
from collector_service.lake import Lake
from collector_service.logins import known_bots
from collector_service.privacy.opt_outs import read_opt_outs
from collector_service.privacy.populations import checked_secret
from collector_service.twitch.helix import Helix, HelixError
from collector_service.twitch.vod_chat import GraphqlComments
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.collected_channels import CollectedChannel
from vieweratlas_dagster.vod.discovery import Addition, Discovery, discover, queue_videos
from vieweratlas_dagster.vod.reading_round import ReadingRound, RoundReport

# The collector uses the same credentials for its own requests to Helix.
_POINTS_LEFT_TO_OTHERS = 0.5


@dataclass(frozen=True)
class Round:
    """The results of a round; ``problems`` are the reasons why it could not do all of its work."""

    discovery: Discovery | None
    report: RoundReport
    problems: tuple[str, ...]


async def read_vods(
    lake: Lake, channels: list[CollectedChannel], settings: Settings, *, now: datetime
) -> Round:
    """Queue the recordings that had ended by ``now`` and read queued ones within the round's limits.

    Queued recordings are read even when Helix does not answer.

    Args:
        lake: for the queue and the raw objects.
        channels: the channels that the collector had.
        settings: Twitch access, limits, viewer key and bot list.
        now: aware, UTC; by the clock of the data.

    Raises:
        QueueError: the queue is unusable.
        SettingsError: the viewer key, the bot list or the list of opt-outs is unusable.
    """
    secret, bots = checked_secret(settings.privacy, lake, settings.today), known_bots(settings.collection)
    opt_outs = read_opt_outs(lake)
    discovery, problems = None, []
    try:
        async with Helix.open(settings.twitch, leave=_POINTS_LEFT_TO_OTHERS) as helix:
            found_at = utc(settings.clock.now())
            discovery = await discover(
                helix, lake, channels, settings.vod, now=now, found_at=found_at, opt_outs=opt_outs
            )
    except HelixError as error:
        problems.append(f"could not look for recordings: {error}")
    if discovery and discovery.no_room:
        problems.append(
            f"the queue is full: {discovery.no_room} recordings were not queued, and will be looked for "
            "again next time; raise vod.min_views or lower vod.max_age_hours to queue fewer"
        )
    async with GraphqlComments.open(settings.twitch) as comments:
        reading = ReadingRound(
            lake,
            comments,
            settings.vod,
            secret=secret,
            clock=settings.clock,
            bots=bots,
            opt_outs=opt_outs,
        )
        report = await reading.run()
    if report.stopped:
        problems.append(f"the comments endpoint refused: {report.stopped}")
    return Round(discovery, report, tuple(problems))


async def add_vods(lake: Lake, vod_ids: Sequence[str], settings: Settings, *, now: datetime) -> Addition:
    """Queue VODs by hand, whatever their age and views.

    Args:
        lake: for the queue.
        vod_ids: Twitch's ids.
        settings: Twitch access.
        now: aware, UTC; by the clock of the data.

    Raises:
        HelixError: Helix does not answer.
        QueueError: the queue is unusable.
    """
    async with Helix.open(settings.twitch) as helix:
        videos = await helix.videos(vod_ids)
    return queue_videos(lake, vod_ids, videos, now=now, opt_outs=read_opt_outs(lake))
