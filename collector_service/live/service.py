"""The live collector as a service: puts its parts together, starts and stops them.

Belongs here: start-up, the background tasks, limits, signals and exit codes. Does not belong here: what
any of the parts does.

Exit codes: 0 after a clean stop, 1 for a failure that a restart may heal, 2 for a wrong setting, 78
(EX_CONFIG) when Twitch refuses the credentials, or the
viewer key is not the lake's.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from operator import attrgetter

from collector_service.contract import status_table_key
from collector_service.lake import LAKE_ERRORS, Lake
from collector_service.live import logs
from collector_service.live.channel_list import ChannelList, Listing, given_logins, needs_helix
from collector_service.live.health import ReaderState, serve
from collector_service.live.intake import Intake
from collector_service.live.journal import Journal
from collector_service.live.key_watch import (
    agree_before_collecting,
    agree_while_collecting,
    refuse_if_lost_before_collecting,
)
from collector_service.live.opt_out_watch import OptOutsKeeper
from collector_service.live.pool import Pool
from collector_service.live.spool import DiskSpool
from collector_service.live.state_dir import own_collector_id, own_state_dir
from collector_service.live.status_table import Row, encode
from collector_service.live.uploader import Uploader
from collector_service.live.viewer_keys import ViewerKeys
from collector_service.live.windows import Windows
from collector_service.logins import known_bots
from collector_service.metrics import Stats
from collector_service.privacy.opt_outs import OptOuts
from collector_service.privacy.populations import WrongKeyError
from collector_service.privacy.viewer_secret import load_viewer_key_secret
from collector_service.settings import Settings, SettingsError, StorageSettings
from collector_service.support.threads import brief, in_daemon_thread
from collector_service.twitch.helix import (
    VALIDATE_SECONDS,
    CredentialsRefusedError,
    Helix,
    HelixError,
)

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_SETTINGS = 2
EXIT_CREDENTIALS = 78

FINISH_SECONDS = 12.0
STATUS_SECONDS = 30.0
_REPORT_SECONDS = 86_400.0
# Often enough that a standstill of a quarter of a second cannot pass unseen.
_LAG_SECONDS = 0.1

_log = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Collect until SIGTERM, SIGINT or a limit of the settings; returns the exit code."""
    logs.configure(settings.logging)
    try:
        return asyncio.run(_run(settings))
    except WrongKeyError as error:
        print(error, file=sys.stderr)
        return EXIT_CREDENTIALS
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_SETTINGS


class Stopping:
    """Whether the collection has to end, and why: the first reason counts."""

    def __init__(self) -> None:
        self.reason = ""
        self.event = asyncio.Event()

    def ask(self, reason: str) -> None:
        """End the collection cleanly, soon."""
        self.reason = self.reason or reason
        self.event.set()


async def _run(settings: Settings) -> int:
    # First of all: to read back a large journal takes a while.
    stopping = Stopping()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.ask, signal.Signals(number).name)
    collection = settings.collection
    with_helix = needs_helix(settings.twitch, collection)
    given_logins(collection)  # a mistake in it shows before anything starts
    bots = known_bots(collection)
    lake = _open_lake(settings.storage)
    with own_state_dir(collection.state_dir) as folder:
        # Before a key is made, and the lake may be away.
        if not await _ends_first(refuse_if_lost_before_collecting(settings.privacy, lake), stopping):
            _log.info("stopping: %s", stopping.reason)
            return EXIT_OK
        secret = load_viewer_key_secret(settings.privacy)
        viewers = ViewerKeys(secret, bots)
        stats = Stats()
        opt_outs = OptOutsKeeper(lake, folder, stats)
        loop.add_signal_handler(signal.SIGHUP, opt_outs.ask)
        collector_id = collection.collector_id or own_collector_id(folder)
        journal = Journal(folder / "journal", collector_id)
        spool = DiskSpool(folder / "spool", lake, collection.spool_max_bytes)
        user_ids = viewers.user_ids if settings.privacy.raw_identities else None
        uploader = Uploader(journal, spool, collector_id, stats, user_ids)
        windows = Windows(settings.clock, collection.window_seconds, uploader.recover())
        agree = partial(agree_before_collecting, lake, secret, folder, settings.today)
        agree_again = partial(agree_while_collecting, lake, secret)
        service = Service(
            settings,
            with_helix,
            windows,
            viewers,
            uploader,
            opt_outs,
            lake,
            stats,
            stopping,
            agree,
            agree_again,
        )
        return await service.run()


class Service:
    """The collector of one process, from the first connection to the last upload."""

    def __init__(
        self,
        settings: Settings,
        with_helix: bool,
        windows: Windows,
        viewers: ViewerKeys,
        uploader: Uploader,
        opt_outs: OptOutsKeeper,
        lake: Lake,
        stats: Stats,
        stopping: Stopping,
        agree: Callable[[], Awaitable[None]],
        agree_again: Callable[[], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._with_helix = with_helix
        self._windows = windows
        self._intake = Intake(windows, viewers, stats)
        self._uploader = uploader
        self._opt_outs = opt_outs
        self._lake = lake
        self._stats = stats
        self._left_out: dict[str, Row] = {}
        self._pool: Pool | None = None
        self._started = time.monotonic()
        self._stopping = stopping
        self._agree = agree
        self._agree_again = agree_again

    async def run(self) -> int:
        """Collect until told to stop; returns the exit code.

        Raises:
            SettingsError: a setting is wrong.
        """
        collecting = asyncio.ensure_future(self._collect())
        stopping = asyncio.ensure_future(self._stopping.event.wait())
        await asyncio.wait([collecting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if self._pool is not None:
            await self._pool.stop()
        collecting.cancel()
        stopping.cancel()
        code = EXIT_OK
        try:
            await collecting
        except* asyncio.CancelledError:
            _log.info("stopping: %s", self._stopping.reason)
        except* CredentialsRefusedError as group:
            _log.error("%s", group.exceptions[0])
            code = EXIT_CREDENTIALS
        except* WrongKeyError as group:
            _log.error("%s", group.exceptions[0])
            code = EXIT_CREDENTIALS
        except* HelixError as group:
            _log.error("%s", group.exceptions[0])
            code = EXIT_FAILURE
        finally:
            complete = await self._uploader.finish(
                self._windows.close_all(self._windows.now()), FINISH_SECONDS
            )
            _log.info("stopped; all that was collected is %s", "in the lake" if complete else "on disk")
        return code

    async def _collect(self) -> None:
        """Collect for ever."""
        collection = self._settings.collection
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                serve(collection.http_port, self._stats, self._look, self._table)
            )
            helix = None
            if self._with_helix:
                helix = await stack.enter_async_context(Helix.open(self._settings.twitch, self._stats))
            channel_list = ChannelList(collection, helix, self._stats, self._settings.clock)
            await self._agree()
            # Nothing may be counted, let alone written, before it is known who has opted out.
            self._leave_out(await self._opt_outs.load(), channel_list)
            if helix is not None:
                await self._validate(helix)
            listing = await channel_list.refresh()
            async with asyncio.TaskGroup() as tasks:
                self._pool = Pool(
                    self._settings.twitch,
                    collection,
                    self._windows,
                    self._intake,
                    self._stats,
                    tasks.create_task,
                )
                self._pool.roster.leave_out(self._opt_outs.current.channel_ids)
                self._apply(listing, self._pool)
                _log.info("collecting %d channels", len(listing.logins))
                for work in (
                    self._uploader.tick(self._windows, self._tick_seconds(), self._after_windows),
                    self._uploader.keep_journal(self._windows),
                    self._uploader.keep_spooling(),
                    self._uploader.keep_uploading(),
                    self._keep_refreshing(channel_list, self._pool),
                    self._keep_obeying(channel_list, self._pool),
                    self._keep_reporting(),
                    self._keep_measuring_lag(self._pool),
                    self._keep_telling(),
                    self._end_in_time(),
                ):
                    tasks.create_task(work)
                if helix is not None:
                    tasks.create_task(self._keep_validating(helix))

    def _tick_seconds(self) -> float:
        return max(0.02, self._settings.collection.window_seconds / self._settings.clock.rate / 4)

    @property
    def _refresh_seconds(self) -> float:
        """Real seconds between two refreshes; a clock that is set must not move them."""
        return self._settings.collection.refresh_seconds / self._settings.clock.rate

    def _leave_out(self, opt_outs: OptOuts, channel_list: ChannelList) -> None:
        self._intake.leave_out(opt_outs)
        # Twitch's clock may be ahead of ours, so that the next window has begun already.
        since = self._windows.now() + self._settings.collection.window_seconds
        self._uploader.leave_out(opt_outs, since)
        channel_list.leave_out(opt_outs)
        if self._pool is not None:
            self._pool.roster.leave_out(opt_outs.channel_ids)

    def _apply(self, listing: Listing, pool: Pool) -> None:
        now = self._windows.now()
        rows = [
            Row(login, None, status, now, listing.renames.get(login))
            for login, status in listing.statuses.items()
        ]
        self._left_out = {row.channel: _or_older(row, self._left_out.get(row.channel)) for row in rows}
        self._windows.describe(listing.stream_infos)
        pool.want(listing.logins, listing.channel_ids)

    def _after_windows(self) -> None:
        limit = self._settings.collection.max_collection_cycles
        if limit and self._windows.closed >= limit:
            self._stopping.ask(f"{limit} windows collected (collection.max_collection_cycles)")

    async def _keep_refreshing(self, channel_list: ChannelList, pool: Pool) -> None:
        while True:
            await asyncio.sleep(self._refresh_seconds)
            try:
                await channel_list.refresh()
                listing = await channel_list.recheck(pool.roster.doubtful())
            except CredentialsRefusedError:
                raise
            except (HelixError, SettingsError) as error:
                self._stats.refresh_failures += 1
                _log.warning("channel list not refreshed, the last one stays: %s", error)
                listing = channel_list.listing()
            self._apply(listing, pool)

    async def _keep_obeying(self, channel_list: ChannelList, pool: Pool) -> None:
        seconds = self._settings.collection.opt_outs_seconds / self._settings.clock.rate
        while True:
            await self._opt_outs.asked_within(seconds)
            await self._agree_again()
            if await self._opt_outs.refresh():
                self._leave_out(self._opt_outs.current, channel_list)
                self._apply(channel_list.listing(), pool)

    async def _keep_validating(self, helix: Helix) -> None:
        while True:
            await asyncio.sleep(VALIDATE_SECONDS)
            await self._validate(helix)

    async def _validate(self, helix: Helix) -> None:
        try:
            await helix.validate()
        except CredentialsRefusedError:
            raise
        except HelixError as error:
            _log.warning("the credentials could not be checked: %s", error)

    async def _keep_reporting(self) -> None:
        """Put the status table into the lake: once the channels had time to be joined, then once a day.

        /channels of the status server has it at any time. A fault costs nothing but this table.
        """
        key = status_table_key(*self._settings.collection.shard_number)
        await asyncio.sleep(self._refresh_seconds)
        while True:
            try:
                await in_daemon_thread(partial(self._lake.put, key, encode(self._table())))
            except LAKE_ERRORS as error:
                _log.warning("the status table cannot be written (%s)", brief(error))
                await asyncio.sleep(self._refresh_seconds)
            else:
                await asyncio.sleep(_REPORT_SECONDS / self._settings.clock.rate)

    async def _keep_measuring_lag(self, pool: Pool) -> None:
        loop = asyncio.get_running_loop()
        pauses = self._windows.pauses
        while True:
            due = loop.time() + _LAG_SECONDS
            await asyncio.sleep(_LAG_SECONDS)
            self._stats.event_loop_lag.observe(max(0.0, loop.time() - due))
            self._intake.duplicates.expire(loop.time())
            if pauses != self._windows.pauses:
                pauses = self._windows.pauses
                _log.warning("the machine was paused or its clock set; nothing counts as watched meanwhile")
                pool.probe()

    async def _keep_telling(self) -> None:
        messages, told = 0, time.monotonic()
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            now = time.monotonic()
            total = self._stats.messages["PRIVMSG"]
            self._tell((total - messages) / (now - told))
            messages, told = total, now

    def _tell(self, rate: float) -> None:
        seen = self._look()
        stats = self._stats
        fields = {
            "wanted": seen.wanted,
            "joined": seen.joined,
            "failed": seen.failed,
            "connections": seen.connections["open"],
            "messages_per_second": round(rate, 1),
            "viewers": seen.viewers,
            "windows": stats.windows_spooled,
            "spool_files": stats.spool_files,
            "reconnects": sum(stats.reconnects.values()),
            "parse_errors": sum(stats.parse_errors.values()),
        }
        _log.info(
            "%d of %d channels joined on %d connections, %.0f messages/s, %d viewers now, "
            "%d windows done, %d waiting for the lake",
            seen.joined, seen.wanted, seen.connections["open"], rate, seen.viewers,
            stats.windows_spooled, stats.spool_files,
            extra={"fields": fields},
        )  # fmt: skip

    async def _end_in_time(self) -> None:
        if hours := self._settings.collection.max_runtime_hours:
            await asyncio.sleep(hours * 3600)
            self._stopping.ask(f"{hours:g} hours have passed (collection.max_runtime_hours)")

    def _table(self) -> list[Row]:
        if self._pool is None:
            return []
        return sorted([*self._pool.roster.table(), *self._left_out.values()], key=attrgetter("channel"))

    def _look(self) -> ReaderState:
        now = time.monotonic()
        pool = self._pool
        return ReaderState(
            seconds_up=now - self._started,
            seconds_silent=now - max(self._started, pool.last_heard if pool else 0.0),
            statuses=dict(pool.roster.counts()) if pool else {},
            connections=pool.connection_counts() if pool else {"open": 0, "missing": 0},
            viewers=self._windows.viewers,
            overflows=self._windows.overflows,
        )


async def _ends_first(work: Coroutine[None, None, None], stopping: Stopping) -> bool:
    """Do the work until it ends, or until the collection has to end; whether the work did."""
    doing = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(stopping.event.wait())
    await asyncio.wait([doing, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not doing.done():
        doing.cancel()
        return False
    await doing
    return True


def _or_older(row: Row, older: Row | None) -> Row:
    """The older row if it says the same: what it says is true since then."""
    return older if older is not None and replace(older, since=row.since) == row else row


def _open_lake(storage: StorageSettings) -> Lake:
    try:
        return Lake.open(storage)
    except OSError as error:
        raise SettingsError(f"storage.dir (LAKE_DIR): {storage.dir}: {error.strerror}") from None
