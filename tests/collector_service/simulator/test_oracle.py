"""The oracle against a client that only splits lines and looks at tags."""

import asyncio
import csv
import gzip
import json
import time
from collections import Counter

import pytest

from collector_service.clock import ScaledClock
from collector_service.simulator.broadcast import Broadcast
from collector_service.simulator.chat import ANONYMOUS, Event, Kind, stream_events
from collector_service.simulator.lines import RoomLines
from collector_service.simulator.oracle import Oracle, Presence, write_files
from collector_service.simulator.planting import plant
from collector_service.simulator.world import WorldOptions

RATE = 40_000.0
PRESENT = {"sub", "resub", "subgift", "submysterygift", "announcement", "viewermilestone"}


@pytest.fixture(scope="module")
def lively():
    """A day that has a shared chat and every kind of notice."""
    return plant(WorldOptions(seed=21, channels=30, viewers=1_500, days=1))


class Listener:
    """Counts what a correct collector counts, per (room, user, window)."""

    def __init__(self, window_seconds: int = 300) -> None:
        self.window_ms = window_seconds * 1_000
        self.messages: Counter[tuple[int, int, int]] = Counter()
        self.notices: Counter[tuple[int, int, int]] = Counter()
        self.mirrored = 0
        self.lines: dict[str, list[str]] = {}

    async def listen(self, client, logins, *, capabilities=("tags", "commands")):
        await client.log_in(*capabilities)
        client.send("JOIN #" + ",#".join(logins))
        try:
            while data := await client.raw():
                self.take(data.decode().removesuffix("\r\n"))
        except (ConnectionResetError, TimeoutError):
            return

    def take(self, line: str) -> None:
        if line.startswith("PING") or not line.startswith("@"):
            return
        head, _, rest = line[1:].partition(" ")
        tags = dict(tag.split("=", 1) for tag in head.split(";"))
        command, room = rest.split(" ")[1:3]
        if command in ("ROOMSTATE", "CLEARCHAT", "NOTICE"):
            return
        self.lines.setdefault(room, []).append(line)
        if tags.get("source-room-id", tags["room-id"]) != tags["room-id"]:
            self.mirrored += command == "PRIVMSG"
            return
        window = int(tags["tmi-sent-ts"]) // self.window_ms * self.window_ms // 1_000
        key = int(tags["room-id"]), int(tags["user-id"]), window
        if command == "PRIVMSG":
            self.messages[key] += 1
        elif tags["msg-id"] in PRESENT and tags["user-id"] != "274598607":
            self.notices[key] += 1


def delivered(simulator):
    presence = simulator.oracle.presence()
    messages = Counter({key: row.delivered for key, row in presence.items() if row.delivered})
    notices = Counter(
        {key: row.notices_delivered for key, row in presence.items() if row.notices_delivered}
    )
    return messages, notices


def happened(world, window_seconds=300):
    """The truth from the planted world itself."""
    messages: Counter[tuple[int, int, int]] = Counter()
    notices: Counter[tuple[int, int, int]] = Counter()
    for stream in world.streams:
        for ms, kind, account, _ in stream_events(world, stream):
            window = ms // 1_000 // window_seconds * window_seconds
            user = world.accounts[account].user_id
            key = world.channels[stream.channel].channel_id, user, window
            if kind == Kind.MESSAGE:
                messages[key] += 1
            elif kind not in (Kind.RAID, Kind.BAN) and account != ANONYMOUS:
                notices[key] += 1
    return messages, notices


async def test_a_client_joined_everywhere_receives_exactly_what_happened(
    lively, start, connect, eventually, held
):
    clock = held(lively.start, RATE)
    simulator = await start(lively, clock)
    listener = Listener()
    logins = [channel.login for channel in lively.channels]
    tasks = [
        asyncio.create_task(listener.listen(await connect(simulator.irc_url), part))
        for part in (logins[:12], logins[12:])
    ]
    await eventually(lambda: simulator.oracle.totals()["accepted_joins"] == len(logins))
    clock.go()
    await eventually(lambda: simulator.oracle.totals()["complete"])
    await asyncio.sleep(0.1)
    simulator.faults.close()
    await asyncio.gather(*tasks)

    messages, notices = happened(lively)
    assert (listener.messages, listener.notices) == (messages, notices) == delivered(simulator)
    presence = simulator.oracle.presence()
    assert {key: row.messages for key, row in presence.items() if row.messages} == dict(messages)
    assert {key: row.notices for key, row in presence.items() if row.notices} == dict(notices)
    totals = simulator.oracle.totals()
    assert totals["messages"] == totals["messages_delivered"] == sum(messages.values())
    assert totals["mirrored"] == totals["mirrored_delivered"] == listener.mirrored > 20
    assert totals["connections"] == 2
    # Each room's own lines came in their order and to the last byte.
    for number, channel in enumerate(lively.channels):
        expected = [
            line
            for stream in lively.streams
            if stream.channel == number
            for line in own_lines(lively, stream)
        ]
        own = [line for line in listener.lines[f"#{channel.login}"] if is_native(line)]
        assert own == expected
    everywhere = {channel: (begin, end) for channel, begin, end in simulator.oracle.joined()}
    assert set(everywhere) == {channel.channel_id for channel in lively.channels}
    assert all(begin == lively.start and end > lively.end for begin, end in everywhere.values())


def own_lines(world, stream):
    events = stream_events(world, stream)
    lines = RoomLines(world, stream).write(events, 0)
    return [line for event, line in zip(events, lines, strict=True) if event.kind != Kind.BAN]


def is_native(line: str) -> bool:
    tags = dict(tag.split("=", 1) for tag in line[1:].partition(" ")[0].split(";"))
    return tags.get("source-room-id", tags["room-id"]) == tags["room-id"]


async def test_what_nobody_received_is_not_delivered(lively, start, connect, eventually):
    """Connections come, go, are reset and fall silent in the middle; one channel is never joined."""
    clock = ScaledClock(time.time() + 0.3, lively.start, RATE)
    simulator = await start(lively, clock)
    listener = Listener()
    logins = [channel.login for channel in lively.channels]

    async def come_and_go(part):
        for ending in ("reset", "close", "silence", "reset", "quit"):
            client = await connect(simulator.irc_url)
            task = asyncio.create_task(listener.listen(client, part))
            await asyncio.sleep(0.35)
            which = f"#{part[0]}"
            if ending == "reset":
                assert await simulator.faults.reset(which) == 1
            elif ending == "close":
                assert simulator.faults.close(which) == 1
            elif ending == "silence":
                assert simulator.faults.silence(which) == 1
                await asyncio.sleep(0.2)
                simulator.faults.close(which)
            else:
                client.send("QUIT")
            await task
            await asyncio.sleep(0.05)

    await asyncio.gather(come_and_go(logins[1:14]), come_and_go(logins[14:]))
    await eventually(lambda: simulator.oracle.totals()["complete"])
    await asyncio.sleep(0.1)

    messages, _ = happened(lively)
    assert (listener.messages, listener.notices) == delivered(simulator)
    got, missed = sum(listener.messages.values()), sum(messages.values())
    assert 0 < got < missed
    presence = simulator.oracle.presence()
    assert {key: row.messages for key, row in presence.items() if row.messages} == dict(messages)
    joined = simulator.oracle.joined()
    assert lively.channels[0].channel_id not in {channel for channel, _, _ in joined}
    stretches = Counter(channel for channel, _, _ in joined)
    assert set(stretches.values()) == {5}
    # A message counts as delivered only around stretches in which its room was joined; what is due
    # within a tick may be up to a tick, and the lag, older than the join.
    slack = (0.05 + simulator.oracle.totals()["max_lag_seconds"]) * RATE + 300
    for channel, _, window in listener.messages:
        assert any(
            begin - slack <= window + 300 and window <= end + slack
            for joined_channel, begin, end in joined
            if joined_channel == channel
        )


async def test_notices_need_a_connection_that_asked_for_commands(lively, start, connect, eventually, held):
    clock = held(lively.start, 2 * RATE)
    simulator = await start(lively, clock)
    listener = Listener()
    logins = [channel.login for channel in lively.channels]
    task = asyncio.create_task(
        listener.listen(await connect(simulator.irc_url), logins, capabilities=("tags",))
    )
    await eventually(lambda: simulator.oracle.totals()["accepted_joins"] == len(logins))
    clock.go()
    await eventually(lambda: simulator.oracle.totals()["complete"])
    await asyncio.sleep(0.1)
    simulator.faults.close()
    await task
    messages, notices = happened(lively)
    assert listener.messages == messages
    assert not listener.notices
    assert delivered(simulator) == (messages, Counter())
    assert sum(row.notices for row in simulator.oracle.presence().values()) == sum(notices.values())


def test_which_events_prove_presence_in_which_window(lively):
    oracle = Oracle(lively, 60)
    stream = lively.streams[0]
    broadcast = Broadcast(lively, stream)
    minute = 1_800_000_000_000
    broadcast.events = [
        Event(minute, Kind.MESSAGE, 1, 0),
        Event(minute + 59_999, Kind.MESSAGE, 1, 0),
        Event(minute + 60_000, Kind.MESSAGE, 1, 0),
        Event(minute + 60_001, Kind.SUB, 2, 1),
        Event(minute + 60_002, Kind.RAID, 3, 9),
        Event(minute + 60_003, Kind.SUBGIFT, ANONYMOUS, 4),
        Event(minute + 60_004, Kind.SUBGIFT, 5, 6),
        Event(minute + 60_005, Kind.MYSTERY_GIFT, 5, 1),
        Event(minute + 60_006, Kind.BAN, 7, 1),
        Event(minute + 60_007, Kind.ANNOUNCEMENT, 1, 1),
        Event(minute + 60_008, Kind.MILESTONE, 8, 3),
        Event(minute + 60_009, Kind.RESUB, 8, 3),
        Event(minute + 60_010, Kind.MESSAGE, 9, 3),
    ]
    broadcast.cursor = 12
    broadcast.delivered = [(1, 3)]
    broadcast.notices_delivered = [(3, 7), (9, 10)]
    oracle.finish(broadcast)
    channel = lively.channels[stream.channel].channel_id
    user = [account.user_id for account in lively.accounts]
    first, second = minute // 1_000, minute // 1_000 + 60
    assert oracle.presence() == {
        (channel, user[1], first): Presence(2, 1, 0, 0),
        (channel, user[1], second): Presence(1, 1, 1, 1),
        (channel, user[2], second): Presence(0, 0, 1, 1),
        (channel, user[5], second): Presence(0, 0, 2, 1),
        (channel, user[8], second): Presence(0, 0, 2, 0),
    }


async def test_the_files(lively, start, eventually, tmp_path):
    simulator = await start(lively, ScaledClock(time.time(), lively.start, 1e6), window_seconds=600)
    await eventually(lambda: simulator.oracle.totals()["complete"])
    await asyncio.sleep(0.1)
    files = simulator.oracle.files()
    write_files(tmp_path / "new" / "oracle", files)
    folder = tmp_path / "new" / "oracle"
    assert {path.name for path in folder.iterdir()} == {
        "channels.csv", "bots.csv", "streams.csv", "presence.csv.gz", "joined.csv", "totals.json",
    }  # fmt: skip

    def rows(name):
        opener = gzip.open if name.endswith(".gz") else open
        with opener(folder / name, "rt", encoding="utf-8") as handle:
            return list(csv.DictReader(handle))

    channel, stream = lively.channels[7], lively.streams[2]
    assert rows("channels.csv")[7] == {
        "channel_id": str(channel.channel_id),
        "login": channel.login,
        "game_name": channel.game.name,
        "language": channel.language,
        "community": str(channel.community),
        "region": str(channel.region),
        "giant": str(int(channel.giant)),
    }
    assert rows("streams.csv")[2] == {
        "channel_id": str(lively.channels[stream.channel].channel_id),
        "started_at": str(stream.started_at),
        "ended_at": str(stream.ended_at),
        "video_id": stream.video_id,
    }
    assert {row["login"]: row["listed"] for row in rows("bots.csv")}["nightbot"] == "1"
    assert rows("joined.csv") == []
    messages, notices = happened(lively, 600)
    written = rows("presence.csv.gz")
    keys = [(int(r["channel_id"]), int(r["user_id"]), int(r["window_start"])) for r in written]
    assert len(set(keys)) == len(keys)
    assert set(keys) == set(messages) | set(notices)
    for key, row in zip(keys, written, strict=True):
        assert (int(row["messages"]), int(row["notices"])) == (messages[key], notices[key])
        assert row["delivered"] == row["notices_delivered"] == "0"
    totals = json.loads((folder / "totals.json").read_text())
    assert totals["complete"] == 1
    assert totals["messages"] == sum(messages.values())
    before = (folder / "presence.csv.gz").read_bytes()
    write_files(folder, files)
    assert (folder / "presence.csv.gz").read_bytes() == before


async def test_a_renamed_channel_goes_on_under_its_new_login(world, start, connect, eventually, held):
    old, new, instant = world.oddities.renamed
    clock = held(world.start, RATE)
    simulator = await start(world, clock)
    listener = Listener()
    task = asyncio.create_task(listener.listen(await connect(simulator.irc_url), [old]))
    await eventually(lambda: simulator.oracle.totals()["accepted_joins"] == 1)
    clock.go()
    await eventually(lambda: simulator.clock.now() > instant + RATE * 0.05)
    second = asyncio.create_task(listener.listen(await connect(simulator.irc_url), [old, new]))
    await eventually(lambda: simulator.oracle.totals()["complete"])
    await asyncio.sleep(0.1)
    simulator.faults.close()
    await asyncio.gather(task, second)
    channel = next(c for c in world.channels if c.renamed_to)
    assert set(listener.lines) <= {f"#{old}", f"#{new}"}
    assert len({key[0] for key in listener.messages}) == 1
    after = [s for s in world.streams if world.channels[s.channel] is channel and s.started_at > instant]
    expected = sum(e.kind == Kind.MESSAGE for s in after for e in stream_events(world, s))
    assert sum(f"PRIVMSG #{new} " in line for line in listener.lines.get(f"#{new}", [])) == expected
    assert (listener.messages, listener.notices) == delivered(simulator)
    stretches = [row[1:] for row in simulator.oracle.joined() if row[0] == channel.channel_id]
    assert len(stretches) == 2
    assert instant <= stretches[0][1] < stretches[1][0] < after[0].started_at
