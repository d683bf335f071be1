"""The small parts: viewer keys, pacing, logs, health."""

import asyncio
import json
import logging
import time

import aiohttp
import pytest

from collector_service.contract import ChannelStatus, viewer_key
from collector_service.live import logs
from collector_service.live.health import ReaderState, judge, serve
from collector_service.live.status_table import Row, describe, encode
from collector_service.live.viewer_keys import ViewerKeys
from collector_service.metrics import Stats
from collector_service.settings import LoggingSettings, SettingsError
from collector_service.support.pace import Pace
from collector_service.support.retry import NETWORK
from collector_service.twitch.irc import parse


def chat(user_id, login="somebody"):
    line = f"@room-id=1;user-id={user_id} :{login}!{login}@x PRIVMSG #c :t"
    return parse(line.encode())


def test_keys_are_those_of_the_contract_and_the_cache_is_bounded():
    viewers = ViewerKeys("secret", ["nightbot"], generation=50)
    for _ in range(2):
        for user_id in range(1000):
            assert viewers.key(chat(user_id)) == viewer_key("secret", str(user_id))
    assert len(viewers._young) + len(viewers._old) <= 100
    assert viewers.bots == set()


def test_listed_bots_are_known_by_their_key():
    viewers = ViewerKeys("secret", ["nightbot"], generation=2)
    key = viewers.key(chat(7, "nightbot"))
    for user_id in range(100, 120):
        viewers.key(chat(user_id))
    assert viewers.key(chat(7, "nightbot")) == key
    assert viewers.bots == {key} == {viewer_key("secret", "7")}


async def test_no_more_permits_than_allowed_in_any_span():
    pace = Pace(3, 0.2)
    loop = asyncio.get_running_loop()
    times = []

    async def worker(wanted):
        while wanted:
            granted = await pace.take(wanted)
            assert 1 <= granted <= min(wanted, 3)
            times.extend([loop.time()] * granted)
            wanted -= granted

    await asyncio.gather(worker(4), worker(1), worker(4))
    assert len(times) == 9
    assert min(late - early for early, late in zip(times, times[3:], strict=False)) >= 0.19


def test_backoff_grows_to_a_minute_and_is_spread():
    for failures, longest in ((1, 1), (2, 2), (4, 8), (7, 60), (500, 60)):
        delays = [NETWORK.wait_seconds(failures) for _ in range(200)]
        assert longest / 2 <= min(delays) < max(delays) <= longest
        assert len(set(delays)) > 100


def test_json_logs_are_one_object_a_line(capsys):
    logs.configure(LoggingSettings(format="json"))
    logger = logging.getLogger("collector_service.x")
    logger.info("two\nlines %d", 5, extra={"fields": {"joined": 3}})
    try:
        [].pop()
    except IndexError:
        logger.exception("failed")
    logging.getLogger("twitchio.http").warning("POST https://x/?client_secret=s")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["message"], first["level"], first["joined"]) == ("two\nlines 5", "info", 3)
    assert "pop from empty list" in second["exception"]
    logging.getLogger().handlers.clear()


def look(**changes):
    values = {
        "seconds_up": 1000.0,
        "seconds_silent": 1.0,
        "statuses": {"joined": 9, "suspended": 1},
        "connections": {"open": 1, "missing": 0},
        "viewers": 5,
    }
    return ReaderState(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "stats", "seconds_waiting", "status"),
    [
        ({}, {}, None, "ok"),
        ({"seconds_silent": 200.0}, {}, None, "failing"),
        ({"statuses": {}, "seconds_silent": 200.0}, {}, None, "ok"),
        ({"statuses": {"joined": 4, "joining": 6}}, {}, None, "degraded"),
        ({"statuses": {"joined": 4, "joining": 6}, "seconds_up": 60.0}, {}, None, "ok"),
        ({}, {"spool_files": 1}, 10_000, "degraded"),
        ({}, {"spool_files": 1}, 10, "ok"),
        ({}, {"journal_failures": 1}, None, "degraded"),
    ],
)
def test_what_counts_as_healthy(changes, stats, seconds_waiting, status):
    oldest = 0.0 if seconds_waiting is None else time.time() - seconds_waiting
    verdict = judge(look(**changes), Stats(**stats, spool_oldest=oldest))
    assert verdict["status"] == status
    assert bool(verdict["problems"]) == (status != "ok")


def test_the_status_table_says_what_is_wrong_and_with_which_channels():
    rows = [Row(f"c{number}", number, ChannelStatus.JOINED, 0.0) for number in range(3)]
    rows += [
        Row("lost", None, ChannelStatus.NOT_FOUND, 60.0),
        Row("away", None, ChannelStatus.RENAMED, 60.0, "here"),
    ]
    assert json.loads(encode(rows)) == [row.to_json() for row in rows]
    assert json.loads(encode([])) == []
    shown = describe([row.to_json() for row in rows]).splitlines()
    assert shown[0].split(":")[0].split() == ["3", "joined"]
    assert [line.split() for line in shown[-2:]] == [
        ["lost", "-", "not", "found", "1970-01-01T00:01:00Z"],
        ["away", "-", "renamed", "1970-01-01T00:01:00Z", "now", "here"],
    ]
    assert describe([]) == "no channel is wanted"
    assert "... and 300 more" in describe(
        [Row(str(n), n, ChannelStatus.JOINING, 0.0).to_json() for n in range(500)]
    )


async def test_the_pages(unused_port):
    stats = Stats()
    stats.messages["PRIVMSG"] = 12
    stats.parse_errors["no_tags"] = 2
    stats.mirrored = 3
    stats.event_loop_lag.observe(0.2)
    silent = 1.0
    rows = [Row("alpha", 5, ChannelStatus.JOINED, 60.0), Row("beta", None, ChannelStatus.NOT_FOUND, 120.0)]
    async with (
        serve(unused_port, stats, lambda: look(seconds_silent=silent), lambda: rows),
        aiohttp.ClientSession() as web,
    ):
        async with web.get(f"http://127.0.0.1:{unused_port}/healthz") as response:
            body = await response.json()
            assert (response.status, body["status"]) == (200, "ok")
            assert body["channels"] == {
                "wanted": 10,
                "joined": 9,
                "statuses": {"joined": 9, "suspended": 1},
            }
        async with web.get(f"http://127.0.0.1:{unused_port}/metrics") as response:
            lines = (await response.text()).splitlines()
        for line in (
            'vieweratlas_messages_total{command="PRIVMSG"} 12.0',
            'vieweratlas_parse_errors_total{reason="no_tags"} 2.0',
            "vieweratlas_mirrored_total 3.0",
            'vieweratlas_channels{state="wanted"} 10.0',
            'vieweratlas_channels{state="failed"} 1.0',
            'vieweratlas_connections{state="open"} 1.0',
            'vieweratlas_event_loop_lag_seconds_bucket{le="0.1"} 0.0',
            'vieweratlas_event_loop_lag_seconds_bucket{le="0.25"} 1.0',
        ):
            assert line in lines
        assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
        async with web.get(f"http://127.0.0.1:{unused_port}/channels") as response:
            table = await response.json()
        assert [tuple(row.values()) for row in table] == [
            ("alpha", "5", "joined", ChannelStatus.JOINED.meaning, "1970-01-01T00:01:00Z", None),
            ("beta", None, "not found", ChannelStatus.NOT_FOUND.meaning, "1970-01-01T00:02:00Z", None),
        ]
        silent = 1000.0
        async with web.get(f"http://127.0.0.1:{unused_port}/healthz") as response:
            assert response.status == 503
        with pytest.raises(SettingsError, match="COLLECTOR_HTTP_PORT"):
            async with serve(unused_port, Stats(), look, list):
                pass


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
