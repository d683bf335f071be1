"""The Helix wrapper against a server whose faults the test decides."""

import asyncio
import logging
import time
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web

from collector_service.clock import ScaledClock
from collector_service.metrics import Stats
from collector_service.settings import TwitchSettings
from collector_service.simulator.planting import plant
from collector_service.simulator.server import Simulator
from collector_service.simulator.world import WorldOptions
from collector_service.support.retry import RetryPolicy
from collector_service.twitch.helix import (
    RESTARTS,
    CredentialsRefusedError,
    Helix,
    HelixError,
    HelixTimings,
    Stream,
    User,
    Video,
)

SECRET = "very-secret-value"
TOKEN = "given-token-value"
ATTEMPTS = 6
QUICK = HelixTimings(request_seconds=1.0, retry=RetryPolicy(0.01, 0.01, attempts=ATTEMPTS))
STARTED = datetime(2026, 11, 18, 12, tzinfo=UTC)


def stream(number):
    return {
        "id": f"s{number}", "user_id": str(number), "user_login": f"login{number}",
        "user_name": f"Login{number}", "game_id": "33", "game_name": "Chess", "type": "live",
        "title": f"title {number}", "viewer_count": 10_000 - number, "started_at": "2026-11-18T12:00:00Z",
        "language": "en", "thumbnail_url": "https://x/y-{width}x{height}.jpg", "tag_ids": [], "tags": [],
        "is_mature": False,
    }  # fmt: skip


def user(number):
    return {
        "id": str(number), "login": f"login{number}", "display_name": f"Login{number}", "type": "",
        "broadcaster_type": "", "description": "", "profile_image_url": "https://x/y.png",
        "offline_image_url": "", "view_count": 0, "created_at": "2020-01-01T00:00:00Z",
    }  # fmt: skip


def video(number):
    return {
        "id": str(number), "stream_id": "1", "user_id": "5", "user_login": "login5", "user_name": "Login5",
        "title": f"video {number}", "description": "", "created_at": "2026-11-18T12:00:00Z",
        "published_at": "2026-11-18T12:00:00Z", "url": "https://x/y", "thumbnail_url": "",
        "viewable": "public", "view_count": 3, "language": "en", "type": "archive", "duration": "3h8m33s",
        "muted_segments": None,
    }  # fmt: skip


class Api:
    """id and Helix with ``live`` streams; ``faults`` are answered first, one a call."""

    def __init__(self):
        self.live = [stream(number) for number in range(250)]
        self.faults = []
        self.calls = Counter()
        self.validated = Counter()
        self.validate_faults = []
        self.tokens = ["app-token-1"]
        self.refuse_tokens = False
        self.overlap = 10
        self.points = {}

    def token(self, request):
        self.calls["token"] += 1
        if request.query.get("client_secret") != SECRET:
            return web.json_response({"status": 403, "message": "invalid client secret"}, status=403)
        self.tokens.append(f"app-token-{len(self.tokens) + 1}")
        return web.json_response(
            {"access_token": self.tokens[-1], "expires_in": 5_000_000, "token_type": "bearer"}
        )

    def validate(self, request):
        given = request.headers.get("Authorization", "").removeprefix("OAuth ")
        self.calls["validate"] += 1
        self.validated[given] += 1
        if self.validate_faults:
            return self.validate_faults.pop(0)
        if self.refuse_tokens or given not in (self.tokens[-1], TOKEN):
            return web.json_response({"status": 401, "message": "invalid access token"}, status=401)
        left = 4000 if given == TOKEN else 4_900_000
        return web.json_response(
            {"client_id": "the-client", "login": None, "scopes": [], "user_id": None, "expires_in": left}
        )

    def problem(self, request):
        self.calls[request.path] += 1
        if self.faults:
            return self.faults.pop(0)
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if (
            self.refuse_tokens
            or given not in (self.tokens[-1], TOKEN)
            or "Client-ID" not in request.headers
        ):
            return web.json_response(
                {"error": "Unauthorized", "status": 401, "message": "Invalid OAuth token"}, status=401
            )
        return None

    async def streams(self, request):
        fault = self.problem(request)
        if callable(fault):
            return await fault()
        if fault is not None:
            return fault
        if ids := request.query.getall("user_id", []):
            assert len(ids) <= 100
            data = [one for one in self.live if one["user_id"] in ids]
            return web.json_response({"data": data, "pagination": {}})
        first = int(request.query["first"])
        at = int(request.query.get("after", "0"))
        more = {"cursor": str(at + first - self.overlap)} if at + first < len(self.live) else {}
        return web.json_response({"data": self.live[at : at + first], "pagination": more})

    async def users(self, request):
        if fault := self.problem(request):
            return fault
        asked = [*request.query.getall("id", []), *request.query.getall("login", [])]
        assert 0 < len(asked) <= 100
        numbers = [int(one.removeprefix("login")) for one in asked]
        return web.json_response(
            {"data": [user(number) for number in numbers if number < 200]}, headers=self.points
        )

    async def videos(self, request):
        if fault := self.problem(request):
            return fault
        if ids := request.query.getall("id", []):
            assert len(ids) <= 100
            known = {"1": video(1), "2": video(2), "3": video(3) | {"type": "highlight"}}
            if not known.keys() & set(ids):
                problem = {"error": "Not Found", "status": 404, "message": ""}
                return web.json_response(problem, status=404)
            data = [known[one] for one in ids if one in known]
            return web.json_response({"data": data, "pagination": {}})
        assert request.query["type"] == "archive"
        return web.json_response({"data": [video(2), video(1), video(2)], "pagination": {}})

    def application(self):
        app = web.Application()

        async def token(request):
            return self.token(request)

        async def validate(request):
            return self.validate(request)

        app.add_routes(
            [
                web.post("/oauth2/token", token),
                web.get("/oauth2/validate", validate),
                web.get("/helix/streams", self.streams),
                web.get("/helix/users", self.users),
                web.get("/helix/videos", self.videos),
            ]
        )
        return app


@asynccontextmanager
async def serving(api):
    runner = web.AppRunner(api.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def access(url):
    return TwitchSettings(
        helix_url=url + "/helix", id_url=url, client_id="the-client", client_secret=SECRET
    )


@pytest.fixture
async def api():
    return Api()


@pytest.fixture
async def helix(api):
    async with serving(api) as url:
        stats = Stats()
        async with Helix.open(access(url), stats, timings=QUICK) as client:
            client.stats = stats
            yield client


async def test_top_streams_are_complete_and_each_channel_comes_once(helix, api):
    found = await helix.top_streams(1000)
    assert [one.user_id for one in found] == list(range(250))
    assert found[3] == Stream(3, "login3", "33", "Chess", "en", "title 3", 9_997, STARTED)
    assert api.calls["/helix/streams"] == 3
    assert helix.stats.token_expires_at > time.time() + 4_000_000


async def test_the_limit_is_kept(helix, api):
    assert [one.user_id for one in await helix.top_streams(120)] == list(range(120))
    assert api.calls["/helix/streams"] == 2


async def test_pages_that_repeat_for_ever_end(helix, api):
    api.overlap = 100
    assert len(await helix.top_streams(1000)) == 100


async def test_streams_of_channels_are_asked_for_by_the_hundred(helix, api):
    found = await helix.streams(range(100, 400))
    assert sorted(one.user_id for one in found) == list(range(100, 250))
    assert api.calls["/helix/streams"] == 3
    assert await helix.streams([]) == []


async def test_users_and_past_broadcasts(helix, api):
    found = await helix.users(logins=[f"login{n}" for n in range(150)], ids=[199, 200])
    expected = [User(n, f"login{n}") for n in range(150)] + [User(199, "login199")]
    assert sorted(found, key=lambda one: one.id) == expected
    assert api.calls["/helix/users"] == 2
    assert await helix.users() == []
    created = datetime(2026, 11, 18, 12, tzinfo=UTC)
    assert await helix.past_broadcasts(5, 10) == [
        Video("2", 5, "login5", "video 2", created, 11_313, 3),
        Video("1", 5, "login5", "video 1", created, 11_313, 3),
    ]


async def test_recordings_by_their_ids_without_those_that_are_no_broadcasts(helix, api):
    found = await helix.videos([*(str(number) for number in range(1, 4)), *["77"] * 150])
    assert sorted(int(one.id) for one in found) == [1, 2]
    assert api.calls["/helix/videos"] == 2
    assert await helix.videos(["77"]) == []
    assert await helix.videos([]) == []
    api.faults = [web.Response(status=400) for _ in range(2)]
    with pytest.raises(HelixError):
        await helix.videos(["1"])


async def test_points_are_left_to_others(api, monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(round(seconds, 3))

    monkeypatch.setattr(asyncio, "sleep", sleep)
    headers = [(800, 800), (800, 401), (800, 400), (800, 300), (800, 0), (None, None), (0, 0)]
    async with serving(api) as url, Helix.open(access(url), leave=0.5, timings=QUICK) as helix:
        for limit, remaining in headers:
            api.points = {}
            if limit is not None:
                api.points = {"Ratelimit-Limit": str(limit), "Ratelimit-Remaining": str(remaining)}
            await helix.users(ids=[1])
    assert [one for one in slept if one] == [7.5, 30.0]


async def test_a_rate_limit_is_waited_for(helix, api):
    reset = time.time() + 0.4
    api.faults = [web.Response(status=429, headers={"Ratelimit-Reset": f"{reset:.3f}"})]
    assert len(await helix.top_streams(1000)) == 250
    assert time.time() >= reset
    assert helix.stats.helix_requests["429"] == 1


async def test_server_errors_and_lost_connections_are_tried_again(helix, api):
    async def hang():
        await asyncio.sleep(QUICK.request_seconds + 0.5)
        return web.Response()

    api.faults = [web.Response(status=500), web.Response(status=503), hang, web.Response(status=502)]
    assert len(await helix.top_streams(1000)) == 250
    assert helix.stats.helix_requests == {"500": 1, "503": 1, "502": 1, "error": 1, "200": 5}


async def test_a_lasting_outage_is_an_error_and_never_a_shorter_list(helix, api):
    await helix.streams([1])
    api.faults = [None] + [web.Response(status=503) for _ in range(ATTEMPTS)]
    with pytest.raises(HelixError, match="status 503"):
        await helix.top_streams(1000)


async def test_an_expired_token_is_renewed_once(helix, api):
    await helix.streams([1])
    api.tokens.append("somebody revoked ours")
    assert len(await helix.top_streams(1000)) == 250
    assert api.calls["token"] == 2


async def test_a_refused_new_token_ends_it(helix, api):
    await helix.streams([1])
    api.refuse_tokens = True
    with pytest.raises(CredentialsRefusedError, match="check TWITCH_CLIENT_ID") as failure:
        await helix.top_streams(1000)
    assert api.calls["token"] == 2
    assert api.calls["/helix/streams"] == 1 + 2
    assert not any(token in str(failure.value) for token in api.tokens)


async def test_a_forgotten_cursor_starts_again_from_the_first_page(helix, api):
    body = {"error": "Bad Request", "status": 400, "message": "Invalid cursor"}
    api.faults = [None, web.json_response(body, status=400)]
    assert [one.user_id for one in await helix.top_streams(1000)] == list(range(250))
    assert api.calls["/helix/streams"] == 5


async def test_a_cursor_that_is_always_forgotten_is_an_error(helix, api):
    body = {"error": "Bad Request", "status": 400, "message": "Invalid cursor"}
    api.faults = [fault for _ in range(RESTARTS) for fault in (None, web.json_response(body, status=400))]
    with pytest.raises(HelixError, match="cursor"):
        await helix.top_streams(1000)


@pytest.mark.parametrize("body", [{"data": [{"user_id": "x"}]}, {"nothing": 1}, ["no object"]])
async def test_an_answer_of_another_form_is_an_error(helix, api, body):
    api.faults = [web.json_response(body)]
    with pytest.raises(HelixError):
        await helix.top_streams(10)


async def test_a_wrong_secret_is_refused_and_never_shown(api, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = "wrong-secret-value"
    async with serving(api) as url:
        settings = TwitchSettings(
            helix_url=url + "/helix", id_url=url, client_id="the-client", client_secret=wrong
        )
        async with Helix.open(settings, timings=QUICK) as client:
            with pytest.raises(CredentialsRefusedError, match="invalid client secret") as failure:
                await client.top_streams(10)
            shown = "".join(map(repr, (client, client.__dict__, failure.value)))
    assert failure.value.__context__ is None
    assert wrong not in shown + str(failure.value)
    assert wrong not in "".join(record.getMessage() for record in caplog.records)


async def test_an_unreachable_twitch_is_an_error_without_the_secret():
    settings = TwitchSettings(
        helix_url="http://127.0.0.1:1/helix",
        id_url="http://127.0.0.1:1",
        client_id="i",
        client_secret=SECRET,
    )
    async with Helix.open(settings, timings=QUICK) as client:
        with pytest.raises(HelixError) as failure:
            await client.top_streams(10)
    assert not isinstance(failure.value, CredentialsRefusedError)
    assert SECRET not in str(failure.value)


async def test_a_given_token_brings_its_own_client_id(api):
    async with serving(api) as url:
        settings = TwitchSettings(helix_url=url + "/helix", id_url=url, oauth_token=f"oauth:{TOKEN}")
        stats = Stats()
        async with Helix.open(settings, stats, timings=QUICK) as client:
            await client.validate()
            assert 3900 < stats.token_expires_at - time.time() <= 4000
            assert len(await client.top_streams(5)) == 5
            assert api.calls["token"] == 0
            api.refuse_tokens = True
            with pytest.raises(CredentialsRefusedError):
                await client.top_streams(5)


async def test_a_given_token_that_is_not_valid(api):
    async with serving(api) as url:
        settings = TwitchSettings(helix_url=url + "/helix", id_url=url, oauth_token="old-token")
        async with Helix.open(settings, timings=QUICK) as client:
            with pytest.raises(CredentialsRefusedError, match="invalid access token"):
                await client.top_streams(5)


# Validation ------------------------------------------------------------------------------------------


async def test_the_first_validation_logs_in_and_later_ones_only_ask(helix, api):
    await helix.validate()
    assert (api.calls["token"], api.calls["validate"]) == (1, 1)
    assert helix.stats.token_expires_at == pytest.approx(time.time() + 4_900_000, abs=60)
    helix.stats.token_expires_at = None
    await helix.validate()
    assert (api.calls["token"], api.calls["validate"]) == (1, 2)
    assert helix.stats.token_expires_at == pytest.approx(time.time() + 4_900_000, abs=60)
    assert len(await helix.top_streams(5)) == 5
    assert api.calls["token"] == 1


async def test_questions_at_once_log_in_once(helix, api):
    await asyncio.gather(helix.top_streams(5), helix.streams([1]), helix.validate())
    assert api.calls["token"] == 1


async def test_validation_replaces_a_refused_app_token_once(helix, api):
    await helix.top_streams(5)
    api.tokens.append("somebody revoked ours")
    await helix.validate()
    assert (api.calls["token"], api.calls["validate"]) == (2, 3)
    assert max(api.validated.values()) <= 2
    asked = api.calls["/helix/streams"]
    assert len(await helix.top_streams(5)) == 5
    assert (api.calls["token"], api.calls["/helix/streams"]) == (2, asked + 1)


async def test_validation_knows_the_token_that_was_renewed_in_between(helix, api):
    await helix.streams([1])
    api.tokens.append("somebody revoked ours")
    await helix.streams([1])
    assert api.calls["token"] == 2
    await helix.validate()
    assert api.calls["token"] == 2
    assert api.validated[api.tokens[-1]] == 1


async def test_a_renewed_token_that_is_refused_as_well_ends_it(helix, api):
    await helix.validate()
    api.refuse_tokens = True
    with pytest.raises(
        CredentialsRefusedError, match=r"401: invalid access token.*check TWITCH"
    ) as failure:
        await helix.validate()
    assert api.calls["token"] == 2
    # One good answer and one refusal for the first token, one refusal for the second.
    assert sorted(api.validated.values()) == [1, 2]
    shown = str(failure.value) + repr(failure.value.__context__)
    assert not any(secret in shown for secret in (SECRET, *api.tokens))


async def test_a_new_token_that_is_refused_at_once_ends_it(helix, api):
    api.refuse_tokens = True
    with pytest.raises(CredentialsRefusedError):
        await helix.validate()
    assert (api.calls["token"], api.calls["validate"]) == (1, 1)


async def test_a_given_token_that_is_refused_cannot_be_replaced(api):
    async with serving(api) as url:
        settings = TwitchSettings(helix_url=url + "/helix", id_url=url, oauth_token=TOKEN)
        async with Helix.open(settings, timings=QUICK) as client:
            await client.validate()
            api.refuse_tokens = True
            with pytest.raises(CredentialsRefusedError, match="invalid access token") as failure:
                await client.validate()
    assert api.calls == {"validate": 2}
    assert TOKEN not in str(failure.value)


@pytest.mark.parametrize(
    "fault",
    [
        lambda: web.Response(status=503),
        lambda: web.json_response({"status": 500, "message": "oh"}, status=500),
        lambda: web.Response(status=429),
        lambda: web.json_response({"nothing": 1}),
        lambda: web.Response(text="<html>"),
    ],
)
async def test_a_fault_at_validation_is_no_refusal(helix, api, fault):
    await helix.validate()
    expires_at = helix.stats.token_expires_at
    api.validate_faults = [fault() for _ in range(ATTEMPTS)]
    with pytest.raises(HelixError) as failure:
        await helix.validate()
    assert not isinstance(failure.value, CredentialsRefusedError)
    assert (api.calls["token"], helix.stats.token_expires_at) == (1, expires_at)
    api.validate_faults = []
    await helix.validate()
    assert len(await helix.top_streams(5)) == 5


async def test_validation_against_the_simulated_twitch():
    world = plant(WorldOptions(seed=3, channels=5, viewers=50, days=1))
    clock = ScaledClock(time.time() + 1e6, world.start, 1.0)
    async with Simulator.start(world, clock) as simulator:
        settings = TwitchSettings(
            helix_url=simulator.helix_url,
            id_url=simulator.id_url,
            client_id=simulator.client_id,
            client_secret=simulator.client_secret,
        )
        stats = Stats()
        async with Helix.open(settings, stats, timings=QUICK) as client:
            for _ in range(3):
                await client.validate()
                assert stats.token_expires_at > time.time() + 1_000_000
                ids = [channel.channel_id for channel in world.channels]
                assert sorted(user.id for user in await client.users(ids=ids)) == sorted(ids)
                simulator.http.oauth.expire_all()
            # Each round: two answers and, but for the first, a 401 before the new token.
            assert stats.helix_requests["401"] == 2
        wrong = settings.model_copy(update={"client_id": "another"})
        async with Helix.open(wrong, timings=QUICK) as client:
            with pytest.raises(CredentialsRefusedError, match="invalid client"):
                await client.validate()
