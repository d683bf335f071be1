"""Writing files so that they survive a crash."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from io import FileIO
from pathlib import Path


def replace_file(target: Path, pieces: Iterable[bytes], modified: float | None = None) -> None:
    """Write a file, or replace it as a whole: after a crash at any point the old or the new one exists.

    Args:
        target: the file.
        pieces: its bytes, one after the other.
        modified: its time of modification (Unix time); None means now.

    Raises:
        OSError: the disk refuses; nothing has changed.
    """
    temporary = target.with_name(target.name + ".tmp")
    try:
        # Unbuffered: a buffer would write refused bytes once more when the file is closed.
        with temporary.open("wb", buffering=0) as file:
            for piece in pieces:
                write_all(file, piece)
            os.fsync(file.fileno())
        if modified is not None:
            os.utime(temporary, (modified, modified))
        temporary.rename(target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def write_all(file: FileIO, data: bytes) -> None:
    """Write all bytes to an unbuffered file, which may take them piece by piece."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def sync_folder(folder: Path) -> None:
    """Make additions to and removals from a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def create_once(path: Path, text: str) -> None:
    """Write a new file (mkstemp makes it 0600) and link it into place: the first of several wins."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with open(descriptor, "w") as handle:
        handle.write(text + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        Path(temporary).unlink()
