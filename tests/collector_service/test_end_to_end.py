"""The collector as a process against the simulated Twitch: what it collected is what was delivered."""

import asyncio
import time
from typing import get_args

import pytest

from collector_service.contract import viewer_key
from collector_service.simulator.garbage import Garbage
from collector_service.simulator.http_faults import HelixFault
from tests.faults.harness import eventually, planted, session, start_seconds
from tests.faults.intervals import length
from tests.faults.truth import SECRET, Truth, joined_stretches


async def test_a_whole_day_with_faults_is_collected_to_the_last_message_over_tls(tmp_path):
    world = planted(seed=4, channels=40, viewers=1500, days=1)
    head_start = 2.0 + 3 * await start_seconds()
    async with session(
        tmp_path,
        rate=7_200.0,
        window=300,
        world=world,
        origin=world.start,
        head_start=head_start,
        tls=True,
    ) as it:
        collector = await it.start(
            channels=it.all_logins(), credentials=True, refresh_seconds=3600, channels_per_connection=10
        )
        await it.reading()
        await asyncio.sleep(1.0)
        for kind in get_args(Garbage):
            it.faults.garbage(kind)
        await it.faults.reset()
        await asyncio.sleep(1.5)
        it.faults.reconnect()
        await asyncio.sleep(1.5)
        it.faults.close()
        await eventually(lambda: it.simulator.oracle.totals()["complete"], 40)
        await asyncio.sleep(0.5 + it.lag)
        await collector.stop()
        truth, found = Truth.of(it.simulator), await it.collected(collector)
        assert found.presence == truth.presence
        assert +found.messages == +truth.messages
        assert found.mirrored == truth.mirrored
        assert len(truth.presence) > 5_000
        assert truth.mirrored > 0
        assert it.simulator.oracle.totals()["connections"] >= 8
    names = {account.login for account in world.accounts}
    assert not [word for word in collector.logs[0].split() if word.strip(",.:") in names]
    games = {channel.channel_id: channel.game.name for channel in world.channels}
    described = [record for record in found.records if record.game_name]
    assert len(described) > 1000
    assert all(record.game_name == games[record.channel_id] for record in described)
    bots = {viewer_key(SECRET, str(one.user_id)) for one in world.accounts if one.bot and one.listed}
    assert {key for record in found.records for key in record.known_bots} <= bots
    for record in found.records:
        assert set(record.known_bots) == bots & set(record.viewer_keys)


async def test_observed_seconds_are_those_of_the_server(tmp_path):
    world = planted(seed=4, channels=30, viewers=500, days=1)
    async with session(tmp_path, rate=60.0, window=300, world=world, origin=world.start) as it:
        began = time.monotonic()
        collector = await it.start(channels_per_connection=10)
        await it.reading()
        await asyncio.sleep(2.0)
        it.faults.close()
        await asyncio.sleep(3.0)
        await it.faults.reset()
        await asyncio.sleep(2.5)
        await collector.stop()
        expected, found = joined_stretches(it.simulator), (await it.collected(collector)).observed
        most, edge = (time.monotonic() - began) * it.rate, (0.3 + it.lag) * it.rate
    assert expected.keys() == found.keys()
    assert len(found) == 30
    for channel, stretches in expected.items():
        assert 120 < length(stretches) < most
        # Three stretches, whose ends a busy machine tells late.
        assert found[channel] == pytest.approx(length(stretches), abs=3 * edge)


async def test_the_biggest_streams_are_found_and_followed(tmp_path):
    world = planted(seed=4, channels=40, viewers=800, days=1)
    async with session(tmp_path, rate=3600.0, window=300, world=world, origin=world.start) as it:
        collector = await it.start(
            credentials=True, refresh_seconds=900, top_channels_limit=1000, channels_per_connection=10
        )
        await it.reading(1)
        for fault in get_args(HelixFault):
            await asyncio.sleep(0.6)
            it.faults.helix(fault)
        await it.reading(11)
        await asyncio.sleep(4.0)
        await collector.stop()
        truth, found = Truth.of(it.simulator), await it.collected(collector)
    assert found.presence == truth.presence
    assert +found.messages == +truth.messages
    assert len({record.channel_id for record in found.records}) > 10
    live = [record for record in found.records if record.viewer_count is not None]
    assert len(live) > 20
    assert all(record.started_at and record.language and record.title for record in live)
