"""The machine under a collector: a disk that refuses, is full or read-only, and a clock that is set.

Faults that come over the network are in ``s3`` and the simulator.
"""

import errno
import os
import resource
import struct
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

CLOCK_LAUNCHER = Path(__file__).with_name("jumping_clock.py")


@contextmanager
def refused_writes(pid):
    """The kernel refuses the process every byte it wants to add to a file."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


class SmallDisk:
    """A disk of 1 MiB for the journal and the spool of a collector that has not started yet."""

    def __init__(self, folder: Path) -> None:
        self._mount_point = folder / "disk"
        self._filler = self._mount_point / "filler"

    @classmethod
    @contextmanager
    def mounted(cls, collector_folder: Path):
        """Mount it beside the collector's folder until the block ends.

        Raises:
            RuntimeError: nobody lets us mount a disk; the text says what to do.
        """
        disk = cls(collector_folder.parent)
        disk._mount_point.mkdir(parents=True)
        mode = f"size=1m,uid={os.getuid()},gid={os.getgid()},mode=700"
        problem = _as_root("mount", "-t", "tmpfs", "-o", mode, "tmpfs", disk._mount_point)
        if problem:
            raise RuntimeError(
                f"cannot mount a disk for this fault ({problem}): run the tests as root, with sudo allowed "
                "without a password, or in a user namespace: unshare -rm .venv/bin/pytest tests/faults"
            )
        try:
            state = collector_folder / "state"
            state.mkdir(parents=True)
            for name in ("journal", "spool"):
                (disk._mount_point / name).mkdir()
                (state / name).symlink_to(disk._mount_point / name)
            yield disk
        finally:
            _as_root("umount", "-l", disk._mount_point)

    def fill(self) -> None:
        """Write until there is no room for a single byte."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        """Make room again."""
        self._filler.unlink()

    def becomes(self, option: str) -> bool:
        """Make it ``ro`` or ``rw``; False while a file is open for writing, which is for moments only."""
        return not _as_root("mount", "-o", f"remount,{option}", self._mount_point)


class MachineClock:
    """The system clock of the machine that collectors started with ``launcher`` run on."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        self._file.write_bytes(struct.pack("<d", 0.0))

    @property
    def launcher(self) -> tuple[str, ...]:
        """What Python runs."""
        return str(CLOCK_LAUNCHER), str(self._file)

    def set_wrong(self, seconds: float) -> None:
        """From now on it shows so many real seconds more than the right one."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("<d", seconds))


def _as_root(*command: str | Path) -> str:
    """Run a command that only root may run; returns why it failed, or nothing."""
    prefix = () if os.geteuid() == 0 else ("sudo", "-n")
    try:
        done = subprocess.run([*prefix, *command], check=False, capture_output=True, text=True)
    except OSError as error:
        return f"{prefix[0] if prefix else command[0]}: {error.strerror}"
    return done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else ""
