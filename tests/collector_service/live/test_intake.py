"""The intake: what is counted, and that nothing of those who opted out is."""

import random
from collections import Counter

import pytest

from collector_service.contract import viewer_key
from collector_service.live.intake import Intake
from collector_service.live.viewer_keys import ViewerKeys
from collector_service.live.windows import Windows
from collector_service.metrics import Stats
from collector_service.privacy.opt_outs import OptOuts
from collector_service.twitch.irc import parse

SECRET = "a-secret-of-16-bytes"
START = 1_800_000_000.0
ROOMS = {1: "alpha", 2: "beta", 3: "gamma", 4: "delta"}


class HandClock:
    rate = 1.0

    def now(self):
        return START


class Reader:
    """An intake and its windows, at one instant."""

    def __init__(self, opt_outs=None):
        self.stats = Stats()
        self.windows = Windows(HandClock(), 300)
        self.viewers = ViewerKeys(SECRET, ["user7"])
        self.intake = Intake(self.windows, self.viewers, self.stats)
        if opt_outs is not None:
            self.intake.obey(opt_outs)

    def counted(self):
        """room -> (messages, mirrored, viewer key -> messages, bots)."""
        return {
            room_id: (tally.messages, tally.mirrored, dict(tally.viewers), set(tally.bots))
            for share in self.windows.open_shares
            for room_id, tally in share.tallies.items()
        }

    def journalled(self):
        return {number for share in self.windows.open_shares for number in share.events}


def chat(room, user, *, number=0, kind="message", channel=None):
    channel = channel or ROOMS[room]
    tags = f"id=m{number};room-id={room};tmi-sent-ts={int(START * 1000)};user-id={user}"
    if kind == "presence":
        return parse(f"@{tags};login=user{user};msg-id=resub :tmi.twitch.tv USERNOTICE #{channel}".encode())
    if kind == "mirrored":
        tags += ";source-room-id=999"
    return parse(f"@{tags} :user{user}!user{user}@x PRIVMSG #{channel} :text".encode())


def key(user):
    return viewer_key(SECRET, str(user))


def traffic(seed=1, lines=3000):
    draw = random.Random(seed)
    kinds = ["message"] * 6 + ["presence", "mirrored"]
    return [
        (draw.choice(list(ROOMS)), draw.randrange(1, 40), draw.choice(kinds), number)
        for number in range(lines)
    ]


OUT = OptOuts(frozenset(map(key, (3, 7, 11))), frozenset({2}), frozenset({"gamma", "unheard"}))


@pytest.mark.parametrize("opt_outs", [None, OptOuts(), OUT, OptOuts(viewer_keys=OUT.viewer_keys)])
@pytest.mark.parametrize("batch", [1, 50])
def test_what_is_counted_equals_the_lines_of_those_who_take_part(opt_outs, batch):
    reader = Reader(opt_outs)
    lines = traffic()
    chats = [chat(room, user, kind=kind, number=number) for room, user, kind, number in lines]
    for at in range(0, len(chats), batch):
        reader.intake.chats(chats[at : at + batch])
    out = opt_outs or OptOuts()
    kept = [
        (room, user, kind)
        for room, user, kind, _ in lines
        if not out.has_channel(ROOMS[room], room)
        and (kind == "mirrored" or key(user) not in out.viewer_keys)
    ]
    counts = Counter((room, kind) for room, _, kind in kept)
    viewers = {room: {} for room, _, _ in kept}
    for room, user, kind in kept:
        if kind != "mirrored":
            viewers[room].setdefault(key(user), 0)
            viewers[room][key(user)] += kind == "message"
    assert reader.counted() == {
        room: (
            counts[room, "message"],
            counts[room, "mirrored"],
            viewers[room],
            {key(7)} & viewers[room].keys(),
        )
        for room in viewers
    }
    assert reader.stats.opted_out == len(lines) - len(kept)
    kinds = Counter(kind for _, _, kind in kept)
    assert reader.stats.messages["PRIVMSG"] == kinds["message"] + kinds["mirrored"]
    assert reader.stats.messages["USERNOTICE"] == kinds["presence"]
    assert reader.stats.mirrored == kinds["mirrored"]
    assert not reader.journalled() & out.viewer_keys
    assert not reader.viewers.bots & out.viewer_keys


def test_an_opt_out_takes_effect_at_once_and_can_be_taken_back():
    reader = Reader()
    everybody = [chat(room, user) for room in ROOMS for user in (3, 4)]
    reader.intake.chats(everybody)
    before = reader.counted()
    reader.intake.obey(OUT)
    reader.intake.chats(everybody)
    # What the open window had counted stays; of what came after, only user 4 in two of the channels.
    after = reader.counted()
    assert (after[2], after[3]) == (before[2], before[3])
    for room in (1, 4):
        assert after[room] == (3, 0, {key(3): 1, key(4): 2}, set())
    assert reader.stats.opted_out == 6
    reader.intake.obey(OptOuts())
    reader.intake.chats(everybody)
    assert [reader.counted()[room][0] for room in ROOMS] == [5, 4, 4, 5]


def test_a_channel_that_is_still_watched_when_it_opts_out_by_its_login():
    reader = Reader()
    reader.windows.joined(3, "gamma", START)
    reader.intake.obey(OUT)
    reader.intake.chats([chat(3, 4)])
    assert reader.counted() == {3: (0, 0, {}, set())}


def test_nothing_of_an_opted_out_channel_is_remembered_as_an_id():
    reader = Reader(OUT)
    reader.intake.duplicates.watch(2, 1e9)
    reader.intake.chats([chat(2, 4), chat(2, 4)])
    assert (reader.stats.opted_out, reader.stats.duplicates) == (2, 0)


def test_a_listed_bot_that_opts_out_is_forgotten():
    reader = Reader()
    reader.intake.chats([chat(1, 7)])
    assert reader.viewers.bots == {key(7)}
    reader.intake.obey(OUT)
    reader.intake.chats([chat(1, 7)])
    assert reader.viewers.bots == set()
    assert reader.counted()[1][0] == 1
