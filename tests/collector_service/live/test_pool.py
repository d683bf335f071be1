"""Connections and pool against an IRC server in memory, in virtual time."""

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from collector_service.live.pool import JOIN_TRIES
from collector_service.settings import TwitchSettings
from collector_service.twitch.irc_client import ConnectError

from .irc_double import eventually
from .pool_rig import ROOMS, pool_rig

pytestmark = pytest.mark.virtual_time


def all_joined(rig):
    return lambda: rig.pool.roster.counts() == {"joined": len(ROOMS)}


async def test_channels_are_spread_and_joined_anonymously():
    async with pool_rig(channels_per_connection=5) as it:
        it.pool.want(list(ROOMS), {})
        await eventually(all_joined(it))
        assert sorted(len(client.joins) for client in it.clients) == [2, 5, 5]
        assert Counter(login for client in it.clients for login, _ in client.joins) == Counter(list(ROOMS))
        for client in it.clients:
            assert client.lines[0] == "CAP REQ :twitch.tv/tags twitch.tv/commands"
            assert client.nick.startswith("justinfan")
            assert not any("membership" in line or line.startswith("PASS") for line in client.lines)
        assert it.observed().keys() == set(ROOMS.values())


async def test_joins_keep_the_pace_of_each_connection():
    async with pool_rig(channels_per_connection=12, join_rate={"joins": 5, "seconds": 10}) as it:
        it.pool.want(list(ROOMS), {})
        await eventually(all_joined(it))
        [client] = it.clients
        times = [instant for _, instant in client.joins]
        assert min(late - early for early, late in zip(times, times[5:], strict=False)) >= 10 - 1e-6


async def test_a_global_pace_holds_across_connections():
    rate = {"joins": 4, "seconds": 10, "scope": "global"}
    async with pool_rig(channels_per_connection=3, join_rate=rate) as it:
        it.pool.want(list(ROOMS), {})
        await eventually(all_joined(it))
        times = sorted(instant for client in it.clients for _, instant in client.joins)
        assert len(times) == 12
        assert min(late - early for early, late in zip(times, times[4:], strict=False)) >= 10 - 1e-6


async def test_new_connections_keep_their_distance():
    async with pool_rig(channels_per_connection=4, connection_interval_seconds=5.0) as it:
        opened = []
        handle = it.double.handle

        def noting(client, line):
            if line.startswith("NICK"):
                opened.append(asyncio.get_running_loop().time())
            handle(client, line)

        it.double.handle = noting
        it.pool.want(list(ROOMS), {})
        await eventually(all_joined(it))
        assert min(late - early for early, late in pairwise(opened)) >= 5 - 1e-6


async def test_changes_of_the_list_join_and_leave():
    async with pool_rig(channels_per_connection=12) as it:
        it.pool.want(["chan0", "chan1"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 2})
        it.pool.want(["chan1", "chan2"], {"chan2": 102})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 2})
        await eventually(lambda: any("PART #chan0" in client.lines for client in it.clients))
        tallies = it.windows.open_shares[0].tallies
        assert tallies[100].since is None
        assert tallies[101].since is not None
        assert tallies[102].since is not None
        it.pool.want([], {})
        await eventually(lambda: not it.clients)
        assert it.pool.connection_counts() == {"open": 0, "missing": 0}


async def test_unanswered_joins_are_tried_again_then_given_up_for_a_while():
    async with pool_rig() as it:
        asked = Counter()

        def third_time(client, login):
            asked[login] += 1
            return login in ROOMS and asked[login] == 3

        it.double.confirms = third_time
        it.pool.want(["chan0", "nobody"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1, "no answer": 1})
        assert asked == {"chan0": 3, "nobody": 3}
        await asyncio.sleep(250)
        assert asked == {"chan0": 3, "nobody": 3}
        await eventually(lambda: asked["nobody"] == 4)


async def test_a_suspended_channel_is_not_asked_for_again():
    async with pool_rig() as it:
        it.double.confirms = lambda client, login: bool(
            client.send(f"@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #{login} :gone")
        )
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"suspended": 1})
        await asyncio.sleep(3000)
        assert len(it.clients[0].joins) == 1


async def test_a_channel_that_the_server_parts_is_joined_again():
    async with pool_rig() as it:
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        [client] = it.clients
        client.send(f":{client.nick}!{client.nick}@{client.nick}.tmi.twitch.tv PART #chan0")
        await eventually(lambda: it.pool.roster.counts() == {"joining": 1})
        assert it.windows.open_shares[0].tallies[100].since is None
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        assert it.windows.open_shares[0].tallies[100].since is not None


def close(client):
    client.writer.close()


def reset(client):
    client.writer.transport.reset()


@pytest.mark.parametrize(("end", "cause"), [(close, "closed"), (reset, "reset")])
async def test_a_lost_connection_comes_back_in_seconds_and_the_gap_is_not_watched(end, cause):
    async with pool_rig() as it:
        it.pool.want(list(ROOMS), {})
        await eventually(all_joined(it))
        [first] = it.clients
        end(first)
        await eventually(lambda: it.pool.roster.counts() == {"joining": len(ROOMS)})
        lost = it.windows.now()
        await eventually(all_joined(it), 5.0)
        gap = it.windows.now() - lost
        assert gap >= 0.4
        assert it.stats.reconnects == {cause: 1}
        total = it.windows.now() - it.windows.open_shares[0].start
        assert max(it.observed().values()) < total - gap + 0.2


async def test_a_silent_connection_is_noticed_and_its_silence_not_watched():
    async with pool_rig() as it:
        it.double.answers_pings = False
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        await eventually(lambda: "PING :vieweratlas" in it.double.clients[0].lines)
        await eventually(lambda: it.stats.reconnects == {"silent": 1})
        tally = it.windows.open_shares[0].tallies[100]
        assert sum(until - since for since, until in tally.stretches) < 0.3
        assert tally.since is None or it.windows.now() - tally.since < 5


async def test_a_channel_that_opted_out_is_left_as_soon_as_its_id_is_known():
    async with pool_rig() as it:
        it.pool.roster.obey(frozenset({100}))
        it.pool.want(["chan0", "chan1"], {})
        await eventually(lambda: it.pool.roster.counts() == {"opted out": 1, "joined": 1})
        await eventually(lambda: "PART #chan0" in it.clients[0].lines)
        assert it.windows.open_shares[0].tallies.keys() == {101}
        assert it.pool.statuses() == {101: ("chan1", "joined")}
        it.pool.roster.obey(frozenset({101}))
        await eventually(lambda: "PART #chan1" in it.clients[0].lines)
        assert it.pool.statuses() == {100: ("chan0", "opted out")}


async def test_a_renamed_channel_is_watched_on_whichever_connection_has_its_new_login():
    async with pool_rig(channels_per_connection=1) as it:
        it.pool.want(["chan0", "chan1"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 2})
        # On the second connection, which stays: the first has to leave the old login by itself.
        it.double.rooms = it.double.rooms | {"renamed": 100}
        it.pool.want(["renamed", "chan0"], {"renamed": 100})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 2})
        tallies = it.windows.open_shares[0].tallies
        assert tallies[100].since is not None
        assert tallies[100].login == "renamed"
        it.pool.want(["renamed"], {"renamed": 100})
        await eventually(lambda: len(it.clients) == 1)
        assert tallies[100].since is not None
        assert it.pool.statuses() == {100: ("renamed", "joined")}


async def test_what_comes_while_it_is_stopping_opens_nothing():
    async with pool_rig() as it:
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        it.double.answers_pings = False
        heard = it.windows.now()
        await asyncio.sleep(0.3)
        stopping = asyncio.ensure_future(it.pool.stop())
        await asyncio.sleep(0.1)
        # The channel list is refreshed, and a window asks whether everybody was heard.
        it.pool.want(["chan1", "chan2"], {})
        assert it.pool.heard_until() < heard + 0.2
        assert it.pool.roster.table()[0].status == "joined"
        await stopping
        assert len(it.double.clients) == 1
        assert it.pool.statuses() == {100: ("chan0", "joined")}


async def test_a_late_answer_to_a_join_during_a_handover_is_an_answer():
    async with pool_rig() as it:
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        [old] = it.clients
        it.double.confirms = lambda client, login: False
        old.send(":tmi.twitch.tv RECONNECT")
        await eventually(lambda: len(it.clients) == 2 and len(it.clients[1].joins) == JOIN_TRIES)
        await asyncio.sleep(20)
        assert it.pool.roster.counts() == {"joined": 1}
        it.clients[1].confirm("chan0", ROOMS["chan0"])
        await eventually(old.closed.is_set)
        assert it.pool.roster.counts() == {"joined": 1}


async def test_a_list_does_not_overrule_what_twitch_says_of_a_joined_channel():
    async with pool_rig() as it:
        it.pool.want(["chan0"], {"chan0": 999})
        await eventually(lambda: it.pool.statuses() == {100: ("chan0", "joined")})
        it.pool.want(["chan0"], {"chan0": 999})
        assert it.pool.statuses() == {100: ("chan0", "joined")}
        assert it.pool.roster.doubtful() == ["chan0"]
        it.pool.want(["chan0"], {"chan0": 100})
        assert it.pool.roster.doubtful() == []


async def test_a_server_that_always_wants_new_connections_gets_few():
    async with pool_rig() as it:
        it.double.confirms = lambda client, login: False
        it.pool.want(["chan0"], {})
        ended = asyncio.get_running_loop().time() + 4.0
        while asyncio.get_running_loop().time() < ended:
            for client in it.clients:
                client.send(":tmi.twitch.tv RECONNECT")
            await asyncio.sleep(0.05)
        assert 2 <= len(it.double.clients) <= 6
        assert len(it.clients) <= 3


async def test_channels_on_connections_that_say_nothing_are_quiet():
    async with pool_rig(channels_per_connection=1) as it:
        it.pool.want(["chan0", "chan1"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 2})
        began = it.windows.now()
        await asyncio.sleep(0.5)
        it.clients[1].send(it.line(101, 5, "m1", "chan1"))
        await eventually(lambda: it.messages() == {101: 1})
        quiet = it.pool.quiet(it.windows.now() - 0.3)
        assert quiet.keys() == {100}
        assert began - 0.2 < quiet[100] < began + 0.2
        assert it.pool.heard_until() == pytest.approx(quiet[100], abs=0.05)


async def test_what_is_on_its_way_is_read_before_the_end():
    async with pool_rig() as it:
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        [client] = it.clients
        client.send(*(it.line(100, 5, f"m{number}", "chan0") for number in range(5000)))
        await it.pool.stop()
        assert it.messages() == {100: 5000}
        assert it.windows.open_shares[0].tallies[100].since is None


async def test_channels_that_are_being_joined_are_left_when_stopping():
    async with pool_rig(rooms={"chan0": 100, "chan1": 101}) as it:
        it.double.confirms = lambda _, login: login == "chan0"
        it.pool.want(["chan0", "chan1"], {})
        await eventually(lambda: it.clients and len(it.clients[0].joins) == 2)
        await eventually(lambda: it.pool.roster.counts().get("joined") == 1)
        client = it.clients[0]
        await it.pool.stop()
        left = {name for line in client.lines if line.startswith("PART ") for name in line[5:].split(",")}
        assert left == {"#chan0", "#chan1"}


async def test_a_dead_connection_does_not_keep_the_others_from_ending():
    async with pool_rig() as it:
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        it.double.answers_pings = False
        await asyncio.sleep(0.6)
        await it.pool.stop()
        tally = it.windows.open_shares[0].tallies[100]
        # It was last heard when it was joined.
        assert sum(until - since for since, until in tally.stretches) < 0.4
        assert tally.since is None


async def test_a_zombie_of_two_connections_leaves_a_gap_until_the_other_joined():
    async with pool_rig() as it:
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        [old] = it.clients
        it.double.confirms = lambda client, login: False
        old.send(":tmi.twitch.tv RECONNECT")
        await eventually(lambda: len(it.clients) == 2 and it.clients[1].joins)
        heard = it.windows.now()
        await asyncio.sleep(1.0)
        it.clients[1].confirm("chan0", ROOMS["chan0"])
        await eventually(lambda: len(it.pool.roster._channels["chan0"].holders) == 2)
        first, _ = it.pool.roster._channels["chan0"].holders
        first.close("silent", silent=True)
        tally = it.windows.open_shares[0].tallies[100]
        [(_, until)] = tally.stretches
        assert until <= heard + 0.2
        assert tally.since >= heard + 0.9
        assert it.pool.roster.counts() == {"joined": 1}


async def test_a_connection_that_answers_pings_stays():
    async with pool_rig() as it:
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.double.clients)
        await eventually(lambda: it.double.clients[0].lines.count("PING :vieweratlas") > 3, 120)
        assert it.stats.reconnects == {}
        assert it.pool.roster.counts() == {"joined": 1}


async def test_pings_of_the_server_are_answered():
    async with pool_rig() as it:
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        it.clients[0].send("PING :tmi.twitch.tv")
        await eventually(lambda: "PONG :tmi.twitch.tv" in it.clients[0].lines)


async def test_reconnect_opens_the_new_connection_first_and_counts_nothing_twice():
    async with pool_rig() as it:
        it.pool.want(["chan0", "chan1"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 2})
        [old] = it.clients
        it.double.confirms = lambda client, login: False
        old.send(":tmi.twitch.tv RECONNECT")
        await eventually(lambda: len(it.clients) == 2 and len(it.clients[1].joins) == 2)
        new = it.clients[1]
        old.send(it.line(100, 5, "m1", "chan0"))
        await eventually(lambda: it.messages() == {100: 1})
        for login in ("chan0", "chan1"):
            new.confirm(login, ROOMS[login])
        new.send(it.line(100, 5, "m1", "chan0"), it.line(100, 5, "m2", "chan0"))
        old.send(it.line(100, 5, "m2", "chan0"), it.line(101, 6, "m3", "chan1"))
        await eventually(old.closed.is_set)
        await eventually(lambda: it.messages() == {100: 2, 101: 1})
        assert it.stats.duplicates == 2
        assert it.stats.reconnects == {"reconnect": 1}
        assert it.pool.roster.counts() == {"joined": 2}
        share = it.windows.open_shares[0]
        assert all(tally.stretches == [] and tally.since for tally in share.tallies.values())


async def test_hostile_text_and_bytes_do_not_end_the_connection():
    async with pool_rig() as it:
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})
        [client] = it.clients
        for text in ("please RECONNECT now", "PING x", "\x00\x00", ":tmi.twitch.tv RECONNECT"):
            client.send(it.line(100, 5, "i", "chan0", text))
        client.writer.write(b"\xff\xfe\r\n\r\n@room-id=1\r\n" + b"x" * 200_000 + b"\r\n")
        data = (it.line(100, 5, "i", "chan0") + "\r\n").encode()
        for byte in data:
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await eventually(lambda: it.messages() == {100: 5})
        assert it.stats.parse_errors == {"truncated": 1, "oversize": 1}
        assert it.stats.reconnects == {}
        assert "PONG :y" not in client.lines


@pytest.mark.parametrize(
    ("notice", "cause"),
    [
        (":tmi.twitch.tv NOTICE * :Login unsuccessful", "login refused"),
        (":tmi.twitch.tv NOTICE * :Improperly formatted auth", "login refused"),
        (":tmi.twitch.tv CAP * NAK :twitch.tv/tags", "capabilities refused"),
    ],
)
async def test_a_refused_login_fails_at_once(notice, cause):
    async with pool_rig() as it:
        it.double.welcome = False
        handle = it.double.handle
        it.double.handle = lambda client, line: (handle(client, line), client.send(notice))
        with pytest.raises(ConnectError) as failure:
            await it.pool.connect()
        assert failure.value.cause == cause
        await eventually(lambda: not it.clients)


async def test_a_server_that_never_welcomes_is_left():
    async with pool_rig() as it:
        it.double.welcome = False
        with pytest.raises(ConnectError) as failure:
            await it.pool.connect()
        assert failure.value.cause == "time-out"
        await eventually(lambda: not it.clients)


async def test_an_unreachable_server_is_tried_again():
    async with pool_rig() as it:
        port = it.double.port
        it.pool._twitch = TwitchSettings(irc_url="irc://127.0.0.1:1")
        it.pool.want(["chan0"], {})
        await eventually(lambda: it.stats.reconnects["unreachable"] >= 3)
        it.pool._twitch = TwitchSettings(irc_url=f"irc://127.0.0.1:{port}")
        await eventually(lambda: it.pool.roster.counts() == {"joined": 1})


async def test_memory_of_message_ids_is_bounded():
    async with pool_rig() as it:
        duplicates = it.intake.duplicates
        duplicates.watch(1, 10.0)
        assert not duplicates.is_second(2, b"x")
        assert not duplicates.is_second(1, b"x")
        assert duplicates.is_second(1, b"x")
        for number in range(60_000):
            duplicates.is_second(1, b"%d" % number)
        assert len(duplicates._seen[1]) == 50_000
        duplicates.watch(3, 20.0)
        duplicates.expire(11.0)
        assert not duplicates.is_second(1, b"x")
        assert set(duplicates._seen) == {3}
        duplicates.expire(21.0)
        assert not duplicates
