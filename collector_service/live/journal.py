"""The journal: the content of the open shares on disk, so that a killed collector loses seconds at most.

This module writes the journal's files and reads them back at the next start. Finished objects are in
``spool``; ``uploader`` decides when to write.

One file per share, one frame per flush: ``length, CRC-32`` of the payload and the payload. The payload is
the length of its JSON, the JSON, and numbers. A frame usually states the gain of a share: the JSON has the
time, new channels, coverage and the quiet channels, the numbers are pairs of an event's code and its
viewer key. The first frames may also state whole channels: then the numbers are each channel's viewer
keys, their messages, and its bots. Numbers are little-endian uint64. A file is read up to its first frame
that is damaged, or that a different version wrote and this one cannot use: the frames behind it cannot be
trusted. Viewers appear as keys only.

Frames that a disk refuses are kept for later, within a number of bytes. Beyond that they are dropped, and
their files are replaced by whole shares as soon as the disk takes them; until then the files stay as they
are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import struct
import sys
import zlib
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collector_service.contract import BadRecordError, parse_utc
from collector_service.live.spool import ShareName
from collector_service.live.windows import StreamInfo, WindowShare
from collector_service.support.durable_files import replace_file, sync_folder, write_all
from collector_service.support.limits import read_json

# Ten minutes at 3,000 messages/s.
BACKLOG_BYTES = 32 * 1024**2

# In a frame's JSON: some five of each channel.
_MAX_ELEMENTS = 1_000_000

# Channels in one frame of a whole share: few enough that a disk which refuses has refused soon.
_CHANNELS_PER_FRAME = 100

_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_SUFFIX = ".journal"
# Errors from a sound frame that a different version wrote, or that refers to channels without a name
# because the file's beginning is missing.
_USELESS = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


@dataclass(frozen=True)
class Flush:
    """The gain of a share since its last flush: bytes for the end of its file."""

    path: Path
    data: bytes


@dataclass(frozen=True)
class Whole:
    """The content of a share, for a new file. A copy and not bytes, since those take long to make.

    ``channels`` has the values that `_restore` reads, and each channel's viewers, messages and bots.
    """

    path: Path
    now: float
    seconds: int
    quiet: Mapping[int, float]
    channels: list[tuple[list[Any], list[int], list[int], list[int]]]


@dataclass(frozen=True)
class Recovered:
    """A share from a file (None without a usable frame), and the bytes behind the last good frame."""

    share: WindowShare | None
    name: ShareName
    lost_bytes: int


class Journal:
    """The journal's folder. Calls must not overlap; all but `take` may block on the disk.

    Args:
        folder: of this process alone; made when it is missing.
        collector_id: the collector whose shares are written.
        backlog_bytes: how many bytes of refused frames are kept.
    """

    def __init__(self, folder: Path, collector_id: str, backlog_bytes: int = BACKLOG_BYTES) -> None:
        self._folder = folder
        self._collector_id = collector_id
        self._backlog_bytes = backlog_bytes
        self._backlog: deque[Flush] = deque()
        self._unsynced: set[Path] = set()
        self._outdated: set[Path] = set()
        self._discarded: set[Path] = set()
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()

    def take(
        self, shares: Iterable[WindowShare], now: float, quiet: Mapping[int, float] | None = None
    ) -> list[Flush | Whole]:
        """Take the gain of the shares, ready to be written.

        Args:
            shares: open shares, or shares that have just closed.
            now: the world's time up to which everything has arrived; a recovered share counts watching
                up to here.
            quiet: channels of which nothing was heard until then, by id, and when they were last heard: a
                recovered share counts watching them up to there, since their connection may have been dead.
        """
        return [self._take(share, min(now, share.until), quiet or {}) for share in shares]

    def write(self, flushes: Iterable[Flush | Whole]) -> None:
        """Bring the files up to date.

        Refused frames are written first the next time, or, if they are too many, with the whole of their
        share the next time it is taken.

        Raises:
            OSError: the disk refuses.
        """
        wholes: list[Whole] = []
        for flush in flushes:
            if isinstance(flush, Whole):
                wholes.append(flush)
            else:
                self._backlog.append(flush)
        try:
            while self._backlog:
                self._append(self._backlog[0])
                self._backlog.popleft()
        except OSError:
            self._bound_backlog()
            raise
        for whole in wholes:
            replace_file(whole.path, _frames(whole))
            self._outdated.discard(whole.path)
        self._remove_discarded()

    def sync(self) -> None:
        """Make everything written so far survive a power failure.

        Raises:
            OSError: the disk refuses.
        """
        while self._unsynced:
            path = next(iter(self._unsynced))
            with path.open("rb") as file:
                os.fsync(file.fileno())
            self._unsynced.discard(path)
        sync_folder(self._folder)

    def discard(self, name: ShareName) -> None:
        """Remove the file of a share that is safe elsewhere: at once, or with the next write."""
        path = self._path(name)
        self._backlog = deque(flush for flush in self._backlog if flush.path != path)
        self._unsynced.discard(path)
        self._outdated.discard(path)
        self._discarded.add(path)
        with contextlib.suppress(OSError):
            self._remove_discarded()

    def recover(self) -> Iterator[Recovered]:
        """Read back the shares in the folder, oldest window first.

        Files without a complete frame are removed. Files whose frames cannot be used yield no share, only
        the number of bytes lost.
        """
        for name in self.names():
            found = _read(self._path(name), name)
            if found is None:
                self.discard(name)
            else:
                yield found

    def names(self) -> list[ShareName]:
        """The shares that have a file, oldest window first."""
        return sorted(ShareName.find(self._folder, _SUFFIX))

    def _path(self, name: ShareName) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    def _take(self, share: WindowShare, now: float, quiet: Mapping[int, float]) -> Flush | Whole:
        path = self._path(ShareName.of(share, self._collector_id))
        if path not in self._outdated:
            return Flush(path, _gain(share, now, quiet))
        # The whole of the share includes its gain.
        share.new_channels, share.coverage, share.events = [], [], array("Q")
        return _whole(path, share, now, quiet)

    def _bound_backlog(self) -> None:
        if sum(len(flush.data) for flush in self._backlog) > self._backlog_bytes:
            self._outdated.update(flush.path for flush in self._backlog)
            self._backlog.clear()

    def _append(self, flush: Flush) -> None:
        # Unbuffered: a buffer would write the refused bytes once more when the file is closed.
        with flush.path.open("ab", buffering=0) as file:
            end = os.fstat(file.fileno()).st_size
            try:
                write_all(file, flush.data)
            except OSError:
                try:
                    os.ftruncate(file.fileno(), end)
                except OSError:  # the torn frame stays, and frames behind it could not be read
                    self._outdated.add(flush.path)
                raise
        self._unsynced.add(flush.path)

    def _remove_discarded(self) -> None:
        if self._discarded:
            for path in self._discarded:
                path.unlink(missing_ok=True)
            sync_folder(self._folder)
            self._discarded.clear()


def _gain(share: WindowShare, now: float, quiet: Mapping[int, float]) -> bytes:
    channels, share.new_channels = share.new_channels, []
    coverage, share.coverage = share.coverage, []
    events, share.events = share.events, array("Q")
    infos = (
        (channel_id, share.tallies[channel_id].login, share.stream_infos.get(channel_id))
        for channel_id in channels
    )
    state = {
        "now": now,
        "window_seconds": share.seconds,
        "rooms": [[channel_id, login, _info_to_json(info)] for channel_id, login, info in infos],
        "coverage": coverage,
        "quiet": [item for item in quiet.items() if item[0] in share.tallies],
    }
    return _frame(state, events)


def _whole(path: Path, share: WindowShare, now: float, quiet: Mapping[int, float]) -> Whole:
    infos = share.stream_infos
    channels = [
        (
            [
                channel_id,
                tally.login,
                infos.get(channel_id),
                tally.mirrored,
                list(tally.stretches),
                tally.since,
            ],
            list(tally.viewers),
            list(tally.viewers.values()),
            list(tally.bots),
        )
        for channel_id, tally in share.tallies.items()
    ]
    return Whole(path, now, share.seconds, quiet, channels)


def _frames(whole: Whole) -> Iterator[bytes]:
    for begin in range(0, len(whole.channels) or 1, _CHANNELS_PER_FRAME):
        rows = []
        numbers = array("Q")
        for (channel_id, login, info, *state), *columns in whole.channels[
            begin : begin + _CHANNELS_PER_FRAME
        ]:
            viewers, _, bots = columns
            rows.append([channel_id, login, _info_to_json(info), *state, len(viewers), len(bots)])
            for column in columns:
                numbers.extend(column)
        frame = {
            "now": whole.now,
            "window_seconds": whole.seconds,
            "channels": rows,
            "quiet": list(whole.quiet.items()),
        }
        yield _frame(frame, numbers)


def _frame(state: dict[str, Any], numbers: array[int]) -> bytes:
    text = json.dumps(state, separators=(",", ":")).encode()
    if sys.byteorder == "big":
        numbers.byteswap()
    payload = _LENGTH.pack(len(text)) + text + numbers.tobytes()
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _read(path: Path, name: ShareName) -> Recovered | None:
    data = path.read_bytes()
    payloads = list(_payloads(data))
    if not payloads:
        return None
    share, good = _replay(name, payloads)
    if good < len(payloads):
        share, _ = _replay(name, payloads[:good])  # without the useless frame's partial changes
    used = sum(_FRAME.size + len(payload) for payload in payloads[:good])
    return Recovered(share, name, len(data) - used)


def _replay(name: ShareName, payloads: Iterable[bytes]) -> tuple[WindowShare | None, int]:
    """The share up to the first frame that cannot be used, and how many frames come before that."""
    share: WindowShare | None = None
    infos: dict[int, StreamInfo] = {}
    quiet: list[tuple[int, float]] = []
    good = 0
    for payload in payloads:
        try:
            state, numbers = _unpack(payload)
            if share is None:
                share = WindowShare(name.window_start, state["window_seconds"], name.sequence, partial=True)
                share.stream_infos = infos
            _apply(share, infos, state, numbers)
            share.until = min(float(share.end), state["now"])
            quiet = [(int(channel_id), float(heard)) for channel_id, heard in state["quiet"]]
        except _USELESS:
            return share, good
        good += 1
    if share is not None:
        for channel_id, heard in quiet:
            share.left(channel_id, heard)
    return share, good


def _unpack(payload: bytes) -> tuple[dict[str, Any], array[int]]:
    (length,) = _LENGTH.unpack_from(payload)
    state = read_json(payload[_LENGTH.size : _LENGTH.size + length], _MAX_ELEMENTS)
    numbers = array("Q", payload[_LENGTH.size + length :])
    if sys.byteorder == "big":
        numbers.byteswap()
    return state, numbers


def _payloads(data: bytes) -> Iterator[bytes]:
    position = 0
    while position + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, position)
        position += _FRAME.size
        payload = data[position : position + length]
        if len(payload) < length or zlib.crc32(payload) != checksum or length < _LENGTH.size:
            return
        yield payload
        position += length


def _apply(
    share: WindowShare, infos: dict[int, StreamInfo], state: dict[str, Any], numbers: array[int]
) -> None:
    if "channels" in state:
        _restore(share, infos, state["channels"], numbers)
        return
    for channel_id, login, info in state["rooms"]:
        share.tally(channel_id, login)
        if info is not None:
            infos[channel_id] = _info_from_json(info)
    for channel_id, instant, joined in state["coverage"]:
        if joined:
            share.joined(channel_id, share.tallies[channel_id].login, instant)
        else:
            share.left(channel_id, instant)
    share.count_again(numbers)


def _restore(
    share: WindowShare, infos: dict[int, StreamInfo], channels: Iterable[list[Any]], numbers: array[int]
) -> None:
    position = 0
    for channel_id, login, info, mirrored, stretches, since, viewers, bots in channels:
        tally = share.tally(channel_id, login)
        if info is not None:
            infos[channel_id] = _info_from_json(info)
        ends = [position + viewers, position + 2 * viewers, position + 2 * viewers + bots]
        counts = numbers[ends[0] : ends[1]]
        tally.viewers = dict(zip(numbers[position : ends[0]], counts, strict=True))
        tally.bots = set(numbers[ends[1] : ends[2]])
        tally.messages = sum(counts)
        tally.mirrored = mirrored
        tally.stretches = [(begin, end) for begin, end in stretches]
        tally.since = since
        position = ends[2]


def _info_to_json(info: StreamInfo | None) -> dict[str, Any] | None:
    if info is None:
        return None
    started_at = info.started_at.isoformat() if info.started_at else None
    return dataclasses.asdict(info) | {"started_at": started_at}


def _info_from_json(info: dict[str, Any]) -> StreamInfo:
    try:
        started_at = parse_utc(info["started_at"], "started_at")
    except BadRecordError:
        started_at = None
    return StreamInfo(**(info | {"started_at": started_at}))
