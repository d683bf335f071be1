"""Opt-outs: the viewers and channels that asked to be left out, as the lake lists them.

Belongs here: the object ``state/opt_outs.json``, adding to it, and having it at hand while the lake is
away. Does not belong here: leaving somebody out (``intake``, ``viewers``, ``channels``), and removing what
was written before (``leaving_out``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from collector_service.contract import LOGIN
from collector_service.lake import Lake
from collector_service.settings import SettingsError
from collector_service.support.limits import TooLargeError, read_json

OPT_OUTS_KEY = "state/opt_outs.json"
# About a million viewers.
MAX_BYTES = 32 * 1024 * 1024

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
    return listed_opt_outs(lake) or OptOuts()


def listed_opt_outs(lake: Lake) -> OptOuts | None:
    """The opt-outs that the lake lists now; None when it has no list.

    Raises:
        BadOptOutsError: the object is unusable.
    """
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
    listed = listed_opt_outs(lake)
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
