"""Helix: live streams, accounts and past broadcasts of the planted world.

The rate limit is in real seconds; streams, videos and viewer counts follow the world's clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web

from collector_service.clock import Clock, utc
from collector_service.simulator.cursors import decode_cursor, encode_cursor
from collector_service.simulator.faults import Faults
from collector_service.simulator.http_faults import HANG_SECONDS, HelixFault
from collector_service.simulator.oauth import OAuth, TokenBucket
from collector_service.simulator.world import Channel, Stream, World

_MOST_NAMES = 100
_MOST_RESULTS = 100
_DEFAULT_RESULTS = 20
_ACCOUNT_CREATED = "2017-05-04T12:00:00Z"
_Item = TypeVar("_Item")


class _HelixError(Exception):
    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": error, "status": status, "message": message}


class HelixApi:
    """The answers of Helix.

    Args:
        world: the planted world.
        clock: its clock.
        faults: asked before each answer.
        oauth: the tokens.
    """

    def __init__(self, world: World, clock: Clock, faults: Faults, oauth: OAuth) -> None:
        self._world = world
        self._clock = clock
        self._faults = faults
        self._oauth = oauth

    def routes(self) -> list[web.RouteDef]:
        """The endpoints."""
        return [
            web.get("/helix/streams", self._answered_by(self._streams)),
            web.get("/helix/users", self._answered_by(self._users)),
            web.get("/helix/videos", self._answered_by(self._list_videos)),
        ]

    def _answered_by(
        self, answer: Callable[[web.Request], dict[str, Any]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.Response:
            headers: dict[str, str] = {}
            try:
                bucket = self._authorize(request)
                self._spend(bucket, headers)
                fault = self._faults.next_helix()
                if fault == "hang":
                    await asyncio.sleep(HANG_SECONDS)
                self._meet(fault, request, headers)
                body = {"data": [], "pagination": {}} if fault == "empty" else answer(request)
            except _HelixError as error:
                return web.json_response(error.body, status=error.status, headers=headers)
            return web.json_response(body, headers=headers)

        return handle

    def _authorize(self, request: web.Request) -> TokenBucket:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token or scheme.lower() != "bearer":
            raise _HelixError(401, "Unauthorized", "OAuth token is missing")
        bucket = self._oauth.bucket(token)
        if bucket is None:
            raise _HelixError(401, "Unauthorized", "Invalid OAuth token")
        if request.headers.get("Client-Id") != self._oauth.client_id:
            raise _HelixError(401, "Unauthorized", "Client ID and OAuth token do not match")
        return bucket

    def _spend(self, bucket: TokenBucket, headers: dict[str, str]) -> None:
        admitted = bucket.take()
        headers |= bucket.headers()
        if not admitted:
            raise _HelixError(429, "Too Many Requests", "Request limit exceeded")

    def _meet(self, fault: HelixFault | None, request: web.Request, headers: dict[str, str]) -> None:
        """Answer with an error if that is the fault."""
        if fault == "unauthorized":
            self._oauth.expire(request.headers["Authorization"].partition(" ")[2])
            raise _HelixError(401, "Unauthorized", "Invalid OAuth token")
        if fault == "rate_limited":
            headers["Ratelimit-Remaining"] = "0"
            headers["Ratelimit-Reset"] = str(int(time.time()) + 1)
            raise _HelixError(429, "Too Many Requests", "Request limit exceeded")
        if fault == "server_error":
            raise _HelixError(503, "Service Unavailable", "")
        if fault == "invalid_cursor":
            raise _HelixError(400, "Bad Request", 'The parameter "after" was malformed: invalid cursor')

    def _streams(self, request: web.Request) -> dict[str, Any]:
        query, now = request.query, self._clock.now()
        ids = set(_names(query.getall("user_id", [])))
        logins = {login.lower() for login in _names(query.getall("user_login", []))}
        games = set(_names(query.getall("game_id", [])))
        languages = set(_names(query.getall("language", [])))
        live = []
        for stream in self._world.streams:
            channel = self._world.channels[stream.channel]
            if not stream.started_at <= now < stream.ended_at:
                continue
            if (ids or logins) and not (str(channel.channel_id) in ids or channel.login_at(now) in logins):
                continue
            if (games and channel.game.id not in games) or (
                languages and channel.language not in languages
            ):
                continue
            live.append((self._viewer_count(stream, now), stream))
        live.sort(key=lambda pair: (-pair[0], pair[1].index))
        # One stream of overlap: even while counts stand still, pages repeat some as Twitch's do.
        page, pagination = _page(request, live, overlap=1)
        return {"data": [self._stream(*pair, now) for pair in page], "pagination": pagination}

    def _stream(self, viewers: int, stream: Stream, now: float) -> dict[str, Any]:
        channel = self._world.channels[stream.channel]
        return {
            "id": stream.stream_id,
            "user_id": str(channel.channel_id),
            "user_login": channel.login_at(now),
            "user_name": _name(channel, now),
            "game_id": channel.game.id,
            "game_name": channel.game.name,
            "type": "live",
            "title": stream.title,
            "viewer_count": viewers,
            "started_at": _iso(stream.started_at),
            "language": channel.language,
            "thumbnail_url": (
                f"https://static-cdn.jtvnw.net/previews-ttv/live_user_{channel.login_at(now)}"
                "-{width}x{height}.jpg"
            ),
            "tag_ids": [],
            "tags": [channel.language.upper()],
            "is_mature": False,
        }

    def _viewer_count(self, stream: Stream, now: float) -> int:
        """Watchers, most of whom never chat; the count wanders from minute to minute."""
        elapsed, left = now - stream.started_at, stream.ended_at - now
        ramp = min(1.0, 0.3 + elapsed / 2_400) * min(1.0, 0.5 + left / 2_400)
        mixed = (stream.index * 2_654_435_761 ^ int(now // 60) * 40_503_947) & 0xFFFFFFFF
        wander = 0.9 + 0.2 * ((mixed * 2_246_822_519 & 0xFFFFFFFF) / 2**32)
        return 1 + int(2.5 * len(stream.visits) * ramp * wander)

    def _users(self, request: web.Request) -> dict[str, Any]:
        ids = _names(request.query.getall("id", []))
        logins = [login.lower() for login in _names(request.query.getall("login", []))]
        if not ids and not logins:
            raise _HelixError(401, "Unauthorized", "Must provide an id, login or a user token")
        if len(ids) + len(logins) > _MOST_NAMES:
            raise _HelixError(400, "Bad Request", "The total number of id and login must not exceed 100")
        now = self._clock.now()
        wanted = {*ids, *logins}
        return {
            "data": [
                {
                    "id": str(channel.channel_id),
                    "login": channel.login_at(now),
                    "display_name": _name(channel, now),
                    "type": "",
                    "broadcaster_type": "partner" if channel.giant else "affiliate",
                    "description": "",
                    "profile_image_url": "https://static-cdn.jtvnw.net/user-default-pictures/profile.png",
                    "offline_image_url": "",
                    "view_count": 0,
                    "created_at": _ACCOUNT_CREATED,
                }
                for channel in self._world.channels
                if str(channel.channel_id) in wanted or channel.login_at(now) in wanted
            ]
        }

    def _list_videos(self, request: web.Request) -> dict[str, Any]:
        query, now = request.query, self._clock.now()
        users, ids = _names(query.getall("user_id", [])), _names(query.getall("id", []))
        if bool(ids) == bool(users) or len(users) > 1:
            raise _HelixError(400, "Bad Request", "Must provide one of: id, user_id, game_id")
        kind = query.get("type", "all")
        if kind not in ("all", "archive", "highlight", "upload"):
            raise _HelixError(400, "Bad Request", 'The parameter "type" was malformed')
        found = [
            stream
            for stream in reversed(self._world.streams)
            if stream.started_at <= now
            and not self._faults.is_deleted(stream.video_id)
            and kind in ("all", "archive")
            and (
                stream.video_id in ids
                or str(self._world.channels[stream.channel].channel_id) in users
            )
        ]  # fmt: skip
        if ids and not found:
            raise _HelixError(404, "Not Found", "")
        page, pagination = _page(request, found)
        return {"data": [self._video(stream, now) for stream in page], "pagination": pagination}

    def _video(self, stream: Stream, now: float) -> dict[str, Any]:
        channel = self._world.channels[stream.channel]
        created = _iso(stream.started_at)
        return {
            "id": stream.video_id,
            "stream_id": stream.stream_id,
            "user_id": str(channel.channel_id),
            "user_login": channel.login_at(now),
            "user_name": _name(channel, now),
            "title": stream.title,
            "description": "",
            "created_at": created,
            "published_at": created,
            "url": f"https://www.twitch.tv/videos/{stream.video_id}",
            "thumbnail_url": "",
            "viewable": "public",
            "view_count": len(stream.visits) * 4,
            "language": channel.language,
            "type": "archive",
            "duration": _duration(int(min(now, stream.ended_at)) - stream.started_at),
            "muted_segments": None,
        }


def _names(values: Sequence[str]) -> list[str]:
    if len(values) > _MOST_NAMES:
        raise _HelixError(400, "Bad Request", "No more than 100 values are allowed for a parameter")
    return list(values)


def _page(
    request: web.Request, items: Sequence[_Item], overlap: int = 0
) -> tuple[Sequence[_Item], dict[str, str]]:
    """The asked-for page and its ``pagination`` object."""
    text = request.query.get("first", str(_DEFAULT_RESULTS))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_RESULTS:
        raise _HelixError(
            400, "Bad Request", 'The parameter "first" was malformed: the value must be 1 to 100'
        )
    first, after = int(text), request.query.get("after", "")
    offset = decode_cursor(after) if after else 0
    if offset is None:
        raise _HelixError(400, "Bad Request", 'The parameter "after" was malformed: invalid cursor')
    stop = offset + first
    # A page of one could not advance if it overlapped.
    following = stop - overlap if first > overlap else stop
    more = stop < len(items)
    return items[offset:stop], {"cursor": encode_cursor(following)} if more else {}


def _name(channel: Channel, now: float) -> str:
    login = channel.login_at(now)
    return channel.display_name if login == channel.login else login


def _iso(seconds: float) -> str:
    return utc(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: int) -> str:
    """Helix's form, for example ``3h8m33s``."""
    hours, rest = divmod(seconds, 3_600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
