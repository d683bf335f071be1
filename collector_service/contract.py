"""The collector's promise to readers: the snapshot record and the keys of raw objects.

One line of a raw object is one channel in one window:

    record = SnapshotRecord(
        source="live", channel="alpha", channel_id=7, collector_id="c1",
        window_start=datetime(2026, 3, 1, 20, 5, tzinfo=UTC), window_seconds=300,
        observed_seconds=300.0, partial=False, messages=3,
        viewer_keys=[viewer_key(secret, "1001")], viewer_messages=[3],
    )
    lake.put(live_key(record.window_start, "c1"), encode_object([record]))

    for line in decode_lines(lake.get(live_key(record.window_start, "c1"))):
        record = parse_record(line)     # or BadRecordError with the reason
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, Self

from collector_service.support.limits import read_json

SCHEMA_VERSION = 1
LIVE_PREFIX = "raw/snapshots"
VOD_PREFIX = "raw/vod_chat"
STATE_PREFIX = "state"

Source = Literal["live", "vod"]

# A login is 1 to 25 of [a-z0-9_]; a few old or internal accounts are longer.
LOGIN = re.compile(r"[a-z0-9_]{1,50}")
COLLECTOR_ID = re.compile(r"[a-z0-9][a-z0-9_.]{0,62}")
MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_OBJECT_BYTES = 2 * 1024 * 1024 * 1024
# Gzipped: digits and repeated names shrink to less than half.
MAX_PACKED_BYTES = MAX_OBJECT_BYTES // 2
# One per channel; some 100,000 are live at a time.
MAX_OBJECT_LINES = 150_000
MAX_TEXT = 500
MAX_WINDOW_SECONDS = 86_400
_UINT64 = 2**64
_ROUNDING_SECONDS = 0.001


class ChannelStatus(StrEnum):
    """The state of a wanted channel; ``meaning`` explains to people why data are missing."""

    meaning: str

    def __new__(cls, word: str, meaning: str) -> Self:
        """The status ``word`` with its meaning."""
        status = str.__new__(cls, word)
        status._value_ = word
        status.meaning = meaning
        return status

    JOINED = "joined", "the channel is being read"
    JOINING = "joining", "its JOIN is waiting for its turn, or for Twitch's answer"
    NO_ANSWER = "no answer", "Twitch does not answer the JOIN: suspended, renamed, or no such channel"
    SUSPENDED = "suspended", "Twitch says that the channel is suspended"
    BANNED = "banned", "Twitch says that readers are banned from the channel"
    NOT_FOUND = "not found", "Twitch knows no channel of this name"
    RENAMED = "renamed", "the channel has another name now, under which it is read"
    OPTED_OUT = "opted out", "the channel has asked to be left out"
    DROPPED = "dropped", "it was read, but the disk and the lake had no room for what was seen"


def viewer_key(secret: str, user_id: str) -> int:
    """Pseudonym of a viewer: 64-bit keyed BLAKE2b of ``twitch:`` + user id, big-endian.

    Args:
        secret: VIEWER_KEY_SECRET, 1 to 64 bytes in UTF-8.
        user_id: Twitch's numeric user id as text (ASCII).

    Returns:
        An integer in [0, 2**64).
    """
    digest = hashlib.blake2b(
        b"twitch:" + user_id.encode("ascii"), digest_size=8, key=secret.encode()
    ).digest()
    return int.from_bytes(digest, "big")


class BadRecordError(ValueError):
    """A snapshot line that breaks the contract; ``reason`` is a short stable word for counting."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class SnapshotRecord:
    """One channel in one window, as seen by one collector (or one VOD).

    Attributes:
        source: live chat or a past broadcast.
        channel: the channel's login.
        channel_id: Twitch's number of the channel, 0 <= id < 2**63.
        collector_id: the writer.
        window_start: aware; a multiple of ``window_seconds`` since 1970.
        window_seconds: length of the window.
        observed_seconds: the time that the channel was really joined during the window.
        partial: whether a part of the window may be missing.
        viewer_count: Twitch's count of watchers, most of whom do not chat.
        game_id: of the stream's category, as ``game_name``.
        language: of the stream.
        title: of the stream.
        started_at: start of the stream.
        messages: of all viewers.
        mirrored_messages: copies from a different channel's chat (Shared Chat); they prove no presence.
        viewer_keys: each viewer's key, 0 <= k < 2**64.
        viewer_messages: each viewer's messages, parallel to ``viewer_keys``; 0 for a viewer whose presence
            was proven without a message.
        known_bots: the subset of ``viewer_keys`` that is on the bot list or wears the chat-bot badge.
        user_ids: Twitch's ids where known, parallel to ``viewer_keys``. They are written only where the
            operator chose so (``privacy.raw_identities``), and readers ignore them.
        observed_intervals: disjoint stretches in order, in seconds from the window's start, which add up
            to ``observed_seconds``; None: not recorded.
        status: the channel's state at the window's end, a `ChannelStatus` (or a later writer's word).
        part: number of the object, where one collector writes several for a window.
    """

    source: Source
    channel: str
    channel_id: int
    collector_id: str
    window_start: datetime
    window_seconds: int
    observed_seconds: float
    partial: bool
    viewer_count: int | None = None
    game_id: str | None = None
    game_name: str | None = None
    language: str | None = None
    title: str | None = None
    started_at: datetime | None = None
    messages: int = 0
    mirrored_messages: int = 0
    viewer_keys: list[int] = field(default_factory=list)
    viewer_messages: list[int] = field(default_factory=list)
    known_bots: list[int] = field(default_factory=list)
    user_ids: list[str | None] | None = None
    observed_intervals: list[tuple[float, float]] | None = None
    status: str | None = None
    part: int | None = None

    def to_json(self) -> str:
        """The record as one line of JSON with a fixed field order and no newline."""
        chatters: dict[str, list[Any]] = {
            "viewer_key": [str(key) for key in self.viewer_keys],
            "messages": self.viewer_messages,
        }
        if self.user_ids is not None:
            chatters["user_id"] = self.user_ids
        return json.dumps(
            {
                "schema_version": SCHEMA_VERSION,
                # First, so that even the remains of a damaged object show it.
                **({} if self.user_ids is None else {"raw_identities": True}),
                "source": self.source,
                "channel": self.channel,
                "channel_id": str(self.channel_id),
                "collector_id": self.collector_id,
                "window_start": format_utc(self.window_start),
                "window_seconds": self.window_seconds,
                "observed_seconds": round(self.observed_seconds, 3),
                "partial": self.partial,
                "viewer_count": self.viewer_count,
                "game_id": self.game_id,
                "game_name": self.game_name,
                "language": self.language,
                "title": self.title,
                "started_at": format_utc(self.started_at) if self.started_at else None,
                "messages": self.messages,
                "mirrored_messages": self.mirrored_messages,
                "chatters": chatters,
                "known_bots": [str(key) for key in self.known_bots],
                "observed_intervals": self.observed_intervals,
                "status": self.status,
                "part": self.part,
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )


def format_utc(instant: datetime) -> str:
    """ISO 8601 with ``Z`` and whole seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_utc(text: object, name: str) -> datetime:
    """An aware UTC datetime from ISO 8601 text that carries its offset.

    Raises:
        BadRecordError: not such a text.
    """
    if not isinstance(text, str) or len(text) > 40:
        raise BadRecordError("bad_field", f"{name} is not an ISO 8601 time: {_short(text)}")
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise BadRecordError("bad_field", f"{name} is not an ISO 8601 time: {_short(text)}") from None
    if instant.tzinfo is None:
        raise BadRecordError("bad_field", f"{name} has no time zone: {_short(text)}")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise BadRecordError("bad_field", f"{name} is beyond the calendar: {_short(text)}") from None


def parse_record(line: bytes | str, *, now: datetime | None = None) -> SnapshotRecord:
    """Read one line of a snapshot object, strictly; unknown extra fields are accepted.

    Args:
        line: one JSON object.
        now: when given, a window that starts after it is refused as ``future_window``.

    Raises:
        BadRecordError: with reason ``not_json``, ``not_object``, ``schema_version``, ``missing_field``,
            ``bad_field``, ``unaligned_window`` or ``future_window``.
    """
    try:
        data = read_json(line)
    except ValueError as error:
        raise BadRecordError("not_json", str(error)) from None
    if not isinstance(data, dict):
        raise BadRecordError("not_object", f"a {type(data).__name__} instead of an object")
    version = data.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise BadRecordError("schema_version", f"{_short(version)}, this reader knows {SCHEMA_VERSION}")

    source = _required(data, "source")
    if source not in ("live", "vod"):
        raise BadRecordError("bad_field", f"source is {_short(source)}, not live or vod")
    channel = _required(data, "channel")
    if not isinstance(channel, str) or not LOGIN.fullmatch(channel):
        raise BadRecordError("bad_field", f"channel is not a login: {_short(channel)}")
    collector_id = _required(data, "collector_id")
    if not isinstance(collector_id, str) or not COLLECTOR_ID.fullmatch(collector_id):
        raise BadRecordError(
            "bad_field", f"collector_id is not a valid collector id: {_short(collector_id)}"
        )
    window_start, window_seconds = _window(data, now)
    observed = _required(data, "observed_seconds")
    if not _is_number(observed):
        raise BadRecordError("bad_field", f"observed_seconds is not a number: {_short(observed)}")
    if not 0 <= observed <= window_seconds:
        raise BadRecordError("bad_field", f"observed_seconds {observed} outside 0..{window_seconds}")
    partial = _required(data, "partial")
    if not isinstance(partial, bool):
        raise BadRecordError("bad_field", f"partial is not true or false: {_short(partial)}")

    keys, viewer_messages = _chatters(_required(data, "chatters"))
    known_bots = _viewer_keys(data.get("known_bots", []), "known_bots")
    if not set(known_bots) <= set(keys):
        raise BadRecordError("bad_field", "known_bots holds a viewer that is not in chatters")
    started_at = data.get("started_at")
    return SnapshotRecord(
        source=source,
        channel=channel,
        channel_id=_channel_id(_required(data, "channel_id")),
        collector_id=collector_id,
        window_start=window_start,
        window_seconds=window_seconds,
        observed_seconds=float(observed),
        partial=partial,
        viewer_count=_optional_count(data, "viewer_count"),
        game_id=_optional_text(data, "game_id"),
        game_name=_optional_text(data, "game_name"),
        language=_optional_text(data, "language"),
        title=_optional_text(data, "title"),
        started_at=None if started_at is None else parse_utc(started_at, "started_at"),
        messages=_integer(_required(data, "messages"), "messages", 0, 2**31 - 1),
        mirrored_messages=_integer(data.get("mirrored_messages", 0), "mirrored_messages", 0, 2**31 - 1),
        viewer_keys=keys,
        viewer_messages=viewer_messages,
        known_bots=known_bots,
        observed_intervals=_intervals(data.get("observed_intervals"), float(observed), window_seconds),
        status=_optional_text(data, "status"),
        part=None if data.get("part") is None else _integer(data["part"], "part", 0, 2**31 - 1),
    )


def encode_object(records: Iterable[SnapshotRecord]) -> bytes:
    """Gzipped NDJSON of the records; the same records give the same bytes (no time in the header)."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as stream:
        for record in records:
            # A title from outside may hold half a surrogate pair, which UTF-8 cannot.
            stream.write(record.to_json().encode(errors="replace") + b"\n")
    return buffer.getvalue()


def decode_lines(data: bytes) -> Iterator[bytes]:
    """The lines of a snapshot object, without newlines and without empty lines.

    Raises:
        BadRecordError: ``bad_gzip`` for bytes that are not a complete gzip stream, ``too_large`` beyond
            `MAX_OBJECT_BYTES` unpacked, `MAX_LINE_BYTES` in a line or `MAX_OBJECT_LINES` lines, empty
            ones counted. Lines before the fault have been yielded by then.
    """
    unpacked = number = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            while line := stream.readline(MAX_LINE_BYTES):
                unpacked += len(line)
                number += 1
                if unpacked > MAX_OBJECT_BYTES:
                    raise BadRecordError("too_large", f"more than {MAX_OBJECT_BYTES} bytes unpacked")
                if number > MAX_OBJECT_LINES:
                    raise BadRecordError("too_large", f"more than {MAX_OBJECT_LINES} lines")
                if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                    raise BadRecordError("too_large", f"more than {MAX_LINE_BYTES} bytes in a line")
                if line := line.strip():
                    yield line
    except (EOFError, OSError, zlib.error) as error:
        raise BadRecordError("bad_gzip", str(error) or type(error).__name__) from None


def live_key(window_start: datetime, collector_id: str, part: int = 0) -> str:
    """Key of a live snapshot object; ``part`` > 0 for further objects of the same window."""
    start = window_start.astimezone(UTC)
    suffix = f"-{part:02d}" if part else ""
    return (
        f"{LIVE_PREFIX}/date={start:%Y-%m-%d}/hour={start:%H}/"
        f"{start:%Y%m%dT%H%M%SZ}-{collector_id}{suffix}.ndjson.gz"
    )


def live_day_prefix(day: str) -> str:
    """Prefix of all live objects of a UTC day (YYYY-MM-DD)."""
    return f"{LIVE_PREFIX}/date={day}/"


def vod_key(day: str, vod_id: str) -> str:
    """Key of the presence of one VOD on one UTC day (YYYY-MM-DD)."""
    return f"{VOD_PREFIX}/date={day}/vod={vod_id}.ndjson.gz"


def vod_day_prefix(day: str) -> str:
    """Prefix of all VOD objects of a UTC day (YYYY-MM-DD)."""
    return f"{VOD_PREFIX}/date={day}/"


def status_table_key(shard: int, shards: int) -> str:
    """Key of the newest status table of the collector with this 0-based number, out of ``shards``."""
    return f"{STATE_PREFIX}/collectors/{shard + 1}-of-{shards}/channels.json"


def _required(data: dict[str, Any], name: str) -> Any:
    value = data.get(name)
    if value is None:
        raise BadRecordError("missing_field", name)
    return value


def _window(data: dict[str, Any], now: datetime | None) -> tuple[datetime, int]:
    start = parse_utc(_required(data, "window_start"), "window_start")
    seconds = _integer(_required(data, "window_seconds"), "window_seconds", 1, MAX_WINDOW_SECONDS)
    if start.timestamp() % seconds:
        raise BadRecordError("unaligned_window", f"{format_utc(start)} is not a multiple of {seconds} s")
    if now is not None and start > now:
        raise BadRecordError("future_window", f"{format_utc(start)} is after {format_utc(now)}")
    return start, seconds


def _chatters(chatters: object) -> tuple[list[int], list[int]]:
    if not isinstance(chatters, dict):
        raise BadRecordError("bad_field", "chatters is not an object")
    keys = _viewer_keys(chatters.get("viewer_key"), "chatters.viewer_key")
    counts = chatters.get("messages")
    if not isinstance(counts, list) or len(counts) != len(keys):
        raise BadRecordError("bad_field", "chatters.messages is not as long as chatters.viewer_key")
    if len(set(keys)) != len(keys):
        raise BadRecordError("bad_field", "chatters.viewer_key holds a viewer twice")
    return keys, [_integer(count, "chatters.messages", 0, 2**31 - 1) for count in counts]


def _intervals(
    value: object, observed_seconds: float, window_seconds: int
) -> list[tuple[float, float]] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise BadRecordError("bad_field", "observed_intervals is not a list")
    intervals: list[tuple[float, float]] = []
    end = 0.0
    for pair in value:
        if not (isinstance(pair, list) and len(pair) == 2 and all(_is_number(bound) for bound in pair)):
            raise BadRecordError(
                "bad_field", f"observed_intervals holds {_short(pair)}, not a pair of seconds"
            )
        if not end <= pair[0] <= pair[1] <= window_seconds:
            raise BadRecordError("bad_field", f"observed_intervals: {_short(pair)} is out of order")
        intervals.append((float(pair[0]), end := float(pair[1])))
    total = sum(until - since for since, until in intervals)
    if abs(total - observed_seconds) > _ROUNDING_SECONDS * (1 + len(intervals)):
        raise BadRecordError(
            "bad_field", f"observed_intervals hold {total:g} s, observed_seconds {observed_seconds:g}"
        )
    return intervals


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _integer(value: object, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRecordError("bad_field", f"{name} is not a whole number: {_short(value)}")
    if not low <= value <= high:
        raise BadRecordError("bad_field", f"{name} {value} outside {low}..{high}")
    return value


def _channel_id(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    return _integer(value, "channel_id", 0, 2**63 - 1)


def _viewer_keys(value: object, name: str) -> list[int]:
    if not isinstance(value, list):
        raise BadRecordError("bad_field", f"{name} is not a list")
    keys = []
    for text in value:
        if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 20):
            raise BadRecordError("bad_field", f"{name} holds something that is not a decimal text")
        key = int(text)
        if key >= _UINT64:
            raise BadRecordError("bad_field", f"{name} holds a number beyond 64 bits")
        keys.append(key)
    return keys


def _optional_count(data: dict[str, Any], name: str) -> int | None:
    value = data.get(name)
    return None if value is None else _integer(value, name, 0, 2**31 - 1)


def _optional_text(data: dict[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadRecordError("bad_field", f"{name} is not a text: {_short(value)}")
    return value[:MAX_TEXT].encode(errors="replace").decode()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
