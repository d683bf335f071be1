"""The chat of past broadcasts (VODs), page by page, from Twitch's GraphQL endpoint.

The endpoint is unofficial. Its known ways to fail are part of this module: a cursor that fails the
"integrity check" while requests by offset still work, a false end after the first page, null comments,
null commenters, and a changed persisted query. Message text is skipped and never kept.
"""

from __future__ import annotations

import asyncio
import math
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import aiohttp

from collector_service.contract import LOGIN
from collector_service.settings import TwitchSettings
from collector_service.support.limits import read_json
from collector_service.support.retry import REQUEST, RetryPolicy
from collector_service.twitch.responses import BoundedResponse

VOD_ID = re.compile(r"[0-9]{1,20}")
BOT_BADGE = "bot-badge"
# Twitch ends a broadcast after two days; a VOD that claims more than this is damaged.
_LONGEST_SECONDS = 7 * 86_400.0
# Twitch opened in 2011, and window arithmetic needs room on both sides.
_YEARS = range(2011, 2100)

# The web player's own client id and query: the API documents no way to these comments.
_CLIENT_ID = "kd1unb4b3q4t58fwlpcbzcbnm76a8fp"
_OPERATION = "VideoCommentsByOffsetOrCursor"
_QUERY_HASH = "b70a3591ff0f4e0313d126c6a1502d79a1c02baebb288227c582044aa76adf6a"
_REQUEST_SECONDS = 30.0
# One second after the first failure on average: the waits spread from two thirds to four thirds of it.
COMMENTS_REQUEST = replace(REQUEST, first_seconds=4 / 3)


@dataclass(frozen=True, slots=True)
class Vod:
    """A past broadcast: its start (aware), its length in seconds, and its channel.

    Raises:
        ValueError: the id is not numeric, the channel's login or id is invalid,
            the start is naive or outside Twitch's years, or the length is negative or more
            than a week.
    """

    vod_id: str
    channel: str
    channel_id: int
    title: str | None
    created_at: datetime
    duration_seconds: float

    def __post_init__(self) -> None:
        if not VOD_ID.fullmatch(self.vod_id):
            raise ValueError(f"VOD id {self.vod_id[:60]!r} is not a number")
        if not LOGIN.fullmatch(self.channel):
            raise ValueError(f"VOD {self.vod_id}: {self.channel[:60]!r} is not a channel's login")
        if not 0 <= self.channel_id < 2**63:
            raise ValueError(f"VOD {self.vod_id}: {str(self.channel_id)[:20]} is not a channel's id")
        if self.created_at.tzinfo is None:
            raise ValueError(f"VOD {self.vod_id}: created_at has no time zone")
        if self.created_at.year not in _YEARS:
            raise ValueError(f"VOD {self.vod_id}: it cannot have begun in the year {self.created_at.year}")
        if not 0 <= self.duration_seconds <= _LONGEST_SECONDS:
            raise ValueError(f"VOD {self.vod_id}: its length {self.duration_seconds} s is not one")


class VodComment(NamedTuple):
    """A comment's author and time (seconds after the VOD's start); no author when the account was deleted.

    ``mirrored`` comments were written in a different channel's chat and shown here too (Shared Chat).
    """

    id: str
    offset_seconds: float
    user_id: str | None
    login: str | None
    is_bot: bool
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class CommentPage:
    """Comments that no earlier page had, and how far the chat has been read.

    Everything before ``coverage_seconds`` has been read, but for ``passed_over`` seconds whose comments
    cannot be had. The last page is either ``complete`` or has the ``reason`` why the chat broke off; every
    other page has neither.
    """

    comments: list[VodComment]
    coverage_seconds: float
    complete: bool = False
    reason: str | None = None
    passed_over: int = 0


class VodGoneError(Exception):
    """The VOD was deleted, has expired, or never existed; trying again is pointless."""


class CommentsUnavailableError(Exception):
    """The endpoint refuses this client altogether, so no VOD can be read at present."""


class CommentsRefusedError(Exception):
    """The endpoint refused the first request for a VOD; other VODs may still be readable."""


class CommentSource(Protocol):
    """A source of the comments of VODs."""

    def pages(
        self, vod_id: str, duration_seconds: float, start_seconds: int = 0
    ) -> AsyncGenerator[CommentPage, None]:
        """The chat of one VOD since a second of it.

        Args:
            vod_id: the VOD.
            duration_seconds: its length.
            start_seconds: comments before it are skipped.

        Yields:
            Pages in the order of time, each comment once. The last one says whether the chat is complete.

        Raises:
            VodGoneError: at any page.
            CommentsRefusedError: before the first page.
            CommentsUnavailableError: at any page.
        """
        ...


class _RefusedError(Exception):
    """Twitch refused this request: the integrity check failed, or the cursor is invalid."""


class _BrokenOffError(Exception):
    """A page could not be read in any attempt."""


@dataclass(frozen=True, slots=True)
class _Answer:
    comments: list[VodComment]
    cursor: str | None
    has_next: bool


class GraphqlComments:
    """Comments by the query that Twitch's web player uses; safe for several VODs at a time."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, retry: RetryPolicy = COMMENTS_REQUEST
    ) -> None:
        self._session = session
        self._url = url
        self._retry = retry

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        twitch: TwitchSettings,
        *,
        retry: RetryPolicy = COMMENTS_REQUEST,
        request_seconds: float = _REQUEST_SECONDS,
    ) -> AsyncIterator[GraphqlComments]:
        """A client of ``twitch.gql_url`` with a session of its own.

        Args:
            twitch: the endpoint and, for tests, its certificate authority.
            retry: the waits after failed requests.
            request_seconds: a request that takes longer has failed.
        """
        tls = ssl.create_default_context(cafile=twitch.ca_file)
        timeout = aiohttp.ClientTimeout(total=request_seconds)
        connector = aiohttp.TCPConnector(ssl=tls)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, response_class=BoundedResponse
        ) as session:
            yield cls(session, twitch.gql_url, retry=retry)

    async def pages(
        self, vod_id: str, duration_seconds: float, start_seconds: int = 0
    ) -> AsyncGenerator[CommentPage, None]:
        """See `CommentSource.pages`.

        Pages follow each other by cursor. Once a cursor is refused, the rest is read by offset, starting
        over in the second that was reached. The end counts as the end only when starting over in the
        last second leads to it again without anything new. A second with more comments than a page
        cannot be read to its end by offset: it is passed over, and the chat is then not complete.
        """
        seen: set[str] = set()
        cursor: str | None = None
        cursors_work = True
        offset, reached, skipped = start_seconds, float(start_seconds), 0
        asked = False
        while True:
            if cursor is None:
                used: set[str] = set()
                found_new = False
            try:
                answer = await self._ask(vod_id, offset, cursor)
            except _RefusedError as error:
                if cursor is not None:
                    cursor, cursors_work, offset = None, False, int(reached)
                    continue
                if not asked:
                    raise CommentsRefusedError(str(error)) from None
                yield CommentPage([], min(reached, duration_seconds), False, str(error), skipped)
                return
            except _BrokenOffError as error:
                yield CommentPage([], min(reached, duration_seconds), False, str(error), skipped)
                return

            asked = True
            # A page by offset may begin a little earlier.
            fresh = [
                comment
                for comment in _unseen(answer.comments, seen)
                if comment.offset_seconds >= start_seconds
            ]
            reached = max([reached, *(comment.offset_seconds for comment in fresh)])
            found_new = found_new or bool(fresh)
            if not found_new and (not answer.has_next or (not cursors_work and offset > duration_seconds)):
                reason = f"{skipped} s held more comments than a page" if skipped else None
                yield CommentPage([], duration_seconds, not skipped, reason, skipped)
                return
            yield CommentPage(fresh, min(reached, duration_seconds), passed_over=skipped)

            if not answer.has_next:
                cursor, offset = None, int(reached)
            elif cursors_work and answer.cursor and answer.cursor not in used:
                cursor = answer.cursor
                used.add(cursor)
            elif cursor is not None or int(reached) > offset:
                # A cursor that was used before leads around in circles.
                cursor, cursors_work, offset = None, False, int(reached)
            else:
                skipped += int(reached) == offset
                offset += 1

    async def _ask(self, vod_id: str, offset: int, cursor: str | None) -> _Answer:
        """One page, with retries.

        Raises:
            _RefusedError, _BrokenOffError, VodGoneError, CommentsUnavailableError: see there.
        """
        place = {"contentOffsetSeconds": offset} if cursor is None else {"cursor": cursor}
        query = {
            "operationName": _OPERATION,
            "variables": {"videoID": vod_id, **place},
            "extensions": {"persistedQuery": {"version": 1, "sha256Hash": _QUERY_HASH}},
        }
        problem, wait, failures = "", 0.0, 0
        while not self._retry.is_over(failures):
            if failures:
                pause = max(self._retry.wait_seconds(failures), wait)
                await asyncio.sleep(min(pause, self._retry.longest_seconds))
            failures += 1
            try:
                async with self._session.post(
                    self._url, json=query, headers={"Client-ID": _CLIENT_ID}
                ) as response:
                    if response.status == 429 or response.status >= 500:
                        problem, wait = f"HTTP {response.status}", _retry_after(response)
                        continue
                    if response.status != 200:
                        raise CommentsUnavailableError(f"the comments endpoint said HTTP {response.status}")
                    body = read_json(await response.read())
            except (aiohttp.ClientError, TimeoutError) as error:
                problem, wait = type(error).__name__, 0.0
                continue
            except ValueError:
                problem, wait = "an answer that is not JSON", 0.0
                continue
            comments = _comments(body, vod_id)
            if isinstance(comments, dict):
                return _parse(comments)
            problem, wait = comments, 0.0
        raise _BrokenOffError(f"{problem}, {failures} times in a row")


def _retry_after(response: aiohttp.ClientResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _unseen(comments: list[VodComment], seen: set[str]) -> list[VodComment]:
    fresh = []
    for comment in comments:
        if comment.id not in seen:
            seen.add(comment.id)
            fresh.append(comment)
    return fresh


def _comments(body: object, vod_id: str) -> dict[str, Any] | str:
    """The answer's comments, or its fault if asking again may help."""
    if not isinstance(body, dict):
        return "an answer that is not an object"
    data = body.get("data")
    video = data.get("video") if isinstance(data, dict) else None
    comments = video.get("comments") if isinstance(video, dict) else None
    if isinstance(comments, dict):
        return comments
    errors = body.get("errors")
    listed = errors if isinstance(errors, list) else []
    texts = [str(error.get("message")) for error in listed if isinstance(error, dict)]
    if any("PersistedQueryNotFound" in text for text in texts):
        raise CommentsUnavailableError(
            "Twitch no longer knows the comments query (PersistedQueryNotFound); "
            "this version cannot read VOD chat any more"
        )
    if refused := [text for text in texts if "integrity" in text or "cursor" in text]:
        raise _RefusedError(refused[0][:100])
    if texts:
        return f"GraphQL error {texts[0][:100]!r}"
    if isinstance(data, dict) and "video" in data and video is None:
        raise VodGoneError(f"VOD {vod_id} does not exist (deleted or expired)")
    return "null comments"


def _parse(comments: dict[str, Any]) -> _Answer:
    try:
        edges = comments["edges"]
        if not edges and comments["pageInfo"]["hasNextPage"]:
            raise _BrokenOffError("an empty page that is not the last")
        cursor = edges[-1]["cursor"] if edges else None
        return _Answer(
            [_comment(edge["node"]) for edge in edges],
            cursor if isinstance(cursor, str) and cursor else None,
            comments["pageInfo"]["hasNextPage"] is True,
        )
    except (AttributeError, KeyError, TypeError, IndexError, OverflowError) as error:
        # The values may be a viewer's, so the error names only the place.
        raise _BrokenOffError(
            f"an answer of an unexpected shape ({type(error).__name__} in comments)"
        ) from None


def _comment(node: dict[str, Any]) -> VodComment:
    commenter = node["commenter"]
    badges = (node.get("message") or {}).get("userBadges") or []
    user_id = None if commenter is None else commenter["id"]
    login = None if commenter is None else commenter["login"]
    offset = node["contentOffsetSeconds"]
    if not isinstance(node["id"], str) or isinstance(offset, bool) or not math.isfinite(offset):
        raise TypeError
    if user_id is not None and not (user_id.isascii() and user_id.isdigit()):
        raise TypeError
    is_bot = any(badge.get("setID") == BOT_BADGE for badge in badges)
    return VodComment(node["id"], float(offset), user_id, login, is_bot)
