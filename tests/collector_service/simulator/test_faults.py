import asyncio
import time

import aiohttp
import pytest

from collector_service.clock import ScaledClock
from collector_service.simulator.garbage import GARBAGE


@pytest.fixture
async def two(world, start, standing, connect):
    """A quiet simulator and two clients: the first in channel 0 and 1, the second in channel 1."""
    simulator = await start(world, standing(world.start), reconnect_seconds=0.3)
    clients = [await connect(simulator.irc_url), await connect(simulator.irc_url)]
    for client in clients:
        await client.log_in("tags", "commands")
    logins = [channel.login for channel in world.channels[:2]]
    await clients[0].join(*logins)
    await clients[1].join(logins[1])
    for client in clients:
        client.send("PING ready")
        await client.until("PONG")
    return simulator, clients, logins


async def answers(client) -> bool:
    client.send("PING x")
    try:
        async with asyncio.timeout(0.5):
            return "PONG" in (await client.reader.readline()).decode()
    except TimeoutError:
        return False


async def test_a_silenced_connection_stays_open_and_says_nothing(two):
    simulator, (first, second), logins = two
    assert simulator.faults.silence(f"#{logins[0]}") == 1
    assert not await answers(first)
    assert await answers(second)
    assert simulator.oracle.totals()["connections_open"] == 2
    assert simulator.broadcaster.room(logins[0]).subscribers == set()
    assert len(simulator.broadcaster.room(logins[1]).subscribers) == 1


async def test_a_connection_that_is_not_read_gets_no_answer(two):
    simulator, (first, second), _ = two
    assert simulator.faults.stop_reading(1) == 1
    assert not await answers(first)
    assert await answers(second)


async def test_close_and_reset(two):
    simulator, (first, second), _ = two
    assert simulator.faults.close(1) == 1
    assert await first.raw() == b""
    assert await simulator.faults.reset() == 1
    with pytest.raises(ConnectionResetError):
        await second.raw()
    assert simulator.faults.close() == 0


async def test_a_reset_loses_nothing_that_was_written(two):
    simulator, (first, _), _ = two
    connection = simulator.irc.connections[1]
    connection.send(b"".join(b"line %d\r\n" % number for number in range(200_000)))
    received = bytearray()

    async def read() -> None:
        while data := await first.reader.read(65536):
            received.extend(data)

    reading = asyncio.create_task(read())
    await simulator.faults.reset(1)
    with pytest.raises(ConnectionResetError):
        await reading
    assert received.endswith(b"line 199999\r\n")
    assert received.count(b"\n") == 200_000


async def test_reconnect_announces_the_end(two):
    simulator, (first, second), _ = two
    began = time.monotonic()
    assert simulator.faults.reconnect(1) == 1
    assert await first.line() == ":tmi.twitch.tv RECONNECT"
    assert await answers(first)
    assert await first.is_closed()
    assert time.monotonic() - began >= 0.25
    assert await answers(second)


@pytest.mark.parametrize("kind", sorted(GARBAGE))
async def test_garbage_arrives_as_it_is_and_the_connection_goes_on(two, kind):
    simulator, (first, second), _ = two
    assert simulator.faults.garbage(kind, 1) == 1
    async with asyncio.timeout(5):
        assert await first.reader.readexactly(len(GARBAGE[kind])) == GARBAGE[kind]
    assert await answers(first)
    assert await answers(second)


async def test_noise_names_the_rooms_and_carries_no_chat(two):
    simulator, (first, second), logins = two
    assert simulator.faults.noise() == 2
    first.send("PING x")
    lines = [line for line in await first.until(r"^:tmi\.twitch\.tv PONG") if "PONG" not in line]
    commands = [line.split()[2 if line.startswith("@") else 1] for line in lines]
    assert commands.count("CLEARMSG") == commands.count("USERSTATE") == commands.count("HOSTTARGET") == 2
    assert not {"PRIVMSG", "USERNOTICE", "RECONNECT", "PING"} & set(commands)
    assert {login for login in logins if any(f"#{login}" in line for line in lines)} == set(logins)
    assert await second.line() == lines[len(lines) // 2].replace(logins[0], logins[1])


async def test_a_truncated_message_has_no_end(two, world):
    simulator, (first, second), logins = two
    assert simulator.faults.truncate(1) == 1
    data = await first.raw()
    assert f"room-id={world.channels[0].channel_id};" in data.decode()
    assert f" PRIVMSG #{logins[0]} :" in data.decode()
    assert not data.endswith(b"\n")
    assert await first.is_closed()
    assert await answers(second)


async def test_a_trickle_loses_nothing_and_takes_its_time(two):
    simulator, (first, second), _ = two
    assert simulator.faults.trickle(0.5, 1) == 1
    sent = b"".join(b"line %d\r\n" % number for number in range(5_000))
    for connection in simulator.irc.connections.values():
        connection.send(sent)
    began = time.monotonic()
    async with asyncio.timeout(10):
        assert await second.reader.readexactly(len(sent)) == sent
        quick = time.monotonic() - began
        assert await first.reader.readexactly(len(sent)) == sent
    assert quick < 0.4 < time.monotonic() - began


async def test_refused_logins_get_each_of_twitchs_texts_in_turn(two, connect):
    simulator, (first, _), _ = two
    simulator.faults.refuse_logins(3)
    for text in ("Login unsuccessful", "Login authentication failed", "Improperly formatted auth"):
        client = await connect(simulator.irc_url)
        client.send("NICK justinfan5")
        assert await client.line() == f":tmi.twitch.tv NOTICE * :{text}"
        assert await client.is_closed()
    await (await connect(simulator.irc_url)).log_in()
    assert await answers(first)
    assert simulator.oracle.totals()["refused_logins"] == 3


async def test_a_stalled_login_is_accepted_and_never_answered(two, connect):
    simulator, _, logins = two
    simulator.faults.stall_logins(1)
    client = await connect(simulator.irc_url)
    client.send("CAP REQ :twitch.tv/tags", "NICK justinfan5", f"JOIN #{logins[0]}", "PING x")
    assert await client.silent_for(0.4)
    assert len(simulator.broadcaster.room(logins[0]).subscribers) == 1
    await (await connect(simulator.irc_url)).log_in()


async def test_connections_are_refused_for_a_while(two, connect):
    simulator, (first, _), _ = two
    refusing = asyncio.create_task(simulator.faults.refuse_connections(0.4))
    await asyncio.sleep(0.1)
    with pytest.raises(ConnectionRefusedError):
        await connect(simulator.irc_url)
    assert await answers(first)
    await refusing
    await (await connect(simulator.irc_url)).log_in()


async def test_a_suspension_ends_what_was_joined_until_it_is_lifted(two, standing):
    simulator, (first, second), logins = two
    assert simulator.faults.suspend(logins[1]) == 2
    for client in (first, second):
        assert (await client.line()).startswith(
            f"@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #{logins[1]} :"
        )
    assert not simulator.broadcaster.room(logins[1]).subscribers
    second.send(f"JOIN #{logins[1]}")
    assert "msg_channel_suspended" in await second.line()
    simulator.faults.lift(logins[1])
    await second.join(logins[1])
    assert len(simulator.broadcaster.room(logins[1]).subscribers) == 1
    assert len(simulator.broadcaster.room(logins[0]).subscribers) == 1


async def test_a_hanging_helix_answers_nobody(two, world):
    simulator, _, _ = two
    async with aiohttp.ClientSession() as http:
        secret = {"client_id": simulator.client_id, "client_secret": simulator.client_secret}
        form = secret | {"grant_type": "client_credentials"}
        async with http.post(simulator.id_url + "/oauth2/token", data=form) as response:
            token = (await response.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Client-Id": simulator.client_id}
        simulator.faults.helix("hang")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), http.get(simulator.helix_url + "/streams", headers=headers):
                pass
        async with http.get(simulator.helix_url + "/streams", headers=headers) as response:
            assert response.status == 200


async def test_dropped_joins(two, world):
    simulator, (_, second), _ = two
    simulator.faults.drop_joins(0.5)
    names = ",".join(f"#{channel.login}" for channel in world.channels[2:])
    second.send(f"JOIN {names}", "PING x")
    joined = sum(" JOIN " in line for line in await second.until("PONG"))
    dropped = simulator.oracle.totals()["dropped_joins"]
    assert joined + dropped == len(world.channels[2:])
    assert 3 <= joined <= 21
    simulator.faults.clear()
    second.send(f"JOIN {names}", "PING x")
    assert sum(" JOIN " in line for line in await second.until("PONG")) == dropped
    with pytest.raises(ValueError, match="expected 0 to 1"):
        simulator.faults.drop_joins(2)


async def test_the_control_api_orders_the_same_faults(two, world):
    simulator, (first, second), logins = two
    url = simulator.control_url + "/faults"
    async with aiohttp.ClientSession() as http:

        async def order(**fault):
            async with http.post(url, json=fault) as response:
                return response.status, await response.json()

        assert await order(fault="garbage", kind="nul", which=1) == (200, {"connections": 1})
        assert await first.raw() == GARBAGE["nul"]
        assert await order(fault="drop_joins", share=1) == (200, {"connections": 0})
        second.send(f"JOIN #{world.channels[5].login}", "PING x")
        assert len(await second.until("PONG")) == 1
        assert await order(fault="helix", kind="server_error", calls=2) == (200, {"connections": 0})
        assert await order(fault="gql", kind="integrity") == (200, {"connections": 0})
        assert await order(fault="gql", kind="hang", calls=1) == (200, {"connections": 0})
        assert simulator.faults.hits_gql("hang")
        assert await order(fault="delete_vod", which="77") == (200, {"connections": 0})
        assert await order(fault="delete_vod", which="78", calls=1) == (200, {"connections": 0})
        assert (simulator.faults.is_deleted("77"), simulator.faults.is_deleted("78")) == (True, False)
        assert simulator.faults.next_helix() == "server_error"
        assert simulator.faults.hits_gql("integrity")
        assert await order(fault="refuse_logins", calls=2) == (200, {"connections": 0})
        assert simulator.faults.login_refusal() == "Login unsuccessful"
        assert await order(fault="stall_logins") == (200, {"connections": 0})
        assert await order(fault="refuse_connections", seconds=0.05) == (200, {"connections": 0})
        assert await order(fault="trickle", seconds=0.05) == (200, {"connections": 2})
        assert await order(fault="noise", which=f"#{logins[0]}") == (200, {"connections": 1})
        assert await order(fault="suspend", which="#nobody") == (200, {"connections": 0})
        assert "nobody" in simulator.irc.suspended
        assert await order(fault="lift", which="#nobody") == (200, {"connections": 0})
        assert "nobody" not in simulator.irc.suspended
        assert await order(fault="clear") == (200, {"connections": 0})
        assert not simulator.faults.login_refusal()
        assert not simulator.faults.stalls_login()
        assert simulator.faults.next_helix() is None
        assert not simulator.faults.hits_gql("integrity")
        assert await order(fault="expire_tokens") == (200, {"connections": 0})
        assert await order(fault="close", which=f"#{logins[0]}") == (200, {"connections": 1})
        assert await first.is_closed()
        assert await order(fault="truncate", which="all") == (200, {"connections": 1})
        assert await order(fault="reset", which="all") == (200, {"connections": 0})
        for wrong in (
            {"fault": "flood"},
            {"fault": "helix", "kind": "flood"},
            {"fault": "drop_joins"},
            {"fault": "drop_joins", "share": 7},
            {"fault": "close", "which": 1.5},
            {"fault": "helix", "kind": "empty", "calls": "x"},
            {"fault": "trickle", "seconds": "x"},
        ):
            status, body = await order(**wrong)
            assert status == 400
            assert body["error"]
        async with http.post(url, data=b"[1") as response:
            assert response.status == 400
        async with http.post(simulator.control_url + "/oracle") as response:
            assert response.status == 409
        async with http.get(simulator.control_url + "/status") as response:
            assert (await response.json())["connections"] == 2


async def test_the_oracles_files_on_demand(world, start, eventually, tmp_path):
    clock = ScaledClock(time.time(), world.start, 1e6)
    simulator = await start(world, clock, oracle_dir=tmp_path / "truth")
    await eventually(lambda: simulator.oracle.totals()["complete"])
    async with (
        aiohttp.ClientSession() as http,
        http.post(simulator.control_url + "/oracle") as response,
    ):
        assert (await response.json())["complete"] == 1
    assert (tmp_path / "truth" / "presence.csv.gz").stat().st_size > 1_000
