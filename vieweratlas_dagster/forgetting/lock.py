"""A lock that lets one run at a time rewrite a lake: two runs on the same object would undo each other.

A lake in a folder uses a file lock, which ends with its process. Elsewhere the lock is an object that its
owner renews; a waiting run takes over an object that has not changed for a while. No clocks are compared.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from collector_service.contract import STATE_PREFIX
from collector_service.lake import LAKE_ERRORS, Lake

TURN_KEY = f"{STATE_PREFIX}/forgetting_turn.txt"
_RENEWED_SECONDS = 30.0
# How long a killed run delays the next one.
_LOST_SECONDS = 300.0
_POLL_SECONDS = 5.0


class _TakenError(Exception):
    """The object belongs to a different run."""


@contextmanager
def own_turn(
    lake: Lake,
    report: Callable[[str], None],
    *,
    renewed: float = _RENEWED_SECONDS,
    lost: float = _LOST_SECONDS,
    poll: float = _POLL_SECONDS,
) -> Iterator[None]:
    """Wait until no other run holds the lock, then hold it until the block ends.

    Args:
        lake: the lake.
        report: called with the reason for waiting.
        renewed: seconds after which the owner renews the object.
        lost: seconds without renewal after which a different run takes over.
        poll: seconds between two checks.
    """
    if lake.is_folder:
        report("waiting for another run")
        with lake.file_lock(TURN_KEY):
            yield
        return
    mine = _Owned(lake)
    mine.wait(report, lost, poll)
    done = threading.Event()
    renewing = threading.Thread(target=mine.renew, args=(done, renewed), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        mine.release()


class _Owned:
    """The lock object, as one run writes it."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._owner = secrets.token_hex(8)
        self._written = b""

    def wait(self, report: Callable[[str], None], lost: float, poll: float) -> None:
        seen, since = b"", time.monotonic()
        while not self._lake.create(TURN_KEY, new := self._next()):
            report(f"waiting for another run, or for {lost / 60:.0f} minutes if it was killed")
            try:
                found = self._lake.get(TURN_KEY)
            except FileNotFoundError:
                continue
            if found != seen:
                seen, since = found, time.monotonic()
            elif time.monotonic() - since >= lost and self._replace(seen, new):
                break
            time.sleep(poll)
        self._written = new

    def renew(self, done: threading.Event, seconds: float) -> None:
        while not done.wait(seconds):
            new = self._next()
            try:
                if not self._replace(self._written, new):
                    return
            except LAKE_ERRORS:
                continue  # the next renewal is soon enough
            self._written = new

    def release(self) -> None:
        try:
            if self._lake.get(TURN_KEY) == self._written:
                self._lake.delete(TURN_KEY)
        except FileNotFoundError:
            return

    def _next(self) -> bytes:
        return f"{self._owner} {secrets.token_hex(4)}\n".encode()

    def _replace(self, old: bytes, new: bytes) -> bool:
        """Write the object if it has not changed."""

        def change(data: bytes | None) -> bytes:
            if data != old:
                raise _TakenError
            return new

        try:
            self._lake.update(TURN_KEY, change)
        except _TakenError:
            return False
        return True
