"""The spool: finished snapshot objects, until the lake has them.

Objects are kept on disk, or in memory when the disk refuses them, within a number of bytes, whole or not at
all, and reach the lake exactly once. ``windows`` has the content of an object; ``uploader`` decides when to
try again.

An object is known by its window, its collector and its part number, which every record has. So an object
that is in the lake already is found there, even if the copy here has less by now: thinned, or read back
from a journal that had not everything.

A file that the disk can no longer read is moved aside (its name ends in ``.unreadable``): people have to
look at it, and it must not hold up the others.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
import math
import re
import threading
import time
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from collector_service.clock import utc
from collector_service.contract import (
    BadRecordError,
    ChannelStatus,
    SnapshotRecord,
    decode_lines,
    encode_object,
    format_utc,
    live_key,
    parse_record,
)
from collector_service.lake import Lake
from collector_service.live.windows import WindowShare
from collector_service.privacy.opt_outs import NOBODY, OptOuts
from collector_service.privacy.redaction import object_without
from collector_service.support.durable_files import replace_file, sync_folder

SPOOL_BYTES = 2 * 1024**3
# Room in memory for six million (channel, viewer) pairs, several busy windows, in a fifth of the memory
# that the collector may have.
OVERFLOW_BYTES = 64 * 1024**2

_SUFFIX = ".ndjson.gz"
_UNREADABLE = ".unreadable"
# Error numbers for a file whose content is lost; any other error may pass.
_DAMAGE = {errno.EIO, errno.EBADMSG, errno.EUCLEAN}
_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(\d{8}T\d{6}Z)-([a-z0-9][a-z0-9_.]*)-(\d{6,})")
_MAX_PARTS = 10_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class ShareName:
    """Identifies a share within a state directory; its text is a file name and sorts by window."""

    window_start: int
    collector_id: str
    sequence: int

    def __str__(self) -> str:
        return f"{utc(self.window_start).strftime(_TIME)}-{self.collector_id}-{self.sequence:06d}"

    @classmethod
    def of(cls, share: WindowShare, collector_id: str) -> Self:
        """The name of a share of this collector."""
        return cls(share.start, collector_id, share.sequence)

    @classmethod
    def find(cls, folder: Path, suffix: str) -> Iterator[Self]:
        """The shares that have a file in ``folder``; other files there are not ours."""
        for path in folder.glob(f"*{suffix}"):
            if match := _NAME.fullmatch(path.name.removesuffix(suffix)):
                start = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
                yield cls(int(start.timestamp()), match[2], int(match[3]))


@dataclass(frozen=True)
class _Entry:
    """An object's bytes, and when it was added (Unix time of the machine)."""

    size: int
    added: float


class Spool(ABC):
    """Objects that wait for the lake, within a number of bytes. Any thread may call.

    To make room for a new object, the oldest are thinned (see `thin`), and only when all of them are thin,
    the oldest are removed. The newest object stays whole, even if it is larger than the room.

    Attributes:
        lake: the destination of the objects.
        losses: how many objects were ``thinned``, were ``removed`` after that, and were ``unreadable``.
            A loss here of an object that the lake has taken as a whole does not count.
    """

    def __init__(self, lake: Lake, max_bytes: int, place: str) -> None:
        self.lake = lake
        self.losses: Counter[str] = Counter()
        self._max_bytes = max_bytes
        self._place = place
        self._entries: dict[ShareName, _Entry] = {}
        self._bytes = 0
        self._thin: set[ShareName] = set()
        # Losses of the objects that are on their way to the lake.
        self._uploading: dict[ShareName, Counter[str]] = {}
        self._opt_outs = NOBODY
        self._not_counted_since = math.inf
        # Held while an object changes, never during a request to the lake.
        self._lock = threading.Lock()

    def obey(self, opt_outs: OptOuts, since: float = math.inf) -> None:
        """Upload nothing of these viewers and channels, even if it was counted before.

        Args:
            opt_outs: the viewers and channels.
            since: the world time after which they are not counted any more; objects of windows that began
                later are not searched.
        """
        # In this order: a thread may be uploading.
        self._not_counted_since = since
        self._opt_outs = opt_outs

    def add(self, name: ShareName, data: bytes) -> None:
        """Add an object, whole or not at all.

        Raises:
            OSError: the disk refuses; nothing was added.
        """
        with self._lock:
            self._make_room(self._max_bytes - len(data))
            self._keep(name, data, time.time())
            self._thin.discard(name)

    def names(self) -> list[ShareName]:
        """The objects, oldest window first."""
        return sorted(list(self._entries))  # noqa: C414  (a copy: other threads add and remove)

    def size(self) -> tuple[int, int, float]:
        """Objects, their bytes, and when the oldest was added (Unix time of the machine; 0 when empty)."""
        entries = list(self._entries.values())
        return len(entries), self._bytes, min((entry.added for entry in entries), default=0.0)

    def read(self, name: ShareName) -> bytes:
        """An object's bytes.

        Raises:
            FileNotFoundError: it is not here.
            OSError: the disk refuses.
        """
        with self._lock:
            return self._read(name)

    def remove(self, name: ShareName) -> None:
        """Remove an object, if it is here.

        Raises:
            OSError: the disk refuses.
        """
        with self._lock:
            self._forget(name)

    def upload(self, name: ShareName) -> str:
        """Bring an object into the lake and remove it from here.

        The object takes the first part number whose key is free. A key with the same share, and no less
        of it, has this very object, written by an attempt whose answer got lost or by a process that was
        killed before it could remove its copy.

        Returns:
            The object's key.
        """
        with self._lock:
            data = self._read(name)
            lost = self._uploading[name] = Counter()
        try:
            key = self._bring(name, self._permitted(name, data))
            with self._lock:
                lost.clear()
                self._forget(name)
        finally:
            with self._lock:
                self.losses.update(self._uploading.pop(name))
        return key

    def _permitted(self, name: ShareName, data: bytes) -> bytes:
        """An object without those who have opted out since its window began."""
        if self._opt_outs == NOBODY or name.window_start > self._not_counted_since:
            return data
        left = object_without(data, self._opt_outs)
        # Readers judge an object that cannot be read; an object without lines remains an object.
        return data if left.cut else left.data or encode_object([])

    def _bring(self, name: ShareName, data: bytes) -> str:
        for number in range(_MAX_PARTS):
            key = live_key(utc(name.window_start), name.collector_id, number)
            if self.lake.create(key, data) or _holds(self.lake.get(key), name, data):
                return key
        raise RuntimeError(f"all {_MAX_PARTS} part numbers of the window of {name} are taken")

    def _make_room(self, room: int) -> None:
        for step in (self._thin_out, self._drop):
            for name in self.names():
                if self._bytes <= room:
                    return
                step(name)

    def _thin_out(self, name: ShareName) -> None:
        if name in self._thin:
            return
        try:
            data = self._read(name)
        except OSError:
            return  # it can still be removed
        try:
            less = thin(data)
        except BadRecordError:
            less = data  # unreadable, so there is nothing to take out
        if less != data:
            self._keep(name, less, self._entries[name].added)
            self._lose(name, "thinned")
            _log.error("%s: dropped the viewers of the window of %s", self._full(), _window(name))
        self._thin.add(name)

    def _drop(self, name: ShareName) -> None:
        self._forget(name)
        self._lose(name, "removed")
        _log.error("%s: removed the window that began at %s", self._full(), _window(name))

    def _lose(self, name: ShareName, how: str) -> None:
        self._uploading.get(name, self.losses)[how] += 1

    def _full(self) -> str:
        return f"no room for the next window in {self._place} ({self._max_bytes} bytes)"

    def _keep(self, name: ShareName, data: bytes, added: float) -> None:
        self._store(name, data, added)
        self._note(name, _Entry(len(data), added))

    def _note(self, name: ShareName, entry: _Entry | None) -> None:
        """Record the object that now has this name, or that it has none."""
        old = self._entries.pop(name, None)
        self._bytes -= old.size if old else 0
        if entry:
            self._entries[name] = entry
            self._bytes += entry.size
        else:
            self._thin.discard(name)

    def _read(self, name: ShareName) -> bytes:
        try:
            return self._load(name)
        except FileNotFoundError:
            self._note(name, None)
            raise

    def _forget(self, name: ShareName) -> None:
        self._delete(name)
        self._note(name, None)

    @abstractmethod
    def _store(self, name: ShareName, data: bytes, added: float) -> None:
        """Write or replace an object, whole or not at all."""

    @abstractmethod
    def _load(self, name: ShareName) -> bytes:
        """An object's bytes; FileNotFoundError without one."""

    @abstractmethod
    def _delete(self, name: ShareName) -> None:
        """Remove an object, if there is one."""


class DiskSpool(Spool):
    """The objects on disk, in a folder of this process alone. `names` and `size` never block."""

    def __init__(self, folder: Path, lake: Lake, max_bytes: int = SPOOL_BYTES) -> None:
        super().__init__(lake, max_bytes, f"the spool {folder}")
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()
        for name in sorted(ShareName.find(folder, _SUFFIX)):
            stat = self._path(name).stat()
            self._note(name, _Entry(stat.st_size, stat.st_mtime))

    def _store(self, name: ShareName, data: bytes, added: float) -> None:
        replace_file(self._path(name), [data], added)

    def _load(self, name: ShareName) -> bytes:
        try:
            return self._path(name).read_bytes()
        except OSError as error:
            if error.errno in _DAMAGE:
                self._set_aside(name)
            raise

    def _set_aside(self, name: ShareName) -> None:
        path = self._path(name)
        aside = path.with_name(path.name + _UNREADABLE)
        path.rename(aside)
        self._note(name, None)
        self._lose(name, "unreadable")
        _log.error(
            "the disk cannot read the window of %s any more; moved to %s: rescue its content if "
            "possible, remove it, and check the disk", _window(name), aside,
        )  # fmt: skip
        sync_folder(self._folder)

    def _delete(self, name: ShareName) -> None:
        self._path(name).unlink(missing_ok=True)
        sync_folder(self._folder)

    def _path(self, name: ShareName) -> Path:
        return self._folder / f"{name}{_SUFFIX}"


class MemorySpool(Spool):
    """The objects that the disk has refused, in memory."""

    def __init__(self, lake: Lake, max_bytes: int = OVERFLOW_BYTES) -> None:
        super().__init__(lake, max_bytes, "memory")
        self._objects: dict[ShareName, bytes] = {}

    def _store(self, name: ShareName, data: bytes, added: float) -> None:  # noqa: ARG002  (kept by Spool)
        self._objects[name] = data

    def _load(self, name: ShareName) -> bytes:
        if name not in self._objects:
            raise FileNotFoundError(f"{name} is not in memory")
        return self._objects[name]

    def _delete(self, name: ShareName) -> None:
        self._objects.pop(name, None)


def thin(data: bytes) -> bytes:
    """An object without viewers, messages and coverage: the rest declares a gap.

    Records keep their channel and window and become ``dropped`` and partial. Records without
    any content to lose (channels that were never read) stay as they are, with their own reason.

    Raises:
        BadRecordError: the object cannot be read.
    """
    return encode_object(_thin_record(parse_record(line)) for line in decode_lines(data))


def thin_share(share: WindowShare) -> None:
    """Thin a closed share in memory, as `thin` thins its object.

    The journal must not be given the share any more: it would watch on where nothing was counted.
    """
    statuses = dict(share.statuses)
    for channel_id, tally in share.tallies.items():
        if tally.viewers or tally.mirrored or tally.watched(share.start, min(share.until, share.end)):
            statuses[channel_id] = (tally.login, ChannelStatus.DROPPED)
    share.tallies, share.statuses, share.partial = {}, statuses, True
    share.events, share.coverage, share.new_channels = array("Q"), [], []


def _thin_record(record: SnapshotRecord) -> SnapshotRecord:
    if not (record.observed_seconds or record.viewer_keys or record.messages or record.mirrored_messages):
        return record
    return dataclasses.replace(
        record,
        observed_seconds=0.0,
        observed_intervals=[],
        partial=True,
        status=ChannelStatus.DROPPED,
        messages=0,
        mirrored_messages=0,
        viewer_keys=[],
        viewer_messages=[],
        known_bots=[],
    )


def _holds(there: bytes, name: ShareName, data: bytes) -> bool:
    """Whether an object in the lake is the share ``name`` with no less in it than ``data``."""
    return there == data or (
        _is_share(there, name.sequence) and (not _is_dropped(there) or _is_dropped(data))
    )


def _is_share(data: bytes, sequence: int) -> bool:
    """Whether an object is the share of that number; reads up to the first record that differs."""
    found = False
    try:
        for line in decode_lines(data):
            found = True
            if parse_record(line).part != sequence:
                return False
    except BadRecordError:
        return False
    return found


def _is_dropped(data: bytes) -> bool:
    """Whether an object was thinned."""
    try:
        return any(parse_record(line).status == ChannelStatus.DROPPED for line in decode_lines(data))
    except BadRecordError:
        return False


def _window(name: ShareName) -> str:
    return format_utc(utc(name.window_start))
