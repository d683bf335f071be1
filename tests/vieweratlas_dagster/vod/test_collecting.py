"""Discovery, queue, comments query and windows together, against the simulated Twitch and its truth."""

from collections import Counter
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from pydantic import SecretStr

from collector_service.clock import ScaledClock, utc
from collector_service.contract import VOD_PREFIX, decode_lines, parse_record, viewer_key
from collector_service.lake import Lake
from collector_service.settings import PrivacySettings, TwitchSettings, VodSettings
from collector_service.simulator.oracle import comments
from collector_service.simulator.planting import plant
from collector_service.simulator.server import Simulator
from collector_service.simulator.world import WorldOptions
from collector_service.support.retry import RetryPolicy
from collector_service.twitch.helix import Helix
from collector_service.twitch.vod_chat import GraphqlComments
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.collected_channels import CollectedChannel
from vieweratlas_dagster.vod.collecting import read_vods
from vieweratlas_dagster.vod.discovery import discover
from vieweratlas_dagster.vod.queue_store import QueueStore
from vieweratlas_dagster.vod.reading_round import ReadingRound

SECRET = "z" * 32
SETTINGS = VodSettings(enabled=True, max_age_hours=48, max_vods_per_run=500, vod_limit_per_channel=100)


@pytest.fixture(scope="module")
def world():
    return plant(WorldOptions(seed=5, channels=8, viewers=300, days=1))


@asynccontextmanager
async def playing(world, clock):
    async with Simulator.start(world, clock) as simulator:
        yield (
            simulator,
            TwitchSettings(
                helix_url=simulator.helix_url,
                id_url=simulator.id_url,
                gql_url=simulator.gql_url,
                client_id=simulator.client_id,
                client_secret=SecretStr(simulator.client_secret),
            ),
        )


def after_the_end(world):
    return ScaledClock(0.0, world.end + 3600, 1e-9)


async def read(lake, world, twitch, clock, **changes):
    channels = [CollectedChannel(one.channel_id, one.login, hidden=True) for one in world.channels]
    settings = SETTINGS.model_copy(update=changes)
    async with Helix.open(twitch) as helix:
        discovery = await discover(helix, lake, channels, settings, now=utc(clock.now()))
    async with GraphqlComments.open(twitch, retry=RetryPolicy(0.001, 0.001, attempts=6)) as source:
        report = await ReadingRound(lake, source, settings, secret=SECRET, clock=clock).run()
    return discovery, report


def records(lake):
    return [
        parse_record(line)
        for info in lake.objects(VOD_PREFIX + "/")
        for line in decode_lines(lake.get(info.key))
    ]


def presence(lake):
    counts = Counter()
    for record in records(lake):
        start = int(record.window_start.timestamp())
        for key, messages in zip(record.viewer_keys, record.viewer_messages, strict=True):
            counts[record.channel_id, start, key] += messages
    return counts


def truth(world):
    """Messages of the world by channel, window and viewer; accounts deleted since are not in VODs."""
    counts = Counter()
    for stream in world.streams:
        channel_id = world.channels[stream.channel].channel_id
        for comment in comments(world, stream):
            account = world.accounts[comment.account]
            if not account.deleted:
                key = viewer_key(SECRET, str(account.user_id))
                counts[channel_id, comment.ms // 300_000 * 300, key] += 1
    return counts


async def test_vod_presence_is_the_truth(world):
    lake = Lake.in_memory()
    clock = after_the_end(world)
    async with playing(world, clock) as (_, twitch):
        discovery, report = await read(lake, world, twitch, clock)
    assert discovery.queued == report.done == len(world.streams)
    assert presence(lake) == truth(world)
    assert report.comments == truth(world).total()
    deleted = sum(
        world.accounts[comment.account].deleted
        for stream in world.streams
        for comment in comments(world, stream)
    )
    assert report.null_commenters == deleted
    observed = Counter()
    for record in records(lake):
        observed[record.channel_id] += record.observed_seconds
        assert not record.partial
    for stream in world.streams:
        observed[world.channels[stream.channel].channel_id] -= stream.ended_at - stream.started_at
    assert set(observed.values()) == {0}


@pytest.mark.parametrize("kind", ["integrity", "server_error", "null_comments"])
async def test_faults_cost_no_presence(world, kind):
    lake = Lake.in_memory()
    clock = after_the_end(world)
    async with playing(world, clock) as (simulator, twitch):
        simulator.faults.gql(kind, None if kind == "integrity" else 5)
        _, report = await read(lake, world, twitch, clock, concurrency=1)
    assert report.done == len(world.streams)
    assert presence(lake) == truth(world)


async def test_a_changed_query_stops_the_run_and_is_healed_by_the_next(world):
    lake = Lake.in_memory()
    clock = after_the_end(world)
    async with playing(world, clock) as (simulator, twitch):
        simulator.faults.gql("persisted_query")
        _, report = await read(lake, world, twitch, clock)
        assert "PersistedQueryNotFound" in report.stopped
        assert (report.done, report.queue_pending, lake.objects(VOD_PREFIX + "/")) == (
            0,
            len(world.streams),
            [],
        )
        simulator.faults.clear()
        discovery, report = await read(lake, world, twitch, clock)
    assert (discovery.queued, discovery.known) == (0, len(world.streams))
    assert report.done == len(world.streams)
    assert presence(lake) == truth(world)


async def test_running_streams_wait_until_they_are_over(world):
    lake = Lake.in_memory()
    instants = sorted(
        {instant for stream in world.streams for instant in (stream.started_at, stream.ended_at)}
    )
    middle = next(
        (a + b) / 2
        for a, b in pairwise(instants)
        if any(s.started_at <= a and b <= s.ended_at for s in world.streams)
        and any(s.ended_at < a for s in world.streams)
    )
    clock = ScaledClock(0.0, middle, 1e-9)
    over = [stream.video_id for stream in world.streams if stream.ended_at <= middle - 300]
    async with playing(world, clock) as (_, twitch):
        discovery, report = await read(lake, world, twitch, clock)
    assert discovery.running > 0
    assert report.done == len(over)
    assert sorted(QueueStore(lake).load()) == sorted(over)
    clock = after_the_end(world)
    async with playing(world, clock) as (_, twitch):
        await read(lake, world, twitch, clock)
    assert presence(lake) == truth(world)


async def test_what_is_queued_is_read_while_helix_refuses(world):
    lake, clock = Lake.in_memory(), after_the_end(world)
    async with playing(world, clock) as (_, twitch):
        await read(lake, world, twitch, clock, max_processing_hours=1e-9)
        refused = twitch.model_copy(update={"client_secret": SecretStr("wrong")})
        settings = Settings(twitch=refused, vod=SETTINGS, privacy=PrivacySettings(viewer_key_secret=SECRET))
        asked = [CollectedChannel(1, "someone", hidden=True)]
        done = await read_vods(lake, asked, settings, now=utc(clock.now()))
    assert done.discovery is None
    (problem,) = done.problems
    assert "could not look for recordings" in problem
    assert "wrong" not in problem
    assert done.report.done == len(world.streams)
    assert presence(lake) == truth(world)
