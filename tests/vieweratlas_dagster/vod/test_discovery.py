"""Discovery: who is asked, what is queued, what is remembered."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts
from collector_service.settings import StorageSettings
from collector_service.twitch.helix import CredentialsRefusedError, HelixError
from tests.worlds.past_broadcasts import HOUR, NOW, Shelf, seen, settings, video
from vieweratlas_dagster.vod import queue_store
from vieweratlas_dagster.vod.collected_channels import CollectedChannel
from vieweratlas_dagster.vod.discovery import MEMORY_KEY, discover, forget, queue_videos
from vieweratlas_dagster.vod.queue_store import QUEUE_KEY, QueueStore


@pytest.fixture
def lake(tmp_path):
    return Lake.open(StorageSettings(dir=tmp_path / "lake"))


ONE_AND_TWO = [seen(1), seen(2)]


async def test_discovery_queues_what_is_worth_reading(lake):
    shelf = Shelf(
        {
            1: [video(10, ended_hours_ago=0), video(11), video(12, ended_hours_ago=25),
                video(13, ended_hours_ago=23, hours=12)],
            2: [video(20, user_id=2, views=1), video(21, user_id=2, views=2)],
        }
    )  # fmt: skip
    report = await discover(
        shelf, lake, ONE_AND_TWO, settings(min_views=2, vod_limit_per_channel=7), now=NOW
    )
    assert sorted(shelf.asked) == [(1, 7), (2, 7)]
    assert (report.channels, report.videos, report.queued, report.known) == (2, 6, 3, 0)
    assert (report.running, report.too_old, report.too_few_views, report.unusable) == (1, 1, 1, 0)
    items = QueueStore(lake).load()
    assert {(one.vod_id, one.channel, one.channel_id) for one in items.values()} == {
        ("11", "channel1", 1), ("13", "channel1", 1), ("21", "channel2", 2),
    }  # fmt: skip
    lake.delete(MEMORY_KEY)
    again = await discover(shelf, lake, ONE_AND_TWO, settings(min_views=2), now=NOW)
    assert (again.queued, again.known) == (0, 3)
    assert QueueStore(lake).load() == items


async def test_discovery_survives_single_channels_and_odd_videos(lake):
    shelf = Shelf({1: [video(1), replace(video(2), id="x")]}, failing={2: HelixError("503")})
    report = await discover(shelf, lake, ONE_AND_TWO, settings(), now=NOW)
    assert (report.queued, report.failed_channels, report.unusable) == (1, 1, 1)
    with pytest.raises(HelixError, match="503"):
        await discover(shelf, lake, [seen(2)], settings(), now=NOW)
    shelf.failing[2] = CredentialsRefusedError("401")
    with pytest.raises(CredentialsRefusedError):
        await discover(shelf, lake, ONE_AND_TWO, settings(), now=NOW)


async def test_discovery_drops_what_no_longer_matters(lake):
    shelf = Shelf({1: [video(1), video(2)]})
    await discover(shelf, lake, [seen(1)], settings(), now=NOW)
    QueueStore(lake).apply(lambda items: items | {"1": replace(items["1"], status="done")})
    report = await discover(Shelf({}), lake, [], settings(), now=NOW + timedelta(days=3))
    assert (report.pruned, report.expired, sorted(QueueStore(lake).load())) == (0, 0, ["1", "2"])
    report = await discover(Shelf({}), lake, [], settings(), now=NOW + timedelta(days=3, seconds=1))
    assert (report.pruned, report.expired, sorted(QueueStore(lake).load())) == (0, 1, ["1"])
    report = await discover(Shelf({}), lake, [], settings(), now=NOW + timedelta(days=8))
    assert (report.pruned, QueueStore(lake).load()) == (1, {})


async def test_what_finds_the_queue_full_is_looked_for_again(lake, monkeypatch):
    monkeypatch.setattr(queue_store, "_MAX_ITEMS", 2)
    first = Shelf({1: [video(11), video(12)]})
    assert (await discover(first, lake, [seen(1)], settings(), now=NOW)).queued == 2
    shelf = Shelf({2: [video(21, user_id=2)]})
    report = await discover(shelf, lake, [seen(2)], settings(), now=NOW)
    assert (report.queued, report.known, report.no_room) == (0, 0, 1)
    QueueStore(lake).apply(lambda items: {"11": items["11"]})
    # Not seen since, but owed.
    report = await discover(shelf, lake, [], settings(), now=NOW + HOUR)
    assert (report.queued, report.no_room) == (1, 0)
    assert sorted(QueueStore(lake).load()) == ["11", "21"]


async def rounds(lake, shelf, *steps):
    """Discoveries six hours apart; the ids that each asked."""
    asked = []
    for number, channels in enumerate(steps):
        shelf.asked.clear()
        await discover(shelf, lake, channels, settings(), now=NOW + 6 * number * HOUR)
        asked.append(sorted(user for user, _ in shelf.asked))
    return asked


async def test_a_channel_is_asked_once_a_broadcast(lake):
    def at(number, **changes):
        return seen(1, now=NOW + 6 * number * HOUR, **changes)

    quiet = CollectedChannel(1, "channel1")
    asked = await rounds(
        lake, Shelf({}),
        [at(0)],                              # live, and over
        [quiet],                              # nothing new
        [],
        [at(3, hours_ago=0, running=True)],   # the next one goes on
        [at(4, hours_ago=0, running=True)],
        [],                                   # over: not even collected any more
        [quiet],
    )  # fmt: skip
    assert asked == [[1], [], [], [], [], [1], []]


async def test_a_broadcast_that_runs_on_is_asked_for_until_it_is_over(lake):
    running = replace(video(1, ended_hours_ago=0), created_at=NOW - HOUR)
    shelf = Shelf({1: [running]})
    assert await rounds(lake, shelf, [seen(1, hours_ago=0.05)], []) == [[1], [1]]
    assert sorted(QueueStore(lake).load()) == ["1"]


async def test_a_channel_that_could_not_be_listed_is_asked_again(lake):
    shelf = Shelf({1: [video(1)]}, failing={1: HelixError("503")})
    await discover(shelf, lake, ONE_AND_TWO, settings(), now=NOW)
    shelf.failing.clear()
    shelf.asked.clear()
    await discover(shelf, lake, [], settings(), now=NOW + 6 * HOUR)
    assert [user for user, _ in shelf.asked] == [1]
    assert sorted(QueueStore(lake).load()) == ["1"]


async def test_after_an_outage_everybody_is_asked(lake):
    hidden = [CollectedChannel(number, f"channel{number}", hidden=True) for number in (1, 2)]
    asked = await rounds(lake, Shelf({}), ONE_AND_TWO, hidden, [seen(1, hours_ago=9, now=NOW + 6 * HOUR)])
    assert asked == [[1, 2], [1, 2], []]


async def test_a_past_range_can_be_filled_afterwards(lake):
    old = NOW - timedelta(days=5)
    shelf = Shelf({1: [video(1), video(2, ended_hours_ago=5 * 24 + 2.0)]})
    await discover(shelf, lake, [seen(1)], settings(), now=NOW)
    report = await discover(shelf, lake, [seen(1, now=old)], settings(), now=old)
    assert (report.asked_channels, report.queued) == (1, 1)
    assert sorted(QueueStore(lake).load()) == ["1", "2"]


async def test_what_a_past_range_leaves_in_the_queue_waits_from_now_on(lake):
    month = timedelta(days=30)
    shelf = Shelf({1: [video(10)]})
    await discover(shelf, lake, [seen(1)], settings(), now=NOW, found_at=NOW + month)
    [item] = QueueStore(lake).load().values()
    assert item.waiting_since == NOW + month
    next_one = await discover(shelf, lake, [], settings(), now=NOW + month + 71 * HOUR)
    assert (next_one.expired, len(QueueStore(lake).load())) == (0, 1)
    after_three_days = await discover(shelf, lake, [], settings(), now=NOW + month + 73 * HOUR)
    assert (after_three_days.expired, QueueStore(lake).load()) == (1, {})


async def test_a_queue_that_was_lost_is_found_again_once_the_memory_is_forgotten(lake):
    shelf = Shelf({1: [video(10)], 2: [video(20, user_id=2)]})
    await discover(shelf, lake, ONE_AND_TWO, settings(), now=NOW)
    before = QueueStore(lake).load()
    lake.delete(QUEUE_KEY)
    QueueStore(lake).recover()
    assert (await discover(shelf, lake, ONE_AND_TWO, settings(), now=NOW)).queued == 0
    forget(lake)
    assert (await discover(shelf, lake, ONE_AND_TWO, settings(), now=NOW)).queued == 2
    assert QueueStore(lake).load() == before


@pytest.mark.parametrize("bad", [b"", b"{", b"[]", b'{"asked": {"x": 1}}'])
async def test_a_damaged_memory_costs_calls_alone(lake, bad):
    await discover(Shelf({}), lake, [seen(1)], settings(), now=NOW)
    sound = lake.get(MEMORY_KEY)
    lake.put(MEMORY_KEY, bad)
    report = await discover(Shelf({}), lake, [seen(1)], settings(), now=NOW)
    assert report.asked_channels == 1
    assert lake.get(MEMORY_KEY) == sound


async def test_a_memory_of_many_channels_is_read_back(lake):
    await discover(Shelf({}), lake, [seen(1)], settings(), now=NOW)
    span = json.loads(lake.get(MEMORY_KEY))["asked"]["1"]
    asked = dict.fromkeys(range(1, 200010), span)
    lake.put(MEMORY_KEY, json.dumps({"schema_version": 1, "asked": asked, "owed": {}}).encode())
    report = await discover(Shelf({}), lake, [seen(1), seen(200_009), seen(200_010)], settings(), now=NOW)
    assert (report.asked_channels, report.failed_channels) == (1, 0)


def test_vods_are_added_by_hand_whatever_their_age_and_views(lake):
    old, running = video(1, ended_hours_ago=900, views=0), video(2, ended_hours_ago=0)
    outcome = queue_videos(lake, ["1", "2", "3", "1"], [old, running], now=NOW)
    assert [item.vod_id for item in outcome.queued] == ["1"]
    assert (outcome.known, outcome.missing, outcome.running) == ((), ("3",), ("2",))
    (item,) = QueueStore(lake).load().values()
    assert (item.channel, item.waiting_since) == ("login1", NOW)
    outcome = queue_videos(lake, ["1"], [old], now=NOW)
    assert ([item.vod_id for item in outcome.known], outcome.queued) == (["1"], ())


async def test_channels_that_opted_out_are_neither_asked_nor_queued(lake):
    shelf = Shelf({}, failing={1: HelixError("503")})
    await discover(shelf, lake, ONE_AND_TWO, settings(), now=NOW)
    shelf.asked.clear()
    gone = OptOuts(channel_ids=frozenset({1}), channels=frozenset({"channel3"}))
    report = await discover(shelf, lake, [seen(3), seen(4)], settings(), now=NOW + 6 * HOUR, opt_outs=gone)
    assert [user for user, _ in shelf.asked] == [4]
    assert report.channels == 1
    outcome = queue_videos(lake, ["1", "2"], [video(1), video(2, user_id=2)], now=NOW, opt_outs=gone)
    assert ([item.vod_id for item in outcome.queued], outcome.opted_out) == (["2"], ("1",))


def test_a_video_without_a_proper_login_cannot_be_added(lake):
    outcome = queue_videos(lake, ["1"], [replace(video(1), login="")], now=NOW)
    assert (outcome.queued, outcome.missing) == ((), ("1",))
