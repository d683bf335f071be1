"""Import of TwitchDownloaderCLI's chat files, from this machine or from the lake, as raw VOD objects.

Such VODs need not be in the queue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

from collector_service.lake import Lake
from collector_service.privacy.opt_outs import NOBODY, OptOuts
from collector_service.privacy.populations import counting_since
from collector_service.twitch.vod_json import ChatJson, ChatJsonError, open_chat_json, read_chat_json
from collector_service.twitch.vod_records import VodWindows
from vieweratlas_dagster.vod.raw_objects import stored_chat, write_chat

LAKE_SCHEME = "lake:"
_SUFFIXES = (".json", ".json.gz")


@dataclass(frozen=True)
class ImportedChats:
    """The figures of an import.

    Attributes:
        files: files that were written.
        refused: one message for each file that was not, with its name and the reason.
        already_there: files whose VODs the lake has in full or in larger part.
        comments: comments counted.
        viewers: distinct viewers of each VOD, summed over VODs.
        null_commenters: comments of deleted accounts.
        mirrored: comments of other channels in a shared chat.
        opted_out: comments of viewers who have opted out.
        outside: comments outside the VOD's length.
        objects: raw objects written.
        days: the days of these objects, YYYY-MM-DD.
    """

    files: int
    refused: tuple[str, ...]
    already_there: tuple[str, ...]
    comments: int
    viewers: int
    null_commenters: int
    mirrored: int
    opted_out: int
    outside: int
    objects: int
    days: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    name: str
    open: Callable[[], AbstractContextManager[ChatJson]]


class ChatImport:
    """Writes the presence in chat files to the lake's raw VOD objects.

    A file is written whole, or not at all if anything in it is wrong. Importing it again changes nothing,
    and a part of a chat never replaces a larger one.

    Args:
        lake: for raw objects.
        secret: the key behind viewer keys.
        window_seconds: length of a window.
        first_day: earlier chat is refused, because its days are never made; so is chat of days that were
            counted with an earlier viewer key.
        now: aware, UTC; later chat is refused.
        bots: logins to mark as known bots.
        opt_outs: viewers and channels that have opted out.

    Raises:
        WrongKeyError: ``secret`` is not the lake's.
    """

    def __init__(
        self,
        lake: Lake,
        *,
        secret: str,
        window_seconds: int,
        first_day: date,
        now: datetime,
        bots: Collection[str] = frozenset(),
        opt_outs: OptOuts = NOBODY,
    ) -> None:
        self._lake = lake
        self._secret = secret
        self._window_seconds = window_seconds
        self._first_day = first_day
        self._now = now
        self._bots = bots
        self._opt_outs = opt_outs
        self._first_of_key = counting_since(lake, secret)
        self._counts: Counter[str] = Counter()
        self._keys: set[str] = set()

    def run(self, places: Iterable[str], progress: Callable[[str], None] = lambda _: None) -> ImportedChats:
        """Import all files.

        Args:
            places: files, plain or gzipped; a folder, or ``lake:`` and a prefix in the lake, stands for all
                its ``*.json`` and ``*.json.gz``.
            progress: called with each file's name before it is read.

        Raises:
            ChatJsonError: a folder or prefix without such files; nothing was written.
        """
        refused: list[str] = []
        already_there: list[str] = []
        # List all places first, so that a wrong one is reported before anything is written.
        for source in list(_sources(places, self._lake)):
            progress(source.name)
            try:
                if not self._import(source):
                    already_there.append(source.name)
            except ChatJsonError as error:
                refused.append(str(error))
        counts = self._counts
        return ImportedChats(
            files=counts["files"],
            refused=tuple(refused),
            already_there=tuple(already_there),
            comments=counts["comments"],
            viewers=counts["viewers"],
            null_commenters=counts["null_commenters"],
            mirrored=counts["mirrored"],
            opted_out=counts["opted_out"],
            outside=counts["outside"],
            objects=len(self._keys),
            days=tuple(sorted({key.split("/date=")[1][:10] for key in self._keys})),
        )

    def _import(self, source: _Source) -> bool:
        """Write one file; False when the lake has as much of its VOD already.

        Raises:
            ChatJsonError: the file cannot be imported.
        """
        with source.open() as chat:
            self._check(chat, source.name)
            stored = stored_chat(self._lake, chat.vod)
            windows = VodWindows(
                chat.vod,
                window_seconds=self._window_seconds,
                secret=self._secret,
                bots=self._bots,
                opted_out=self._opt_outs.viewer_keys,
            )
            for comment in chat.comments:
                windows.add(comment)
        if stored.covered and not stored.is_within(*chat.covered):
            if stored.covers(*chat.covered):
                return False
            (first, last), (since, until) = chat.covered, stored.covered
            raise ChatJsonError(
                f"{source.name}: it has seconds {first:g} to {last:g} of VOD {chat.vod.vod_id}, the lake "
                f"{since:g} to {until:g}; parts cannot be joined: download the whole chat"
            )
        self._counts["files"] += 1
        for name in ("comments", "viewers", "null_commenters", "mirrored", "opted_out", "outside"):
            self._counts[name] += getattr(windows, name)
        records = windows.records(chat.covered)
        written = write_chat(
            self._lake, chat.vod.vod_id, records, secret=self._secret, opt_outs=self._opt_outs
        )
        self._keys.update(written.keys)
        return True

    def _check(self, chat: ChatJson, name: str) -> None:
        """Refuse a channel that has opted out, and days that must not get this chat."""
        if self._opt_outs.has_channel(chat.vod.channel, chat.vod.channel_id):
            raise ChatJsonError(f"{name}: its channel has opted out")
        first, last = (chat.vod.created_at + timedelta(seconds=seconds) for seconds in chat.covered)
        if first.date() < self._first_day:
            raise ChatJsonError(
                f"{name}: it begins on {first:%Y-%m-%d}, before {self._first_day} (analysis.first_day)"
            )
        if last > self._now:
            raise ChatJsonError(
                f"{name}: it ends at {last:%Y-%m-%d %H:%M} UTC, in the future; check this machine's clock"
            )
        if self._first_of_key is not None and first.date() < self._first_of_key:
            raise ChatJsonError(
                f"{name}: it begins on {first:%Y-%m-%d}, when viewers were counted with an earlier viewer "
                f"key; only chat since {self._first_of_key} can be imported"
            )


def _sources(places: Iterable[str], lake: Lake) -> Iterator[_Source]:
    """The files at the given places.

    Raises:
        ChatJsonError: a folder or prefix has none, or the prefix is empty.
    """
    for place in places:
        if place.startswith(LAKE_SCHEME):
            prefix = place.removeprefix(LAKE_SCHEME).strip("/")
            if not prefix:
                raise ChatJsonError(
                    f"{place!r} is the whole lake; name the prefix of the chat files, such as "
                    f"{LAKE_SCHEME}imports/chats"
                )
            found = [info.key for info in lake.objects(f"{prefix}/") if info.key.endswith(_SUFFIXES)]
            if lake.exists(prefix):
                found = [prefix]
            sources = [_Source(lake.address(key), partial(_open_object, lake, key)) for key in found]
        else:
            path = Path(place)
            files = [path]
            if path.is_dir():
                files = sorted(file for file in path.rglob("*") if file.name.endswith(_SUFFIXES))
            sources = [_Source(str(file), partial(open_chat_json, file)) for file in files]
        if not sources:
            raise ChatJsonError(f"{place}: contains neither {' nor '.join(f'*{end}' for end in _SUFFIXES)}")
        yield from sources


@contextmanager
def _open_object(lake: Lake, key: str) -> Iterator[ChatJson]:
    with lake.reader(key) as stream:
        yield read_chat_json(stream, lake.address(key))
