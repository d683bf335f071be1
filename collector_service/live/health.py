"""Health, metrics and the status table, over HTTP on the local machine: /healthz, /metrics and /channels.

No label of a metric names a channel, and nothing names a viewer.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collector_service.contract import ChannelStatus
from collector_service.live.status_table import Row
from collector_service.metrics import Stats
from collector_service.settings import SettingsError

# A reader that hears nothing for this long is broken: every connection asks for a sign of life after ten
# seconds.
SILENT_SECONDS = 150.0
OLD_SPOOL_SECONDS = 900.0
LOW_JOIN_RATIO = 0.5
_PREFIX = "vieweratlas_"


@dataclass(frozen=True)
class ReaderState:
    """The state of the reader at one moment.

    Attributes:
        seconds_up: real seconds since the process started collecting.
        seconds_silent: real seconds since anything arrived from Twitch.
        statuses: wanted channels by status.
        connections: connections by state.
        viewers: (channel, viewer) pairs in the open windows.
        overflows: windows that were cut short for lack of memory.
    """

    seconds_up: float
    seconds_silent: float
    statuses: dict[ChannelStatus, int]
    connections: dict[str, int]
    viewers: int
    overflows: int = 0

    @property
    def wanted(self) -> int:
        """Channels that are wanted."""
        return sum(self.statuses.values())

    @property
    def joined(self) -> int:
        """Wanted channels that are joined."""
        return self.statuses.get(ChannelStatus.JOINED, 0)

    @property
    def failed(self) -> int:
        """Wanted channels that cannot be joined."""
        return self.wanted - self.joined - self.statuses.get(ChannelStatus.JOINING, 0)


def judge(now: ReaderState, stats: Stats) -> dict[str, Any]:
    """The answer of /healthz.

    ``failing`` means that a restart may help: the reader stands still. Every other problem is ``degraded``:
    a restart would not help, and could lose objects that wait on the local disk.
    """
    spool_age = time.time() - stats.spool_oldest if stats.spool_files else 0.0
    problems = []
    failing = now.wanted > 0 and now.seconds_silent > SILENT_SECONDS
    if failing:
        problems.append(f"nothing heard from Twitch for {now.seconds_silent:.0f} s")
    if now.seconds_up > SILENT_SECONDS and now.joined < LOW_JOIN_RATIO * now.wanted:
        problems.append(f"only {now.joined} of {now.wanted} channels joined")
    if spool_age > OLD_SPOOL_SECONDS:
        problems.append(f"an object has waited {spool_age:.0f} s for the lake")
    if now.overflows:
        problems.append(f"{now.overflows} windows were cut short for lack of memory")
    if stats.journal_failures or stats.spool_failures:
        problems.append("the local disk refused writes")
    if stats.spool_thinned:
        problems.append(f"the spool is full: {stats.spool_thinned} windows lost their viewers")
    if stats.spool_removed:
        problems.append(f"the spool is full: {stats.spool_removed} windows were removed")
    if stats.spool_unreadable:
        problems.append(f"the local disk cannot read {stats.spool_unreadable} windows any more")
    return {
        "status": "failing" if failing else "degraded" if problems else "ok",
        "problems": problems,
        "reader": {
            "seconds_since_last_line": round(now.seconds_silent, 1),
            "connections": now.connections,
        },
        "channels": {"wanted": now.wanted, "joined": now.joined, "statuses": now.statuses},
        "spool": {
            "files": stats.spool_files,
            "bytes": stats.spool_bytes,
            "oldest_age_seconds": round(spool_age, 1),
        },
    }


class StatsCollector(Collector):
    """Shows the plain counters to Prometheus."""

    def __init__(self, stats: Stats, look: Callable[[], ReaderState]) -> None:
        self._stats = stats
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """The metrics of now."""
        stats, now = self._stats, self._look()
        yield _labelled(GaugeMetricFamily, "connections", "IRC connections", "state", now.connections)
        channels = {"wanted": now.wanted, "joined": now.joined, "failed": now.failed}
        yield _labelled(GaugeMetricFamily, "channels", "Channels", "state", channels)
        yield _labelled(CounterMetricFamily, "messages", "Lines from Twitch", "command", stats.messages)
        yield _labelled(CounterMetricFamily, "parse_errors", "Unusable lines", "reason", stats.parse_errors)
        yield _labelled(CounterMetricFamily, "reconnects", "Connections lost", "cause", stats.reconnects)
        yield _labelled(
            CounterMetricFamily, "helix_requests", "Answers of Helix", "code", stats.helix_requests
        )
        spool_age = time.time() - stats.spool_oldest if stats.spool_files else 0.0
        token_left = stats.token_expires_at - time.time() if stats.token_expires_at is not None else 0.0
        for name, text, value in (
            ("spool_files", "Objects waiting for the lake", stats.spool_files),
            ("spool_bytes", "Their bytes", stats.spool_bytes),
            ("spool_oldest_age_seconds", "Age of the oldest", spool_age),
            ("token_expires_in_seconds", "Life left in the Helix token", token_left),
            ("viewers", "Channel and viewer pairs in open windows", now.viewers),
        ):
            yield GaugeMetricFamily(_PREFIX + name, text, value=value)
        for name, text, count in (
            ("mirrored", "Shared-chat copies", stats.mirrored),
            ("duplicates", "Second copies of a line, not counted", stats.duplicates),
            ("opted_out", "Lines of viewers and channels that opted out", stats.opted_out),
            ("windows_spooled", "Objects written to the spool", stats.windows_spooled),
            ("upload_ok", "Objects brought into the lake", stats.uploads),
            ("upload_fail", "Failed uploads", stats.upload_failures),
            ("journal_failures", "Failed writes of the journal", stats.journal_failures),
            ("spool_failures", "Failed writes of the spool", stats.spool_failures),
            ("spool_thinned", "Waiting windows stripped of viewers to free space", stats.spool_thinned),
            ("spool_removed", "Waiting windows removed", stats.spool_removed),
            ("spool_unreadable", "Waiting windows that the disk cannot read", stats.spool_unreadable),
            ("refresh_failures", "Failed refreshes of the channel list", stats.refresh_failures),
            ("windows_cut", "Windows cut short for lack of memory", now.overflows),
            ("recovered_parts", "Windows recovered from the journal", stats.recovered_parts),
            ("recovered_lost_bytes", "Torn bytes cut from the journal", stats.recovered_lost_bytes),
        ):
            yield CounterMetricFamily(_PREFIX + name, text, value=count)


def _labelled(
    family: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    text: str,
    label: str,
    values: dict[str, int],
) -> Metric:
    metric = family(_PREFIX + name, text, labels=[label])
    for value, number in sorted(values.items()):
        metric.add_metric([value], number)
    return metric


@asynccontextmanager
async def serve(
    port: int, stats: Stats, look: Callable[[], ReaderState], table: Callable[[], Sequence[Row]]
) -> AsyncIterator[int]:
    """Serve /healthz, /metrics and /channels while the context lasts.

    Args:
        port: on 127.0.0.1; 0 for no server.
        stats: counters; their registry is completed here.
        look: the reader's state.
        table: the status table.

    Yields:
        The port.

    Raises:
        SettingsError: the port is taken.
    """
    if port == 0:
        yield 0
        return
    stats.registry.register(StatsCollector(stats, look))
    ProcessCollector(registry=stats.registry)

    async def healthz(_: web.Request) -> web.Response:
        verdict = judge(look(), stats)
        return web.json_response(verdict, status=503 if verdict["status"] == "failing" else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(stats.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def channels(_: web.Request) -> web.Response:
        return web.json_response([row.to_json() for row in table()])

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/metrics", metrics), web.get("/channels", channels)]
    )
    # A slow client must not hold up the end of the collection.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError as error:
        await runner.cleanup()
        raise SettingsError(
            f"collection.http_port (COLLECTOR_HTTP_PORT): {port}: {error.strerror}; set a free port, or 0 "
            "for none"
        ) from None
    try:
        yield port
    finally:
        await runner.cleanup()
