import re
from itertools import chain

import pytest

from collector_service.simulator.chat import ANONYMOUS, Event, Kind, stream_events
from collector_service.simulator.lines import RoomLines, badges_of, without_tags
from collector_service.simulator.planting import plant
from collector_service.simulator.world import WorldOptions

LINE = re.compile(
    r"@(?P<tags>\S+) :(?P<prefix>\S+) (?P<command>[A-Z]+) #(?P<channel>\w+)(?: :(?P<text>.*))?"
)


@pytest.fixture(scope="module")
def busy():
    """A world whose shared chats and notices give every kind of line."""
    return plant(WorldOptions(seed=11, channels=40, viewers=3_000, days=2))


def take_apart(line):
    match = LINE.fullmatch(line)
    assert match, line
    tags = dict(tag.split("=", 1) for tag in match["tags"].split(";"))
    return tags, match["prefix"], match["command"], match["channel"], match["text"]


def written(world, stream, mirror=None):
    events = stream_events(world, stream)
    return list(zip(events, RoomLines(world, stream, mirror).write(events, 0), strict=True))


def test_a_message_has_twitchs_tags_in_order(busy):
    stream = next(s for s in busy.streams if s.session is None)
    channel = busy.channels[stream.channel]
    event, line = next(pair for pair in written(busy, stream) if pair[0].kind == Kind.MESSAGE)
    tags, prefix, command, room, text = take_apart(line)
    assert list(tags) == [
        "badge-info", "badges", "color", "display-name", "emotes", "first-msg", "flags", "id", "mod",
        "returning-chatter", "room-id", "subscriber", "tmi-sent-ts", "turbo", "user-id", "user-type",
    ]  # fmt: skip
    person = busy.accounts[event.account]
    assert (command, room) == ("PRIVMSG", channel.login)
    assert prefix == f"{person.login}!{person.login}@{person.login}.tmi.twitch.tv"
    assert tags["user-id"] == str(person.user_id)
    assert tags["room-id"] == str(channel.channel_id)
    assert tags["tmi-sent-ts"] == str(event.ms)
    assert tags["display-name"].lower() == person.login
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}", tags["id"])
    assert text


def test_every_line_of_every_stream_is_well_formed(busy):
    kinds = set()
    for stream in busy.streams:
        for event, line in written(busy, stream):
            tags, _, command, room, text = take_apart(line)
            kinds.add(event.kind)
            assert room == busy.channels[stream.channel].login
            assert tags["room-id"] == str(busy.channels[stream.channel].channel_id)
            assert tags["tmi-sent-ts"] == str(event.ms)
            assert "\r" not in line
            assert "\n" not in line
            assert len(text or "") <= 500
            assert command == {Kind.MESSAGE: "PRIVMSG", Kind.BAN: "CLEARCHAT"}.get(event.kind, "USERNOTICE")
    assert kinds == set(Kind)


def test_message_ids_are_unique_even_among_copies(busy):
    ids = []
    for stream in busy.streams:
        partners = [None] + [
            busy.channels[busy.streams[index].channel]
            for index in (stream.session.streams if stream.session else ())
            if index != stream.index
        ]
        for mirror in partners:
            lines = (line for event, line in written(busy, stream, mirror) if event.kind != Kind.BAN)
            ids += [re.search(r";id=([^;]+)", line)[1] for line in lines]
    assert len(set(ids)) == len(ids)


def test_writing_in_pieces_gives_the_same_lines(busy):
    stream = next(s for s in busy.streams if s.session is not None)
    events = stream_events(busy, stream)
    whole = RoomLines(busy, stream).write(events, 0)
    pieces = RoomLines(busy, stream)
    cut = [pieces.write(events[first : first + 7], first) for first in range(0, len(events), 7)]
    assert list(chain.from_iterable(cut)) == whole


def test_shared_chat_copies_name_their_source(busy):
    stream = next(s for s in busy.streams if s.session is not None)
    source = busy.channels[stream.channel]
    partner = next(busy.streams[i] for i in stream.session.streams if i != stream.index)
    target = busy.channels[partner.channel]
    native, copies = written(busy, stream), written(busy, stream, target)
    shared = 0
    for (event, line), (_, copy) in zip(native, copies, strict=True):
        if event.kind == Kind.BAN:
            continue
        own, mirrored = take_apart(line), take_apart(copy)
        inside = stream.session.started_at * 1_000 <= event.ms < stream.session.ended_at * 1_000
        assert ("source-room-id" in own[0]) == inside
        if not inside:
            continue
        shared += 1
        assert own[0]["source-room-id"] == own[0]["room-id"] == str(source.channel_id)
        assert own[0]["source-id"] == own[0]["id"]
        assert mirrored[0]["room-id"] == str(target.channel_id)
        assert mirrored[0]["source-room-id"] == str(source.channel_id)
        assert mirrored[0]["source-id"] == own[0]["id"] != mirrored[0]["id"]
        worn = badges_of(busy, event.account, source)
        assert (mirrored[0]["source-badges"], mirrored[0]["source-badge-info"]) == (worn.badges, worn.info)
        assert mirrored[0]["badges"] == badges_of(busy, event.account, target).badges
        assert mirrored[3] == target.login
        assert own[4] == mirrored[4]
        assert list(own[0]) == sorted(own[0])
        assert list(mirrored[0]) == sorted(mirrored[0])
        if event.kind != Kind.MESSAGE:
            assert mirrored[0]["msg-id"] == "sharedchatnotice"
            assert mirrored[0]["source-msg-id"] == own[0]["msg-id"]
    assert shared > 20


def notice(busy, kind, account=7, detail=3):
    stream = next(s for s in busy.streams if s.session is None)
    lines = RoomLines(busy, stream).write([Event(stream.started_at * 1_000 + 5, kind, account, detail)], 0)
    return take_apart(lines[0])


@pytest.mark.parametrize(
    ("kind", "name", "system"),
    [
        (Kind.SUB, "sub", r"{}\ssubscribed\sat\sTier\s1."),
        (Kind.RESUB, "resub", r"{}\ssubscribed\sat\sTier\s1."),
        (Kind.MYSTERY_GIFT, "submysterygift", r"{}\sis\sgifting\s3\sTier\s1\sSubs\sto\sthe\scommunity!"),
        (Kind.RAID, "raid", r"3\sraiders\sfrom\s{}\shave\sjoined!"),
        (Kind.ANNOUNCEMENT, "announcement", ""),
        (
            Kind.MILESTONE,
            "viewermilestone",
            r"{}\swatched\s3\sconsecutive\sstreams\sand\ssparked\sa\swatch\sstreak!",
        ),
    ],
)
def test_notices_carry_their_sender_in_the_tags(busy, kind, name, system):
    tags, prefix, command, _, _ = notice(busy, kind)
    person = busy.accounts[7]
    assert (prefix, command, tags["msg-id"]) == ("tmi.twitch.tv", "USERNOTICE", name)
    assert (tags["login"], tags["user-id"]) == (person.login, str(person.user_id))
    assert tags["system-msg"] == system.format(person.display_name)


def test_gifts_name_the_recipient_and_hide_the_anonymous_giver(busy):
    tags, *_ = notice(busy, Kind.SUBGIFT, ANONYMOUS, 9)
    assert (tags["login"], tags["user-id"]) == ("ananonymousgifter", "274598607")
    assert tags["msg-param-recipient-id"] == str(busy.accounts[9].user_id)
    assert tags["msg-param-recipient-user-name"] == busy.accounts[9].login


def test_bans_and_timeouts(busy):
    tags, _, command, _, text = notice(busy, Kind.BAN, 7, 600)
    assert (command, text) == ("CLEARCHAT", busy.accounts[7].login)
    assert tags["ban-duration"] == "600"
    assert tags["target-user-id"] == str(busy.accounts[7].user_id)
    assert "ban-duration" not in notice(busy, Kind.BAN, 7, 0)[0]


def test_listed_bots_wear_the_chat_bot_badge_and_unlisted_ones_do_not(busy):
    channel = busy.channels[0]
    for number, account in enumerate(busy.accounts):
        worn = badges_of(busy, number, channel).badges.split(",")
        assert ("bot-badge/1" in worn) == account.listed
    assert badges_of(busy, channel.owner, channel).badges == "broadcaster/1"


def test_lines_without_tags():
    assert without_tags("@a=b;c= :x!x@x PRIVMSG #y :@z w") == ":x!x@x PRIVMSG #y :@z w"
    assert without_tags(":x PRIVMSG #y :@z w") == ":x PRIVMSG #y :@z w"


def test_a_hostile_chat_is_chat_that_looks_like_the_protocol():
    world = plant(WorldOptions(seed=11, channels=4, viewers=300, days=1, hostile=True))
    texts = [
        take_apart(line)[4]
        for stream in world.streams
        for event, line in written(world, stream)
        if event.kind == Kind.MESSAGE
    ]
    for word in ("RECONNECT", "PING"):
        assert any(text == word for text in texts)
        assert any(text.startswith(word + " ") for text in texts)
        assert any(text.endswith(" " + word) or f" {word} " in text for text in texts)
    looks = sum(
        any(word in text for word in ("RECONNECT", "PING", "JOIN", "NOTICE", "PRIVMSG")) for text in texts
    )
    assert looks > 0.4 * len(texts)
