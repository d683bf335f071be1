"""The comments query of Twitch's GraphQL endpoint, about the planted world."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from aiohttp import web

from collector_service.clock import Clock, utc
from collector_service.simulator.cursors import decode_cursor, encode_cursor
from collector_service.simulator.faults import Faults
from collector_service.simulator.http_faults import HANG_SECONDS
from collector_service.simulator.lines import badges_of, color_of
from collector_service.simulator.oracle import Comment, comments
from collector_service.simulator.world import Stream, World

GQL_CLIENT_ID = "kd1unb4b3q4t58fwlpcbzcbnm76a8fp"
GQL_OPERATION = "VideoCommentsByOffsetOrCursor"
GQL_HASH = "b70a3591ff0f4e0313d126c6a1502d79a1c02baebb288227c582044aa76adf6a"
PAGE_SIZES = (52, 67, 81, 98)


class CommentsApi:
    """The answers of the comments query.

    Args:
        world: the planted world.
        clock: its clock.
        faults: asked before each answer.
    """

    def __init__(self, world: World, clock: Clock, faults: Faults) -> None:
        self._world = world
        self._clock = clock
        self._faults = faults
        self._videos = {stream.video_id: stream for stream in world.streams}
        self._chats = lru_cache(maxsize=32)(lambda index: self.chat(world.streams[index]))

    def chat(self, stream: Stream) -> Sequence[Comment]:
        """A stream's own chat in the order of time, as its VOD shows it."""
        return comments(self._world, stream)

    async def answer(self, request: web.Request) -> web.Response:
        """POST /gql."""
        if self._faults.hits_gql("hang"):
            await asyncio.sleep(HANG_SECONDS)
        if self._faults.hits_gql("server_error"):
            return web.Response(status=503, text="upstream connect error")
        if self._faults.hits_gql("rate_limited"):
            return web.json_response(
                {"error": "Too Many Requests", "status": 429, "message": "too many requests"},
                status=429,
                headers={"Retry-After": "1"},
            )
        client_id = request.headers.get("Client-ID")
        if client_id != GQL_CLIENT_ID:
            problem = "is missing from the request" if not client_id else "is invalid"
            message = f'The "Client-ID" header {problem}.'
            return web.json_response(
                {"error": "Bad Request", "status": 400, "message": message}, status=400
            )
        try:
            query = await request.json()
            variables = query["variables"]
            sent_hash = query["extensions"]["persistedQuery"]["sha256Hash"]
            operation, video_id = query["operationName"], variables["videoID"]
        except (ValueError, KeyError, TypeError):
            return web.json_response({"errors": [{"message": "invalid request"}]}, status=400)
        if (operation, sent_hash) != (GQL_OPERATION, GQL_HASH) or self._faults.hits_gql("persisted_query"):
            return web.json_response({"errors": [{"message": "PersistedQueryNotFound"}]})
        extensions = {"durationMilliseconds": 12, "operationName": operation}
        stream = self._videos.get(str(video_id))
        now = self._clock.now()
        if stream is None or stream.started_at > now or self._faults.is_deleted(stream.video_id):
            return web.json_response({"data": {"video": None}, "extensions": extensions})
        channel = self._world.channels[stream.channel]
        owner = {"id": str(channel.channel_id), "channel": {"id": str(channel.channel_id)}}
        video: dict[str, Any] = {"id": stream.video_id, "creator": owner, "comments": None}
        body: dict[str, Any] = {"data": {"video": video}, "extensions": extensions}
        cursor, offset = variables.get("cursor"), variables.get("contentOffsetSeconds")
        chat = self._chats(stream.index)
        # A running stream has a chat up to now. Looked up, since chats may be long.
        known = bisect_right(chat, now * 1_000, key=_ms)
        if cursor is not None and self._faults.hits_gql("integrity"):
            body["errors"] = [{"message": "failed integrity check", "path": ["video", "comments"]}]
        elif cursor is not None:
            first = decode_cursor(cursor)
            if first is None:
                body["errors"] = [{"message": "invalid cursor", "path": ["video", "comments"]}]
            else:
                video["comments"] = self._comment_page(stream, chat, first, known)
        elif not self._faults.hits_gql("null_comments"):
            start = (stream.started_at + float(offset or 0)) * 1_000
            first = bisect_left(chat, start, 0, known, key=_ms)
            video["comments"] = self._comment_page(stream, chat, first, known)
        return web.json_response(body)

    def _comment_page(
        self, stream: Stream, chat: Sequence[Comment], first: int, known: int
    ) -> dict[str, Any]:
        """The comments after number ``first``, itself included, of the ``known`` ones of the chat."""
        self._faults.served_page(stream.video_id)
        stop = min(first + PAGE_SIZES[first % len(PAGE_SIZES)], known)
        return {
            "edges": [
                {
                    "cursor": encode_cursor(number + 1),
                    "node": self._comment(stream, chat[number]),
                    "__typename": "VideoCommentEdge",
                }
                for number in range(first, stop)
            ],
            "pageInfo": {"hasNextPage": stop < known, "hasPreviousPage": first > 0},
        }

    def _comment(self, stream: Stream, comment: Comment) -> dict[str, Any]:
        channel = self._world.channels[stream.channel]
        person = self._world.accounts[comment.account]
        texts = self._world.texts(channel)
        worn = [
            badge for badge in badges_of(self._world, comment.account, channel).badges.split(",") if badge
        ]
        commenter = {"id": str(person.user_id), "login": person.login, "displayName": person.display_name}
        return {
            "id": comment.id,
            "commenter": None if person.deleted else commenter,
            "contentOffsetSeconds": comment.ms // 1_000 - stream.started_at,
            "createdAt": utc(comment.ms / 1_000).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "message": {
                "fragments": [{"emote": None, "text": texts[comment.detail % len(texts)]}],
                "userBadges": [
                    {"id": "", "setID": badge.partition("/")[0], "version": badge.partition("/")[2]}
                    for badge in worn
                ],
                "userColor": color_of(comment.account) or None,
            },
        }


def _ms(comment: Comment) -> int:
    return comment.ms
