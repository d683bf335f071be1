"""The parser against real-looking lines, hostile text, and arbitrary bytes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector_service.twitch.irc import (
    MESSAGE,
    MIRRORED,
    PRESENCE,
    Chat,
    Control,
    Ignored,
    Malformed,
    parse,
)

TAGS = {
    "badge-info": "subscriber/25",
    "badges": "subscriber/24,premium/1",
    "client-nonce": "0123456789abcdef",
    "color": "#8A2BE2",
    "display-name": "SomeViewer",
    "emotes": "25:0-4",
    "flags": "",
    "id": "47f1e6f0-1111-4222-8333-abcdefabcdef",
    "mod": "0",
    "room-id": "26301881",
    "subscriber": "1",
    "tmi-sent-ts": "1734372000123",
    "user-id": "123456789",
    "user-type": "",
}


def privmsg(text="hello", nick="someviewer", channel="somechannel", **changes):
    tags = TAGS | {name.replace("_", "-"): value for name, value in changes.items()}
    tagged = ";".join(f"{name}={value}" for name, value in sorted(tags.items()) if value is not None)
    return f"@{tagged} :{nick}!{nick}@{nick}.tmi.twitch.tv PRIVMSG #{channel} :{text}\r".encode()


def usernotice(msg_id, **changes):
    tags = TAGS | {"msg-id": msg_id, "login": "gifter", "system-msg": r"gifter\sgave\:user-id=1"}
    tags |= {name.replace("_", "-"): value for name, value in changes.items()}
    tagged = ";".join(f"{name}={value}" for name, value in sorted(tags.items()) if value is not None)
    return f"@{tagged} :tmi.twitch.tv USERNOTICE #somechannel :thanks".encode()


def test_a_message_says_who_where_and_when():
    line = parse(privmsg())
    assert isinstance(line, Chat)
    assert (line.kind, line.room_id, line.user_id, line.sent_ms) == (
        MESSAGE,
        b"26301881",
        b"123456789",
        1734372000123,
    )
    assert (line.login, line.channel, line.bot_badge) == (b"someviewer", b"somechannel", False)
    assert line.message_id == b"47f1e6f0-1111-4222-8333-abcdefabcdef"


@pytest.mark.parametrize(
    "text",
    [
        "please RECONNECT now",
        "PING x",
        ":tmi.twitch.tv RECONNECT",
        "x PING :y",
        "@user-id=1;room-id=2 :a!b@c PRIVMSG #other :no",
        "\x01ACTION waves\x01",
        "\x00\x00",
        "é" * 500,
        "",
        ":",
    ],
)
def test_text_is_never_a_command(text):
    line = parse(privmsg(text))
    assert isinstance(line, Chat)
    assert (line.kind, line.user_id, line.channel) == (MESSAGE, b"123456789", b"somechannel")


def test_text_inside_tags_is_no_tag():
    body = r"hi\:user-id=999\:room-id=888\sbot-badge/1"
    line = parse(privmsg(reply_parent_msg_body=body, reply_parent_user_id="777"))
    assert isinstance(line, Chat)
    assert (line.user_id, line.room_id, line.bot_badge) == (b"123456789", b"26301881", False)


def test_tags_may_come_in_any_order():
    line = parse(b"@user-id=5;tmi-sent-ts=1000;id=x;room-id=6 :n!n@n PRIVMSG #c :t")
    assert isinstance(line, Chat)
    assert (line.user_id, line.room_id, line.sent_ms, line.message_id) == (b"5", b"6", 1000, b"x")


def test_a_shared_chat_copy_is_mirrored_and_its_original_is_not():
    assert parse(privmsg(source_room_id="97245742")).kind == MIRRORED
    assert parse(privmsg(source_room_id="26301881")).kind == MESSAGE
    assert parse(privmsg(source_room_id="26301881", source_id="x")).message_id == TAGS["id"].encode()


@pytest.mark.parametrize(
    ("badges", "bot"),
    [("bot-badge/1", True), ("moderator/1,bot-badge/1", True), ("notbot-badge/1", False), ("", False)],
)
def test_the_bot_badge(badges, bot):
    assert parse(privmsg(badges=badges)).bot_badge is bot


@pytest.mark.parametrize(
    "msg_id", ["sub", "resub", "announcement", "viewermilestone", "subgift", "submysterygift"]
)
def test_notices_that_prove_presence(msg_id):
    line = parse(usernotice(msg_id))
    assert isinstance(line, Chat)
    assert (line.kind, line.user_id, line.login) == (PRESENCE, b"123456789", b"gifter")


@pytest.mark.parametrize(
    "line",
    [
        usernotice("raid"),
        usernotice("sharedchatnotice", source_room_id="97245742", source_msg_id="sub"),
        usernotice("sub", source_room_id="97245742"),
        usernotice("subgift", user_id="274598607", login="ananonymousgifter"),
        usernotice("rewardgift"),
    ],
)
def test_notices_that_prove_nothing(line):
    assert isinstance(parse(line), Ignored)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (privmsg(user_id=None), "no_user_id"),
        (privmsg(user_id="12a"), "no_user_id"),
        (privmsg(user_id="9" * 19), "no_user_id"),
        (privmsg(room_id=None), "no_room_id"),
        (privmsg(room_id=""), "no_room_id"),
        (b":n!n@n PRIVMSG #c :t", "no_tags"),
        (b"@room-id=1", "truncated"),
        (b"@room-id=1 ", "truncated"),
        (b"@room-id=1 :nick", "truncated"),
        (b":nick", "truncated"),
        (b"", "empty"),
        (b"  \r", "empty"),
        (b"@a=b PRIVMSG #c", "truncated"),
    ],
)
def test_unusable_lines_have_a_reason(line, reason):
    assert parse(line) == Malformed(reason)


@pytest.mark.parametrize("sent", [None, "", "yesterday", "-5", "1" * 30])
def test_a_message_without_a_usable_time_still_counts(sent):
    line = parse(privmsg(tmi_sent_ts=sent))
    assert isinstance(line, Chat)
    assert line.sent_ms == 0


def test_control_lines():
    assert parse(b"PING :tmi.twitch.tv\r") == Control(b"PING", b"", b"", (b"tmi.twitch.tv",))
    assert parse(b":tmi.twitch.tv RECONNECT").command == b"RECONNECT"
    join = parse(b":justinfan1!justinfan1@justinfan1.tmi.twitch.tv JOIN #chan\r")
    assert (join.command, join.channel, join.prefix[:10]) == (b"JOIN", "chan", b"justinfan1")
    state = parse(b"@emote-only=0;room-id=77;slow=0 :tmi.twitch.tv ROOMSTATE #chan")
    assert (state.channel, state.tag(b"room-id"), state.tag(b"slow"), state.tag(b"no")) == (
        "chan",
        b"77",
        b"0",
        b"",
    )
    notice = parse(b"@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #chan :gone :for good")
    assert notice.tag(b"msg-id") == b"msg_channel_suspended"
    assert notice.params == (b"#chan", b"gone :for good")
    names = parse(b":me.tmi.twitch.tv 353 me = #chan :me")
    assert (names.command, names.params) == (b"353", (b"me", b"=", b"#chan", b"me"))


def use_everything(line):
    parsed = parse(line)
    if isinstance(parsed, Chat):
        assert parsed.room_id.isdigit()
        assert parsed.user_id.isdigit() or parsed.kind == MIRRORED
        assert parsed.sent_ms >= 0
        assert isinstance(parsed.login + parsed.channel + parsed.message_id, bytes)
    elif isinstance(parsed, Control):
        assert isinstance(parsed.channel, str)
        assert isinstance(parsed.tag(b"room-id"), bytes)
    else:
        assert isinstance(parsed, Malformed | Ignored)


@given(st.binary(max_size=300))
@example(b"@ :x PRIVMSG #")
@example(b"@room-id=1;user-id=2 :")
@example(b"@;;;; : PRIVMSG #")
def test_arbitrary_bytes_never_raise(line):
    use_everything(line)


_PIECES = st.sampled_from(
    [b"@", b";", b"=", b" ", b":", b"!", b"#", b"user-id=1", b"room-id=2", b"id=3", b"PRIVMSG", b"\x00",
     b"USERNOTICE", b"msg-id=sub", b"source-room-id=9", b"PING", b"\r", b"\xff", b"badges=bot-badge/1",
     b"tmi-sent-ts=4", b"NOTICE", b"JOIN", b" :t PRIVMSG #c :", b"login="]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=25).map(b"".join))
def test_almost_lines_never_raise(line):
    use_everything(line)


@given(st.integers(0, len(privmsg())), st.integers(0, 255))
def test_cut_and_damaged_messages_never_raise(position, byte):
    line = bytearray(privmsg(source_room_id="5"))
    use_everything(bytes(line[:position]))
    line[min(position, len(line) - 1)] = byte
    use_everything(bytes(line))
