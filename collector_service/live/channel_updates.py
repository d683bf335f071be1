"""Changes while the collector runs: a new channel list and new opt-outs reach every part of it."""

from __future__ import annotations

import asyncio
import logging

from collector_service.live.channel_list import ChannelList, Listing
from collector_service.live.collector_parts import CollectorParts
from collector_service.live.reports import Reports
from collector_service.privacy.opt_outs import OptOuts
from collector_service.settings import SettingsError
from collector_service.twitch.helix import CredentialsRefusedError, HelixError

_log = logging.getLogger(__name__)


class ChannelUpdates:
    """Keeps the watched channels and the opt-outs up to date.

    Args:
        parts: the collector's parts.
        channel_list: the channel list.
        reports: shows the channels that are not watched.
    """

    def __init__(self, parts: CollectorParts, channel_list: ChannelList, reports: Reports) -> None:
        self._parts = parts
        self._channel_list = channel_list
        self._reports = reports

    def obey(self, opt_outs: OptOuts) -> None:
        """Put opt-outs in force, everywhere."""
        parts = self._parts
        parts.intake.obey(opt_outs)
        # Twitch's clock may be ahead of ours, so that the next window has begun already.
        since = parts.windows.now() + parts.settings.collection.window_seconds
        parts.uploader.obey(opt_outs, since)
        parts.pool.roster.obey(opt_outs.channel_ids)
        self._channel_list.obey(opt_outs)

    def apply(self, listing: Listing) -> None:
        """Watch these channels."""
        self._reports.set_unwatched(listing)
        self._parts.windows.describe(listing.stream_infos)
        self._parts.pool.want(listing.logins, listing.channel_ids)

    async def keep_refreshing(self) -> None:
        """Refresh the channel list again and again, until cancelled.

        Raises:
            CredentialsRefusedError: Twitch refuses the credentials.
        """
        while True:
            await asyncio.sleep(self._parts.refresh_seconds)
            try:
                await self._channel_list.refresh()
                listing = await self._channel_list.recheck(self._parts.pool.roster.doubtful())
            except CredentialsRefusedError:
                raise
            except (HelixError, SettingsError) as error:
                self._parts.stats.refresh_failures += 1
                _log.warning("channel list not refreshed, the last one stays: %s", error)
                listing = self._channel_list.listing()
            self.apply(listing)

    async def keep_rereading(self) -> None:
        """Read the lake's viewer key and opt-outs again and again, and when asked to, until cancelled.

        Raises:
            WrongKeyError: the lake's viewer key has changed.
        """
        parts = self._parts
        seconds = parts.settings.collection.opt_outs_seconds / parts.settings.clock.rate
        while True:
            await parts.opt_outs.asked_within(seconds)
            await parts.key_watch.again()
            if await parts.opt_outs.refresh():
                self.obey(parts.opt_outs.current)
                self.apply(self._channel_list.listing())
