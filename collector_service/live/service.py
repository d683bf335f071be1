"""The live collector as a service: start-up, the tasks side by side, limits, signals and exit codes.

Exit codes: 0 after a clean stop, 1 for a failure that a restart may heal, 2 for a wrong setting, 78
(EX_CONFIG) when Twitch refuses the credentials or the viewer key is not the lake's.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack

from collector_service.lake import Lake
from collector_service.live import logs
from collector_service.live.channel_list import ChannelList, given_logins, needs_helix
from collector_service.live.channel_updates import ChannelUpdates
from collector_service.live.collector_parts import CollectorParts, CollectorTimings
from collector_service.live.health import serve
from collector_service.live.key_watch import refuse_if_lost_before_collecting
from collector_service.live.opt_out_watch import OptOutWatch
from collector_service.live.reports import Reports
from collector_service.live.state_dir import own_state_dir
from collector_service.logins import known_bots
from collector_service.metrics import Stats
from collector_service.privacy.populations import WrongKeyError
from collector_service.settings import Settings, SettingsError, StorageSettings
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

_log = logging.getLogger(__name__)


def run(settings: Settings, timings: CollectorTimings | None = None) -> int:
    """Collect until SIGTERM, SIGINT or a limit of the settings; returns the exit code."""
    logs.configure(settings.logging)
    try:
        return asyncio.run(_run(settings, timings or CollectorTimings()))
    except WrongKeyError as error:
        print(error, file=sys.stderr)
        return EXIT_CREDENTIALS
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_SETTINGS


class Stopping:
    """The request to end the collection; the first reason counts."""

    def __init__(self) -> None:
        self.reason = ""
        self.event = asyncio.Event()

    def ask(self, reason: str) -> None:
        """End the collection cleanly, soon."""
        self.reason = self.reason or reason
        self.event.set()


async def _run(settings: Settings, timings: CollectorTimings) -> int:
    # Before anything else, since reading back a large journal takes a while.
    stopping = Stopping()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.ask, signal.Signals(number).name)
    _refuse_wrong_settings(settings)
    lake = _open_lake(settings.storage)
    with own_state_dir(settings.collection.state_dir) as folder:
        # Before a key is made, and the lake may be away.
        check = refuse_if_lost_before_collecting(settings.privacy, lake, timings.lake_reads)
        if not await _ends_first(check, stopping):
            _log.info("stopping: %s", stopping.reason)
            return EXIT_OK
        stats = Stats()
        opt_outs = OptOutWatch(lake, folder, stats, timings.lake_reads)
        loop.add_signal_handler(signal.SIGHUP, opt_outs.ask)
        parts = CollectorParts.build(settings, timings, lake, folder, stats, opt_outs)
        return await Service(parts, stopping).run()


class Service:
    """The collector of one process, from the first connection to the last upload."""

    def __init__(self, parts: CollectorParts, stopping: Stopping) -> None:
        self._parts = parts
        self._stopping = stopping
        self._reports = Reports(parts)

    async def run(self) -> int:
        """Collect until asked to stop; returns the exit code.

        Raises:
            SettingsError: a setting is wrong.
        """
        parts = self._parts
        collecting = asyncio.ensure_future(self._collect())
        stopping = asyncio.ensure_future(self._stopping.event.wait())
        await asyncio.wait([collecting, stopping], return_when=asyncio.FIRST_COMPLETED)
        await parts.pool.stop()
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
            shares = parts.windows.close_all(parts.windows.now())
            complete = await parts.uploader.finish(shares, parts.timings.finish_seconds)
            _log.info("stopped; everything collected is %s", "in the lake" if complete else "on disk")
        return code

    async def _collect(self) -> None:
        """Collect until cancelled."""
        parts, settings = self._parts, self._parts.settings
        collection = settings.collection
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                serve(collection.http_port, parts.stats, self._reports.state, self._reports.table)
            )
            helix = None
            if needs_helix(settings.twitch, collection):
                helix = await stack.enter_async_context(Helix.open(settings.twitch, parts.stats))
            channel_list = ChannelList(collection, helix, parts.stats, settings.clock)
            updates = ChannelUpdates(parts, channel_list, self._reports)
            await parts.key_watch.before_collecting()
            # The opt-outs must be known before anything is counted, let alone written.
            updates.obey(await parts.opt_outs.load())
            if helix is not None:
                await _validate(helix)
            listing = await channel_list.refresh()
            async with asyncio.TaskGroup() as tasks:
                parts.pool.start(tasks.create_task)
                updates.apply(listing)
                _log.info("collecting %d channels", len(listing.logins))
                for work in (
                    parts.uploader.tick(parts.windows, self._tick_seconds(), self._after_windows),
                    parts.uploader.keep_journal(parts.windows),
                    parts.uploader.keep_spooling(),
                    parts.uploader.keep_uploading(),
                    updates.keep_refreshing(),
                    updates.keep_rereading(),
                    self._reports.keep_storing_table(),
                    self._reports.keep_measuring_lag(),
                    self._reports.keep_logging(),
                    self._end_in_time(),
                ):
                    tasks.create_task(work)
                if helix is not None:
                    tasks.create_task(_keep_validating(helix))

    def _tick_seconds(self) -> float:
        settings = self._parts.settings
        return max(0.02, settings.collection.window_seconds / settings.clock.rate / 4)

    def _after_windows(self) -> None:
        limit = self._parts.settings.collection.max_collection_cycles
        if limit and self._parts.windows.closed >= limit:
            self._stopping.ask(f"{limit} windows collected (collection.max_collection_cycles)")

    async def _end_in_time(self) -> None:
        if hours := self._parts.settings.collection.max_runtime_hours:
            await asyncio.sleep(hours * 3600)
            self._stopping.ask(f"{hours:g} hours have passed (collection.max_runtime_hours)")


async def _keep_validating(helix: Helix) -> None:
    while True:
        await asyncio.sleep(VALIDATE_SECONDS)
        await _validate(helix)


async def _validate(helix: Helix) -> None:
    try:
        await helix.validate()
    except CredentialsRefusedError:
        raise
    except HelixError as error:
        _log.warning("could not check the credentials: %s", error)


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


def _refuse_wrong_settings(settings: Settings) -> None:
    """Refuse mistakes in the channel and bot lists before anything starts.

    Raises:
        SettingsError: a list is unusable, or there are no channels.
    """
    needs_helix(settings.twitch, settings.collection)
    given_logins(settings.collection)
    known_bots(settings.collection)


def _open_lake(storage: StorageSettings) -> Lake:
    try:
        return Lake.open(storage)
    except OSError as error:
        raise SettingsError(f"storage.dir (LAKE_DIR): {storage.dir}: {error.strerror}") from None
