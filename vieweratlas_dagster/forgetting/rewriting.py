"""One object of the lake rewritten without the subject, by its key and its bytes.

``maps`` draws pages and pictures again; ``state`` changes the objects that need conditional writes.
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
    """An object that may contain the subject cannot be read; the text names it and the next step."""


@dataclass(frozen=True)
class Rewritten:
    """An object without the subject.

    Attributes:
        data: its new bytes, identical when it does not contain the subject; None when it must be removed.
        counts: removed lines, presences, rows and objects, and unreadable ends that were cut off.
    """

    data: bytes | None
    counts: Counter[str] = field(default_factory=Counter)


def read_object(lake: Lake, key: str) -> bytes:
    """An object's bytes; a table may have any size.

    Raises:
        FileNotFoundError: the object does not exist.
        UnreadableObjectError: it is too large.
    """
    try:
        return lake.get(key, most_bytes(key))
    except TooLargeError as error:
        raise UnreadableObjectError(
            f"{lake.address(key)} cannot be read ({error}) and may contain the subject: remove it, and run "
            "the same command again"
        ) from None


def most_bytes(key: str) -> int | None:
    """The largest size at which an object is read; None for any."""
    return None if key.endswith(".parquet") else MAX_PACKED_BYTES


def rewritten(key: str, data: bytes, subject: Subject) -> Rewritten:
    """The object without the subject.

    Args:
        key: below the lake's root.
        data: its bytes.
        subject: the viewer or channel to remove.

    Raises:
        UnreadableObjectError: the object is an unreadable table.
    """
    if key.endswith(".parquet"):
        return _table(key, data, subject)
    if key.endswith(_RAW_SUFFIX) and key.startswith((*RAW_PREFIXES, QUARANTINE_PREFIX)):
        return _raw(key, data, subject)
    if key.endswith(_NOTES_SUFFIX):
        return _notes(data, subject)
    # Any other object was put there by hand, or has a form that cannot be rewritten.
    if key.startswith((*RAW_PREFIXES, QUARANTINE_PREFIX)) and subject.mentions(data):
        return Rewritten(None, Counter(objects=1))
    return Rewritten(data)


def _raw(key: str, data: bytes, subject: Subject) -> Rewritten:
    rest = object_without(data, subject.opt_outs, subject.mentions)
    if rest.data == data:
        return Rewritten(data)
    counts = Counter(lines=rest.lines, presences=rest.presences, unreadable_ends=int(rest.cut))
    if rest.data:
        return Rewritten(rest.data, +counts)
    # An empty live object stays, since the manifest lists it; a VOD's name would identify its channel.
    if key.startswith(RAW_PREFIXES[0]):
        empty = encode_object([])
        return Rewritten(data) if data == empty else Rewritten(empty, +counts)
    return Rewritten(None, +(counts + Counter(objects=1)))


def _notes(data: bytes, subject: Subject) -> Rewritten:
    """Remove notes about refused lines: they quote the beginnings, perhaps cut in the middle of a key."""
    lines = data.splitlines(keepends=True)
    kept = [line for line in lines if not _quotes(line, subject)]
    if len(kept) == len(lines):
        return Rewritten(data)
    return Rewritten(b"".join(kept) or None, Counter(lines=len(lines) - len(kept)))


def _quotes(line: bytes, subject: Subject) -> bool:
    quoted = line.partition(b'"content": "')[2].partition(b'", "detail"')[0]
    return subject.mentions(line) or subject.may_be_cut_from(quoted)


def _table(key: str, data: bytes, subject: Subject) -> Rewritten:
    try:
        frame = read_parquet(data)
    except pl.exceptions.PolarsError as error:
        raise UnreadableObjectError(
            f"{key} cannot be read ({type(error).__name__}) and may contain the subject: make its day "
            "again, or remove it, and run the same command again"
        ) from None
    kept = without(frame, subject.opt_outs)
    if kept.equals(frame):
        return Rewritten(data)
    # Texts and lists may change without the removal of a row.
    kind = "map_rows" if key.startswith(ANALYSIS_PREFIX) else "rows"
    return Rewritten(parquet_bytes(kept), +Counter({kind: frame.height - kept.height, "tables": 1}))
