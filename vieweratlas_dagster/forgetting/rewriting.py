"""What one object of the lake becomes without somebody, by its key and its bytes.

Belongs here: which objects hold people and channels, and how each kind is rewritten. Does not belong here:
the order in which the lake is rewritten (``run``), maps, whose pages and pictures are drawn again
(``maps``), and objects that are changed by conditional writes (``state``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from collector_service.contract import LIVE_PREFIX, MAX_PACKED_BYTES, VOD_PREFIX, encode_object
from collector_service.lake import Lake
from collector_service.privacy.redaction import object_without
from collector_service.support.limits import TooLargeError
from vieweratlas_dagster.forgetting.subject import Subject
from vieweratlas_dagster.lake.keys import (
    ANALYSIS_PREFIX,
    AUDIENCES_PREFIX,
    CHANNELS_PREFIX,
    PRESENCE_PREFIX,
    QUARANTINE_PREFIX,
)
from vieweratlas_dagster.lake.parquet import parquet_bytes, read_parquet
from vieweratlas_dagster.lake.redaction import without

RAW_PREFIXES = (f"{LIVE_PREFIX}/", f"{VOD_PREFIX}/")
CURATED_PREFIXES = (PRESENCE_PREFIX, AUDIENCES_PREFIX, CHANNELS_PREFIX)
_RAW_SUFFIX = ".ndjson.gz"
_NOTES_SUFFIX = ".reasons.ndjson"


class UnreadableObjectError(Exception):
    """An object that cannot be read, so that nobody can say who is in it; the text says which one."""


@dataclass(frozen=True)
class Rewritten:
    """What an object becomes.

    ``data`` are its new bytes, the very same when it holds nobody who is gone, None when it is removed;
    ``counts`` says what goes: lines, presences, rows, objects, and ends that were cut off unread.
    """

    data: bytes | None
    counts: Counter[str] = field(default_factory=Counter)


def read_object(lake: Lake, key: str) -> bytes:
    """An object's bytes; tables may be of any size.

    Raises:
        FileNotFoundError: there is no such object.
        UnreadableObjectError: it is too large.
    """
    try:
        return lake.get(key, most_bytes(key))
    except TooLargeError as error:
        raise UnreadableObjectError(
            f"{lake.address(key)} cannot be read ({error}), so nobody can say who is in it: remove it, and "
            "run the same command again"
        ) from None


def most_bytes(key: str) -> int | None:
    """How large an object may be to be read; None for any size."""
    return None if key.endswith(".parquet") else MAX_PACKED_BYTES


def rewritten(key: str, data: bytes, subject: Subject) -> Rewritten:
    """The object without the subject.

    Args:
        key: below the lake's root.
        data: its bytes.
        subject: who is gone.

    Raises:
        UnreadableObjectError: it is a table that cannot be read.
    """
    if key.endswith(".parquet"):
        return _table(key, data, subject)
    if key.endswith(_RAW_SUFFIX) and key.startswith((*RAW_PREFIXES, QUARANTINE_PREFIX)):
        return _raw(key, data, subject)
    if key.endswith(_NOTES_SUFFIX):
        return _notes(data, subject)
    # Whatever else lies there, people have put there, or it is of no form that could be rewritten.
    if key.startswith((*RAW_PREFIXES, QUARANTINE_PREFIX)) and subject.mentions(data):
        return Rewritten(None, Counter(objects=1))
    return Rewritten(data)


def _raw(key: str, data: bytes, subject: Subject) -> Rewritten:
    left = object_without(data, subject.gone, subject.mentions)
    if left.data == data:
        return Rewritten(data)
    counts = Counter(lines=left.lines, presences=left.presences, unreadable_ends=int(left.cut))
    if left.data:
        return Rewritten(left.data, +counts)
    # A live object's name tells nothing and its day's manifest lists it; a VOD's name is its channel's.
    if key.startswith(RAW_PREFIXES[0]):
        empty = encode_object([])
        return Rewritten(data) if data == empty else Rewritten(empty, +counts)
    return Rewritten(None, +(counts + Counter(objects=1)))


def _notes(data: bytes, subject: Subject) -> Rewritten:
    """Notes on refused lines quote their beginnings, which may end in the middle of a key."""
    lines = data.splitlines(keepends=True)
    kept = [line for line in lines if not _tells(line, subject)]
    if len(kept) == len(lines):
        return Rewritten(data)
    return Rewritten(b"".join(kept) or None, Counter(lines=len(lines) - len(kept)))


def _tells(line: bytes, subject: Subject) -> bool:
    quoted = line.partition(b'"content": "')[2].partition(b'", "detail"')[0]
    return subject.mentions(line) or subject.may_be_cut_from(quoted)


def _table(key: str, data: bytes, subject: Subject) -> Rewritten:
    try:
        frame = read_parquet(data)
    except pl.exceptions.PolarsError as error:
        raise UnreadableObjectError(
            f"{key} cannot be read ({type(error).__name__}), so nobody can say who is in it: make its day "
            "again, or remove it, and run the same command again"
        ) from None
    kept = without(frame, subject.gone)
    if kept.equals(frame):
        return Rewritten(data)
    # Texts and lists may change where no row goes.
    what = "map_rows" if key.startswith(ANALYSIS_PREFIX) else "rows"
    return Rewritten(parquet_bytes(kept), +Counter({what: frame.height - kept.height, "tables": 1}))
