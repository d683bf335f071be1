"""Twitch's OAuth for one application: its tokens, their check, and the rate limit of each."""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import dataclass, field

from aiohttp import web

_TOKEN_SECONDS = 5_184_000


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


class OAuth:
    """The tokens of the one application that exists.

    Args:
        client_id: its id.
        client_secret: its secret.
        points_per_minute: Helix's limit for each token.
    """

    def __init__(self, client_id: str, client_secret: str, points_per_minute: int) -> None:
        self.client_id = client_id
        self._client_secret = client_secret
        self._points = points_per_minute
        self._buckets: dict[str, TokenBucket] = {}

    def bucket(self, token: str) -> TokenBucket | None:
        """A token's rate limit; None for a token that was not given out or is not valid any more."""
        return self._buckets.get(token)

    def expire(self, token: str) -> None:
        """Make one token invalid."""
        self._buckets.pop(token, None)

    def expire_all(self) -> None:
        """Make every token given out so far invalid."""
        self._buckets.clear()

    async def give_token(self, request: web.Request) -> web.Response:
        """POST /oauth2/token."""
        form = {**request.query, **await request.post()}
        if form.get("client_id") != self.client_id:
            return web.json_response({"status": 400, "message": "invalid client"}, status=400)
        if form.get("client_secret") != self._client_secret:
            return web.json_response({"status": 403, "message": "invalid client secret"}, status=403)
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"status": 400, "message": "invalid grant type"}, status=400)
        token = secrets.token_hex(15)
        self._buckets[token] = TokenBucket(self._points, float(self._points))
        return web.json_response(
            {"access_token": token, "expires_in": _TOKEN_SECONDS, "token_type": "bearer"}
        )

    async def validate(self, request: web.Request) -> web.Response:
        """GET /oauth2/validate."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() not in ("oauth", "bearer") or token not in self._buckets:
            return web.json_response({"status": 401, "message": "invalid access token"}, status=401)
        return web.json_response({"client_id": self.client_id, "scopes": [], "expires_in": _TOKEN_SECONDS})
