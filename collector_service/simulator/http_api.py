"""The HTTP side of the simulated Twitch on one port: OAuth, Helix, comments and the control API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from collector_service.clock import Clock
from collector_service.simulator.comments_api import CommentsApi
from collector_service.simulator.faults import Faults
from collector_service.simulator.helix_api import HelixApi
from collector_service.simulator.oauth import OAuth
from collector_service.simulator.world import World


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
        self._faults = faults
        self._write_oracle = write_oracle
        self._status = status
        self.oauth = OAuth(client_id, client_secret, points_per_minute)
        self._helix = HelixApi(world, clock, faults, self.oauth)
        self.comments = CommentsApi(world, clock, faults)

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/oauth2/token", self.oauth.give_token),
                web.get("/oauth2/validate", self.oauth.validate),
                *self._helix.routes(),
                web.post("/gql", self.comments.answer),
                web.post("/control/faults", self._order_fault),
                web.post("/control/oracle", self._order_oracle),
                web.get("/control/status", self._show_status),
            ]
        )
        return app

    async def _order_fault(self, request: web.Request) -> web.Response:
        try:
            order = dict(await request.json())
            if order.get("fault") == "expire_tokens":
                self.oauth.expire_all()
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
