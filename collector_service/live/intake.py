"""The intake: from chat lines to counts in the windows, without second copies and opted-out viewers."""

from __future__ import annotations

from collections.abc import Sequence

from collector_service.contract import LOGIN
from collector_service.live.viewer_keys import NO_KEY, ViewerKeys
from collector_service.live.windows import Windows
from collector_service.metrics import Stats
from collector_service.privacy.opt_outs import OptOuts
from collector_service.twitch.irc import MESSAGE, MIRRORED, Chat

_REMEMBERED_IDS = 50_000


class Duplicates:
    """Message ids of the channels that two connections read at once, for as long as they may.

    In all other channels a line arrives once, so nothing is remembered.
    """

    def __init__(self) -> None:
        self._seen: dict[int, dict[bytes, None]] = {}
        self._until: dict[int, float] = {}

    def watch(self, channel_id: int, until: float) -> None:
        """Remember the channel's ids until ``until`` (by any clock, always the same)."""
        self._seen.setdefault(channel_id, {})
        self._until[channel_id] = until

    def expire(self, now: float) -> None:
        """Forget the ids of channels whose time is over."""
        for channel_id in [channel_id for channel_id, end in self._until.items() if end <= now]:
            del self._seen[channel_id], self._until[channel_id]

    def __bool__(self) -> bool:
        return bool(self._seen)

    def is_second(self, channel_id: int, message_id: bytes) -> bool:
        """Whether this id was already given for this channel."""
        seen = self._seen.get(channel_id)
        if seen is None or not message_id:
            return False
        if message_id in seen:
            return True
        seen[message_id] = None
        if len(seen) > _REMEMBERED_IDS:
            del seen[next(iter(seen))]
        return False


class Intake:
    """Counts chat lines into the windows."""

    def __init__(self, windows: Windows, viewers: ViewerKeys, stats: Stats) -> None:
        self._windows = windows
        self._viewers = viewers
        self._stats = stats
        self._opted_out_ids: frozenset[int] = frozenset()
        self._opted_out_logins: frozenset[str] = frozenset()
        self.duplicates = Duplicates()

    def obey(self, opt_outs: OptOuts) -> None:
        """Count nothing of these viewers and channels.

        Earlier counts stay in the open windows until they are uploaded (``spool``). A shared-chat copy has
        no viewer id, so it adds to ``mirrored_messages`` for opted-out viewers, too.
        """
        self._viewers.obey(opt_outs.viewer_keys)
        self._opted_out_logins = opt_outs.channels
        # A channel that has a tally is only looked up by its id.
        self._opted_out_ids = opt_outs.channel_ids | {
            channel_id
            for share in self._windows.open_shares
            for channel_id, tally in share.tallies.items()
            if tally.login in opt_outs.channels
        }

    def chats(self, chats: Sequence[Chat]) -> None:
        """Count lines that have just arrived."""
        now = self._windows.now()
        share_at = self._windows.share_at
        key_of = self._viewers.key
        bots = self._viewers.bots
        duplicates = self.duplicates
        opted_out_ids = self._opted_out_ids
        messages = presences = mirrored = opted_out = 0
        for chat in chats:
            channel_id = int(chat.room_id)
            if opted_out_ids and channel_id in opted_out_ids:
                opted_out += 1
                continue
            if duplicates and duplicates.is_second(channel_id, chat.message_id):
                self._stats.duplicates += 1
                continue
            kind = chat.kind
            key = key_of(chat) if kind != MIRRORED else 0
            if key == NO_KEY:
                opted_out += 1
                continue
            share = share_at(chat.sent_ms / 1000 if chat.sent_ms else now, now)
            if channel_id not in share.tallies:
                login = chat.channel.decode("ascii", "replace")
                if not LOGIN.fullmatch(login):
                    self._stats.parse_errors["bad_channel"] += 1
                    continue
                if login in self._opted_out_logins:
                    opted_out += 1
                    continue
                share.tally(channel_id, login)
            if kind == MIRRORED:
                mirrored += 1
                share.count(channel_id, MIRRORED, 0, False)
                continue
            if kind == MESSAGE:
                messages += 1
            else:
                presences += 1
            share.count(channel_id, kind, key, chat.bot_badge or key in bots)
        self._stats.messages["PRIVMSG"] += messages + mirrored
        self._stats.messages["USERNOTICE"] += presences
        self._stats.mirrored += mirrored
        self._stats.opted_out += opted_out
