"""Helix's lists of past broadcasts in memory, and the channels of the collector that lead to them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from collector_service.settings import VodSettings
from collector_service.twitch.helix import Video
from vieweratlas_dagster.vod.collected_channels import CollectedChannel

NOW = datetime(2026, 5, 2, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


def settings(**changes):
    return VodSettings(**{"enabled": True, **changes})


def seen(number, *, hours_ago=2.0, now=NOW, **changes):
    return CollectedChannel(number, f"channel{number}", now - hours_ago * HOUR, **changes)


@dataclass
class Shelf:
    videos: dict
    failing: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)

    async def past_broadcasts(self, user_id, limit):
        self.asked.append((user_id, limit))
        if user_id in self.failing:
            raise self.failing[user_id]
        return self.videos.get(user_id, [])[:limit]


def video(number, *, ended_hours_ago=2.0, hours=1.0, views=3, user_id=1):
    return Video(
        id=str(number),
        user_id=user_id,
        login=f"login{user_id}",
        title="title",
        created_at=NOW - timedelta(hours=ended_hours_ago + hours),
        duration_seconds=int(hours * 3600),
        view_count=views,
    )
