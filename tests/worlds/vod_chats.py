"""A source of comments in memory, the queue entries that it answers for, and rounds over them."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from collector_service.settings import VodSettings
from collector_service.twitch.vod_chat import CommentPage, VodComment
from vieweratlas_dagster.vod import queue
from vieweratlas_dagster.vod.queue import VodItem
from vieweratlas_dagster.vod.queue_store import QueueStore
from vieweratlas_dagster.vod.reading_round import ReadingRound

NOW = datetime(2026, 5, 2, 6, tzinfo=UTC)
SECRET = "k" * 32
LENGTH = 7200.0


@dataclass
class Hands:
    """A clock that moves when told."""

    instant: float = NOW.timestamp()
    rate: float = 1.0

    def now(self):
        return self.instant


@dataclass
class Chats:
    """VOD id -> offsets and users, ten comments a page. ``ends`` gives a VOD's fault after its pages."""

    chats: dict
    ends: dict = field(default_factory=dict)
    stop_after: dict = field(default_factory=dict)
    on_page: object = None
    reads: Counter = field(default_factory=Counter)
    starts: list = field(default_factory=list)
    passed_over: int = 0
    together: int = 0
    most_together: int = 0

    async def pages(self, vod_id, duration_seconds, start_seconds=0):
        self.reads[vod_id] += 1
        self.starts.append(start_seconds)
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        try:
            chat = [one for one in self.chats[vod_id] if one[0] >= start_seconds]
            reached = float(start_seconds)
            limit = min(self.stop_after.get(vod_id, len(chat)), len(chat))
            for start in range(0, limit, 10):
                await asyncio.sleep(0)
                if self.on_page:
                    await self.on_page(vod_id, start)
                part = chat[start : min(start + 10, limit)]
                comments = [
                    VodComment(f"{vod_id}-{at}-{start + i}", at, user, f"marker_login_{user}", is_bot=False)
                    for i, (at, user) in enumerate(part)
                ]
                reached = min(part[-1][0], duration_seconds)
                yield CommentPage(comments, reached)
            end = self.ends.get(vod_id)
            if isinstance(end, Exception):
                raise end
            if end:
                yield CommentPage([], reached, reason=end, passed_over=self.passed_over)
            else:
                yield CommentPage([], duration_seconds, complete=True)
        finally:
            self.together -= 1


def chat(number, count=35):
    users = [None, *(str(90000 + number * 10 + n) for n in range(6))]
    return [(i * 200.0, users[i % 7]) for i in range(count)]


def item(number):
    return VodItem(
        vod_id=str(number),
        channel=f"channel{number}",
        channel_id=number,
        title=None,
        created_at=NOW - timedelta(hours=4.5 + number),
        duration_seconds=LENGTH,
        view_count=1,
    )


def fill(lake, count):
    QueueStore(lake).apply(lambda items: queue.enqueue(items, [item(n) for n in range(count)]))


def settings(**changes):
    return VodSettings(**{"enabled": True, **changes})


async def run(lake, source, hands=None, **changes):
    hands = hands or Hands()
    return await ReadingRound(
        lake, source, settings(**changes), secret=SECRET, clock=hands, wall=hands
    ).run()
