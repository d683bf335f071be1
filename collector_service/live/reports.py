"""The collector's reports about itself: its state, the status table, status lines, the event loop's lag."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from functools import partial
from operator import attrgetter

from collector_service.contract import status_table_key
from collector_service.lake import LAKE_ERRORS
from collector_service.live.channel_list import Listing
from collector_service.live.collector_parts import CollectorParts
from collector_service.live.health import ReaderState
from collector_service.live.status_table import Row, encode
from collector_service.support.threads import brief, in_daemon_thread

_log = logging.getLogger(__name__)


class Reports:
    """Reports about one collector."""

    def __init__(self, parts: CollectorParts) -> None:
        self._parts = parts
        self._unwatched: dict[str, Row] = {}
        self._started = time.monotonic()

    def state(self) -> ReaderState:
        """The reader's state."""
        now = time.monotonic()
        parts = self._parts
        return ReaderState(
            seconds_up=now - self._started,
            seconds_silent=now - max(self._started, parts.pool.last_heard),
            statuses=dict(parts.pool.roster.counts()),
            connections=parts.pool.connection_counts(),
            viewers=parts.windows.viewers,
            overflows=parts.windows.overflows,
        )

    def table(self) -> list[Row]:
        """The status table, ordered by channel."""
        return sorted(
            [*self._parts.pool.roster.table(), *self._unwatched.values()], key=attrgetter("channel")
        )

    def set_unwatched(self, listing: Listing) -> None:
        """Show the wanted channels that this listing does not watch, each since it first had its status."""
        now = self._parts.windows.now()
        rows = [
            Row(login, None, status, now, listing.renames.get(login))
            for login, status in listing.statuses.items()
        ]
        self._unwatched = {row.channel: _or_older(row, self._unwatched.get(row.channel)) for row in rows}

    async def keep_storing_table(self) -> None:
        """Write the status table to the lake: once the channels had time to be joined, then once a day.

        The status server's /channels shows it at any time. A fault costs nothing but this table.
        """
        parts = self._parts
        key = status_table_key(*parts.settings.collection.shard_number)
        await asyncio.sleep(parts.refresh_seconds)
        while True:
            try:
                await in_daemon_thread(partial(parts.lake.put, key, encode(self.table())))
            except LAKE_ERRORS as error:
                _log.warning("cannot write the status table (%s)", brief(error))
                await asyncio.sleep(parts.refresh_seconds)
            else:
                await asyncio.sleep(parts.timings.status_table_world_seconds / parts.settings.clock.rate)

    async def keep_logging(self) -> None:
        """Log a status line every half minute, until cancelled."""
        messages, logged = 0, time.monotonic()
        while True:
            await asyncio.sleep(self._parts.timings.status_seconds)
            now = time.monotonic()
            total = self._parts.stats.messages["PRIVMSG"]
            self._log_status((total - messages) / (now - logged))
            messages, logged = total, now

    async def keep_measuring_lag(self) -> None:
        """Measure the event loop's lag, until cancelled; after a pause, ask the connections for life."""
        parts = self._parts
        loop = asyncio.get_running_loop()
        pauses = parts.windows.pauses
        while True:
            due = loop.time() + parts.timings.lag_seconds
            await asyncio.sleep(parts.timings.lag_seconds)
            parts.stats.event_loop_lag.observe(max(0.0, loop.time() - due))
            parts.intake.duplicates.expire(loop.time())
            if pauses != parts.windows.pauses:
                pauses = parts.windows.pauses
                _log.warning("the machine was paused or its clock set; that time does not count as watched")
                parts.pool.probe()

    def _log_status(self, rate: float) -> None:
        state, stats = self.state(), self._parts.stats
        fields = {
            "wanted": state.wanted,
            "joined": state.joined,
            "failed": state.failed,
            "connections": state.connections["open"],
            "messages_per_second": round(rate, 1),
            "viewers": state.viewers,
            "windows": stats.windows_spooled,
            "spool_files": stats.spool_files,
            "reconnects": sum(stats.reconnects.values()),
            "parse_errors": sum(stats.parse_errors.values()),
        }
        _log.info(
            "%d of %d channels joined on %d connections, %.0f messages/s, %d viewers now, "
            "%d windows done, %d waiting for the lake",
            state.joined, state.wanted, state.connections["open"], rate, state.viewers,
            stats.windows_spooled, stats.spool_files,
            extra={"fields": fields},
        )  # fmt: skip


def _or_older(row: Row, older: Row | None) -> Row:
    """The older row if both say the same: it has the time since when that is true."""
    return older if older is not None and replace(older, since=row.since) == row else row
