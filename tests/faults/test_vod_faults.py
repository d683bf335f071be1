"""VOD chat under faults: afterwards the lake has what the simulator's chats say, exactly."""

import asyncio
import signal
from random import Random

import pytest

from collector_service.contract import VOD_PREFIX
from collector_service.simulator.comments_api import PAGE_SIZES

from .harness import planted
from .vods import vod_session

pytestmark = pytest.mark.slow
SEEDS = (1, 2)
# The lease is renewed, and what was read is kept, with every few pages.
SHORT = {"lease_seconds": 0.05, "concurrency": 1}


def small(seed):
    return planted(seed=seed, channels=3, viewers=80, days=1)


def at_once(scenario):
    """Play a scenario with every seed, side by side: they wait more than they work."""

    async def play():
        await asyncio.gather(*(scenario(seed) for seed in SEEDS))

    return play()


async def test_killed_between_any_writes(tmp_path):
    """Most kills fall between two writes that belong together: raw object and queue, queue and memory."""

    async def scenario(seed):
        rng = Random(seed)
        async with vod_session(tmp_path / f"{seed}", small(seed)) as it:
            kills = 0
            while not it.done:
                # Each lives a little longer than the one before, so the last one can finish a whole VOD.
                writes = rng.randint(3, 9) + kills
                kills += await it.play(at_write=("SIGKILL", writes, ""), **SHORT) is None
                assert kills < 50
                assert it.collected().messages <= it.truth()
            assert kills >= 2
            it.check()

    await at_once(scenario)


async def test_killed_between_any_pages(tmp_path):
    async def scenario(seed):
        rng = Random(seed)
        async with vod_session(tmp_path / f"{seed}", small(seed)) as it:
            for _ in range(3):
                one = await it.start(**SHORT)
                it.on_page(rng.randint(1, 12), lambda one=one: one.send(signal.SIGKILL))
                await one.finish()
                assert it.collected().messages <= it.truth()
            await it.all_done(**SHORT)
            it.check()

    await at_once(scenario)


@pytest.mark.parametrize("where", ["folder", "s3"])
async def test_two_runs_at_once_share_the_work(where, tmp_path, request):
    storage = None if where == "folder" else request.getfixturevalue("s3_storage")
    async with vod_session(tmp_path / "it", small(1), storage) as it:
        both = await asyncio.gather(it.play(concurrency=2), it.play(concurrency=2))
        discoveries, reports = zip(*both, strict=True)
        streams = len(it.world.streams)
        assert sum(one["queued"] for one in discoveries) == streams
        assert sum(one["done"] for one in reports) == streams
        assert sum(one["lost"] for one in reports) == 0
        assert sum(one["comments"] for one in reports) == it.truth().total()
        it.check()


async def test_two_runs_that_take_vods_from_each_other(tmp_path):
    """Leases are so short that each run takes over what the other is reading."""

    async def scenario(seed):
        async with vod_session(tmp_path / f"{seed}", small(seed)) as it:
            for _ in range(2):
                await asyncio.gather(*(it.play(lease_seconds=0.005, concurrency=2) for _ in range(2)))
            await it.all_done(**SHORT)
            it.check()

    await at_once(scenario)


async def test_a_run_that_slept_while_another_took_over_changes_nothing(tmp_path):
    async def scenario(seed):
        rng = Random(seed)
        async with vod_session(tmp_path / f"{seed}", small(seed)) as it:
            sleeper = await it.start(**SHORT)
            it.on_page(rng.randint(2, 6), lambda: sleeper.send(signal.SIGSTOP))
            await sleeper.stopped()
            await asyncio.sleep(0.1)
            await it.all_done(**SHORT)
            sleeper.send(signal.SIGCONT)
            _, report = await sleeper.finish()
            assert report["lost"] == 1
            it.check()

    await at_once(scenario)


@pytest.mark.parametrize("writes", [0, 1])
async def test_a_run_that_slept_in_the_middle_of_writing_overwrites_nothing(writes, tmp_path, s3_storage):
    """It had asked whether the VOD was still its own, and written nothing yet, when it fell asleep."""
    async with vod_session(tmp_path / "it", small(1), s3_storage) as it:
        sleeper = await it.start(at_write=("SIGSTOP", writes, VOD_PREFIX), **SHORT)
        await sleeper.stopped()
        await it.all_done(**SHORT)
        sleeper.send(signal.SIGCONT)
        _, report = await sleeper.finish()
        assert report["lost"] == 1
        it.check()


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        ("integrity", None),
        ("server_error", 9),
        ("rate_limited", 1),
        ("null_comments", 9),
        ("hang", 7),
        ("persisted_query", 3),
    ],
)
async def test_each_fault_of_the_comments_query(kind, calls, tmp_path):
    async with vod_session(tmp_path / "it", small(2)) as it:
        # In the middle of a chat.
        it.on_page(3, lambda: it.simulator.faults.gql(kind, calls))
        _, report = await it.play(**SHORT)
        breaks = calls is not None and calls > 6
        assert (report["incomplete"] + report["failed"] > 0) == breaks
        assert (report["stopped"] is not None) == (kind == "persisted_query")
        assert it.collected().messages <= it.truth()
        it.simulator.faults.clear()
        await it.all_done(**SHORT)
        it.check()


@pytest.mark.parametrize("kind", ["unauthorized", "rate_limited", "server_error"])
async def test_faults_of_helix(kind, tmp_path):
    async with vod_session(tmp_path / "it", small(1)) as it:
        it.simulator.faults.helix(kind, 1)
        await it.all_done(**SHORT)
        it.check()


async def test_a_vod_that_is_deleted_half_way_keeps_what_was_read(tmp_path):
    async def scenario(seed):
        async with vod_session(tmp_path / f"{seed}", small(seed)) as it:
            victim = max(it.world.streams, key=lambda stream: len(stream.visits)).video_id
            it.simulator.faults.delete_vod(victim, pages=3)
            _, report = await it.play(**SHORT)
            assert (report["dead"], report["done"]) == (1, len(it.world.streams) - 1)
            served = 0
            for _ in range(3):
                served += PAGE_SIZES[served % len(PAGE_SIZES)]
            assert it.collected().messages == it.truth({victim: served})
            assert (it.items()[victim].status, it.items()[victim].gone) == ("dead", True)
            _, report = await it.play(**SHORT)
            assert report["objects"] == 0
            assert it.collected().messages == it.truth({victim: served})
            # It is back, and somebody asks for it.
            it.simulator.faults.clear()
            it.retry_all()
            await it.all_done(**SHORT)
            it.check()

    await at_once(scenario)


async def test_everything_at_once(tmp_path):
    """Random faults, kills and two runs side by side, drawn from a seed."""

    async def scenario(seed):
        rng = Random(seed)
        async with vod_session(tmp_path / f"{seed}", small(seed)) as it:
            for _ in range(4):
                it.simulator.faults.clear()
                kind = rng.choice(["integrity", "server_error", "null_comments", "rate_limited", "hang"])
                it.simulator.faults.gql(kind, rng.randint(1, 8) if kind != "rate_limited" else 1)
                runs = [
                    await it.start(
                        lease_seconds=rng.choice([0.02, 0.05, 0.2]), concurrency=rng.randint(1, 3)
                    )
                    for _ in range(2)
                ]
                doomed = rng.choice(runs)
                it.on_page(rng.randint(1, 15), lambda doomed=doomed: doomed.send(signal.SIGKILL))
                await asyncio.gather(*(one.finish() for one in runs))
                assert it.collected().messages <= it.truth()
                it.retry_all()
            it.simulator.faults.clear()
            await it.all_done(**SHORT)
            it.check()

    await at_once(scenario)
