import asyncio
import time
from collections.abc import Sequence

import aiohttp
import pytest
import twitchio

from collector_service.simulator import comments_api
from collector_service.simulator.chat import Kind, stream_events
from collector_service.simulator.comments_api import GQL_CLIENT_ID, GQL_HASH, GQL_OPERATION
from collector_service.simulator.oracle import Comment
from collector_service.simulator.planting import plant
from collector_service.simulator.world import WorldOptions


@pytest.fixture(scope="module")
def wide():
    """Enough channels for several pages of live streams."""
    return plant(WorldOptions(seed=8, channels=400, viewers=1_200, days=1))


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


def busiest(world):
    """The world second (by the hour) with most live streams, and how many."""
    hours = range(int(world.start) + 3_600, int(world.end), 3_600)
    live = {t: sum(s.started_at <= t < s.ended_at for s in world.streams) for t in hours}
    return max(live.items(), key=lambda item: item[1])


async def token(simulator, http):
    form = {
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "grant_type": "client_credentials",
    }
    async with http.post(simulator.id_url + "/oauth2/token", data=form) as response:
        assert response.status == 200
        body = await response.json()
    assert body["token_type"] == "bearer"
    assert body["expires_in"] > 1_000_000
    return body["access_token"]


async def helix(simulator, http, path, params=(), *, bearer=None, client_id=None):
    """(status, JSON, headers) of a GET with a fresh or given token."""
    headers = {
        "Authorization": f"Bearer {bearer or await token(simulator, http)}",
        "Client-Id": client_id or simulator.client_id,
    }
    async with http.get(simulator.helix_url + path, params=params, headers=headers) as response:
        return response.status, await response.json(), response.headers


async def pages(simulator, http, path, params=()):
    bearer, cursor, found = await token(simulator, http), None, []
    while True:
        extra = [("after", cursor)] if cursor else []
        status, body, _ = await helix(simulator, http, path, [*params, *extra], bearer=bearer)
        assert status == 200
        found.append(body["data"])
        cursor = body["pagination"].get("cursor")
        if not cursor:
            return found


# OAuth ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"client_id": "other"}, 400, "invalid client"),
        ({"client_secret": "other"}, 403, "invalid client secret"),
        ({"grant_type": "password"}, 400, "invalid grant type"),
    ],
)
async def test_wrong_credentials_get_no_token(world, start, standing, http, change, status, message):
    simulator = await start(world, standing(world.start))
    form = {
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "grant_type": "client_credentials",
    }
    async with http.post(simulator.id_url + "/oauth2/token", data=form | change) as response:
        assert response.status == status
        assert await response.json() == {"status": status, "message": message}


async def test_credentials_in_the_query_work_too_and_tokens_validate(world, start, standing, http):
    simulator = await start(world, standing(world.start))
    query = {
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "grant_type": "client_credentials",
    }
    async with http.post(simulator.id_url + "/oauth2/token", params=query) as response:
        bearer = (await response.json())["access_token"]
    for value, status in (
        (f"OAuth {bearer}", 200),
        (f"Bearer {bearer}", 200),
        ("OAuth no", 401),
        ("", 401),
    ):
        async with http.get(
            simulator.id_url + "/oauth2/validate", headers={"Authorization": value}
        ) as response:
            assert response.status == status
            if status == 200:
                assert (await response.json())["client_id"] == simulator.client_id
    simulator.http.oauth.expire_all()
    status, body, _ = await helix(simulator, http, "/users", {"login": "x"}, bearer=bearer)
    assert (status, body["message"]) == (401, "Invalid OAuth token")


# Helix ----------------------------------------------------------------------------------------------


async def test_helix_wants_a_token_and_the_client_that_got_it(world, start, standing, http):
    simulator = await start(world, standing(world.start))
    async with http.get(simulator.helix_url + "/streams") as response:
        assert response.status == 401
        assert (await response.json())["message"] == "OAuth token is missing"
    status, body, _ = await helix(simulator, http, "/streams", bearer="nonsense")
    assert (status, body) == (
        401,
        {"error": "Unauthorized", "status": 401, "message": "Invalid OAuth token"},
    )
    status, body, _ = await helix(simulator, http, "/streams", client_id="other")
    assert (status, body["message"]) == (401, "Client ID and OAuth token do not match")


async def test_all_live_streams_come_in_pages_sorted_by_viewers_with_repeats(wide, start, standing, http):
    instant, live = busiest(wide)
    simulator = await start(wide, standing(instant))
    found = await pages(simulator, http, "/streams", [("first", "20")])
    assert live > 60
    assert all(len(page) == 20 for page in found[:-1])
    ids = [stream["user_id"] for page in found for stream in page]
    truth = {
        str(wide.channels[s.channel].channel_id)
        for s in wide.streams
        if s.started_at <= instant < s.ended_at
    }
    assert set(ids) == truth
    assert len(ids) == live + len(found) - 1
    viewers = [stream["viewer_count"] for page in found for stream in page]
    assert viewers == sorted(viewers, reverse=True)


async def test_ranks_drift_from_minute_to_minute(wide, start, standing, http):
    instant, _ = busiest(wide)
    orders = []
    for later in (0, 60):
        simulator = await start(wide, standing(instant + later))
        found = await pages(simulator, http, "/streams", [("first", "100")])
        orders.append([stream["user_id"] for page in found for stream in page])
    assert orders[0] != orders[1]


async def test_a_stream_has_all_fields(wide, start, standing, http):
    instant, _ = busiest(wide)
    simulator = await start(wide, standing(instant))
    stream = next(s for s in wide.streams if s.started_at <= instant < s.ended_at)
    channel = wide.channels[stream.channel]
    for query in ({"user_id": str(channel.channel_id)}, {"user_login": channel.login.upper()}):
        status, body, _ = await helix(simulator, http, "/streams", query)
        assert status == 200
        assert body["pagination"] == {}
        (found,) = body["data"]
        assert found.pop("viewer_count") > 0
        assert found == {
            "id": stream.stream_id,
            "user_id": str(channel.channel_id),
            "user_login": channel.login,
            "user_name": channel.display_name,
            "game_id": channel.game.id,
            "game_name": channel.game.name,
            "type": "live",
            "title": stream.title,
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stream.started_at)),
            "language": channel.language,
            "thumbnail_url": (
                f"https://static-cdn.jtvnw.net/previews-ttv/live_user_{channel.login}-{{width}}x{{height}}.jpg"
            ),
            "tag_ids": [],
            "tags": [channel.language.upper()],
            "is_mature": False,
        }


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/streams", [("first", "101")], 400),
        ("/streams", [("first", "0")], 400),
        ("/streams", [("first", "many")], 400),
        ("/streams", [("after", "nonsense")], 400),
        ("/streams", [("user_id", str(n)) for n in range(101)], 400),
        ("/users", [], 401),
        ("/users", [("id", str(n)) for n in range(60)] + [("login", str(n)) for n in range(41)], 400),
        ("/videos", [], 400),
        ("/videos", [("user_id", "1"), ("id", "2")], 400),
        ("/videos", [("user_id", "1"), ("type", "movie")], 400),
    ],
)
async def test_wrong_parameters_are_refused(world, start, standing, http, path, params, status):
    simulator = await start(world, standing(world.start))
    answered, body, _ = await helix(simulator, http, path, params)
    assert answered == body["status"] == status
    assert body["message"]


async def test_users_by_id_and_login_without_the_odd_ones(world, start, standing, http):
    old, new, instant = world.oddities.renamed
    channels = world.channels[4:7]
    query = [("id", str(channels[0].channel_id)), ("login", channels[1].login)]
    query += [("login", world.oddities.suspended), ("login", world.oddities.nonexistent), ("login", old)]
    renamed = next(channel for channel in world.channels if channel.renamed_to)
    for now, login in ((instant - 1, old), (instant + 1, None)):
        simulator = await start(world, standing(now))
        _, body, _ = await helix(simulator, http, "/users", query)
        expected = {channels[0].login, channels[1].login} | ({login} if login else set())
        assert {user["login"] for user in body["data"]} == expected
        _, body, _ = await helix(simulator, http, "/users", {"id": str(renamed.channel_id)})
        assert body["data"][0]["login"] == (old if login else new)


async def test_videos_appear_with_the_stream_and_grow(world, start, standing, http):
    later = 3 * 3_600 + 8 * 60 + 33
    stream = next(s for s in world.streams if s.ended_at - s.started_at > later)
    query = {"user_id": str(world.channels[stream.channel].channel_id), "type": "archive"}
    for elapsed, duration in ((-1, None), (45, "45s"), (125, "2m5s"), (later, "3h8m33s")):
        now = stream.started_at + elapsed
        simulator = await start(world, standing(now))
        _, body, _ = await helix(simulator, http, "/videos", query)
        found = {video["id"]: video for video in body["data"]}
        assert (stream.video_id in found) == (duration is not None)
        if duration:
            video = found[stream.video_id]
            assert video["duration"] == duration
            assert video["stream_id"] == stream.stream_id
            assert video["created_at"] == time.strftime(
                "%Y-%m-%dT%H:%M:%SZ", time.gmtime(stream.started_at)
            )
    _, body, _ = await helix(simulator, http, "/videos", query | {"type": "highlight"})
    assert body["data"] == []


async def test_videos_of_a_channel_come_newest_first_in_pages(wide, start, standing, http):
    world = plant(WorldOptions(seed=8, channels=4, viewers=20, days=12))
    simulator = await start(world, standing(world.end))
    channel = str(world.channels[0].channel_id)
    found = await pages(simulator, http, "/videos", [("user_id", channel), ("first", "3")])
    ids = [video["id"] for page in found for video in page]
    expected = [stream.video_id for stream in world.streams if stream.channel == 0]
    assert len(found) >= 2
    assert ids == expected[::-1]


async def test_the_rate_limit_is_a_bucket_per_token(world, start, standing, http):
    simulator = await start(world, standing(world.start), points_per_minute=5)
    first, second = await token(simulator, http), await token(simulator, http)
    remaining = []
    for _ in range(5):
        status, _, headers = await helix(simulator, http, "/users", {"login": "x"}, bearer=first)
        assert status == 200
        assert headers["Ratelimit-Limit"] == "5"
        remaining.append(int(headers["Ratelimit-Remaining"]))
    assert remaining == [4, 3, 2, 1, 0]
    status, body, headers = await helix(simulator, http, "/users", {"login": "x"}, bearer=first)
    assert (status, body["error"]) == (429, "Too Many Requests")
    assert headers["Ratelimit-Remaining"] == "0"
    assert 0 < int(headers["Ratelimit-Reset"]) - time.time() < 62
    status, _, _ = await helix(simulator, http, "/users", {"login": "x"}, bearer=second)
    assert status == 200


async def test_helix_faults_come_in_the_order_they_were_asked_for(world, start, standing, http):
    simulator = await start(world, standing(world.streams[5].started_at + 60))
    simulator.faults.helix("server_error", 2)
    simulator.faults.helix("rate_limited")
    simulator.faults.helix("invalid_cursor")
    simulator.faults.helix("empty")
    simulator.faults.helix("unauthorized")
    bearer = await token(simulator, http)
    answers = [await helix(simulator, http, "/streams", bearer=bearer) for _ in range(7)]
    assert [status for status, _, _ in answers] == [503, 503, 429, 400, 200, 401, 401]
    assert "invalid cursor" in answers[3][1]["message"]
    assert answers[4][1] == {"data": [], "pagination": {}}
    status, body, _ = await helix(simulator, http, "/streams")
    assert status == 200
    assert body["data"]


async def test_twitchio_reads_every_answer(wide, start, standing, monkeypatch):
    """The real client library, so the shapes are those it needs."""
    instant, live = busiest(wide)
    simulator = await start(wide, standing(instant))
    monkeypatch.setattr(twitchio.http.Route, "BASE", simulator.helix_url + "/")
    monkeypatch.setattr(twitchio.http.Route, "ID_BASE", simulator.id_url + "/")
    client = twitchio.Client(client_id=simulator.client_id, client_secret=simulator.client_secret)
    try:
        await client.login(load_tokens=False, save_tokens=False)
        streams = [stream async for stream in client.fetch_streams(first=50)]
        assert len({stream.user.id for stream in streams}) == live
        users = await client.fetch_users(ids=[stream.user.id for stream in streams[:30]])
        assert {user.name for user in users} == {stream.user.name for stream in streams[:30]}
        videos = [video async for video in client.fetch_videos(user_id=streams[0].user.id, type="archive")]
        assert videos[0].created_at == streams[0].started_at
    finally:
        await client.close()


# GraphQL --------------------------------------------------------------------------------------------


async def gql(simulator, http, video, *, client_id=GQL_CLIENT_ID, sha=GQL_HASH, **variables):
    query = {
        "operationName": GQL_OPERATION,
        "variables": {"videoID": video, **variables},
        "extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha}},
    }
    headers = {"Client-ID": client_id} if client_id else {}
    async with http.post(simulator.gql_url, json=query, headers=headers) as response:
        return response.status, await response.json(content_type=None) if response.status < 500 else None


async def chat_by_cursor(simulator, http, video):
    sizes, nodes, place = [], [], {"contentOffsetSeconds": 0}
    while True:
        status, body = await gql(simulator, http, video, **place)
        assert status == 200
        comments = body["data"]["video"]["comments"]
        sizes.append(len(comments["edges"]))
        nodes += [edge["node"] for edge in comments["edges"]]
        if not comments["pageInfo"]["hasNextPage"]:
            return sizes, nodes
        place = {"cursor": comments["edges"][-1]["cursor"]}


async def test_a_vods_comments_are_the_streams_chat(start, standing, http):
    world = plant(WorldOptions(seed=21, channels=30, viewers=1_500, days=1))
    simulator = await start(world, standing(world.end))
    deleted = 0
    for stream in [
        max(world.streams, key=lambda s: len(s.visits)),
        world.streams[world.sessions[0].streams[0]],
    ]:
        sizes, nodes = await chat_by_cursor(simulator, http, stream.video_id)
        truth = simulator.oracle.chat(stream.video_id)
        assert [node["id"] for node in nodes] == [comment.id for comment in truth]
        messages = [event for event in stream_events(world, stream) if event.kind == Kind.MESSAGE]
        assert len(messages) == len(nodes)
        assert all(50 <= size <= 100 for size in sizes[:-1])
        assert len(sizes) > 3
        for event, node in zip(messages, nodes, strict=True):
            account = world.accounts[event.account]
            assert node["contentOffsetSeconds"] == event.ms // 1_000 - stream.started_at
            if account.deleted:
                deleted += 1
                assert node["commenter"] is None
            else:
                assert node["commenter"]["id"] == str(account.user_id)
                assert node["commenter"]["login"] == account.login
            badges = [badge["setID"] for badge in node["message"]["userBadges"]]
            assert ("bot-badge" in badges) == account.listed
            assert node["message"]["fragments"][0]["text"]
    assert deleted


async def test_comments_by_offset_and_while_the_stream_is_running(world, start, standing, http):
    stream = max(world.streams, key=lambda s: len(s.visits))
    middle = (stream.started_at + stream.ended_at) // 2
    truth = (await start(world, standing(world.start))).oracle.chat(stream.video_id)
    simulator = await start(world, standing(middle))
    _, nodes = await chat_by_cursor(simulator, http, stream.video_id)
    assert [node["id"] for node in nodes] == [
        comment.id for comment in truth if comment.ms <= middle * 1_000
    ]
    simulator = await start(world, standing(world.end))
    for offset in (1, 600, 3_601):
        _, body = await gql(simulator, http, stream.video_id, contentOffsetSeconds=offset)
        comments = body["data"]["video"]["comments"]
        ids = [edge["node"]["id"] for edge in comments["edges"]]
        later = [c.id for c in truth if c.ms >= (stream.started_at + offset) * 1_000]
        assert ids == later[: len(ids)]
        assert ids
        assert comments["pageInfo"]["hasNextPage"] == (len(ids) < len(later))
    _, body = await gql(simulator, http, stream.video_id, contentOffsetSeconds=10**6)
    assert body["data"]["video"]["comments"]["edges"] == []
    assert body["data"]["video"]["comments"]["pageInfo"]["hasNextPage"] is False


async def test_gql_refusals(world, start, standing, http):
    simulator = await start(world, standing(world.end))
    video = world.streams[0].video_id
    status, body = await gql(simulator, http, video, client_id=None)
    assert (status, body["message"]) == (400, 'The "Client-ID" header is missing from the request.')
    status, body = await gql(simulator, http, video, client_id="other")
    assert (status, body["message"]) == (400, 'The "Client-ID" header is invalid.')
    assert await gql(simulator, http, video, sha="0" * 64) == (
        200,
        {"errors": [{"message": "PersistedQueryNotFound"}]},
    )
    status, body = await gql(simulator, http, "99", contentOffsetSeconds=0)
    assert (status, body["data"]) == (200, {"video": None})
    status, body = await gql(simulator, http, video, cursor="nonsense")
    assert body["errors"][0]["message"] == "invalid cursor"
    async with http.post(simulator.gql_url, data=b"{", headers={"Client-ID": GQL_CLIENT_ID}) as response:
        assert response.status == 400


async def test_gql_faults(world, start, standing, http):
    simulator = await start(world, standing(world.end))
    video = max(world.streams, key=lambda s: len(s.visits)).video_id
    _, body = await gql(simulator, http, video, contentOffsetSeconds=0)
    cursor = body["data"]["video"]["comments"]["edges"][-1]["cursor"]

    simulator.faults.gql("integrity")
    for _ in range(2):
        status, body = await gql(simulator, http, video, cursor=cursor)
        assert status == 200
        assert body["errors"][0]["message"] == "failed integrity check"
        assert body["data"]["video"]["comments"] is None
        _, body = await gql(simulator, http, video, contentOffsetSeconds=0)
        assert body["data"]["video"]["comments"]["edges"]
    simulator.faults.clear()
    simulator.faults.gql("server_error", 1)
    assert (await gql(simulator, http, video, cursor=cursor))[0] == 503
    simulator.faults.gql("persisted_query", 1)
    assert "errors" in (await gql(simulator, http, video, cursor=cursor))[1]
    simulator.faults.gql("null_comments", 1)
    _, body = await gql(simulator, http, video, contentOffsetSeconds=0)
    assert body["data"]["video"]["comments"] is None
    _, body = await gql(simulator, http, video, cursor=cursor)
    assert body["data"]["video"]["comments"]["edges"]


async def test_a_limited_call_says_when_to_come_back_and_a_hanging_one_says_nothing(
    world, start, standing, http
):
    simulator = await start(world, standing(world.end))
    video = world.streams[0].video_id
    simulator.faults.gql("rate_limited", 1)
    async with http.post(simulator.gql_url, json={}, headers={"Client-ID": GQL_CLIENT_ID}) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
    simulator.faults.gql("hang", 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(gql(simulator, http, video, contentOffsetSeconds=0), 0.3)
    assert (await gql(simulator, http, video, contentOffsetSeconds=0))[0] == 200


async def test_a_vod_can_be_deleted_half_way(world, start, standing, http):
    simulator = await start(world, standing(world.end))
    stream = max(world.streams, key=lambda s: len(s.visits))
    other = next(one for one in world.streams if one is not stream)
    simulator.faults.delete_vod(stream.video_id, pages=2)
    place = {"contentOffsetSeconds": 0}
    for _ in range(2):
        _, body = await gql(simulator, http, stream.video_id, **place)
        place = {"cursor": body["data"]["video"]["comments"]["edges"][-1]["cursor"]}
        assert (await gql(simulator, http, other.video_id, contentOffsetSeconds=0))[1]["data"]["video"]
    for _ in range(2):
        status, body = await gql(simulator, http, stream.video_id, **place)
        assert (status, body["data"], "errors" in body) == (200, {"video": None}, False)
    user = str(world.channels[stream.channel].channel_id)
    _, body, _ = await helix(simulator, http, f"/videos?user_id={user}&first=100")
    listed = {video["id"] for video in body["data"]}
    assert listed == {
        one.video_id for one in world.streams if one.channel == stream.channel and one is not stream
    }
    simulator.faults.clear()
    assert (await gql(simulator, http, stream.video_id, **place))[1]["data"]["video"]["comments"]["edges"]


class Watched(Sequence):
    """Counts how often a comment is looked at."""

    def __init__(self, chat):
        self._chat = chat
        self.looks = 0

    def __len__(self):
        return len(self._chat)

    def __getitem__(self, number):
        self.looks += 1
        return self._chat[number]


async def test_a_page_of_a_long_chat_costs_no_more_than_one_of_a_short(
    world, start, standing, http, monkeypatch
):
    stream = max(world.streams, key=lambda s: len(s.visits))
    length = stream.ended_at - stream.started_at
    chat = Watched(
        [
            Comment(f"id-{n}", stream.started_at * 1_000 + n * length * 1_000 // 500_000, 0, n)
            for n in range(500_000)
        ]
    )
    monkeypatch.setattr(comments_api, "comments", lambda *_: chat)
    simulator = await start(world, standing(world.end))
    _, body = await gql(simulator, http, stream.video_id, contentOffsetSeconds=length // 2)
    edges = body["data"]["video"]["comments"]["edges"]
    first = int(edges[0]["node"]["id"].removeprefix("id-"))
    assert chat._chat[first - 1].ms < (stream.started_at + length // 2) * 1_000 <= chat._chat[first].ms
    _, body = await gql(simulator, http, stream.video_id, cursor=edges[-1]["cursor"])
    assert body["data"]["video"]["comments"]["edges"][0]["node"]["id"] == f"id-{first + len(edges)}"
    assert chat.looks < 300


async def test_an_unknown_vod_has_no_chat_in_the_oracle(world, start, standing):
    simulator = await start(world, standing(world.start))
    with pytest.raises(KeyError):
        simulator.oracle.chat("1")
