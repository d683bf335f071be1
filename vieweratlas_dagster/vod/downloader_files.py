"""Bringing TwitchDownloaderCLI's chat files into the lake.

Belongs here: from files, on this machine or in the lake, to raw VOD objects. Does not belong here: the
files' format (``collector_service.twitch.vod_json``) and the queue, which such VODs need not be in.
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
class ImportReport:
    """What an import wrote.

    ``refused`` says for each file that was left out which and why; ``already_there`` names the files of
    whose VODs the lake has more.
    """

    files: int
    refused: tuple[str, ...]
    already_there: tuple[str, ...]
    comments: int
    viewers: int
    null_commenters: int
    mirrored: int
    left_out: int
    outside: int
    objects: int
    days: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    name: str
    open: Callable[[], AbstractContextManager[ChatJson]]


def import_vod_json(
    places: Iterable[str],
    lake: Lake,
    *,
    secret: str,
    window_seconds: int,
    first_day: date,
    now: datetime,
    bots: Collection[str] = frozenset(),
    opt_outs: OptOuts = NOBODY,
    progress: Callable[[str], None] | None = None,
) -> ImportReport:
    """Write the presence in chat files to the lake's raw VOD objects.

    A file is written as a whole or, when anything in it is wrong, not at all. Importing it again changes
    nothing, and a file of a part never takes the place of more.

    Args:
        places: files, plain or gzipped; a folder, or ``lake:`` and a prefix in the lake, stands for all its
            ``*.json`` and ``*.json.gz``.
        lake: for raw objects.
        secret: the key behind viewer keys.
        window_seconds: length of a window.
        first_day: chat from before it is refused, since no day is made for it; so is chat from days that
            were counted with an earlier viewer key.
        now: aware, UTC; chat from after it is refused.
        bots: logins to mark as known bots.
        opt_outs: viewers and channels that are left out.
        progress: called with each file's name before it is read.

    Raises:
        ChatJsonError: a folder or prefix has no such file; nothing was written.
        WrongKeyError: ``secret`` is not the lake's.
    """
    counts: Counter[str] = Counter()
    refused: list[str] = []
    already_there: list[str] = []
    keys: set[str] = set()
    first_of_key = counting_since(lake, secret)
    # All places are looked at first: a wrong one is told before anything is written.
    for source in list(_sources(places, lake)):
        if progress:
            progress(source.name)
        try:
            with source.open() as chat:
                _refuse_left_out(chat, opt_outs, source.name)
                _refuse_other_days(chat, first_day, now, source.name)
                if first_of_key is not None:
                    _refuse_before_key(chat, first_of_key, source.name)
                stored = stored_chat(lake, chat.vod)
                windows = VodWindows(
                    chat.vod,
                    window_seconds=window_seconds,
                    secret=secret,
                    bots=bots,
                    left_out=opt_outs.viewer_keys,
                )
                for comment in chat.comments:
                    windows.add(comment)
        except ChatJsonError as error:
            refused.append(str(error))
            continue
        if stored.covered and not stored.is_within(*chat.covered):
            if stored.covers(*chat.covered):
                already_there.append(source.name)
            else:
                (first, last), (since, until) = chat.covered, stored.covered
                refused.append(
                    f"{source.name}: it has seconds {first:g} to {last:g} of VOD {chat.vod.vod_id}, the "
                    f"lake {since:g} to {until:g}; parts cannot be put together: download the whole chat"
                )
            continue
        counts["files"] += 1
        for name in ("comments", "viewers", "null_commenters", "mirrored", "left_out", "outside"):
            counts[name] += getattr(windows, name)
        records = windows.records(chat.covered)
        keys.update(write_chat(lake, chat.vod.vod_id, records, secret=secret, opt_outs=opt_outs).keys)
    return ImportReport(
        files=counts["files"],
        refused=tuple(refused),
        already_there=tuple(already_there),
        comments=counts["comments"],
        viewers=counts["viewers"],
        null_commenters=counts["null_commenters"],
        mirrored=counts["mirrored"],
        left_out=counts["left_out"],
        outside=counts["outside"],
        objects=len(keys),
        days=tuple(sorted({key.split("/date=")[1][:10] for key in keys})),
    )


def _refuse_left_out(chat: ChatJson, opt_outs: OptOuts, name: str) -> None:
    if opt_outs.has_channel(chat.vod.channel, chat.vod.channel_id):
        raise ChatJsonError(f"{name}: its channel has asked to be left out")


def _refuse_before_key(chat: ChatJson, since: date, name: str) -> None:
    first = chat.vod.created_at + timedelta(seconds=chat.covered[0])
    if first.date() < since:
        raise ChatJsonError(
            f"{name}: it begins on {first:%Y-%m-%d}, when viewers were counted with an earlier viewer key; "
            f"only chat from {since} on can be imported"
        )


def _refuse_other_days(chat: ChatJson, first_day: date, now: datetime, name: str) -> None:
    first, last = (chat.vod.created_at + timedelta(seconds=seconds) for seconds in chat.covered)
    if first.date() < first_day:
        raise ChatJsonError(
            f"{name}: it begins on {first:%Y-%m-%d}, before {first_day} (analysis.first_day)"
        )
    if last > now:
        raise ChatJsonError(
            f"{name}: it ends at {last:%Y-%m-%d %H:%M} UTC, which is still to come; is this clock right?"
        )


def _sources(places: Iterable[str], lake: Lake) -> Iterator[_Source]:
    """The files that the places stand for.

    Raises:
        ChatJsonError: a folder or prefix has none, or the prefix is empty.
    """
    for place in places:
        if place.startswith(LAKE_SCHEME):
            prefix = place.removeprefix(LAKE_SCHEME).strip("/")
            if not prefix:
                raise ChatJsonError(
                    f"{place!r} is the whole lake, most of which is no chat; name a prefix of the lake, "
                    f"such as {LAKE_SCHEME}imports/chats"
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
            raise ChatJsonError(
                f"{place}: there is no {' and no '.join(f'*{end}' for end in _SUFFIXES)} in it"
            )
        yield from sources


@contextmanager
def _open_object(lake: Lake, key: str) -> Iterator[ChatJson]:
    with lake.reader(key) as stream:
        yield read_chat_json(stream, lake.address(key))
