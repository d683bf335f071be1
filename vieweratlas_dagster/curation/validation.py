"""Judging raw objects: which lines can be used, and why the others can not.

The rules for a single line are in ``collector_service.contract``.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from collector_service.contract import BadRecordError, SnapshotRecord, decode_lines, parse_record

_SUFFIX = ".ndjson.gz"
_KEPT_LINE_BYTES = 4096
# If an operator keeps Twitch's ids, only raw objects have them.
_IDENTITIES = b'"user_id"'
# Records with ids begin with a field that says so.
_HEAD_BYTES = 256
_MARK = b'"raw_identities":true'
_NOTED_REJECTIONS = 1000


@dataclass(frozen=True)
class Rejection:
    """A line (1-based) or, with ``line`` None, the rest of an object that cannot be used."""

    line: int | None
    reason: str
    detail: str
    content: str = ""


@dataclass(frozen=True)
class ObjectSummary:
    """A raw object in a day's manifest; ``sha256`` is None when it was too large to be read."""

    bytes: int
    key: str
    presences: int
    reasons: list[str]
    records: int
    rejected: int
    sha256: str | None


@dataclass
class ObjectReport:
    """The content of one raw object: counts, its SHA-256, and the refused lines.

    ``sha256`` is None when the object is too large to be read. ``refused`` and ``reasons`` cover all
    refusals, ``rejections`` the first thousand.
    """

    key: str
    size: int
    sha256: str | None
    records: int = 0
    presences: int = 0
    refused: int = 0
    reasons: set[str] = field(default_factory=set)
    rejections: list[Rejection] = field(default_factory=list)

    def refuse(self, rejection: Rejection) -> None:
        """Count a refusal; the first ones are kept, too."""
        self.refused += 1
        self.reasons.add(rejection.reason)
        if len(self.rejections) < _NOTED_REJECTIONS:
            self.rejections.append(rejection)

    def summary(self) -> ObjectSummary:
        """The object's row in the manifest."""
        return ObjectSummary(
            bytes=self.size,
            key=self.key,
            presences=self.presences,
            reasons=sorted(self.reasons),
            records=self.records,
            rejected=self.refused,
            sha256=self.sha256,
        )

    def quarantine_note(self) -> bytes:
        """The kept refusals as NDJSON, one a line, with the start of each refused line."""
        noted = list(self.rejections)
        if more := self.refused - len(noted):
            noted.append(Rejection(None, "not_noted", f"{more} more refusals, not noted one by one"))
        rows = ({"object": self.key, **vars(rejection)} for rejection in noted)
        return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()


def usable_records(
    key: str, data: bytes, *, day: str, now: datetime
) -> Iterator[SnapshotRecord | Rejection]:
    """Every record of one raw object, in order, with a `Rejection` in place of each bad line.

    Args:
        key: the object's key, for its name and in messages.
        data: its bytes.
        day: YYYY-MM-DD, the UTC day that every window must start on.
        now: windows that start later are refused.
    """
    if not key.endswith(_SUFFIX):
        yield Rejection(None, "unexpected_name", f"expected a name that ends in {_SUFFIX}")
        return
    number = 0
    seen: set[tuple[int, datetime]] = set()
    try:
        for number, line in enumerate(decode_lines(data), start=1):
            yield _judge(line, number, day, now, seen)
    except BadRecordError as error:
        yield Rejection(None, error.reason, f"after line {number}: {error.detail}")


def _judge(
    line: bytes, number: int, day: str, now: datetime, seen: set[tuple[int, datetime]]
) -> SnapshotRecord | Rejection:
    content = "" if _IDENTITIES in line else line[:_KEPT_LINE_BYTES].decode(errors="replace")
    try:
        record = parse_record(line, now=now)
    except BadRecordError as error:
        return Rejection(number, error.reason, error.detail, content)
    if f"{record.window_start:%Y-%m-%d}" != day:
        return Rejection(number, "wrong_day", f"{record.window_start:%Y-%m-%d} in {day}", content)
    place = (record.channel_id, record.window_start)
    if place in seen:
        return Rejection(number, "repeated", "the same channel and window again in one object", content)
    seen.add(place)
    return record


def inspect_object(key: str, data: bytes, *, day: str, now: datetime) -> ObjectReport:
    """Judge a whole object; see `usable_records` for the arguments."""
    report = ObjectReport(key, len(data), hashlib.sha256(data).hexdigest())
    for item in usable_records(key, data, day=day, now=now):
        if isinstance(item, Rejection):
            report.refuse(item)
        else:
            report.records += 1
            report.presences += len(item.viewer_keys)
    return report


def unread_object(key: str, size: int, why: str) -> ObjectReport:
    """The report on an object that is too large to be read: all of it is refused."""
    report = ObjectReport(key, size, None)
    report.refuse(Rejection(None, "too_large", why))
    return report


def holds_identities(data: bytes) -> bool:
    """Whether a raw object contains Twitch's ids of viewers, by its beginning; True when in doubt."""
    try:
        head = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(data, _HEAD_BYTES)
    except zlib.error:
        # Damaged from the start, or not gzip: judge the text itself.
        return _IDENTITIES in data or "\ufffd" in data.decode(errors="replace")
    return _MARK in head
