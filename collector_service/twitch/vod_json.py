"""Chat files of TwitchDownloaderCLI (``chatdownload -o chat.json``), plain or gzipped.

The format (version 1): ``streamer{name, login, id}``, ``video{id, title, created_at, start, end, length}``,
then ``comments[{_id, channel_id, content_offset_seconds, commenter{_id, name},
message{user_badges[{_id}]}}]``. A commenter's login is ``name``; ``commenter`` is null or missing for a
deleted account. A comment with the ``channel_id`` of a different channel was mirrored from there (Shared
Chat).

Files of any size are read piece by piece. msgspec reads usual comments many at a time and skips unused
fields. Comments that it refuses are read one by one, so that an error names its place.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TextIO, cast

import msgspec

from collector_service.contract import MAX_TEXT, BadRecordError, parse_utc
from collector_service.twitch.vod_chat import BOT_BADGE, Vod, VodComment

_GZIP_MAGIC = b"\x1f\x8b"
CHUNK_CHARACTERS = 1024 * 1024
_MAX_VALUE = 64 * 1024 * 1024
_NO_SPACE = re.compile(r"[^ \t\r\n]")
_decode = json.JSONDecoder().raw_decode
# Between two comments: the ends of the first one's message and of itself.
_BOUNDARY = '}},{"_id":'
_NUMBER = r"\A[0-9]+\Z"


class ChatJsonError(ValueError):
    """A file is not what TwitchDownloaderCLI writes; the text says which file, where and why."""


@dataclass(frozen=True)
class ChatJson:
    """One file: the VOD, the part of it in the file (seconds from, to), and its comments, once only."""

    vod: Vod
    covered: tuple[float, float]
    comments: Iterator[VodComment]


class _Badge(msgspec.Struct, gc=False):
    id: str = msgspec.field(name="_id")


class _Commenter(msgspec.Struct, gc=False):
    name: str
    id: Annotated[str, msgspec.Meta(pattern=_NUMBER)] = msgspec.field(name="_id")


class _Message(msgspec.Struct, gc=False):
    user_badges: list[_Badge] | None = None


class _Usual(msgspec.Struct, gc=False):
    """A comment without anything unusual; `_comment` accepts more."""

    content_offset_seconds: float
    id: Annotated[str, msgspec.Meta(min_length=1)] = msgspec.field(name="_id")
    commenter: _Commenter | None = None
    message: _Message | None = None
    channel_id: str | None = None

    def comment(self, channel_id: str) -> VodComment:
        """The same result as `_comment`."""
        commenter, message = self.commenter, self.message
        if commenter is None:
            return VodComment(self.id, self.content_offset_seconds, None, None, is_bot=False)
        badges = (message.user_badges if message else None) or ()
        return VodComment(
            self.id,
            self.content_offset_seconds,
            commenter.id,
            commenter.name,
            BOT_BADGE in [badge.id for badge in badges],
            (self.channel_id or channel_id) != channel_id,
        )


_decode_usual = msgspec.json.Decoder(list[_Usual]).decode


@contextmanager
def open_chat_json(path: Path) -> Iterator[ChatJson]:
    """Open a file; its comments can be read within the context.

    Raises:
        ChatJsonError: the file cannot be read or is not such a file; also while reading comments.
    """
    try:
        with path.open("rb") as stream:
            yield read_chat_json(stream, str(path))
    except OSError as error:
        raise ChatJsonError(f"{path}: {error.strerror or error}") from None


def read_chat_json(stream: BinaryIO, name: str, chunk: int = CHUNK_CHARACTERS) -> ChatJson:
    """Read up to the first comment.

    Args:
        stream: the file.
        name: its name, for error texts.
        chunk: how many characters are read at a time.

    Raises:
        ChatJsonError: see `open_chat_json`.
    """
    head = stream.read(len(_GZIP_MAGIC))
    stream.seek(0)
    binary = gzip.GzipFile(fileobj=stream) if head == _GZIP_MAGIC else stream
    # Line ends mean nothing in JSON.
    text = io.TextIOWrapper(cast("BinaryIO", binary), encoding="utf-8-sig", newline="\n")
    scanner = _Scanner(text, name, chunk)
    scanner.take("{")
    sections: dict[str, dict[str, Any]] = {}
    while True:
        key = scanner.value("a name")
        scanner.take(":")
        if key == "comments":
            break
        value = scanner.value(str(key)[:60])
        if key in ("streamer", "video"):
            if not isinstance(value, dict):
                raise ChatJsonError(f"{name}: {key} is not an object")
            sections[key] = value
        if scanner.peek() == "}":
            raise ChatJsonError(f"{name}: comments are missing; was it written by TwitchDownloaderCLI?")
        scanner.take(",")
    for section in ("streamer", "video"):
        if section not in sections:
            raise ChatJsonError(
                f"{name}: {section} does not come before comments; is it TwitchDownloader's?"
            )
    vod, covered = _vod(sections["streamer"], sections["video"], name)
    return ChatJson(vod, covered, _comments(scanner, name, str(vod.channel_id)))


def _vod(streamer: dict[str, Any], video: dict[str, Any], name: str) -> tuple[Vod, tuple[float, float]]:
    login = streamer.get("login") or str(streamer.get("name", "")).lower()
    start, end = _seconds(video, "start", name), _seconds(video, "end", name)
    length = _seconds(video, "length", name) or end
    if not 0 <= start < end <= length + 1:
        raise ChatJsonError(
            f"{name}: video.start {start}, end {end} and length {length} do not fit a VOD "
            "(the chat of a clip cannot be placed in time)"
        )
    channel_id = str(streamer.get("id"))
    if not (channel_id.isascii() and channel_id.isdigit()):
        raise ChatJsonError(f"{name}: streamer.id is not a number")
    title = video.get("title")
    try:
        vod = Vod(
            vod_id=str(video.get("id")),
            channel=str(login),
            channel_id=int(channel_id),
            title=title[:MAX_TEXT] if isinstance(title, str) and title else None,
            created_at=parse_utc(video.get("created_at"), "video.created_at"),
            duration_seconds=length,
        )
    except (BadRecordError, ValueError) as error:
        raise ChatJsonError(f"{name}: {error}") from None
    return vod, (start, end)


def _comments(scanner: _Scanner, name: str, channel_id: str) -> Iterator[VodComment]:
    seen: set[str] = set()
    scanner.take("[")
    position = 0
    more = scanner.peek() != "]"
    while more:
        found = [usual.comment(channel_id) for usual in scanner.usual_comments()]
        if not found:
            data = scanner.value(f"comments[{position}]")
            found = [_comment(data, f"{name}: comments[{position}]", channel_id)]
        for comment in found:
            if comment.id not in seen:
                seen.add(comment.id)
                yield comment
        position += len(found)
        more = scanner.peek() != "]"
        if more:
            scanner.take(",")
    scanner.pass_over_rest()


def _comment(data: Any, place: str, channel_id: str) -> VodComment:
    if not isinstance(data, dict):
        raise ChatJsonError(f"{place} is not an object")
    comment_id = data.get("_id")
    if not isinstance(comment_id, str) or not comment_id:
        raise ChatJsonError(f"{place}._id is not a text")
    offset = _seconds(data, "content_offset_seconds", place)
    commenter = data.get("commenter")
    if commenter is None:
        return VodComment(comment_id, offset, None, None, is_bot=False)
    user_id = commenter.get("_id") if isinstance(commenter, dict) else None
    if not (isinstance(user_id, str) and user_id.isascii() and user_id.isdigit()):
        raise ChatJsonError(f"{place}.commenter._id is not a number in text")
    login = commenter.get("name")
    if not isinstance(login, str):
        raise ChatJsonError(f"{place}.commenter.name is not a text")
    message = data.get("message")
    badges = message.get("user_badges") if isinstance(message, dict) else None
    listed = badges if isinstance(badges, list) else []
    is_bot = any(isinstance(badge, dict) and badge.get("_id") == BOT_BADGE for badge in listed)
    mirrored = str(data.get("channel_id") or channel_id) != channel_id
    return VodComment(comment_id, offset, user_id, login, is_bot, mirrored)


def _seconds(data: dict[str, Any], field: str, place: str) -> float:
    value = data.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ChatJsonError(f"{place}: {field} is not a number of seconds")
    try:
        return float(value)
    except OverflowError:
        raise ChatJsonError(f"{place}: {field} is not a number of seconds") from None


class _Scanner:
    """Takes one JSON value after the other from a text, holding little more than one value."""

    def __init__(self, text: TextIO, name: str, chunk: int) -> None:
        self._text = text
        self._name = name
        self._chunk = chunk
        self._buffer = ""
        self._position = 0
        self._singly_until = 0
        self._ended = False

    def peek(self) -> str:
        """The next character other than a space; empty at the end."""
        while True:
            found = _NO_SPACE.search(self._buffer, self._position)
            if found:
                self._position = found.start()
                return found.group()
            self._position = len(self._buffer)
            if not self._more():
                return ""

    def take(self, character: str) -> None:
        """Pass over a character that must come next."""
        found = self.peek()
        if found != character:
            raise ChatJsonError(
                f"{self._name}: {found or 'the end of the file'!r} instead of {character!r}"
            )
        self._position += 1

    def value(self, what: str) -> Any:
        """The next value; ``what`` names it in error texts."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._buffer, self._position)
            except (ValueError, RecursionError) as error:
                if not isinstance(error, RecursionError) and self._more():
                    continue
                problem = "the file ends within it" if self._ended else "it is not valid JSON"
                raise ChatJsonError(f"{self._name}: {what}: {problem}") from None
            # A number at the end of the buffer could go on in the next piece, also behind a point or an e.
            rest = self._buffer[end : end + 3]
            if len(rest) > 2 or (rest and rest[0] not in ".eE") or not self._more():
                self._position = end
                return value

    def usual_comments(self) -> list[_Usual]:
        """The comments that the buffer holds whole, if all of them are usual; else none.

        A piece that is valid JSON was cut between two comments, even if a text contains the boundary.
        """
        if self._position < self._singly_until:
            return []
        end = self._buffer.rfind(_BOUNDARY, self._position)
        if end < 0:
            self._singly_until = len(self._buffer)
            return []
        self._singly_until = end + 2
        try:
            comments = _decode_usual(f"[{self._buffer[self._position : end + 2]}]".encode())
        except (msgspec.DecodeError, RecursionError):
            return []
        self._position = end + 2
        return comments

    def pass_over_rest(self) -> None:
        """Read to the end, where gzip's checksum proves that the data are whole."""
        self._position = len(self._buffer)
        while self._more():
            self._position = len(self._buffer)

    def _more(self) -> bool:
        """Read at least as much as is left, so that a long value is not scanned too often."""
        left = self._buffer[self._position :]
        if self._ended or len(left) > _MAX_VALUE:
            return False
        try:
            piece = self._text.read(max(self._chunk, len(left)))
        except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ChatJsonError(f"{self._name}: cannot be unpacked: {error}") from None
        self._buffer, self._position, self._singly_until = left + piece, 0, 0
        self._ended = not piece
        return bool(piece)
