"""Populations: the viewers that were counted with one viewer key, and the check of a key against the lake.

Two keys make two populations: every viewer of one looks new in the other. So the lake keeps a fingerprint
of the key, and every writer of viewer keys compares its own. A fingerprint is made from the key alone, with
scrypt and slowly on purpose: it helps in finding the key no more than the viewer keys themselves do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from collector_service.contract import STATE_PREFIX
from collector_service.lake import Lake
from collector_service.privacy.viewer_secret import given_viewer_key_secret, load_viewer_key_secret
from collector_service.settings import PrivacySettings, SettingsError
from collector_service.support.state_object import StateObject, known_version, validated

KEY_RECORD = f"{STATE_PREFIX}/viewer_key.json"
_VERSION = 1
_STRICT = ConfigDict(strict=True)
# About 90 bytes per population.
_MAX_BYTES = 1024 * 1024
# 16 MiB and about 50 ms.
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 16}
_SALT = b"vieweratlas: which key is it"


class WrongKeyError(SettingsError):
    """The key is not the lake's; the text says what to do."""


@dataclass(frozen=True)
class Population:
    """The viewers that were counted with one key since a UTC day."""

    __pydantic_config__ = _STRICT

    fingerprint: str
    since: date


@dataclass(frozen=True)
class _File:
    """The record as it is written."""

    __pydantic_config__ = _STRICT

    schema_version: Annotated[int, known_version(_VERSION)]
    populations: Annotated[list[Population], Field(min_length=1)]


_FILE = TypeAdapter(_File)


def _encode(known: list[Population]) -> bytes:
    return _FILE.dump_json(_File(_VERSION, known), indent=1) + b"\n"


_RECORD = StateObject(
    KEY_RECORD,
    decode=lambda data: validated(_FILE, data).populations,
    encode=_encode,
    advice="put an earlier version back. Without it, a wrong viewer key cannot be recognised",
    error=SettingsError,
    most=_MAX_BYTES,
)


@lru_cache(maxsize=16)
def fingerprint(secret: str) -> str:
    """The fingerprint of a key, as hexadecimal text."""
    return hashlib.scrypt(secret.encode(), salt=_SALT, **_SCRYPT).hex()


def populations(lake: Lake) -> list[Population]:
    """The lake's populations, the present one last; none before the first viewer was counted.

    Raises:
        SettingsError: the record is unusable. It is never taken for an empty one.
    """
    return _RECORD.read(lake) or []


@dataclass(frozen=True)
class KeysAtHand:
    """Which of the lake's populations can be recognised.

    ``older`` are the keys of earlier ones; ``out_of_reach`` names the days of those whose key is missing.
    """

    older: tuple[str, ...]
    out_of_reach: tuple[str, ...]


def match_keys(lake: Lake, secrets: Iterable[str]) -> KeysAtHand:
    """Which of these keys counted an earlier population of the lake, and which populations have none.

    Raises:
        SettingsError: the lake's record is unusable.
    """
    mine = {fingerprint(secret): secret for secret in secrets}
    known = populations(lake)
    older, out_of_reach = [], []
    for number, (population, following) in enumerate(pairwise(known)):
        if population.fingerprint in mine:
            older.append(mine[population.fingerprint])
        else:
            until = f"to {following.since}"
            out_of_reach.append(f"from {population.since} {until}" if number else f"from the first {until}")
    return KeysAtHand(tuple(older), tuple(out_of_reach))


def agree(lake: Lake, secret: str, today: date) -> None:
    """Compare a key with the lake's; the first one ever becomes the lake's.

    Raises:
        WrongKeyError: the lake's viewers were counted with a different key.
        SettingsError: the lake's record is unusable.
    """
    mine = fingerprint(secret)
    known = populations(lake)
    if not known and not _RECORD.create(lake, [Population(mine, today)]):
        known = populations(lake)  # another writer was quicker
    compare(mine, known, lake.uri)


def checked_secret(privacy: PrivacySettings, lake: Lake, today: date) -> str:
    """The key to count viewers with, after a look at the lake's record; made on first use of a new lake.

    Raises:
        WrongKeyError: it is not the lake's key, or it is lost.
        SettingsError: the key, its file or the lake's record is unusable.
    """
    refuse_if_lost(privacy, lake)
    secret = load_viewer_key_secret(privacy)
    agree(lake, secret, today)
    return secret


def check_if_at_hand(privacy: PrivacySettings, lake: Lake) -> None:
    """Compare the key with the lake's where both exist, for programs that only read viewer keys.

    Raises:
        WrongKeyError: they differ.
    """
    secret = given_viewer_key_secret(privacy)
    if secret is not None:
        compare(fingerprint(secret), populations(lake), lake.uri)


def refuse_if_lost(privacy: PrivacySettings, lake: Lake) -> None:
    """Refuse to go on without a key where the lake has a population: a new key would begin a second one.

    Raises:
        WrongKeyError: the key is lost.
        SettingsError: the key, its file or the lake's record is unusable.
    """
    if given_viewer_key_secret(privacy) is None and populations(lake):
        raise WrongKeyError(
            f"privacy.viewer_key_file: {privacy.viewer_key_file} is missing, but the viewers in "
            f"{lake.uri} were counted with a key. {_ADVICE}"
        )


def counting_since(lake: Lake, secret: str) -> date | None:
    """Compare a key with the lake's; returns the first day that it counts, None when it counts all.

    Days before that belong to a different population: viewers must not be counted there with this key.

    Raises:
        WrongKeyError: it is not the lake's key.
        SettingsError: the lake's record is unusable.
    """
    known = populations(lake)
    compare(fingerprint(secret), known, lake.uri)
    return known[-1].since if len(known) > 1 else None


def population_start(lake: Lake, day: str) -> str:
    """The first day (YYYY-MM-DD) whose viewers can be compared with those of ``day``; "" when all can."""
    begun = [f"{population.since}" for population in populations(lake)[1:]]
    return max((since for since in begun if since <= day), default="")


def begin_population(lake: Lake, secret: str, today: date) -> bool:
    """Make a key the lake's as of today; False when it is already.

    Raises:
        SettingsError: the lake's record is unusable, or the key was the lake's before.
    """
    mine = fingerprint(secret)
    if [population.fingerprint for population in populations(lake)][-1:] == [mine]:
        return False

    def change(before: list[Population] | None) -> list[Population]:
        known = before or []
        if mine in {population.fingerprint for population in known}:
            raise SettingsError(
                f"this key was the lake's before ({lake.uri}): going back to it would mix two "
                "populations. Take a new key"
            )
        return [*known, Population(mine, today)]

    _RECORD.update(lake, change)
    return True


_ADVICE = (
    "Put the right key back: the file from your copy of it, or VIEWER_KEY_SECRET from your secret store. "
    "If it is lost, or to be replaced, begin a new population on purpose: vieweratlas rotate-key "
    "(docs/DATA_POLICY.md)."
)


def compare(mine: str, known: list[Population], uri: str) -> None:
    """Refuse a fingerprint that is not the lake's present one.

    Raises:
        WrongKeyError: the lake's viewers were counted with a different key.
    """
    if known and known[-1].fingerprint != mine:
        raise WrongKeyError(
            "the viewer key (privacy.viewer_key_file or VIEWER_KEY_SECRET) is not the one that the "
            f"viewers in {uri} were counted with since {known[-1].since}: every viewer would look new, and "
            f"two populations would mix. {_ADVICE}"
        )
