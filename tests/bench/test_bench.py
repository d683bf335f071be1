"""The benchmark itself: the stream, the report, and that nothing is lost. Never how fast anything is."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

import numpy as np
import pytest

from collector_service.simulator.chat import Kind, stream_events
from collector_service.simulator.lines import RoomLines
from collector_service.simulator.planting import plant
from collector_service.simulator.world import WorldOptions
from collector_service.twitch.irc import MESSAGE, Chat, parse

from . import stream
from .collector import QUICK, measure_burst, measure_rival, measure_throughput
from .load_server import LoadServer
from .report import Row, exit_code, render
from .subject import Collected, Lags


def test_the_stream_says_what_was_drawn():
    messages = stream.draw(20_000, seed=4)
    lines = [line.encode() for line in stream.lines(messages, 0, len(messages), 3, 1_700_000_000_123)]
    chats = [parse(line) for line in lines]
    assert all(type(chat) is Chat and chat.kind == MESSAGE for chat in chats)
    assert {chat.sent_ms for chat in chats} == {1_700_000_000_123}
    assert Counter(chat.channel.decode() for chat in chats) == messages.by_channel
    assert len({(chat.room_id, chat.user_id) for chat in chats}) == messages.pairs
    assert len({chat.message_id for chat in chats}) == len(messages)
    again = stream.lines(messages, 0, len(messages), 4, 0)
    assert not {chat.message_id for chat in chats} & {parse(line.encode()).message_id for line in again}
    assert 0.55 < messages.pairs / len(messages) < 0.75
    assert 440 < sum(map(len, lines)) / len(lines) < 500
    assert max(messages.by_channel.values()) > 20 * len(messages) / stream.CHANNELS


def test_the_lines_carry_the_simulators_tags():
    world = plant(WorldOptions(seed=11, channels=5, viewers=200, days=1))
    told = next(one for one in world.streams if one.session is None)
    events = stream_events(world, told)
    number = next(number for number, event in enumerate(events) if event.kind == Kind.MESSAGE)
    (theirs,) = RoomLines(world, told).write(events[number : number + 1], number)
    (ours,) = stream.lines(stream.draw(1, seed=6), 0, 1, 0, 0)
    assert tag_names(ours) == tag_names(theirs)
    assert len(ours.split(" ", 4)) == len(theirs.split(" ", 4)) == 5


def tag_names(line):
    return [tag.partition("=")[0] for tag in line.partition(" ")[0].split(";")]


def test_the_shares_of_channels_are_the_whole_stream():
    messages = stream.draw(5_000, seed=5)
    mine = np.arange(stream.CHANNELS) % 3 == 0
    both = [messages.only(mine), messages.only(~mine)]
    assert sum(map(len, both)) == len(messages)
    assert both[0].by_channel.keys().isdisjoint(both[1].by_channel)
    assert both[0].by_channel | both[1].by_channel == messages.by_channel


def rows():
    return [
        Row("speed", "messages", 120_000.4, least=60_000, note="how"),
        Row("size", "memory", 600.0, "MB", most=300),
        Row("loss", "lost", 0, most=0),
        Row("rival", "times", None, least=5, note="offline"),
        Row("plain", "seconds", 1.25, "s"),
        Row("late", "lag", math.inf, "s", most=0.25),
    ]


def test_the_report_tells_what_missed_its_bar():
    cells = {row.part: row.cells[2:] for row in rows()}
    assert cells == {
        "speed": ("120,000", ">= 60,000", "2.00x", "ok"),
        "size": ("600 MB", "<= 300 MB", "0.50x", "MISSED"),
        "loss": ("0", "<= 0", "", "ok"),
        "rival": ("not measured", ">= 5", "", "MISSED"),
        "plain": ("1.25 s", "", "", ""),
        "late": ("inf s", "<= 0.25 s", "0.00x", "MISSED"),
    }
    lines = render(rows()).splitlines()
    assert len(lines) == 2 + len(rows()) + 3
    assert lines[-2:] == ["speed: how", "rival: offline"]
    assert [exit_code([row]) for row in rows()] == [0, 1, 0, 1, 0, 1]
    assert (exit_code(rows()), exit_code([])) == (1, 0)


def test_lost_messages_do_not_make_up_for_others():
    collected = Collected(Counter(a=3, b=2, c=1), 0)
    assert collected.lost({"a": 3, "b": 2, "c": 1}) == 0
    assert collected.lost({"a": 2, "b": 3, "c": 1}) == 2
    assert collected.lost({"a": 3, "d": 4}) == 2 + 1 + 4


def test_lags_are_read_from_the_histogram():
    before = Lags({0.1: 5, 0.25: 5, math.inf: 5})
    lags = Lags({0.1: 103, 0.25: 104, math.inf: 105}).since(before)
    assert lags.samples == 100
    assert [lags.bound(share) for share in (0.5, 0.98, 0.99, 1.0)] == [0.1, 0.1, 0.25, math.inf]
    assert lags.within(0.25) == 0.99


async def test_the_server_sends_nothing_to_nobody():
    async with LoadServer.run() as server:
        with pytest.raises(RuntimeError, match="not every channel"):
            await server.feed(stream.draw(10, seed=7))


@pytest.mark.parametrize("seconds", [None, 0.2])
async def test_a_client_gets_each_line_once_and_a_ping_behind_them(seconds):
    messages = stream.draw(3_000, seed=8)
    async with LoadServer.run() as server:
        reader, writer = await client(server, messages)
        feeding = asyncio.ensure_future(server.feed(messages, seconds))
        lines = [await reader.readline() for _ in range(len(messages))]
        assert await reader.readline() == b"PING :all-sent\r\n"
        assert not feeding.done()
        writer.write(b"PONG :all-sent\r\n")
        assert await feeding >= (seconds or 0) * 0.8
        writer.close()
    chats = [parse(line.rstrip()) for line in lines]
    assert Counter(chat.channel.decode() for chat in chats) == messages.by_channel


async def test_a_client_that_goes_is_told():
    messages = stream.draw(100_000, seed=9)
    async with LoadServer.run() as server:
        _, writer = await client(server, messages)
        feeding = asyncio.ensure_future(server.feed(messages))
        writer.close()
        with pytest.raises(ExceptionGroup) as caught:
            await feeding
    assert caught.group_contains(ConnectionError)


async def client(server, messages):
    """A client that has joined every channel of the messages, and has read the answers."""
    host, port = server.url.removeprefix("irc://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**22)
    logins = list(messages.by_channel)
    writer.write(("NICK someone\r\n" + "".join(f"JOIN #{login}\r\n" for login in logins)).encode())
    async with asyncio.timeout(30):
        await reader.readuntil(f"ROOMSTATE #{logins[-1]}\r\n".encode())
    return reader, writer


@pytest.mark.long
async def test_the_collector_loses_nothing_as_fast_as_it_can():
    fed, rows = await measure_throughput(QUICK)
    assert len(fed.sent) == 200_000
    assert fed.collected.messages == fed.sent.by_channel
    # A window may have ended on the way; within one the pairs are those of the stream.
    assert 0 < fed.collected.pairs <= fed.sent.pairs
    assert {row.what: row.value for row in rows}["messages lost"] == 0
    assert fed.lags.samples > 0
    assert all(row.value > 0 for row in rows if row.what != "messages lost")
    assert len(render(rows).splitlines()) >= 2 + len(rows)


async def test_the_collector_loses_nothing_in_a_burst():
    rows = {row.what: row.value for row in await measure_burst(QUICK)}
    assert rows["messages lost of 120,000"] == 0


@pytest.mark.long
async def test_a_rival_that_cannot_be_installed_misses_its_bar(monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (row,) = await measure_rival(QUICK, 100_000.0)
    assert row.missed
    assert "TwitchIO 2.10.0 could not be installed" in row.note
