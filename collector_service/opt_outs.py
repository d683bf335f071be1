"""Opt-outs: the viewers and channels that asked to be left out, as the lake lists them.

Belongs here: the object ``state/opt_outs.json``, adding to it, and having it at hand while the lake is
away. Does not belong here: leaving somebody out (``intake``, ``viewers``, ``channels``), and removing what
was written before (``leaving_out``).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from collector_service.background import brief, in_daemon_thread
from collector_service.bounded import TooLargeError, read_json
from collector_service.contract import LOGIN
from collector_service.files import replace_file
from collector_service.lake import LAKE_ERRORS, Lake
from collector_service.pacing import backoff
from collector_service.settings import SettingsError
from collector_service.stats import Stats

OPT_OUTS_KEY = "state/opt_outs.json"
# About a million viewers.
MAX_BYTES = 32 * 1024 * 1024
READ_SECONDS = 30.0
# With a copy at hand, the start does not wait for long.
_READ_SECONDS_WITH_COPY = 5.0

_VERSION = 1
_FIELDS = {"schema_version", "viewer_keys", "channel_ids", "channels"}
_log = logging.getLogger(__name__)
T = TypeVar("T")


class BadOptOutsError(SettingsError):
    """The list of opt-outs cannot be used; the text says where it is and what to do."""


class _UnreadableError(Exception):
    """What is wrong with an object, not yet where it is."""


@dataclass(frozen=True)
class OptOuts:
    """Who is left out: viewers by key (0 <= k < 2**64), channels by id (< 2**63) and by login."""

    viewer_keys: frozenset[int] = frozenset()
    channel_ids: frozenset[int] = frozenset()
    channels: frozenset[str] = frozenset()

    def has_channel(self, login: str, channel_id: int | None) -> bool:
        """Whether the channel is left out, under this login or under its id, if that is known."""
        return login in self.channels or channel_id in self.channel_ids

    def __or__(self, more: OptOuts) -> OptOuts:
        """These and those of ``more``."""
        return OptOuts(
            self.viewer_keys | more.viewer_keys,
            self.channel_ids | more.channel_ids,
            self.channels | more.channels,
        )

    @classmethod
    def from_bytes(cls, data: bytes, where: str = OPT_OUTS_KEY) -> Self:
        """Read the object strictly: what is misread would be collected.

        Args:
            data: its bytes.
            where: what to call it in an error.

        Raises:
            BadOptOutsError: anything in it is not as `to_bytes` writes it.
        """
        try:
            return cls._read(data)
        except _UnreadableError as error:
            raise BadOptOutsError(
                f"{where}: {error}; repair it or put an earlier version back. Nobody can be left out by a "
                "list that cannot be read"
            ) from None

    @classmethod
    def _read(cls, data: bytes) -> Self:
        if len(data) > MAX_BYTES:
            raise _UnreadableError(f"{len(data)} bytes, more than the {MAX_BYTES} allowed")
        try:
            content = read_json(data)
        except ValueError as error:
            raise _UnreadableError(f"not valid JSON ({error})") from None
        if not isinstance(content, dict):
            raise _UnreadableError("not a JSON object")
        version = content.get("schema_version")
        if version != _VERSION or isinstance(version, bool):
            raise _UnreadableError(f"schema_version is {version!r:.40}, this reader knows {_VERSION}")
        if content.keys() != _FIELDS:
            raise _UnreadableError(f"expected exactly the fields {', '.join(sorted(_FIELDS))}")
        return cls(
            viewer_keys=_entries(content, "viewer_keys", lambda text: _number(text, 2**64)),
            channel_ids=_entries(content, "channel_ids", lambda text: _number(text, 2**63)),
            channels=_entries(content, "channels", _login),
        )

    def to_bytes(self) -> bytes:
        """The object: the same opt-outs give the same bytes."""
        content = {
            "schema_version": _VERSION,
            "viewer_keys": [str(key) for key in sorted(self.viewer_keys)],
            "channel_ids": [str(number) for number in sorted(self.channel_ids)],
            "channels": sorted(self.channels),
        }
        return json.dumps(content, indent=1).encode() + b"\n"


def read_opt_outs(lake: Lake) -> OptOuts:
    """The opt-outs that the lake lists now; nobody's when it lists none.

    Raises:
        BadOptOutsError: the object is unusable.
    """
    return _read_listed(lake) or OptOuts()


def _read_listed(lake: Lake) -> OptOuts | None:
    try:
        data = lake.get(OPT_OUTS_KEY, MAX_BYTES)
    except TooLargeError as error:
        raise BadOptOutsError(f"{lake.uri}/{OPT_OUTS_KEY}: {error}; put an earlier version back") from None
    except FileNotFoundError as error:
        # Without its bucket the whole lake is missing, not just this object.
        if "NoSuchBucket" in str(error):
            raise
        return None
    return OptOuts.from_bytes(data, f"{lake.uri}/{OPT_OUTS_KEY}")


def add_opt_outs(lake: Lake, more: OptOuts, *, may_begin: bool) -> bool:
    """Put more opt-outs on the lake's list, so that no concurrent addition is lost.

    Args:
        lake: the lake.
        more: who is added.
        may_begin: whether there may be no list yet. A list that was there before and is gone must not be
            begun anew: that would end the opt-outs of all who were on it.

    Returns:
        Whether anything had to be added; nothing is written otherwise.

    Raises:
        BadOptOutsError: the object is unusable, or missing though it must not be; nothing was written.
    """
    listed = _read_listed(lake)
    if listed is not None and listed | more == listed:
        return False

    def change(data: bytes | None) -> bytes:
        if data is None and not may_begin:
            raise BadOptOutsError(
                f"{lake.uri}/{OPT_OUTS_KEY} is missing, though somebody was forgotten here before: put an "
                "earlier version back, or the copy opt_outs.json of a collector's state folder "
                "(collection.state_dir). A new list would end all earlier opt-outs"
            )
        before = OptOuts() if data is None else OptOuts.from_bytes(data, f"{lake.uri}/{OPT_OUTS_KEY}")
        written = (before | more).to_bytes()
        if len(written) > MAX_BYTES:
            raise BadOptOutsError(f"{lake.uri}/{OPT_OUTS_KEY}: no room for more than {MAX_BYTES} bytes")
        return written

    lake.update(OPT_OUTS_KEY, change)
    return True


NOBODY = OptOuts()


class OptOutsKeeper:
    """The opt-outs of now, from the lake, with a copy in the collector's state folder.

    An object that vanishes from the lake ends nobody's opt-out: the last copy stays in force.

    Args:
        lake: the lake.
        folder: the collector's own folder.
        stats: counters.

    Attributes:
        current: the opt-outs in force; nobody's until `load` has returned.
    """

    def __init__(self, lake: Lake, folder: Path, stats: Stats) -> None:
        self._lake = lake
        self._path = folder / "opt_outs.json"
        self._stats = stats
        self._saved = b""
        self._asked = asyncio.Event()
        self.current = OptOuts()

    def ask(self) -> None:
        """Somebody has opted out: read the lake's object soon."""
        self._asked.set()

    async def asked_within(self, seconds: float) -> None:
        """Wait until somebody asks, but not longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        self._asked.clear()

    async def load(self) -> OptOuts:
        """The opt-outs to start with; waits for the lake as long as there is no copy of an earlier start.

        Raises:
            BadOptOutsError: the lake's object is unusable.
        """
        failures = 0
        copy = await in_daemon_thread(self._read_copy)
        self.current = copy or OptOuts()
        while True:
            try:
                await self._take(copy)
            except LAKE_ERRORS as error:
                failures += 1
                if copy is not None:
                    _log.warning(
                        "the lake cannot be read (%s); the opt-outs of %s are in force",
                        brief(error), self._path,
                    )  # fmt: skip
                    break
                delay = backoff(failures)
                _log.warning(
                    "the lake cannot be read (%s); nothing is collected until %s is known; next try "
                    "in %.0f s", brief(error), OPT_OUTS_KEY, delay,
                )  # fmt: skip
                await asyncio.sleep(delay)
            else:
                break
        return self.current

    async def refresh(self) -> bool:
        """Read the lake's object again; a fault leaves what is in force. Returns whether that changed."""
        before = self.current
        try:
            await self._take(before)
        except (BadOptOutsError, *LAKE_ERRORS) as error:
            self._stats.refresh_failures += 1
            problem = error if isinstance(error, BadOptOutsError) else brief(error)
            _log.error("opt-outs not refreshed, the last ones stay in force: %s", problem)
        return self.current != before

    async def _take(self, last: OptOuts | None) -> None:
        """Put the lake's opt-outs in force and keep a copy of them."""
        async with asyncio.timeout(READ_SECONDS if last is None else _READ_SECONDS_WITH_COPY):
            found = await in_daemon_thread(lambda: _read_listed(self._lake))
        if found is None and last is not None and last != OptOuts():
            self._stats.refresh_failures += 1
            _log.error(
                "%s is gone from %s; the opt-outs of %s stay in force. To end them, write the object "
                "with empty lists", OPT_OUTS_KEY, self._lake.uri, self._path,
            )  # fmt: skip
            return
        self.current = found or OptOuts()
        await in_daemon_thread(self._save)

    def _read_copy(self) -> OptOuts | None:
        try:
            data = self._path.read_bytes()
            copy = OptOuts.from_bytes(data, str(self._path))
        except FileNotFoundError:
            return None
        except (OSError, BadOptOutsError) as error:
            _log.error("the copy of the opt-outs is unusable, only the lake's will do: %s", brief(error))
            return None
        self._saved = data
        return copy

    def _save(self) -> None:
        """Replace the copy: after a crash at any point the old or the new one is there as a whole."""
        data = self.current.to_bytes()
        if data == self._saved:
            return
        try:
            replace_file(self._path, [data])
        except OSError as error:
            _log.warning("cannot keep a copy of the opt-outs in %s: %s", self._path, error.strerror)
        else:
            self._saved = data


def _entries(content: dict[str, Any], name: str, read: Callable[[object], T]) -> frozenset[T]:
    values = content[name]
    if not isinstance(values, list):
        raise _UnreadableError(f"{name} is not a list")
    found = set()
    for position, value in enumerate(values, 1):
        try:
            found.add(read(value))
        except _UnreadableError as error:
            raise _UnreadableError(f"{name}, entry {position} {error}") from None
    return frozenset(found)


def _number(value: object, limit: int) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20:
        number = int(value)
        if number < limit:
            return number
    raise _UnreadableError(f"is no decimal text below {limit}")


def _login(value: object) -> str:
    if isinstance(value, str) and LOGIN.fullmatch(value):
        return value
    raise _UnreadableError("is no login (a-z, 0-9 and _)")
