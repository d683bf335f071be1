"""The collector as a process against the simulated Twitch: what it collected is what was delivered."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import get_args

import pytest
import yaml

from collector_service.clock import ScaledClock
from collector_service.contract import decode_lines, parse_record, viewer_key
from collector_service.simulator.faults import Garbage, HelixFault
from collector_service.simulator.irc_server import IrcOptions, Limit
from collector_service.simulator.server import Simulator, SimulatorOptions
from collector_service.simulator.world import WorldOptions, plant

from .irc_double import eventually

SECRET = "the-viewer-key-secret-of-the-test"
WINDOW = 300


@asynccontextmanager
async def running(folder, simulator, *, tls=False, config=None, credentials=True):
    """A collector process on the simulator; ends cleanly with the block."""
    sections = {
        "storage": {"dir": "lake"},
        "twitch": {
            "irc_url": simulator.ircs_url if tls else simulator.irc_url,
            "helix_url": simulator.helix_url,
            "id_url": simulator.id_url,
        },
        "collection": {
            "bots_file": None,
            "state_dir": "state",
            "http_port": 0,
            "window_seconds": WINDOW,
            "join_rate": {"joins": 2000, "seconds": 1},
            "connection_interval_seconds": 0,
            "channels_per_connection": 10,
            "max_collection_cycles": 0,
            **(config or {}),
        },
        "privacy": {"viewer_key_secret": SECRET},
        "simulation": {"clock": simulator.clock.spec()},
    }
    if tls:
        sections["twitch"]["ca_file"] = str(simulator.ca_file)
    if credentials:
        sections["twitch"] |= {"client_id": simulator.client_id, "client_secret": simulator.client_secret}
    (folder / "config.yaml").write_text(yaml.safe_dump(sections))
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "collector_service", "--config", "config.yaml"),
        cwd=folder,
        env=kept,
        stderr=asyncio.subprocess.PIPE,
    )
    log = asyncio.ensure_future(process.stderr.read())
    try:
        yield log
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 25)
        assert process.returncode == 0, (await log).decode()
    finally:
        if process.returncode is None:
            process.kill()
        await log


class Collected:
    """What is in the lake."""

    def __init__(self, folder):
        self.messages = Counter()
        self.presence = set()
        self.mirrored = 0
        self.observed = Counter()
        self.records = []
        for path in sorted((folder / "lake").rglob("*.ndjson.gz")):
            for line in decode_lines(path.read_bytes()):
                record = parse_record(line)
                self.records.append(record)
                start = int(record.window_start.timestamp())
                self.mirrored += record.mirrored_messages
                self.observed[record.channel_id] += record.observed_seconds
                for key, number in zip(record.viewer_keys, record.viewer_messages, strict=True):
                    self.presence.add((record.channel_id, key, start))
                    self.messages[record.channel_id, key, start] += number


def delivered(simulator):
    """Presence, messages and mirrored copies as the simulator delivered them."""
    keys = {
        account.user_id: viewer_key(SECRET, str(account.user_id)) for account in simulator.world.accounts
    }
    presence, messages = set(), Counter()
    for (channel, user, start), seen in simulator.oracle.presence().items():
        if seen.delivered or seen.notices_delivered:
            presence.add((channel, keys[user], start))
            messages[channel, keys[user], start] = seen.delivered
    return presence, messages, simulator.oracle.totals()["mirrored_delivered"]


def joined_seconds(simulator):
    totals = Counter()
    for channel, begin, end in simulator.oracle.joined():
        totals[channel] += end - begin
    return totals


@asynccontextmanager
async def simulated(rate, *, channels, viewers, tls=False, reconnect_seconds=1.0, oddities=False):
    world = plant(WorldOptions(seed=4, channels=channels, viewers=viewers, days=1, oddities=oddities))
    irc = IrcOptions(join_limit=Limit(10_000, 1.0), reconnect_seconds=reconnect_seconds)
    clock = ScaledClock(time.time() + 2.0, world.start, rate)
    options = SimulatorOptions(window_seconds=WINDOW, tls=tls, points_per_minute=100_000, irc=irc)
    async with Simulator.start(world, clock, options) as simulator:
        yield simulator


async def played(simulator):
    await eventually(lambda: simulator.oracle.totals()["complete"], 40)
    await asyncio.sleep(0.5)


async def test_a_whole_day_with_faults_is_collected_to_the_last_message_over_tls(tmp_path):
    async with simulated(14_400, channels=40, viewers=1500, tls=True) as simulator:
        logins = ",".join(channel.login for channel in simulator.world.channels)
        config = {"channels": logins, "refresh_seconds": 3600}
        async with running(tmp_path, simulator, tls=True, config=config) as log:
            await asyncio.sleep(3.0)
            for kind in get_args(Garbage):
                simulator.faults.garbage(kind)
            await simulator.faults.reset()
            await asyncio.sleep(1.5)
            simulator.faults.reconnect()
            await asyncio.sleep(1.5)
            simulator.faults.close()
            await played(simulator)
        presence, messages, mirrored = delivered(simulator)
        found = Collected(tmp_path)
        assert found.presence == presence
        assert +found.messages == +messages
        assert found.mirrored == mirrored
        assert len(presence) > 5_000
        assert mirrored > 0
        assert simulator.oracle.totals()["connections"] >= 8
        names = {account.login for account in simulator.world.accounts}
        assert not [word for word in (await log).decode().split() if word.strip(",.:") in names]
        games = {channel.channel_id: channel.game.name for channel in simulator.world.channels}
        described = [record for record in found.records if record.game_name]
        assert len(described) > 1000
        assert all(record.game_name == games[record.channel_id] for record in described)
        bots = {
            viewer_key(SECRET, str(one.user_id))
            for one in simulator.world.accounts
            if one.bot and one.listed
        }
        assert {key for record in found.records for key in record.known_bots} <= bots
        for record in found.records:
            assert set(record.known_bots) == bots & set(record.viewer_keys)


async def test_observed_seconds_are_those_of_the_server(tmp_path):
    rate = 60.0
    async with simulated(rate, channels=30, viewers=500) as simulator:
        logins = ",".join(channel.login for channel in simulator.world.channels)
        config = {"channels": logins}
        async with running(tmp_path, simulator, config=config, credentials=False):
            await asyncio.sleep(4.0)
            simulator.faults.close()
            await asyncio.sleep(3.0)
            await simulator.faults.reset()
            await asyncio.sleep(2.5)
        expected, found = joined_seconds(simulator), Collected(tmp_path).observed
        assert expected.keys() == found.keys()
        assert len(found) == 30
        for channel, seconds in expected.items():
            assert 120 < seconds < 9 * rate
            # three stretches; on a busy machine each end may be told a third of a real second late
            assert found[channel] == pytest.approx(seconds, abs=3 * 0.3 * rate)


async def test_the_biggest_streams_are_found_and_followed(tmp_path):
    async with simulated(3600, channels=40, viewers=800) as simulator:
        config = {"refresh_seconds": 900, "top_channels_limit": 1000}
        async with running(tmp_path, simulator, config=config):
            for fault in get_args(HelixFault):
                await asyncio.sleep(0.6)
                simulator.faults.helix(fault)
            await asyncio.sleep(4.0)
            presence, messages, _ = delivered(simulator)
            # What is on its way when the collector is told to stop may stay unread.
            await asyncio.sleep(1.0)
        found = Collected(tmp_path)
        late, messages_later, _ = delivered(simulator)
        assert presence <= found.presence <= late
        assert all(messages[key] <= number <= messages_later[key] for key, number in found.messages.items())
        assert len({record.channel_id for record in found.records}) > 10
        live = [record for record in found.records if record.viewer_count is not None]
        assert len(live) > 20
        assert all(record.started_at and record.language and record.title for record in live)
