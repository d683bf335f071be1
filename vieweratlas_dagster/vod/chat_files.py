"""Bringing TwitchDownloaderCLI's chat files into the lake.

Belongs here: from files to raw VOD objects. Does not belong here: the files' format
(``collector_service.twitch.vod_json``) and the queue, which such VODs need not be in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from collector_service.lake import Lake
from collector_service.twitch.vod_json import ChatJsonError, open_chat_json
from collector_service.vod_windows import VodWindows, vod_objects


@dataclass(frozen=True)
class ImportReport:
    """What an import wrote. ``refused`` says for each file that was left out which and why."""

    files: int
    refused: tuple[str, ...]
    comments: int
    viewers: int
    null_commenters: int
    outside: int
    objects: int
    days: tuple[str, ...]


def import_vod_json(
    paths: Iterable[Path],
    lake: Lake,
    *,
    secret: str,
    window_seconds: int,
    bots: Collection[str] = frozenset(),
    progress: Callable[[Path], None] | None = None,
) -> ImportReport:
    """Write the presence in chat files to the lake's raw VOD objects.

    A file is written as a whole or, when anything in it is wrong, not at all. Importing it again
    changes nothing.

    Args:
        paths: files, plain or gzipped; a folder stands for all its ``*.json`` and ``*.json.gz``.
        lake: for raw objects.
        secret: the key behind viewer keys.
        window_seconds: length of a window.
        bots: logins to mark as known bots.
        progress: called after each file.
    """
    counts: Counter[str] = Counter()
    refused: list[str] = []
    keys: set[str] = set()
    for path in _files(paths):
        try:
            with open_chat_json(path) as chat:
                windows = VodWindows(chat.vod, window_seconds=window_seconds, secret=secret, bots=bots)
                for comment in chat.comments:
                    windows.add(comment)
        except ChatJsonError as error:
            refused.append(str(error))
        else:
            counts["files"] += 1
            for name in ("comments", "viewers", "null_commenters", "outside"):
                counts[name] += getattr(windows, name)
            for key, data in vod_objects(chat.vod.vod_id, windows.records(chat.covered)).items():
                lake.put(key, data)
                keys.add(key)
        if progress:
            progress(path)
    return ImportReport(
        files=counts["files"],
        refused=tuple(refused),
        comments=counts["comments"],
        viewers=counts["viewers"],
        null_commenters=counts["null_commenters"],
        outside=counts["outside"],
        objects=len(keys),
        days=tuple(sorted({key.split("/date=")[1][:10] for key in keys})),
    )


def _files(paths: Iterable[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted([*path.rglob("*.json"), *path.rglob("*.json.gz")])
        else:
            files.append(path)
    return files
