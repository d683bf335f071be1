"""Helix, OAuth and the comments query of GraphQL, plus the control API, on one HTTP port.

Belongs here: what Twitch's HTTP endpoints answer about the planted world. Does not belong here: the world.

The rate limit is in real seconds; streams, videos and viewer counts follow the world's clock.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import math
import secrets
import time
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from aiohttp import web

from collector_service.clock import Clock, utc
from collector_service.simulator.faults import Faults
from collector_service.simulator.http_faults import HelixFault
from collector_service.simulator.lines import badges_of, color_of
from collector_service.simulator.oracle import Comment, comments
from collector_service.simulator.world import Channel, Stream, World

GQL_CLIENT_ID = "kd1unb4b3q4t58fwlpcbzcbnm76a8fp"
GQL_OPERATION = "VideoCommentsByOffsetOrCursor"
GQL_HASH = "b70a3591ff0f4e0313d126c6a1502d79a1c02baebb288227c582044aa76adf6a"
_TOKEN_SECONDS = 5_184_000
# Longer than clients wait.
_HANG_SECONDS = 60.0
_MOST_NAMES = 100
_MOST_RESULTS = 100
_DEFAULT_RESULTS = 20
_PAGE_SIZES = (52, 67, 81, 98)
_Item = TypeVar("_Item")
_ACCOUNT_CREATED = "2017-05-04T12:00:00Z"


@dataclass(slots=True)
class TokenBucket:
    """Helix's limit: ``capacity`` points, refilled over a minute."""

    capacity: int
    points: float
    updated: float = field(default_factory=time.monotonic)

    def take(self) -> bool:
        """Spend a point if there is one."""
        now = time.monotonic()
        refill = (now - self.updated) * self.capacity / 60
        self.points, self.updated = min(float(self.capacity), self.points + refill), now
        if self.points < 1:
            return False
        self.points -= 1
        return True

    def headers(self) -> dict[str, str]:
        """The Ratelimit headers; Reset is the epoch second at which the bucket is full."""
        full = time.time() + (self.capacity - self.points) * 60 / self.capacity
        return {
            "Ratelimit-Limit": str(self.capacity),
            "Ratelimit-Remaining": str(int(self.points)),
            "Ratelimit-Reset": str(math.ceil(full)),
        }


class _HelixError(Exception):
    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": error, "status": status, "message": message}


class HttpApi:
    """The HTTP side of one simulated Twitch.

    Args:
        world: the planted world.
        clock: its clock.
        faults: asked before each answer.
        client_id: the one application that exists.
        client_secret: its secret.
        points_per_minute: Helix's limit for each token.
        write_oracle: writes the truth's files; None refuses the request.
        status: what ``GET /control/status`` shows.
    """

    def __init__(
        self,
        world: World,
        clock: Clock,
        faults: Faults,
        *,
        client_id: str,
        client_secret: str,
        points_per_minute: int,
        write_oracle: Callable[[], Awaitable[None]] | None,
        status: Callable[[], dict[str, Any]],
    ) -> None:
        self._world = world
        self._clock = clock
        self._faults = faults
        self._client_id = client_id
        self._client_secret = client_secret
        self._points = points_per_minute
        self._write_oracle = write_oracle
        self._status = status
        self._tokens: dict[str, TokenBucket] = {}
        self._videos = {stream.video_id: stream for stream in world.streams}
        self._chats = lru_cache(maxsize=32)(lambda index: self.chat(world.streams[index]))

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/oauth2/token", self._token),
                web.get("/oauth2/validate", self._validate),
                web.get("/helix/streams", self._helix(self._streams)),
                web.get("/helix/users", self._helix(self._users)),
                web.get("/helix/videos", self._helix(self._list_videos)),
                web.post("/gql", self._gql),
                web.post("/control/faults", self._order_fault),
                web.post("/control/oracle", self._order_oracle),
                web.get("/control/status", self._show_status),
            ]
        )
        return app

    def expire_tokens(self) -> None:
        """Make every token given out so far invalid."""
        self._tokens.clear()

    def chat(self, stream: Stream) -> Sequence[Comment]:
        """A stream's own chat in the order of time, as its VOD shows it."""
        return comments(self._world, stream)

    # OAuth ----------------------------------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.Response:
        form = {**request.query, **await request.post()}
        if form.get("client_id") != self._client_id:
            return web.json_response({"status": 400, "message": "invalid client"}, status=400)
        if form.get("client_secret") != self._client_secret:
            return web.json_response({"status": 403, "message": "invalid client secret"}, status=403)
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"status": 400, "message": "invalid grant type"}, status=400)
        token = secrets.token_hex(15)
        self._tokens[token] = TokenBucket(self._points, float(self._points))
        return web.json_response(
            {"access_token": token, "expires_in": _TOKEN_SECONDS, "token_type": "bearer"}
        )

    async def _validate(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() not in ("oauth", "bearer") or token not in self._tokens:
            return web.json_response({"status": 401, "message": "invalid access token"}, status=401)
        return web.json_response({"client_id": self._client_id, "scopes": [], "expires_in": _TOKEN_SECONDS})

    # Helix ----------------------------------------------------------------------------------------

    def _helix(
        self, answer: Callable[[web.Request], dict[str, Any]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.Response:
            headers: dict[str, str] = {}
            try:
                bucket = self._authorize(request)
                self._spend(bucket, headers)
                fault = self._faults.next_helix()
                if fault == "hang":
                    await asyncio.sleep(_HANG_SECONDS)
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
        if token not in self._tokens:
            raise _HelixError(401, "Unauthorized", "Invalid OAuth token")
        if request.headers.get("Client-Id") != self._client_id:
            raise _HelixError(401, "Unauthorized", "Client ID and OAuth token do not match")
        return self._tokens[token]

    def _spend(self, bucket: TokenBucket, headers: dict[str, str]) -> None:
        admitted = bucket.take()
        headers |= bucket.headers()
        if not admitted:
            raise _HelixError(429, "Too Many Requests", "Request limit exceeded")

    def _meet(self, fault: HelixFault | None, request: web.Request, headers: dict[str, str]) -> None:
        """Answer with an error if that is the fault."""
        if fault == "unauthorized":
            self._tokens.pop(request.headers["Authorization"].partition(" ")[2], None)
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

    # GraphQL --------------------------------------------------------------------------------------

    async def _gql(self, request: web.Request) -> web.Response:
        if self._faults.hits_gql("hang"):
            await asyncio.sleep(_HANG_SECONDS)
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
            first = _decode_cursor(cursor)
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
        """The comments from number ``first`` on, of the ``known`` ones of the chat."""
        self._faults.served_page(stream.video_id)
        stop = min(first + _PAGE_SIZES[first % len(_PAGE_SIZES)], known)
        return {
            "edges": [
                {
                    "cursor": _encode_cursor(number + 1),
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

    # Control --------------------------------------------------------------------------------------

    async def _order_fault(self, request: web.Request) -> web.Response:
        try:
            order = dict(await request.json())
            if order.get("fault") == "expire_tokens":
                self.expire_tokens()
                return web.json_response({"connections": 0})
            hit = await self._faults.apply(order)
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"connections": hit})

    async def _order_oracle(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler
        if self._write_oracle is None:
            return web.json_response({"error": "started without a directory for the oracle"}, status=409)
        await self._write_oracle()
        return web.json_response(self._status())

    async def _show_status(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler
        return web.json_response(self._status())


def _ms(comment: Comment) -> int:
    return comment.ms


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
    offset = _decode_cursor(after) if after else 0
    if offset is None:
        raise _HelixError(400, "Bad Request", 'The parameter "after" was malformed: invalid cursor')
    stop = offset + first
    # A page of one could not advance if it overlapped.
    following = stop - overlap if first > overlap else stop
    more = stop < len(items)
    return items[offset:stop], {"cursor": _encode_cursor(following)} if more else {}


def _encode_cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"o": offset}).encode()).decode().rstrip("=")


def _decode_cursor(cursor: object) -> int | None:
    try:
        data = json.loads(base64.urlsafe_b64decode(str(cursor) + "=" * (-len(str(cursor)) % 4)))
        offset = data["o"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
    return offset if isinstance(offset, int) and offset >= 0 else None


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
