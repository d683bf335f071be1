"""The journal: what the open parts hold, on disk, so that a killed collector loses seconds at most.

Belongs here: writing the journal's files, and reading them back at the next start. Does not belong
here: finished objects (``spool``) and when to write (``archive``).

One append-only file per part, one frame per flush: ``length, CRC-32`` of the payload and the payload. The
payload is the length of its JSON, the JSON (time, channels, coverage), and pairs of uint64: an event's
code and its viewer key. Numbers are little-endian. A file is read up to its first damaged frame, for
nothing behind a torn write can be trusted. Viewers appear as keys only.
"""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collector_service.contract import BadRecordError, parse_utc
from collector_service.spool import PartName, sync_folder
from collector_service.windows import Part, StreamInfo

_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_SUFFIX = ".journal"


@dataclass(frozen=True)
class Flush:
    """What a part gained since its last flush: bytes for the end of its file."""

    path: Path
    data: bytes


@dataclass(frozen=True)
class Recovered:
    """A part read back from a file, and the bytes behind its last good frame."""

    part: Part
    name: PartName
    lost_bytes: int


class Journal:
    """The journal's folder. Calls must not overlap; all but `take` may block on the disk."""

    def __init__(self, folder: Path, collector_id: str) -> None:
        self._folder = folder
        self._collector_id = collector_id
        self._backlog: list[Flush] = []
        self._unsynced: set[Path] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, parts: Iterable[Part], now: float) -> list[Flush]:
        """Take what the parts gained, ready to be written.

        Args:
            parts: open parts, or parts that have just closed.
            now: the world's time; a recovered part counts watching up to here.
        """
        return [
            Flush(self._path(PartName.of(part, self._collector_id)), _frame(part, min(now, part.until)))
            for part in parts
        ]

    def write(self, flushes: Iterable[Flush]) -> None:
        """Append to the files. What a full disk refuses is kept and written first the next time.

        Raises:
            OSError: the disk refuses.
        """
        self._backlog.extend(flushes)
        while self._backlog:
            flush = self._backlog[0]
            # Unbuffered: a buffer would write what was refused once more when the file is closed.
            with flush.path.open("ab", buffering=0) as file:
                end = os.fstat(file.fileno()).st_size
                rest = memoryview(flush.data)
                try:
                    while rest:
                        rest = rest[file.write(rest) :]
                except OSError:
                    os.ftruncate(file.fileno(), end)
                    raise
            self._unsynced.add(flush.path)
            del self._backlog[0]

    def sync(self) -> None:
        """Make everything written so far survive a power failure."""
        while self._unsynced:
            path = next(iter(self._unsynced))
            with path.open("rb") as file:
                os.fsync(file.fileno())
            self._unsynced.discard(path)
        sync_folder(self._folder)

    def discard(self, name: PartName) -> None:
        """Remove a part's file, since the part is safe elsewhere."""
        path = self._path(name)
        self._backlog = [flush for flush in self._backlog if flush.path != path]
        self._unsynced.discard(path)
        path.unlink(missing_ok=True)
        sync_folder(self._folder)

    def recover(self) -> Iterator[Recovered]:
        """Read what an earlier process left behind, oldest window first.

        A file without one whole frame holds nothing and is removed.
        """
        for name in sorted(PartName.find(self._folder, _SUFFIX)):
            found = _read(self._path(name), name)
            if found is None:
                self.discard(name)
            else:
                yield found

    def _path(self, name: PartName) -> Path:
        return self._folder / f"{name}{_SUFFIX}"


def _frame(part: Part, now: float) -> bytes:
    rooms, part.new_rooms = part.new_rooms, []
    coverage, part.coverage = part.coverage, []
    events, part.events = part.events, array("Q")
    infos = ((room, part.tallies[room].login, part.stream_infos.get(room)) for room in rooms)
    state = json.dumps(
        {
            "now": now,
            "window_seconds": part.seconds,
            "rooms": [[room, login, _info_to_json(info)] for room, login, info in infos],
            "coverage": coverage,
        },
        separators=(",", ":"),
    ).encode()
    if sys.byteorder == "big":
        events.byteswap()
    payload = _LENGTH.pack(len(state)) + state + events.tobytes()
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _read(path: Path, name: PartName) -> Recovered | None:
    data = path.read_bytes()
    part: Part | None = None
    infos: dict[int, StreamInfo] = {}
    position = 0
    for payload in _payloads(data):
        (length,) = _LENGTH.unpack_from(payload)
        state = json.loads(payload[_LENGTH.size : _LENGTH.size + length])
        if part is None:
            part = Part(name.window_start, state["window_seconds"], name.sequence, partial=True)
            part.stream_infos = infos
        _replay(part, infos, state)
        events = array("Q", payload[_LENGTH.size + length :])
        if sys.byteorder == "big":
            events.byteswap()
        part.count_again(events)
        position += _FRAME.size + len(payload)
    return None if part is None else Recovered(part, name, len(data) - position)


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


def _replay(part: Part, infos: dict[int, StreamInfo], state: dict[str, Any]) -> None:
    for room, login, info in state["rooms"]:
        part.tally(room, login)
        if info is not None:
            infos[room] = _info_from_json(info)
    for room, instant, joined in state["coverage"]:
        if joined:
            part.joined(room, part.tallies[room].login, instant)
        else:
            part.left(room, instant)
    part.until = min(float(part.end), state["now"])


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
