import asyncio

import pytest

from collector_service.clock import ScaledClock
from collector_service.simulator.irc_rules import Limit
from collector_service.simulator.planting import plant
from collector_service.simulator.server import SimulatorOptions
from collector_service.simulator.world import WorldOptions


@pytest.fixture
async def quiet(world, start, standing):
    """A simulator whose clock stands at the world's start: no chat, only the protocol."""
    return await start(world, standing(world.start))


@pytest.fixture
def logins(world):
    return [channel.login for channel in world.channels]


async def test_an_anonymous_login_and_a_join_line_by_line(quiet, connect, world):
    channel = world.channels[3]
    client = await connect(quiet.irc_url)
    client.send("CAP REQ :twitch.tv/tags twitch.tv/commands", "NICK justinfan77", f"JOIN #{channel.login}")
    name = "justinfan77"
    state = f"@emote-only=0;followers-only=-1;r9k=0;room-id={channel.channel_id};slow=0;subs-only=0"
    expected = [
        ":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands",
        f":tmi.twitch.tv 001 {name} :Welcome, GLHF!",
        f":tmi.twitch.tv 002 {name} :Your host is tmi.twitch.tv",
        f":tmi.twitch.tv 003 {name} :This server is rather new",
        f":tmi.twitch.tv 004 {name} :-",
        f":tmi.twitch.tv 375 {name} :-",
        f":tmi.twitch.tv 372 {name} :You are in a maze of twisty passages, all alike.",
        f":tmi.twitch.tv 376 {name} :>",
        f":{name}!{name}@{name}.tmi.twitch.tv JOIN #{channel.login}",
        f":{name}.tmi.twitch.tv 353 {name} = #{channel.login} :{name}",
        f":{name}.tmi.twitch.tv 366 {name} #{channel.login} :End of /NAMES list",
        f"{state} :tmi.twitch.tv ROOMSTATE #{channel.login}",
    ]
    assert [await client.line() for _ in expected] == expected
    client.send(f"PART #{channel.login}", "PING :are you there")
    assert await client.line() == f":{name}!{name}@{name}.tmi.twitch.tv PART #{channel.login}"
    assert await client.line() == ":tmi.twitch.tv PONG tmi.twitch.tv :are you there"


async def test_capabilities_are_granted_as_a_whole_or_refused(quiet, connect, logins):
    client = await connect(quiet.irc_url)
    client.send("CAP LS 302", "CAP REQ :twitch.tv/tags twitch.tv/nonsense", "CAP END", "NICK justinfan1")
    assert await client.line() == (
        ":tmi.twitch.tv CAP * LS :twitch.tv/tags twitch.tv/commands twitch.tv/membership"
    )
    assert await client.line() == ":tmi.twitch.tv CAP * NAK :twitch.tv/tags twitch.tv/nonsense"
    await client.until(" 376 ")
    client.send(f"JOIN #{logins[0]}", "PING x")
    lines = await client.until("PONG")
    assert not any("ROOMSTATE" in line or line.startswith("@") for line in lines)


async def test_commands_without_tags_give_bare_lines(quiet, connect, logins):
    client = await connect(quiet.irc_url)
    await client.log_in("commands")
    client.send(f"JOIN #{logins[0]}")
    assert (await client.until("ROOMSTATE"))[-1] == f":tmi.twitch.tv ROOMSTATE #{logins[0]}"


async def test_strange_lines_do_no_harm(quiet, connect):
    client = await connect(quiet.irc_url)
    client.writer.write(b"\r\n \r\n:\xff\xfe\x00\r\nJOIN\r\nNICK\r\n")
    assert "Improperly formatted auth" in await client.line()
    assert await client.is_closed()
    client = await connect(quiet.irc_url)
    await client.log_in()
    client.send("JOIN", "PART", "CAP", "FROB x", "PRIVMSG #x :hello", "PING")
    assert await client.line() == ":tmi.twitch.tv 421 justinfan77 FROB :Unknown command"
    assert await client.line() == ":tmi.twitch.tv PONG tmi.twitch.tv"
    client.writer.write(b"x" * 20_000)
    assert await client.is_closed()


async def test_a_line_may_arrive_byte_by_byte(quiet, connect):
    client = await connect(quiet.irc_url)
    for byte in b"PING :ab\r\n":
        client.writer.write(bytes([byte]))
        await asyncio.sleep(0.002)
    assert await client.line() == ":tmi.twitch.tv PONG tmi.twitch.tv :ab"


async def test_odd_channels(quiet, connect, world):
    client = await connect(quiet.irc_url)
    await client.log_in("tags", "commands")
    odd = world.oddities
    client.send(f"JOIN #{odd.nonexistent}", f"JOIN #{odd.renamed[1]}", f"JOIN #{odd.suspended}", "PING x")
    text = "This channel does not exist or has been suspended."
    assert await client.until("PONG") == [
        f"@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #{odd.suspended} :{text}",
        ":tmi.twitch.tv PONG tmi.twitch.tv :x",
    ]


async def test_after_a_rename_only_the_new_login_can_be_joined(world, start, standing, connect):
    old, new, instant = world.oddities.renamed
    simulator = await start(world, standing(instant + 1))
    await asyncio.sleep(0.1)
    client = await connect(simulator.irc_url)
    await client.log_in()
    client.send(f"JOIN #{old}", f"JOIN #{new}", "PING x")
    lines = await client.until("PONG")
    assert [line.split("JOIN ")[1] for line in lines if " JOIN " in line] == [f"#{new}"]


@pytest.mark.parametrize(
    ("password", "nick", "notice"),
    [
        ("oauth:right", "reader", None),
        ("oauth:wrong", "reader", "Login authentication failed"),
        ("right", "reader", "Improperly formatted auth"),
        ("", "reader", "Improperly formatted auth"),
        ("oauth:right", "somebody", "Login authentication failed"),
        ("oauth:anything", "justinfan9", None),
        ("", "justinfan", "Improperly formatted auth"),
    ],
)
async def test_logins(world, start, standing, connect, password, nick, notice):
    simulator = await start(world, standing(world.start), accounts={"reader": "right"})
    client = await connect(simulator.irc_url)
    client.send(f"PASS {password}", f"NICK {nick}")
    if notice is None:
        assert await client.line() == f":tmi.twitch.tv 001 {nick} :Welcome, GLHF!"
    else:
        assert await client.line() == f":tmi.twitch.tv NOTICE * :{notice}"
        assert await client.is_closed()


async def test_too_many_joins_close_an_anonymous_connection_but_no_other(
    world, start, standing, connect, logins
):
    simulator = await start(world, standing(world.start), join_limit=Limit(5, 10.0))
    first, second = await connect(simulator.irc_url), await connect(simulator.irc_url)
    await first.log_in()
    await second.log_in()
    await first.join(*logins[:5])
    await second.join(*logins[:5])
    first.send("JOIN #" + ",#".join(logins[5:8]))
    assert await first.is_closed()
    second.send("PING x")
    assert "PONG" in await second.line()
    assert simulator.oracle.totals()["refused_joins"] == 1
    assert simulator.oracle.totals()["accepted_joins"] == 10


async def test_the_join_limit_is_a_sliding_window(world, start, standing, connect, logins):
    simulator = await start(world, standing(world.start), join_limit=Limit(3, 0.5))
    client = await connect(simulator.irc_url)
    await client.log_in()
    for first in range(0, 9, 3):
        await client.join(*logins[first : first + 3])
        await asyncio.sleep(0.6)
    assert simulator.oracle.totals()["refused_joins"] == 0


async def test_connections_of_one_account_share_its_join_limit(world, start, standing, connect, logins):
    simulator = await start(
        world, standing(world.start), join_limit=Limit(4, 10.0), accounts={"reader": "right"}
    )
    first, second = await connect(simulator.irc_url), await connect(simulator.irc_url)
    await first.log_in(nick="reader", password="oauth:right")
    await second.log_in(nick="reader", password="oauth:right")
    await first.join(*logins[:3])
    second.send("JOIN #" + ",#".join(logins[3:5]))
    assert await second.is_closed()


async def test_an_account_joins_a_hundred_channels_at_most(start, standing, connect):
    world = plant(WorldOptions(seed=1, channels=120, viewers=50, days=1))
    names = [channel.login for channel in world.channels]
    simulator = await start(world, standing(world.start), accounts={"reader": "right"})
    named, anonymous = await connect(simulator.irc_url), await connect(simulator.irc_url)
    await named.log_in(nick="reader", password="oauth:right")
    await anonymous.log_in()
    for client, joined in ((named, 100), (anonymous, 120)):
        client.send("JOIN #" + ",#".join(names), "PING x")
        assert sum(" JOIN " in line for line in await client.until("PONG")) == joined
    named.send(f"PART #{names[0]}", f"JOIN #{names[110]}", "PING x")
    assert any(f" JOIN #{names[110]}" in line for line in await named.until("PONG"))
    assert simulator.oracle.totals()["ignored_joins"] == 20


async def test_too_many_logins_are_refused(world, start, standing, connect):
    simulator = await start(world, standing(world.start), auth_limit=Limit(2, 10.0))
    for _ in range(2):
        await (await connect(simulator.irc_url)).log_in()
    client = await connect(simulator.irc_url)
    client.send("NICK justinfan3")
    assert await client.line() == ":tmi.twitch.tv NOTICE * :Login unsuccessful"
    assert await client.is_closed()


async def test_who_does_not_answer_a_ping_is_closed(world, start, standing, connect):
    simulator = await start(world, standing(world.start), ping_seconds=0.2, pong_seconds=1.0)
    alive, dead = await connect(simulator.irc_url), await connect(simulator.irc_url)

    async def answer() -> None:
        await alive.log_in()
        for _ in range(8):
            assert await alive.line() == "PING :tmi.twitch.tv"
            alive.send("PONG :tmi.twitch.tv")

    async def ignore() -> bool:
        await dead.log_in()
        assert await dead.line() == "PING :tmi.twitch.tv"
        return await dead.is_closed()

    assert await asyncio.gather(answer(), ignore()) == [None, True]
    assert simulator.oracle.totals()["unanswered_pings"] == 1
    assert simulator.oracle.totals()["connections_open"] == 1


async def test_quit_ends_the_connection_and_the_subscription(quiet, connect, world):
    client = await connect(quiet.irc_url)
    await client.log_in()
    await client.join(world.channels[0].login)
    assert len(quiet.broadcaster.rooms[0].subscribers) == 1
    client.send("QUIT")
    assert await client.is_closed()
    assert not quiet.broadcaster.rooms[0].subscribers


async def test_tls_with_the_simulators_own_authority(world, start, standing, connect):
    simulator = await start(world, standing(world.start), tls=True)
    assert simulator.ca_file is not None
    client = await connect(simulator.ircs_url, simulator.ca_file)
    await client.log_in("tags", "commands")
    await client.join(world.channels[0].login)
    ready = simulator.ready()
    assert ready["ircs_url"] == simulator.ircs_url
    assert ready["ca_file"] == str(simulator.ca_file)


async def test_membership_names_those_who_are_watching(world, start, connect, standing):
    stream = max(world.streams, key=lambda one: len(one.visits))
    middle = (stream.started_at + stream.ended_at) / 2
    simulator = await start(world, standing(middle))
    await asyncio.sleep(0.2)
    client = await connect(simulator.irc_url)
    await client.log_in("membership")
    client.send(f"JOIN #{world.login(stream)}")
    names = (await client.until(" 353 "))[-1].partition(" :")[2].split()
    watching = {world.accounts[a].login for a, begin, end, _ in stream.visits if begin <= middle < end}
    assert names[0] == "justinfan77"
    assert set(names[1:]) == watching
    assert watching


@pytest.mark.parametrize("text", ["", "20", "20/", "/10", "0/10", "20/0", "20/-1", "a/b", "20/inf"])
def test_a_limit_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="expected COUNT/SECONDS"):
        Limit.parse(text)


def test_a_limit_is_read():
    assert Limit.parse("2000/10") == Limit(2000, 10.0)


async def test_a_client_that_does_not_read_is_cut_off(start, connect, eventually):
    world = plant(WorldOptions(seed=3, channels=20, viewers=8_000, days=1))
    clock = ScaledClock(0, world.start, 1e-9)
    simulator = await start(world, clock, max_buffered_bytes=20_000)
    slow = await connect(simulator.irc_url)
    slow.reader._transport.pause_reading()
    await asyncio.sleep(0)
    slow.send("CAP REQ :twitch.tv/tags twitch.tv/commands", "NICK justinfan1")
    slow.send("JOIN #" + ",#".join(channel.login for channel in world.channels))
    await eventually(lambda: simulator.oracle.totals()["accepted_joins"] == 20)
    # The whole world at once: more than the kernel's buffers hold.
    simulator.broadcaster.clock = ScaledClock(0, world.end, 1.0)
    await eventually(lambda: not simulator.oracle.totals()["connections_open"])
    assert simulator.oracle.totals()["slow_clients"] == 1


def test_options_default_to_twitchs_limits():
    rules = SimulatorOptions().irc
    assert (rules.join_limit, rules.auth_limit) == (Limit(20, 10.0), Limit(20, 10.0))
    assert rules.max_named_channels == 100
