"""Lines without proof of presence: broken ones, and sound ones without chat."""

from __future__ import annotations

from typing import Literal

Garbage = Literal["bad_utf8", "nul", "overlong", "empty"]

GARBAGE: dict[str, bytes] = {
    "bad_utf8": b"@room-id=\xff\xfe;user-id=\xc3 :\xff!\xff@\xff PRIVMSG #\xfe :\xff\xf0\x28\r\n",
    "nul": b":tmi\x00.twitch.tv \x00PRIVMSG\x00 #\x00 :\x00\r\n",
    "overlong": b"@badges=" + b"x" * 300_000 + b" :tmi.twitch.tv PRIVMSG #x :y\r\n",
    "empty": b"\r\n\r\n:\r\n@\r\n@a=b\r\n: \r\n",
}

# A user whom no world has, so that counting one of these lines shows.
_NOBODY = "user-id=1;user-type="
_NOISE = (
    "@login=nobody;room-id={room};target-msg-id=0;tmi-sent-ts={ms} :tmi.twitch.tv CLEARMSG #{login} :bye",
    "@display-name=Nobody;mod=0;room-id={room};" + _NOBODY + " :tmi.twitch.tv USERSTATE #{login}",
    "@display-name=Nobody;" + _NOBODY + " :tmi.twitch.tv GLOBALUSERSTATE",
    ":tmi.twitch.tv HOSTTARGET #{login} :nobody 10",
    "@msg-id=slow_on;room-id={room} :tmi.twitch.tv NOTICE #{login} :This room is now in slow mode.",
    "@room-id={room};" + _NOBODY + " :nobody!nobody@nobody.tmi.twitch.tv WHISPER you :RECONNECT",
    ":nobody!nobody@nobody.tmi.twitch.tv JOIN #{login}",
    ":nobody!nobody@nobody.tmi.twitch.tv PART #{login}",
    "@room-id={room};tmi-sent-ts={ms} :tmi.twitch.tv CLEARCHAT #{login}",
)  # fmt: skip


def noise(channel_id: int, login: str, ms: int) -> bytes:
    """Sound lines of one room without any chat in them; ``ms`` is the world's time."""
    lines = [line.format(room=channel_id, login=login, ms=ms) for line in _NOISE]
    return "".join(line + "\r\n" for line in lines).encode()


def cut_message(channel_id: int, login: str, ms: int) -> bytes:
    """The beginning of a message whose end never comes: all tags, no end of line."""
    return (
        f"@id=cut;room-id={channel_id};tmi-sent-ts={ms};{_NOBODY} "
        f":nobody!nobody@nobody.tmi.twitch.tv PRIVMSG #{login} :this line is c"
    ).encode()
