"""One run of forgetting at a time in a lake: two that rewrite the same object would undo each other.

Belongs here: waiting for one's turn, and ending the turn of a run that was killed. Does not belong here:
what is done meanwhile (``run``).

In a folder a file lock does it, which ends with its process. Elsewhere an object does, which its owner
writes again and again; one that nobody has written for a while is taken over. No clocks are compared.
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
# Until then a run that was killed holds others up.
_LOST_SECONDS = 300.0
_POLL_SECONDS = 5.0


class _TakenError(Exception):
    """Somebody else has written the object."""


@contextmanager
def own_turn(
    lake: Lake,
    tell: Callable[[str], None],
    *,
    renewed: float = _RENEWED_SECONDS,
    lost: float = _LOST_SECONDS,
    poll: float = _POLL_SECONDS,
) -> Iterator[None]:
    """Wait until no other run is at work, and let none begin until this is left.

    Args:
        lake: the lake.
        tell: called with what is being waited for.
        renewed: seconds after which the owner writes the object again.
        lost: seconds without such a write after which another takes it over.
        poll: seconds between two looks.
    """
    if lake.is_folder:
        tell("waiting while another run is at work")
        with lake.file_lock(TURN_KEY):
            yield
        return
    mine = _Owned(lake)
    mine.wait(tell, lost, poll)
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
    """The object, as one run writes it."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._owner = secrets.token_hex(8)
        self._written = b""

    def wait(self, tell: Callable[[str], None], lost: float, poll: float) -> None:
        seen, since = b"", time.monotonic()
        while not self._lake.create(TURN_KEY, new := self._next()):
            tell(f"waiting while another run is at work, or for {lost / 60:.0f} minutes if it was killed")
            try:
                other = self._lake.get(TURN_KEY)
            except FileNotFoundError:
                continue
            if other != seen:
                seen, since = other, time.monotonic()
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
                continue  # there is time for more attempts
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
        """Write the object if it still is as it was."""

        def change(data: bytes | None) -> bytes:
            if data != old:
                raise _TakenError
            return new

        try:
            self._lake.update(TURN_KEY, change)
        except _TakenError:
            return False
        return True
