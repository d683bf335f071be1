"""Health: the verdict, the metrics and the pages."""

import time

import aiohttp
import pytest

from collector_service.contract import ChannelStatus
from collector_service.live.health import ReaderState, StatsCollector, judge, serve
from collector_service.live.status_table import Row
from collector_service.metrics import Stats
from collector_service.settings import SettingsError


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


def test_the_health_page_names_windows_that_lost_their_viewers():
    now = ReaderState(10.0, 0.0, {"joined": 1}, {"open": 1}, 0)
    assert judge(now, Stats())["status"] == "ok"
    verdict = judge(now, Stats(spool_thinned=2, spool_removed=1, spool_unreadable=3))
    assert verdict["status"] == "degraded"
    assert [text.split(": ")[-1] for text in verdict["problems"]] == [
        "2 windows lost their viewers",
        "1 windows were removed",
        "the local disk cannot read 3 windows any more",
    ]
    shown = {metric.name: metric.samples[0].value for metric in StatsCollector(
        Stats(spool_thinned=2, spool_removed=1), lambda: now
    ).collect() if metric.samples}  # fmt: skip
    assert (shown["vieweratlas_spool_thinned"], shown["vieweratlas_spool_removed"]) == (2, 1)


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
