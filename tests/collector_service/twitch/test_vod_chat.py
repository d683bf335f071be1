"""GraphqlComments against an in-process endpoint with the real shapes and the real faults."""

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from collector_service.settings import TwitchSettings
from collector_service.support.retry import RetryPolicy
from collector_service.twitch.vod_chat import (
    CommentsRefusedError,
    CommentsUnavailableError,
    GraphqlComments,
    Vod,
    VodComment,
    VodGoneError,
)

DURATION = 600


def node(number, offset, user=None, badges=()):
    user = user or str(1000 + number % 7)
    return {
        "id": f"c{number}",
        "commenter": {"id": user, "login": f"user{user}", "displayName": f"User{user}"},
        "contentOffsetSeconds": offset,
        "createdAt": "2026-01-01T00:00:00Z",
        "message": {
            "fragments": [{"text": "SECRET TEXT", "emote": None}],
            "userBadges": [{"id": "x", "setID": badge, "version": "1"} for badge in badges],
            "userColor": None,
        },
    }


def ok(edges, has_next):
    comments = {"edges": edges, "pageInfo": {"hasNextPage": has_next}}
    return {"data": {"video": {"id": "1", "creator": {"id": "9"}, "comments": comments}}}


INTEGRITY = {"errors": [{"message": "failed integrity check", "path": ["video", "comments"]}],
             "data": {"video": {"id": "1", "comments": None}}}  # fmt: skip
NULL_COMMENTS = {"data": {"video": {"id": "1", "comments": None}}}
GONE = {"data": {"video": None}}


@dataclass
class Endpoint:
    """A chat in order of time. ``faults`` answer the next requests (a body, a status, or a delay)."""

    nodes: list
    page: int = 50
    cursors_fail_after: int | None = None
    false_end_at: int | None = None
    early: int = 0  # how many comments before the offset a page begins with
    faults: deque = field(default_factory=deque)
    requests: list = field(default_factory=list)

    async def answer(self, request):
        body = await request.json()
        assert request.headers["Client-ID"]
        assert body["operationName"] == "VideoCommentsByOffsetOrCursor"
        assert len(body["extensions"]["persistedQuery"]["sha256Hash"]) == 64
        variables = body["variables"]
        assert isinstance(variables["videoID"], str)
        self.requests.append(variables)
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, int):
            return web.Response(status=fault, headers={"Retry-After": "0"})
        if isinstance(fault, bytes):
            return web.Response(body=fault, content_type="application/json")
        if fault is not None:
            return web.json_response(fault)
        if "cursor" in variables:
            if self.cursors_fail_after is not None:
                self.cursors_fail_after -= 1
                if self.cursors_fail_after < 0:
                    return web.json_response(INTEGRITY)
            start = int(variables["cursor"]) + 1
        else:
            wanted = variables["contentOffsetSeconds"]
            assert isinstance(wanted, int)
            later = [i for i, item in enumerate(self.nodes) if item["contentOffsetSeconds"] >= wanted]
            start = max(0, (later[0] if later else len(self.nodes)) - self.early)
        chosen = list(enumerate(self.nodes))[start : start + self.page]
        edges = [{"cursor": str(i), "node": item} for i, item in chosen]
        has_next = start + self.page < len(self.nodes)
        if self.false_end_at is not None and start <= self.false_end_at < start + self.page:
            self.false_end_at, has_next = None, False
        return web.json_response(ok(edges, has_next))


@asynccontextmanager
async def serving(endpoint, request_seconds=10.0):
    app = web.Application()
    app.router.add_post("/gql", endpoint.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    twitch = TwitchSettings(gql_url=f"http://127.0.0.1:{port}/gql")
    try:
        retry = RetryPolicy(0.001, 0.001, attempts=6)
        opened = GraphqlComments.open(twitch, retry=retry, request_seconds=request_seconds)
        async with opened as source:
            yield source
    finally:
        await runner.cleanup()


async def read(endpoint, duration=DURATION):
    async with serving(endpoint) as source:
        return [page async for page in source.pages("1", duration)]


def ids(pages):
    return [comment.id for page in pages for comment in page.comments]


def even_chat(count, per_second=1):
    return [node(i, i // per_second) for i in range(count)]


async def test_reads_by_cursor_to_a_confirmed_end():
    endpoint = Endpoint(even_chat(120))
    pages = await read(endpoint)
    assert ids(pages) == [f"c{i}" for i in range(120)]
    assert pages[-1].complete
    assert pages[-1].reason is None
    assert pages[-1].coverage_seconds == DURATION
    assert [page.coverage_seconds for page in pages[:3]] == [49, 99, 119]
    assert [sorted(request) for request in endpoint.requests] == [
        ["contentOffsetSeconds", "videoID"],
        ["cursor", "videoID"],
        ["cursor", "videoID"],
        ["contentOffsetSeconds", "videoID"],
    ]
    assert not any(page.complete or page.reason for page in pages[:-1])


async def test_comment_fields_and_no_text():
    nodes = [node(0, 3, "42", ["subscriber", "bot-badge"]), node(1, 4, "43"), node(2, 5)]
    nodes[2]["commenter"] = None
    nodes[1]["message"] = None
    pages = await read(Endpoint(nodes))
    assert pages[0].comments == [
        VodComment("c0", 3.0, "42", "user42", is_bot=True),
        VodComment("c1", 4.0, "43", "user43", is_bot=False),
        VodComment("c2", 5.0, None, None, is_bot=False),
    ]
    assert "SECRET" not in repr(pages)


async def test_an_empty_chat_is_complete():
    pages = await read(Endpoint([]))
    assert ids(pages) == []
    assert pages[-1].complete
    assert pages[-1].coverage_seconds == DURATION


@pytest.mark.parametrize("early", [0, 5])
async def test_refused_cursors_are_replaced_by_offsets(early):
    endpoint = Endpoint(even_chat(400), cursors_fail_after=1, early=early)
    pages = await read(endpoint)
    assert ids(pages) == [f"c{i}" for i in range(400)]
    assert pages[-1].complete
    assert sum("cursor" in request for request in endpoint.requests) == 2


async def test_an_invalid_cursor_is_replaced_by_an_offset():
    endpoint = Endpoint(even_chat(200))
    endpoint.faults.extend([None, None, {"errors": [{"message": "invalid cursor"}], "data": {"video": {}}}])
    pages = await read(endpoint)
    assert ids(pages) == [f"c{i}" for i in range(200)]
    assert pages[-1].complete


async def test_a_second_with_more_than_a_page_is_never_complete_by_offset():
    nodes = [*even_chat(30), *(node(i, 30) for i in range(30, 100)), *(node(i, i) for i in range(100, 160))]
    pages = await read(Endpoint(nodes, page=20, cursors_fail_after=0))
    assert ids(pages) == [f"c{i}" for i in [*range(50), *range(100, 160)]]
    assert not pages[-1].complete
    assert pages[-1].reason == "1 s held more comments than a page"
    assert [page.passed_over for page in pages] == sorted(page.passed_over for page in pages)
    assert pages[-1].passed_over == 1
    assert pages[-1].coverage_seconds == DURATION


async def test_a_false_end_is_not_believed():
    pages = await read(Endpoint(even_chat(130), false_end_at=20))
    assert ids(pages) == [f"c{i}" for i in range(130)]
    assert pages[-1].complete


async def test_a_refused_first_request_is_told_apart():
    endpoint = Endpoint(even_chat(300))
    endpoint.faults.append(INTEGRITY)
    with pytest.raises(CommentsRefusedError, match="integrity"):
        await read(endpoint)


async def test_refused_offsets_break_the_chat_off_with_its_coverage():
    endpoint = Endpoint(even_chat(300), cursors_fail_after=0)
    endpoint.faults.extend([None, None, INTEGRITY])
    pages = await read(endpoint)
    assert ids(pages) == [f"c{i}" for i in range(50)]
    assert not pages[-1].complete
    assert pages[-1].reason == "failed integrity check"
    assert pages[-1].coverage_seconds == 49


@pytest.mark.parametrize(
    "fault",
    [429, 500, 503, NULL_COMMENTS, {"errors": [{"message": "service timeout"}], "data": {"video": None}},
     b"not json", [], {}],
)  # fmt: skip
async def test_passing_faults_are_retried(fault):
    endpoint = Endpoint(even_chat(80))
    endpoint.faults.extend([fault, fault, None, fault])
    pages = await read(endpoint)
    assert ids(pages) == [f"c{i}" for i in range(80)]
    assert pages[-1].complete


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(503, "HTTP 503"), (NULL_COMMENTS, "null comments"), (b"<html>", "not JSON"),
     ({"errors": [{"message": "service timeout"}]}, "service timeout")],
)  # fmt: skip
async def test_lasting_faults_break_the_chat_off(fault, reason):
    endpoint = Endpoint(even_chat(80))
    endpoint.faults.extend([None, *[fault] * 6])
    pages = await read(endpoint)
    assert ids(pages) == [f"c{i}" for i in range(50)]
    assert reason in pages[-1].reason
    assert not pages[-1].complete
    assert pages[-1].coverage_seconds == 49


async def test_a_hanging_endpoint_is_retried():
    endpoint = Endpoint(even_chat(3))
    answer, hangs = endpoint.answer, [True]

    async def hang_once(request):
        if hangs.pop() if hangs else False:
            await asyncio.sleep(1)
        return await answer(request)

    endpoint.answer = hang_once
    pages = await read(endpoint)
    assert ids(pages) == ["c0", "c1", "c2"]
    assert pages[-1].complete


async def test_a_vod_that_is_not_there():
    endpoint = Endpoint([])
    endpoint.faults.append(GONE)
    with pytest.raises(VodGoneError, match="VOD 1 does not exist"):
        await read(endpoint)


async def test_a_vod_deleted_meanwhile_gives_what_there_was():
    endpoint = Endpoint(even_chat(80))
    endpoint.faults.extend([None, GONE])
    async with serving(endpoint) as source:
        pages = source.pages("1", DURATION)
        first = await anext(pages)
        with pytest.raises(VodGoneError, match="deleted or expired"):
            await anext(pages)
    assert len(first.comments) == 50
    assert (first.complete, first.coverage_seconds) == (False, 49)


@pytest.mark.parametrize(
    "fault", [{"errors": [{"message": "PersistedQueryNotFound"}]}, 400, 401, 403]
)  # fmt: skip
async def test_an_endpoint_that_refuses_us_is_not_the_vods_fault(fault):
    endpoint = Endpoint(even_chat(80))
    endpoint.faults.extend([None, fault])
    with pytest.raises(CommentsUnavailableError):
        await read(endpoint)


@pytest.mark.parametrize(
    "broken",
    [{"commenter": {"login": "SECRET"}}, {"contentOffsetSeconds": "SECRET"}, {"id": None}, {"message": 7},
     {"commenter": {"id": "SECRET", "login": "SECRET"}}],
)  # fmt: skip
async def test_another_shape_breaks_off_and_tells_no_value(broken):
    endpoint = Endpoint(even_chat(60))
    bad = ok([{"cursor": "50", "node": node(50, 50) | broken}], has_next=False)
    endpoint.faults.extend([None, bad])
    pages = await read(endpoint)
    assert not pages[-1].complete
    assert "unexpected shape" in pages[-1].reason
    assert "SECRET" not in pages[-1].reason
    assert pages[-1].coverage_seconds == 49


async def test_an_endless_chain_of_the_same_page_ends():
    first = ok([{"cursor": "0", "node": node(0, 5)}], has_next=True)
    endpoint = Endpoint([])
    endpoint.faults.extend([first] * 50)
    pages = await read(endpoint, duration=30)
    assert ids(pages) == ["c0"]
    assert not pages[-1].complete
    assert len(endpoint.requests) < 50


@pytest.mark.parametrize("cursors", [None, 0])
@pytest.mark.parametrize("early", [0, 2])
async def test_reading_can_begin_at_any_second(cursors, early):
    nodes = even_chat(120, per_second=2)
    for start in (0, 1, 17, 59, 60, 61):
        endpoint = Endpoint(nodes, page=9 + early, cursors_fail_after=cursors, early=early)
        async with serving(endpoint) as source:
            pages = [page async for page in source.pages("1", DURATION, start)]
        assert endpoint.requests[0] == {"videoID": "1", "contentOffsetSeconds": start}
        assert ids(pages) == [f"c{i}" for i in range(2 * start, 120)]
        assert pages[-1].complete
        assert all(page.coverage_seconds >= start for page in pages)


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.sampled_from([0, 0, 0, 0, 1, 1, 3, 40]), max_size=120),
    page=st.integers(1, 9),
    cursors=st.sampled_from([None, 0, 1, 3]),
    early=st.integers(0, 2),
    false_end=st.sampled_from([None, 0, 10]),
    null_at=st.integers(0, 6),
)
async def test_complete_means_every_comment_once(gaps, page, cursors, early, false_end, null_at):
    offsets, now = [], 0
    for gap in gaps:
        now += gap
        offsets.append(now)
    nodes = [node(i, offset) for i, offset in enumerate(offsets)]
    endpoint = Endpoint(
        nodes, page=page + early, cursors_fail_after=cursors, early=early, false_end_at=false_end
    )
    endpoint.faults.extend([*[None] * null_at, NULL_COMMENTS])
    pages = await read(endpoint, duration=now + 1)
    got = ids(pages)
    assert len(got) == len(set(got))
    assert pages[-1].complete or pages[-1].reason
    if pages[-1].complete:
        assert set(got) == {item["id"] for item in nodes}
    elif cursors is None:
        pytest.fail(f"broke off without a cause: {pages[-1].reason}")
    crowded = max((offsets.count(offset) for offset in offsets), default=0) >= page
    assert pages[-1].complete or crowded


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"vod_id": "v1"}, "not a number"),
        ({"channel": "Some One"}, "login"),
        ({"created_at": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001  (the fault under test)
        ({"duration_seconds": -1.0}, "length"),
        ({"created_at": datetime(9999, 12, 31, tzinfo=UTC)}, "year 9999"),
        ({"created_at": datetime(1, 1, 1, tzinfo=UTC)}, "year 1"),
        ({"channel_id": -1}, "channel's id"),
        ({"channel_id": 2**63}, "channel's id"),
        ({"channel_id": 10**400}, "channel's id"),
        ({"duration_seconds": float("nan")}, "length"),
        ({"duration_seconds": float("inf")}, "length"),
        ({"duration_seconds": 1e11}, "length"),
    ],
)
def test_a_vod_is_checked(change, text):
    good = {
        "vod_id": "1",
        "channel": "alpha",
        "channel_id": 1,
        "title": None,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "duration_seconds": 1.0,
    }
    assert Vod(**good).channel == "alpha"
    with pytest.raises(ValueError, match=text):
        Vod(**good | change)
