r"""Parser of Twitch's IRC lines, no deeper than the collector needs.

The format is IRCv3 (https://ircv3.net/specs/extensions/message-tags): ``@tags :prefix COMMAND params``.
Inside a tag's value ``;`` is written ``\:`` and a space ``\s``, so text that viewers control can
neither end a tag nor the tags, and searching the raw bytes for ``;name=`` is exact. Message text is
never read.
"""

from __future__ import annotations

from typing import NamedTuple

# Kinds of chat lines.
MESSAGE = 0  # a message of the channel's own chat: presence and one message
PRESENCE = 1  # proof of presence without a message (a resub, a gift, ...)
MIRRORED = 2  # a shared-chat copy of a different channel's message: no presence here

# USERNOTICEs whose sender was in the chat. A raider is only arriving, a gift's recipient need not be there.
_PRESENT = frozenset({b"sub", b"resub", b"announcement", b"viewermilestone", b"subgift", b"submysterygift"})
_ANONYMOUS_GIFTER = b"274598607"
_BOT_BADGE = b"bot-badge/"
_MAX_DIGITS = 18


class Chat(NamedTuple):
    """A line that counts: its sender (``user_id``), channel (``room_id``) and time (``sent_ms``, Unix ms).

    ``sent_ms`` is 0 when Twitch did not say; ``user_id`` is empty for a mirrored line.
    """

    kind: int
    room_id: bytes
    user_id: bytes
    sent_ms: int
    bot_badge: bool
    line: bytes
    tags_end: int

    @property
    def message_id(self) -> bytes:
        """Twitch's id of this copy of the message; empty when missing."""
        return _tag(self.line, b";id=", self.tags_end)

    @property
    def login(self) -> bytes:
        """The sender's login: from the tags, else the prefix's nick; empty when missing."""
        if login := _tag(self.line, b";login=", self.tags_end):
            return login
        nick, bang, _ = self.line[self.tags_end + 2 : self.tags_end + 64].partition(b"!")
        return nick if bang else b""

    @property
    def channel(self) -> bytes:
        """The channel's login, without ``#``."""
        return self.line[self.tags_end :].split(b" ", 4)[3].rstrip(b"\r").removeprefix(b"#")


class Control(NamedTuple):
    """A line of the protocol: its command, tags (raw), prefix, and params (the last one unsplit)."""

    command: bytes
    tags: bytes
    prefix: bytes
    params: tuple[bytes, ...]

    @property
    def channel(self) -> str:
        """The channel's login from the first param, or empty."""
        if self.params and self.params[0].startswith(b"#"):
            return self.params[0][1:].decode("ascii", "replace")
        return ""

    def tag(self, name: bytes) -> bytes:
        """A tag's raw value, or empty."""
        raw = b"@" + self.tags
        return _tag(raw, b";" + name + b"=", len(raw))


class Malformed(NamedTuple):
    """A line that cannot be used, and the reason in a short stable word."""

    reason: str


class Ignored(NamedTuple):
    """A well-formed line that counts for nothing (a raid, an anonymous gift, ...)."""

    command: bytes


Line = Chat | Control | Malformed | Ignored


def parse(line: bytes) -> Line:
    """Take one line apart; never raises.

    Args:
        line: without the line feed; a carriage return at its end is accepted.
    """
    tags_end = 0
    start = 0
    if line.startswith(b"@"):
        tags_end = line.find(b" ")
        if tags_end < 0:
            return Malformed("truncated")
        start = tags_end + 1
    if line.startswith(b":", start):
        start = line.find(b" ", start) + 1
        if not start:
            return Malformed("truncated")
        if tags_end:
            # By far the most frequent lines come first.
            if line.startswith(b"PRIVMSG #", start):
                return _privmsg(line, tags_end)
            if line.startswith(b"USERNOTICE #", start):
                return _usernotice(line, tags_end)
    return _control(line, tags_end, start)


def _privmsg(line: bytes, tags_end: int) -> Line:
    room_id = _tag(line, b";room-id=", tags_end)
    if not _is_id(room_id):
        return Malformed("no_room_id")
    sent = _tag(line, b";tmi-sent-ts=", tags_end)
    sent_ms = int(sent) if sent.isdigit() and len(sent) <= _MAX_DIGITS else 0
    if line.find(b"source-room-id=", 0, tags_end) >= 0:
        source = _tag(line, b";source-room-id=", tags_end)
        if source and source != room_id:
            return Chat(MIRRORED, room_id, b"", sent_ms, False, line, tags_end)
    user_id = _tag(line, b";user-id=", tags_end)
    if not _is_id(user_id):
        return Malformed("no_user_id")
    bot = line.find(_BOT_BADGE, 0, tags_end) >= 0 and _wears_bot_badge(line, tags_end)
    return Chat(MESSAGE, room_id, user_id, sent_ms, bot, line, tags_end)


def _usernotice(line: bytes, tags_end: int) -> Line:
    room_id = _tag(line, b";room-id=", tags_end)
    if not _is_id(room_id):
        return Malformed("no_room_id")
    user_id = _tag(line, b";user-id=", tags_end)
    source = _tag(line, b";source-room-id=", tags_end)
    if (
        _tag(line, b";msg-id=", tags_end) not in _PRESENT
        or user_id == _ANONYMOUS_GIFTER
        or (source and source != room_id)
    ):
        return Ignored(b"USERNOTICE")
    if not _is_id(user_id):
        return Malformed("no_user_id")
    sent = _tag(line, b";tmi-sent-ts=", tags_end)
    sent_ms = int(sent) if sent.isdigit() and len(sent) <= _MAX_DIGITS else 0
    return Chat(PRESENCE, room_id, user_id, sent_ms, _wears_bot_badge(line, tags_end), line, tags_end)


def _control(line: bytes, tags_end: int, start: int) -> Line:
    tags = line[1:tags_end] if tags_end else b""
    prefix = line[tags_end:start].strip().removeprefix(b":")
    head, colon, last = line[start:].rstrip(b"\r\n").partition(b" :")
    words = head.split()
    if not words:
        return Malformed("empty" if not line.strip() else "truncated")
    command = words[0]
    if command in (b"PRIVMSG", b"USERNOTICE"):
        # The fast path would have taken it if it had tags, a prefix and a channel.
        return Malformed("no_tags" if not tags_end else "truncated")
    return Control(command, tags, prefix, (*words[1:], last) if colon else tuple(words[1:]))


def _tag(line: bytes, name: bytes, tags_end: int) -> bytes:
    """The raw value of the tag ``name`` (written ``;name=``) in ``line[1:tags_end]``, or empty."""
    at = line.find(name, 0, tags_end)
    if at < 0:
        if not line.startswith(name[1:], 1):
            return b""
        at = 0
    start = at + len(name)
    stop = line.find(b";", start, tags_end)
    return line[start:tags_end] if stop < 0 else line[start:stop]


def _is_id(value: bytes) -> bool:
    return value.isdigit() and len(value) <= _MAX_DIGITS


def _wears_bot_badge(line: bytes, tags_end: int) -> bool:
    badges = _tag(line, b";badges=", tags_end)
    return badges.startswith(_BOT_BADGE) or b"," + _BOT_BADGE in badges
