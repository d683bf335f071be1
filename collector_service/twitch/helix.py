"""Helix: streams, users and past broadcasts, with retries.

The one wrapper around TwitchIO, which brings requests, models, paging and the app token. This module adds
the waits on 429, retries, restarts on an invalid cursor, the removal of repeated items, the validation of
tokens, an end to refused ones, and error texts without secrets.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import aiohttp
import twitchio
from twitchio.authentication import OAuth
from twitchio.exceptions import HTTPException

from collector_service.metrics import Stats
from collector_service.settings import TwitchSettings
from collector_service.support.retry import REQUEST, RetryPolicy
from collector_service.twitch.responses import BoundedResponse

PAGE = 100
RESTARTS = 5
# Twitch asks its clients to validate their tokens at the start and this often.
VALIDATE_SECONDS = 3600.0

_REMEDY = "check TWITCH_CLIENT_ID and TWITCH_CLIENT_SECRET, or TWITCH_OAUTH_TOKEN"
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_log = logging.getLogger(__name__)
T = TypeVar("T")
Raw = TypeVar("Raw")
Asked = TypeVar("Asked")


@dataclass(frozen=True)
class HelixTimings:
    """How long to wait for Helix, in real seconds.

    Attributes:
        request_seconds: an answer that takes longer has failed.
        longest_limit_seconds: the longest wait for a rate limit to end.
        retry: after a failed request.
    """

    request_seconds: float = 20.0
    longest_limit_seconds: float = 120.0
    retry: RetryPolicy = REQUEST


_TIMINGS = HelixTimings()


class HelixError(Exception):
    """Helix gave no usable answer; trying later may help."""


class CredentialsRefusedError(HelixError):
    """Twitch refuses the client id, the secret or the token; trying again cannot help."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A live stream. ``game_id`` and ``game_name`` are null without a category."""

    user_id: int
    login: str
    game_id: str | None
    game_name: str | None
    language: str | None
    title: str | None
    viewer_count: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """An account: its lasting id and its login of today."""

    id: int
    login: str


@dataclass(frozen=True, slots=True)
class Video:
    """A past broadcast."""

    id: str
    user_id: int
    login: str
    title: str
    created_at: datetime
    duration_seconds: int
    view_count: int


class Helix:
    """Helix with an app token (client id and secret), or with a token that was given."""

    def __init__(self, twitch: TwitchSettings, session: aiohttp.ClientSession, patience: _Patience) -> None:
        self._twitch = twitch
        self._session = session
        self._patience = patience
        self._client: twitchio.Client | None = None
        self._login_turn = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        twitch: TwitchSettings,
        stats: Stats | None = None,
        *,
        leave: float = 0.0,
        timings: HelixTimings = _TIMINGS,
    ) -> AsyncIterator[Helix]:
        """A client that logs in with its first question.

        Args:
            twitch: addresses and credentials.
            stats: counters; None for new ones.
            leave: the share of Helix's points that is left to further clients with these credentials.
            timings: how long to wait.
        """
        twitchio.Route.BASE = twitch.helix_url + "/"
        twitchio.Route.ID_BASE = twitch.id_url + "/"
        context = ssl.create_default_context(cafile=twitch.ca_file)
        patience = _Patience(twitch, stats or Stats(), leave, timings)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context),
            response_class=BoundedResponse,
            timeout=aiohttp.ClientTimeout(total=None, sock_read=timings.request_seconds),
            middlewares=(patience,),
        ) as session:
            helix = cls(twitch, session, patience)
            try:
                yield helix
            finally:
                if helix._client is not None:
                    await helix._client.close()

    async def validate(self) -> None:
        """Ask Twitch whether it still accepts the token in use, and for how long.

        A refused app token is replaced once. To be called at the start and every `VALIDATE_SECONDS`.

        Raises:
            CredentialsRefusedError: the token is refused and cannot be replaced, or the new one is refused.
            HelixError: Twitch did not answer; the token may well be good.
        """
        async with self._login_turn:
            if self._client is None:
                await self._log_in()
                return
            try:
                await self._check_token(self._twitch.client_id)
            except CredentialsRefusedError:
                if not self._patience.renewable:
                    raise
                _log.info("Twitch refuses the app token; asking for a new one")
                await self._log_in()

    async def top_streams(self, limit: int) -> list[Stream]:
        """The live streams with the most viewers, each channel once, the biggest first.

        Args:
            limit: how many at most; fewer when fewer are live.

        Raises:
            HelixError: no complete answer after all retries; never a shortened list.
        """
        return await self._first(
            limit, lambda client: client.fetch_streams(first=PAGE), _stream, lambda stream: stream.user_id
        )

    async def streams(self, user_ids: Iterable[int]) -> list[Stream]:
        """The live streams of these channels, each once, without those that are offline.

        Raises:
            HelixError: no complete answer after all retries.
        """

        async def ask(client: twitchio.Client, chunk: list[int]) -> list[Stream]:
            # One page holds them all; an answer that claims more pages would never end.
            return [_stream(item) for item in await client.fetch_streams(user_ids=[*chunk], first=PAGE)]

        return await self._all_of(list(user_ids), ask, lambda stream: stream.user_id)

    async def users(self, logins: Iterable[str] = (), ids: Iterable[int] = ()) -> list[User]:
        """The accounts with these logins or ids, each once, without suspended and deleted ones.

        Up to 100 go into one request, logins and ids together.

        Raises:
            HelixError: no complete answer after all retries.
        """

        async def ask(client: twitchio.Client, chunk: list[str | int]) -> list[User]:
            names = [name for name in chunk if isinstance(name, str)]
            numbers: list[str | int] = [str(number) for number in chunk if isinstance(number, int)]
            found = await client.fetch_users(logins=names or None, ids=numbers or None)
            return [User(int(item.id), (item.name or "").lower()) for item in found]

        asked: list[str | int] = [*logins, *ids]
        return await self._all_of(asked, ask, lambda user: user.id)

    async def past_broadcasts(self, user_id: int, limit: int) -> list[Video]:
        """A channel's past broadcasts, each once, the newest first.

        Raises:
            HelixError: no complete answer after all retries.
        """
        first = min(PAGE, limit)
        return await self._first(
            limit,
            lambda client: client.fetch_videos(user_id=user_id, type="archive", first=first),
            _video,
            lambda video: video.id,
        )

    async def videos(self, video_ids: Sequence[str]) -> list[Video]:
        """The past broadcasts with these ids, without highlights, uploads and removed ones.

        Raises:
            HelixError: no complete answer after all retries.
        """

        async def ask(client: twitchio.Client, chunk: list[str]) -> list[Video]:
            try:
                found = await client.fetch_videos(ids=[*chunk], first=PAGE)
            except HTTPException as error:
                # Twitch's answer when it has none of them.
                if error.status != 404:
                    raise
                return []
            return [_video(item) for item in found if item.type == "archive"]

        return await self._all_of(list(video_ids), ask, lambda video: video.id)

    async def _first(
        self,
        limit: int,
        fetch: Callable[[twitchio.Client], AsyncIterable[Raw]],
        read: Callable[[Raw], T],
        key: Callable[[T], object],
    ) -> list[T]:
        """The first ``limit`` items of a list of pages, each once."""
        found: dict[object, T] = {}

        async def collect(client: twitchio.Client) -> None:
            # Pages overlap when ranks change between two requests; 500 known items in a row are the end.
            known = 0
            async for raw in fetch(client):
                item = read(raw)
                known = known + 1 if key(item) in found else 0
                found.setdefault(key(item), item)
                if len(found) >= limit or known >= 5 * PAGE:
                    return

        await self._with_restarts(collect)
        return list(found.values())

    async def _all_of(
        self,
        asked: list[Asked],
        ask: Callable[[twitchio.Client, list[Asked]], Awaitable[list[T]]],
        key: Callable[[T], object],
    ) -> list[T]:
        """The items that were asked for, a page per request, each once."""
        found: dict[object, T] = {}
        for at in range(0, len(asked), PAGE):

            async def collect(client: twitchio.Client, at: int = at) -> None:
                found.update({key(item): item for item in await ask(client, asked[at : at + PAGE])})

            await self._with_restarts(collect)
        return list(found.values())

    async def _with_restarts(self, collect: Callable[[twitchio.Client], Awaitable[None]]) -> None:
        """Run ``collect``, from the first page again when Twitch forgets its cursor.

        Raises:
            CredentialsRefusedError: Twitch does not accept the credentials.
            HelixError: no usable answer.
        """
        async with self._login_turn:
            client = self._client or await self._log_in()
        for _ in range(RESTARTS):
            try:
                return await _plainly(collect(client), self._patience.scrub)
            except _InvalidCursorError:
                continue
        raise HelixError(f"Helix refused its own cursor {RESTARTS} times in a row")

    async def _log_in(self) -> twitchio.Client:
        """A client with a token that Twitch has just accepted; it takes the place of an older one."""
        secret = self._twitch.client_secret.get_secret_value()
        client_id = self._twitch.client_id
        if self._twitch.has_client:
            oauth = OAuth(client_id=client_id, client_secret=secret, session=self._session)
            app = await _plainly(oauth.client_credentials_token(), self._patience.scrub)
            self._patience.token = app.access_token
        else:
            secret = ""
            self._patience.token = self._twitch.oauth_token.get_secret_value().removeprefix("oauth:")
            if not self._patience.token:
                raise CredentialsRefusedError(
                    "Helix needs TWITCH_CLIENT_ID with TWITCH_CLIENT_SECRET, or TWITCH_OAUTH_TOKEN"
                )
        client_id = await self._check_token(client_id)
        client = twitchio.Client(
            client_id=client_id,
            client_secret=secret or None,
            session=self._session,
            fetch_client_user=False,
        )
        await client.login(token=self._patience.token, load_tokens=False, save_tokens=False)
        older, self._client = self._client, client
        if older is not None:
            await older.close()
        return client

    async def _check_token(self, client_id: str) -> str:
        """Let Twitch validate the token in use; returns the client id that it belongs to."""
        oauth = OAuth(client_id=client_id, session=self._session)
        validated = await _plainly(oauth.validate_token(self._patience.token), self._patience.scrub)
        self._patience.stats.token_expires_at = time.time() + validated.expires_in
        return validated.client_id


class _InvalidCursorError(HelixError):
    """The page that was asked for does not exist any more."""


class _Patience:
    """aiohttp middleware: waits, retries, and gives up requests that cannot succeed.

    TwitchIO gets a new app token on every 401 and asks again; the second refusal in a row ends that.

    Attributes:
        renewable: whether there are a client id and a secret to get a new token with.
        token: the token in use; TwitchIO may have replaced it.
        stats: counters.
    """

    def __init__(self, twitch: TwitchSettings, stats: Stats, leave: float, timings: HelixTimings) -> None:
        self._leave = leave
        self._timings = timings
        secrets = (twitch.client_secret.get_secret_value(), twitch.oauth_token.get_secret_value())
        self._secrets = [secret.removeprefix("oauth:") for secret in secrets if secret]
        self._refused = False
        self.renewable = twitch.has_client
        self.token = ""
        self.stats = stats

    def scrub(self, text: str) -> str:
        """The text on one short line, without the credentials."""
        for secret in filter(None, (*self._secrets, self.token)):
            text = text.replace(secret, "***")
        return " ".join(text.split())[:200]

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        where = request.url.path
        failures = 0
        while True:
            try:
                async with asyncio.timeout(self._timings.request_seconds):
                    response = await handler(request)
            except (TimeoutError, aiohttp.ClientError) as error:
                problem = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
                self.stats.helix_requests["error"] += 1
                delay = None
            else:
                status = response.status
                self.stats.helix_requests[str(status)] += 1
                if status < 500 and status != 429:
                    self._watch_refusals(status, request)
                    await asyncio.sleep(_until_shared(response, self._leave))
                    return response
                problem = f"status {status}"
                delay = self._until_reset(response) if status == 429 else None
                response.release()
            failures += 1
            if self._timings.retry.is_over(failures):
                raise HelixError(f"{where}: {problem}, {failures} times in a row")
            delay = self._timings.retry.wait_seconds(failures) if delay is None else delay
            _log.info("%s: %s; trying again in %.1f s", where, problem, delay)
            await asyncio.sleep(delay)

    def _watch_refusals(self, status: int, request: aiohttp.ClientRequest) -> None:
        if "/oauth2/" in request.url.path:
            return
        if status == 401:
            if self._refused or not self.renewable:
                raise CredentialsRefusedError(f"Twitch refuses the token (401 Unauthorized); {_REMEDY}")
            self._refused = True
        else:
            self._refused = False
            self.token = request.headers.get("Authorization", "").removeprefix("Bearer ")

    def _until_reset(self, response: aiohttp.ClientResponse) -> float | None:
        """Seconds until Helix's bucket is full again; None when a 429 does not say."""
        try:
            reset = float(response.headers["Ratelimit-Reset"])
        except (KeyError, ValueError):
            return None
        return min(max(reset - time.time(), 0.1), self._timings.longest_limit_seconds)


async def _plainly(work: Awaitable[T], scrub: Callable[[str], str]) -> T:
    """Await ``work``; errors become ours, with nothing of the request in their text or context.

    TwitchIO writes the secret into the query of the token request, and the URL into its errors.
    """
    failure: HelixError
    try:
        return await work
    except HelixError:
        raise
    except HTTPException as error:
        message = error.extra.get("message", "") if isinstance(error.extra, dict) else error.extra
        failure = _explain(error.status, scrub(str(message)))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        failure = HelixError(f"Helix cannot be reached: {type(error).__name__}")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        failure = HelixError(f"Helix's answer does not have its usual form: {type(error).__name__}")
    raise failure


def _explain(status: int, message: str) -> HelixError:
    if status == 400 and "cursor" in message.lower():
        return _InvalidCursorError("Helix does not know its cursor any more")
    if status in (401, 403) or (status == 400 and "client" in message.lower()):
        return CredentialsRefusedError(f"Twitch refuses the credentials ({status}: {message}); {_REMEDY}")
    return HelixError(f"Helix answers {status}: {message}")


def _until_shared(response: aiohttp.ClientResponse, leave: float) -> float:
    """Seconds until Helix's bucket, which fills up in a minute, has the share of points to leave again."""
    try:
        limit, remaining = (float(response.headers[f"Ratelimit-{name}"]) for name in ("Limit", "Remaining"))
    except (KeyError, ValueError):
        return 0.0
    return min(max(0.0, leave - remaining / limit), 1.0) * 60.0 if limit > 0 else 0.0


def _stream(item: twitchio.Stream) -> Stream:
    return Stream(
        user_id=int(item.user.id),
        login=(item.user.name or "").lower(),
        game_id=item.game_id or None,
        game_name=item.game_name or None,
        language=item.language or None,
        title=item.title or None,
        viewer_count=int(item.viewer_count),
        started_at=_utc(item.started_at),
    )


def _video(item: twitchio.Video) -> Video:
    match = _DURATION.fullmatch(item.duration)
    if match is None:
        raise ValueError("duration")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return Video(
        id=str(item.id),
        user_id=int(item.user.id),
        login=(item.user.name or "").lower(),
        title=item.title,
        created_at=_utc(item.created_at),
        duration_seconds=int(timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()),
        view_count=int(item.view_count),
    )


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
