"""The viewer or channel to forget: its keys, ids and logins, and finding them in bytes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from collector_service.contract import LOGIN, viewer_key
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts
from vieweratlas_dagster.curation.imported_ids import derived_channel_id, imported_viewer_key
from vieweratlas_dagster.lake.keys import CHANNELS_PREFIX
from vieweratlas_dagster.lake.parquet import read_parquet

if TYPE_CHECKING:
    from collector_service.twitch.helix import User

Kind = Literal["viewer", "channel"]
IMPORTED = "import:"
_LONGEST_ID = 18
# A shorter beginning of a key or a name does not identify its owner.
_TELLING_LENGTH = 6


class SubjectError(Exception):
    """The subject cannot be determined; the text names the next step."""


class Accounts(Protocol):
    """A lookup of accounts at Helix."""

    def __call__(self, *, login: str | None = None, number: int | None = None) -> User | None:
        """The account with this login or id; None when Twitch has none."""
        ...


@dataclass(frozen=True)
class Subject:
    """One viewer (by keys) or one channel (by ids and logins).

    Attributes:
        kind: viewer or channel.
        opt_outs: its keys, ids and logins, as the list of opt-outs has them.
        out_of_reach: days that cannot be searched for the viewer, because their viewer key is missing.
    """

    kind: Kind
    opt_outs: OptOuts
    out_of_reach: tuple[str, ...] = ()

    def mentions(self, data: bytes) -> bool:
        """Whether bytes contain a decimal key or id of the subject, or a login, as a whole word."""
        return self._pattern.search(data) is not None

    def may_be_cut_from(self, data: bytes) -> bool:
        """Whether truncated text may end with the beginning of a key, an id or a login."""
        ends = [word[:length] for word in self._words for length in range(_TELLING_LENGTH, len(word))]
        return any(re.search(rb"(?<![a-z0-9_])" + re.escape(end) + rb"$", data) for end in ends)

    @property
    def _words(self) -> list[bytes]:
        numbers = (str(number) for number in (*self.opt_outs.viewer_keys, *self.opt_outs.channel_ids))
        return sorted(word.encode() for word in (*numbers, *self.opt_outs.channels))

    @property
    def _pattern(self) -> re.Pattern[bytes]:
        # The re module caches compiled patterns.
        words = b"|".join(re.escape(word) for word in self._words)
        return re.compile(rb"(?<![a-z0-9_])(?:" + words + rb")(?![a-z0-9_])")


def find_viewer(given: str, secret: str, accounts: Accounts | None, older: Collection[str] = ()) -> Subject:
    """The viewer with this Twitch id or login, or with ``import:TEXT`` that of an imported list.

    Args:
        given: an id if it consists of digits.
        secret: the key behind viewer keys.
        accounts: Helix; None without credentials.
        older: the keys of earlier populations; the viewer has a pseudonym in each.

    Raises:
        SubjectError: a login cannot be resolved.
    """
    secrets = (secret, *older)
    if given.startswith(IMPORTED):
        return _viewer(imported_viewer_key(key, given[len(IMPORTED) :]) for key in secrets)
    if _is_id(given):
        return _viewer(viewer_key(key, str(int(given))) for key in secrets)
    login = _login(given)
    if accounts is None:
        raise SubjectError(
            f"finding the viewer {login!r} by login needs Twitch credentials: set TWITCH_CLIENT_ID and "
            "TWITCH_CLIENT_SECRET, or give the numeric user id. "
            f"(For a viewer of an imported list that is named by a text, give {IMPORTED}TEXT.)"
        )
    user = accounts(login=login)
    if user is None:
        raise SubjectError(
            f"Twitch has no account {login!r} now (renamed, suspended or deleted): give the numeric user id"
        )
    # An imported list may have named the same person by login.
    imported = {imported_viewer_key(key, text) for key in secrets for text in {given, login}}
    return _viewer([*imported, *(viewer_key(key, str(user.id)) for key in secrets)])


def _viewer(keys: Iterable[int]) -> Subject:
    return Subject("viewer", OptOuts(frozenset(keys)))


def find_channel(given: str, lake: Lake, accounts: Accounts | None) -> Subject:
    """The channel with this id or login, with all its ids and logins at Twitch and in the lake.

    Args:
        given: an id if it consists of digits.
        lake: its channel tables are searched.
        accounts: Helix; None without credentials, then only the lake is searched.

    Raises:
        SubjectError: ``given`` is neither a login nor an id.
    """
    ids: set[int] = set()
    logins: set[str] = set()
    if _is_id(given):
        ids.add(int(given))
        user = accounts(number=int(given)) if accounts else None
    else:
        logins.add(_login(given))
        user = accounts(login=_login(given)) if accounts else None
    if user is not None:
        ids.add(user.id)
        logins.add(user.login)
    known = [
        (row["channel_id"], row["channel"])
        for info in lake.objects(CHANNELS_PREFIX)
        if info.key.endswith(".parquet")
        for row in read_parquet(lake.get(info.key))
        .select("channel_id", "channel")
        .unique()
        .sort("channel_id")
        .iter_rows(named=True)
    ]
    if not ids:
        # Only the newest day counts: earlier, the login may have belonged to a different channel.
        ids.update([number for number, login in known if login in logins][-1:])
    logins.update(login for number, login in known if number in ids)
    ids.update(derived_channel_id(login) for login in logins)
    return Subject("channel", OptOuts(channel_ids=frozenset(ids), channels=frozenset(logins)))


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID


def _login(text: str) -> str:
    login = text.lower().lstrip("@#")
    if not LOGIN.fullmatch(login):
        raise SubjectError(f"{text[:60]!r} is neither a login (a-z, 0-9 and _) nor a numeric id")
    return login
