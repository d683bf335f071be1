"""Opt-outs: the viewers and channels that opted out, as the lake lists them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, FailFast, TypeAdapter

from collector_service.contract import LOGIN
from collector_service.lake import Lake
from collector_service.settings import SettingsError
from collector_service.support.state_object import StateObject, known_version, validated

OPT_OUTS_KEY = "state/opt_outs.json"
# About a million viewers.
MAX_BYTES = 32 * 1024 * 1024
_VERSION = 1


class BadOptOutsError(SettingsError):
    """The list of opt-outs cannot be used; the text says where it is and what to do."""


@dataclass(frozen=True)
class OptOuts:
    """The viewers and channels that have opted out.

    Attributes:
        viewer_keys: of viewers, 0 <= k < 2**64.
        channel_ids: of channels, 0 <= id < 2**63.
        channels: logins of channels.
    """

    viewer_keys: frozenset[int] = frozenset()
    channel_ids: frozenset[int] = frozenset()
    channels: frozenset[str] = frozenset()

    def has_channel(self, login: str, channel_id: int | None) -> bool:
        """Whether the channel has opted out, under this login or under its id, if that is known."""
        return login in self.channels or channel_id in self.channel_ids

    def __or__(self, more: OptOuts) -> OptOuts:
        """These and those of ``more``."""
        return OptOuts(
            self.viewer_keys | more.viewer_keys,
            self.channel_ids | more.channel_ids,
            self.channels | more.channels,
        )

    @classmethod
    def from_bytes(cls, data: bytes, where: str = OPT_OUTS_KEY) -> OptOuts:
        """Read the object strictly: a misread entry would be collected.

        Args:
            data: its bytes.
            where: its address, for the error.

        Raises:
            BadOptOutsError: anything in it is not as `to_bytes` writes it.
        """
        return _LISTED.parse(data, where)

    def to_bytes(self) -> bytes:
        """The object: the same opt-outs give the same bytes."""
        content = {
            "schema_version": _VERSION,
            "viewer_keys": [str(key) for key in sorted(self.viewer_keys)],
            "channel_ids": [str(number) for number in sorted(self.channel_ids)],
            "channels": sorted(self.channels),
        }
        return json.dumps(content, indent=1).encode() + b"\n"


NOBODY = OptOuts()


def _below(limit: int) -> Callable[[object], int]:
    def number(value: object) -> int:
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20:
            number = int(value)
            if number < limit:
                return number
        raise ValueError(f"not a decimal text below {limit}")

    return number


def _login(value: object) -> str:
    if isinstance(value, str) and LOGIN.fullmatch(value):
        return value
    raise ValueError("not a login (a-z, 0-9 and _)")


@dataclass(frozen=True)
class _File:
    """The object as it is written."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    schema_version: Annotated[int, known_version(_VERSION)]
    viewer_keys: Annotated[list[Annotated[int, BeforeValidator(_below(2**64))]], FailFast()]
    channel_ids: Annotated[list[Annotated[int, BeforeValidator(_below(2**63))]], FailFast()]
    channels: Annotated[list[Annotated[str, BeforeValidator(_login)]], FailFast()]


_FILE = TypeAdapter(_File)


def _decode(data: bytes) -> OptOuts:
    file = validated(_FILE, data)
    return OptOuts(frozenset(file.viewer_keys), frozenset(file.channel_ids), frozenset(file.channels))


_LISTED = StateObject(
    OPT_OUTS_KEY,
    _decode,
    OptOuts.to_bytes,
    advice="repair it or put an earlier version back. Without a readable list, opt-outs cannot be honoured",
    error=BadOptOutsError,
    most=MAX_BYTES,
)


def read_opt_outs(lake: Lake) -> OptOuts:
    """The opt-outs that the lake lists; `NOBODY` without a list.

    Raises:
        BadOptOutsError: the object is unusable.
    """
    return listed_opt_outs(lake) or NOBODY


def listed_opt_outs(lake: Lake) -> OptOuts | None:
    """The opt-outs that the lake lists; None without a list.

    Raises:
        BadOptOutsError: the object is unusable.
    """
    return _LISTED.read(lake)


def add_opt_outs(lake: Lake, more: OptOuts, *, may_begin: bool) -> bool:
    """Add opt-outs to the lake's list, without losing a concurrent addition.

    Args:
        lake: the lake.
        more: the opt-outs to add.
        may_begin: whether a missing list may be created. After an earlier opt-out it must not be: a new
            list would end all opt-outs of the lost one.

    Returns:
        Whether anything had to be added; nothing is written otherwise.

    Raises:
        BadOptOutsError: the object is unusable, or missing though it must not be; nothing was written.
    """
    listed = listed_opt_outs(lake)
    if listed is not None and listed | more == listed:
        return False

    def change(before: OptOuts | None) -> OptOuts:
        if before is None and not may_begin:
            raise BadOptOutsError(
                f"{lake.address(OPT_OUTS_KEY)} is missing, though this lake has forgotten before: put an "
                "earlier version back, or the copy opt_outs.json of a collector's state folder "
                "(collection.state_dir). A new list would end all earlier opt-outs"
            )
        return (before or NOBODY) | more

    _LISTED.update(lake, change)
    return True
