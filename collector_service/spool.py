"""The spool: finished snapshot objects on disk, until the lake has them.

Belongs here: putting an object into the spool whole or not at all, and bringing it into the lake exactly
once. Does not belong here: what is in an object (``windows``), and when to try again (``archive``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from collector_service.clock import utc
from collector_service.contract import live_key
from collector_service.lake import Lake
from collector_service.windows import Part

_SUFFIX = ".ndjson.gz"
_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(\d{8}T\d{6}Z)-([a-z0-9][a-z0-9_.]*)-(\d{6,})")
_MAX_PARTS = 10_000


@dataclass(frozen=True, order=True)
class PartName:
    """Identifies a part within a state directory; its text is a file name and sorts by window."""

    window_start: int
    collector_id: str
    sequence: int

    def __str__(self) -> str:
        return f"{utc(self.window_start).strftime(_TIME)}-{self.collector_id}-{self.sequence:06d}"

    @classmethod
    def of(cls, part: Part, collector_id: str) -> Self:
        """The name of a part of this collector."""
        return cls(part.start, collector_id, part.sequence)

    @classmethod
    def find(cls, folder: Path, suffix: str) -> Iterator[Self]:
        """The parts that have a file in ``folder``; other files there are not ours."""
        for path in folder.glob(f"*{suffix}"):
            if match := _NAME.fullmatch(path.name.removesuffix(suffix)):
                start = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
                yield cls(int(start.timestamp()), match[2], int(match[3]))


class Spool:
    """The spool's folder. Every call may block."""

    def __init__(self, folder: Path, lake: Lake) -> None:
        self._folder = folder
        self._lake = lake
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()

    def add(self, name: PartName, data: bytes) -> None:
        """Put an object into the spool: after a crash at any point it is there as a whole or not at all.

        Raises:
            OSError: the disk refuses; nothing was added.
        """
        target = self._path(name)
        temporary = target.with_name(target.name + ".tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        temporary.rename(target)
        sync_folder(self._folder)

    def names(self) -> list[PartName]:
        """What is in the spool, oldest window first."""
        return sorted(PartName.find(self._folder, _SUFFIX))

    def size(self) -> tuple[int, int, float]:
        """Files, their bytes, and when the oldest was added (Unix time of the machine; 0 when empty)."""
        stats = [path.stat() for path in self._folder.glob(f"*{_SUFFIX}")]
        oldest = min((stat.st_mtime for stat in stats), default=0.0)
        return len(stats), sum(stat.st_size for stat in stats), oldest

    def upload(self, name: PartName) -> str:
        """Bring an object into the lake and remove it from the spool.

        The object takes the first part number whose key is free; a key that holds the same bytes is
        this very object, written by an attempt whose answer got lost.

        Returns:
            The object's key.
        """
        path = self._path(name)
        data = path.read_bytes()
        for part in range(_MAX_PARTS):
            key = live_key(utc(name.window_start), name.collector_id, part)
            if self._lake.create(key, data) or self._lake.get(key) == data:
                path.unlink()
                sync_folder(self._folder)
                return key
        raise RuntimeError(f"all {_MAX_PARTS} part numbers of the window of {name} are taken")

    def _path(self, name: PartName) -> Path:
        return self._folder / f"{name}{_SUFFIX}"


def sync_folder(folder: Path) -> None:
    """Make additions to and removals from a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
