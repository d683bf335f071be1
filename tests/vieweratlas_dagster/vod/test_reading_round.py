"""Runs over the queue, with a source of comments in memory."""

import asyncio
import gzip
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from collector_service.contract import VOD_PREFIX, decode_lines, encode_object, parse_record, viewer_key
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts, add_opt_outs
from collector_service.privacy.populations import WrongKeyError, agree, begin_population
from collector_service.settings import StorageSettings
from collector_service.twitch.vod_chat import (
    CommentsRefusedError,
    CommentsUnavailableError,
    VodGoneError,
)
from tests.worlds.vod_chats import NOW, SECRET, Chats, Hands, chat, fill, item, run, settings
from vieweratlas_dagster.vod import queue
from vieweratlas_dagster.vod.queue_store import QueueStore
from vieweratlas_dagster.vod.reading_round import ReadingRound


@pytest.fixture
def lake(tmp_path):
    return Lake.open(StorageSettings(dir=tmp_path / "lake"))


def objects(lake):
    return {info.key: lake.get(info.key) for info in lake.objects(VOD_PREFIX + "/")}


def records(lake):
    return [parse_record(line) for data in objects(lake).values() for line in decode_lines(data)]


def presence(lake):
    counts = Counter()
    for record in records(lake):
        start = int(record.window_start.timestamp())
        for key, messages in zip(record.viewer_keys, record.viewer_messages, strict=True):
            counts[record.channel_id, start, key] += messages
    return counts


def expected(count, until=float("inf")):
    counts = Counter()
    for number in range(count):
        begin = item(number).created_at.timestamp()
        for at, user in chat(number):
            if user and at <= until:
                start = int((begin + at) // 300 * 300)
                counts[number, start, viewer_key(SECRET, user)] += 1
    return counts


async def test_a_run_reads_the_queue(lake):
    fill(lake, 3)
    source = Chats({str(n): chat(n) for n in range(3)})
    report = await run(lake, source)
    assert presence(lake) == expected(3)
    assert (report.done, report.incomplete, report.dead, report.failed) == (3, 0, 0, 0)
    assert (report.queue_done, report.queue_pending, report.queue_incomplete) == (3, 0, 0)
    assert (report.comments, report.viewers, report.null_commenters) == (90, 18, 15)
    assert report.days == ("2026-05-01", "2026-05-02")
    assert report.objects == len(objects(lake)) == 4
    assert report.oldest_pending_age_seconds is None
    states = QueueStore(lake).load()
    assert {one.status for one in states.values()} == {"done"}
    assert states["1"].comments == 30
    before = objects(lake)
    again = await run(lake, source)
    assert again.done == 0
    assert set(source.reads.values()) == {1}
    assert objects(lake) == before


async def test_no_identity_is_written_anywhere(lake):
    fill(lake, 2)
    await run(lake, Chats({"0": chat(0), "1": chat(1)}, ends={"1": "broke off"}))
    for info in lake.objects(""):
        data = lake.get(info.key)
        plain = gzip.decompress(data) if info.key.endswith(".gz") else data
        assert b"marker_login" not in plain
        assert b'"90' not in plain


async def test_a_chat_that_broke_off_is_incomplete_and_read_on(lake):
    fill(lake, 1)
    hands = Hands()
    source = Chats({"0": chat(0)}, ends={"0": "HTTP 503"}, stop_after={"0": 20})
    report = await run(lake, source, hands)
    assert (report.incomplete, report.done, report.queue_incomplete) == (1, 0, 1)
    assert report.oldest_pending_age_seconds == 9000
    one = QueueStore(lake).load()["0"]
    assert (one.status, one.coverage_seconds, one.reason) == ("incomplete", 3800, "HTTP 503")
    # The comment in second 3800 may not be the only one of it.
    assert presence(lake) == expected(1, until=3799)
    assert {record.partial for record in records(lake) if record.observed_seconds < 300} == {True}

    source.stop_after["0"] = 0
    hands.instant += 60
    first = objects(lake)
    report = await run(lake, source, hands)
    assert (report.failed, report.incomplete, report.comments) == (1, 0, 0)
    assert objects(lake) == first

    source.stop_after, source.ends = {}, {}
    hands.instant += 60
    report = await run(lake, source, hands)
    assert report.done == 1
    assert report.comments == expected(1).total() - expected(1, until=3799).total()
    assert source.starts == [0, 3800, 3800]
    assert presence(lake) == expected(1)
    one = QueueStore(lake).load()["0"]
    assert (one.comments, one.viewers, one.resume_seconds) == (30, 6, 0)


async def test_reading_begins_anew_when_the_lake_has_something_else(lake):
    def shortened(key):
        lake.put(key, encode_object([parse_record(line) for line in decode_lines(lake.get(key))][1:]))

    hands = Hands()
    for spoil in (lake.delete, lambda key: lake.put(key, b"no gzip"), shortened):
        QueueStore(lake).apply(lambda items: {"0": item(0)})
        source = Chats({"0": chat(0)}, ends={"0": "HTTP 503"}, stop_after={"0": 20})
        await run(lake, source, hands)
        (key,) = objects(lake)
        spoil(key)
        source.stop_after, source.ends = {}, {}
        hands.instant += 60
        assert (await run(lake, source, hands)).done == 1
        assert source.starts == [0, 0]
        assert presence(lake) == expected(1)


async def test_what_is_kept_is_judged_by_what_the_lake_has(lake):
    hands = Hands()
    fill(lake, 1)
    source = Chats({"0": chat(0)}, ends={"0": "HTTP 503"}, stop_after={"0": 20})
    await run(lake, source, hands)
    (key,) = objects(lake)

    # What was read is gone: less of it is better than nothing.
    lake.delete(key)
    source.stop_after["0"] = 10
    hands.instant += 60
    assert (await run(lake, source, hands)).incomplete == 1
    less = QueueStore(lake).load()["0"]
    assert presence(lake) == expected(1, until=less.coverage_seconds - 1) != {}

    # A file has brought all of it: a part does not take its place.
    whole = Lake.in_memory()
    fill(whole, 1)
    await run(whole, Chats({"0": chat(0)}), Hands())
    lake.put(key, whole.get(key))
    source.stop_after["0"] = 20
    hands.instant += 600
    assert (await run(lake, source, hands)).failed == 1
    assert lake.get(key) == whole.get(key)


async def test_seconds_that_were_passed_over_are_looked_for_again(lake):
    fill(lake, 1)
    hands = Hands()
    source = Chats({"0": chat(0)}, ends={"0": "1 s held more"}, passed_over=1)
    assert (await run(lake, source, hands)).incomplete == 1
    assert presence(lake) == expected(1)
    hands.instant += 60
    assert (
        await run(lake, Chats({"0": chat(0)}, stop_after={"0": 10}, ends={"0": "503"}), hands)
    ).failed == 1
    assert presence(lake) == expected(1)
    source.ends, source.passed_over = {}, 0
    hands.instant += 600
    assert (await run(lake, source, hands)).done == 1
    assert source.starts == [0, 0]
    assert presence(lake) == expected(1)


async def test_a_vod_deleted_half_way_keeps_all_that_was_read(lake):
    fill(lake, 1)
    source = Chats({"0": chat(0)}, ends={"0": VodGoneError("deleted")}, stop_after={"0": 20})
    report = await run(lake, source)
    assert (report.dead, report.comments) == (1, 17)
    one = QueueStore(lake).load()["0"]
    assert (one.status, one.gone, one.coverage_seconds) == ("dead", True, 3800)
    assert presence(lake) == expected(1, until=3800)


async def test_the_last_attempt_keeps_all_that_was_read(lake):
    fill(lake, 1)
    source = Chats({"0": chat(0)}, ends={"0": "HTTP 503"}, stop_after={"0": 20})
    assert (await run(lake, source, max_attempts=1)).dead == 1
    assert presence(lake) == expected(1, until=3800)


@given(
    seconds=st.lists(st.integers(0, 40), max_size=60).map(sorted),
    breaks=st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["503", "refused", "time"])), max_size=6),
    stretch=st.sampled_from([1, 7, 150]),
)
@example(seconds=[0, 0, 0, 1, 1, 5, 5, 5, 5, 9], breaks=[(4, "503"), (3, "time"), (2, "503")], stretch=150)
@hypothesis_settings(max_examples=60, deadline=None)
async def test_however_reading_is_interrupted_each_comment_counts_once(seconds, breaks, stretch):
    lake, hands = Lake.in_memory(), Hands()
    told = [(float(at * stretch), str(90000 + number % 5)) for number, at in enumerate(seconds)]
    truth = Counter()
    begin = item(0).created_at.timestamp()
    for at, user in told:
        truth[0, int((begin + at) // 300 * 300), viewer_key(SECRET, user)] += 1
    fill(lake, 1)
    source = Chats({"0": told})
    for stop, how in breaks:
        source.stop_after = {"0": stop}
        refused = CommentsUnavailableError("refused")
        source.ends = {"0": refused if how == "refused" else "HTTP 503"}

        async def late(vod_id, start, stop=stop, how=how):
            if how == "time" and start + 10 >= stop:
                hands.instant += 2 * 3600

        source.on_page = late
        await run(lake, source, hands, max_processing_hours=1.0, max_attempts=99)
        hands.instant += 4000
        one = QueueStore(lake).load()["0"]
        assert one.status in ("pending", "incomplete")
        found = presence(lake)
        assert found.total() == one.comments
        assert not found - truth
    source.stop_after, source.ends, source.on_page = {}, {}, None
    assert (await run(lake, source, hands, max_attempts=99)).done == 1
    assert presence(lake) == truth


async def test_nothing_read_is_a_failure_and_dead_at_last(lake):
    fill(lake, 1)
    hands = Hands()
    source = Chats({"0": []}, ends={"0": "HTTP 503"})
    for attempt in range(3):
        report = await run(lake, source, hands, max_attempts=3)
        assert (report.failed, report.dead) == ((1, 0) if attempt < 2 else (0, 1))
        assert (await run(lake, source, hands, max_attempts=3)).failed == 0
        hands.instant += 3600
    assert source.reads["0"] == 3
    assert objects(lake) == {}
    assert QueueStore(lake).load()["0"].status == "dead"


async def test_a_vod_that_is_gone_is_dead_at_once(lake):
    fill(lake, 2)
    report = await run(lake, Chats({"0": [], "1": chat(1)}, ends={"0": VodGoneError("VOD 0 is gone")}))
    assert (report.dead, report.done) == (1, 1)
    assert QueueStore(lake).load()["0"].reason == "VOD 0 is gone"


async def test_a_refusing_endpoint_stops_the_run_and_costs_no_attempt(lake):
    fill(lake, 9)
    refusal = CommentsUnavailableError("PersistedQueryNotFound")
    source = Chats({str(n): [] for n in range(9)}, ends={str(n): refusal for n in range(9)})
    report = await run(lake, source, concurrency=2)
    assert report.stopped == "PersistedQueryNotFound"
    assert report.queue_pending == 9
    assert sum(source.reads.values()) == report.released <= 2
    assert {(one.status, one.attempts) for one in QueueStore(lake).load().values()} == {("pending", 0)}


async def test_an_endpoint_that_refuses_every_vod_stops_the_run_and_costs_no_attempt(lake):
    fill(lake, 9)
    refusal = CommentsRefusedError("failed integrity check")
    source = Chats({str(n): [] for n in range(9)}, ends={str(n): refusal for n in range(9)})
    report = await run(lake, source, concurrency=2)
    assert report.stopped == "it refuses every VOD: failed integrity check"
    assert (report.released, report.failed, report.queue_pending) == (sum(source.reads.values()), 0, 9)
    assert 3 <= report.released <= 4
    assert {(one.status, one.attempts) for one in QueueStore(lake).load().values()} == {("pending", 0)}


async def test_a_vod_that_alone_is_refused_is_tried_again_later(lake):
    fill(lake, 5)
    refusal = CommentsRefusedError("failed integrity check")
    source = Chats({"4": []} | {str(n): chat(n) for n in range(4)}, ends={"0": None, "4": refusal})
    report = await run(lake, source, concurrency=1)
    assert (report.stopped, report.done, report.failed) == (None, 4, 1)
    one = QueueStore(lake).load()["4"]
    assert (one.status, one.attempts, one.reason) == ("pending", 1, "failed integrity check")


async def test_limits_leave_the_rest_queued(lake):
    fill(lake, 6)
    source = Chats({str(n): chat(n) for n in range(6)})
    report = await run(lake, source, max_vods_per_run=2, concurrency=3)
    assert (report.done, report.queue_pending) == (2, 4)
    assert sorted(source.reads) == ["0", "1"]

    hands = Hands()

    async def time_flies(vod_id, start):
        hands.instant += 1800

    source.on_page = time_flies
    report = await run(lake, source, hands, max_processing_hours=1.0, concurrency=1)
    assert (report.done, report.released, report.queue_pending, report.queue_incomplete) == (0, 1, 3, 1)
    half_read = QueueStore(lake).load()["2"]
    assert (half_read.attempts, half_read.coverage_seconds) == (0, 3800)
    source.on_page = None
    assert (await run(lake, source)).done == 4
    assert source.starts.count(3800) == 1
    assert presence(lake) == expected(6)


async def test_viewers_and_channels_that_opted_out_are_not_read(lake):
    fill(lake, 3)
    viewer = viewer_key(SECRET, "90011")
    opt_outs = OptOuts(frozenset({viewer}), channel_ids=frozenset({2}), channels=frozenset({"channel0"}))
    source = Chats({str(n): chat(n) for n in range(3)})
    hands = Hands()
    report = await ReadingRound(
        lake, source, settings(), secret=SECRET, clock=hands, wall=hands, opt_outs=opt_outs
    ).run()
    assert (report.done, report.dead, report.opted_out) == (1, 2, 5)
    assert list(source.reads) == ["1"]
    truth = {place: count for place, count in expected(3).items() if place[0] == 1 and place[2] != viewer}
    assert presence(lake) == truth
    assert {one.reason for key, one in QueueStore(lake).load().items() if key != "1"} == {
        "the channel has opted out"
    }


async def test_who_opts_out_while_a_vod_is_read_is_in_nothing_that_is_written(lake):
    fill(lake, 2)
    viewer = viewer_key(SECRET, "90001")

    async def opt_out(vod_id, start):
        gone = OptOuts(frozenset({viewer}), channels=frozenset({"channel1"}))
        if start == 20:
            add_opt_outs(lake, gone, may_begin=True)

    await run(lake, Chats({str(n): chat(n) for n in range(2)}, on_page=opt_out), concurrency=1)
    truth = expected(2)
    assert any(place[2] == viewer for place in truth)
    assert presence(lake) == {
        place: count for place, count in truth.items() if place[0] == 0 and place[2] != viewer
    }


async def test_who_opts_out_while_an_object_is_being_written_is_taken_out_of_it_again(lake, monkeypatch):
    fill(lake, 1)
    update, gone = lake.update, [OptOuts(channels=frozenset({"channel0"}))]

    def meanwhile(key, change, most=None):
        if key.startswith(VOD_PREFIX) and gone:
            add_opt_outs(lake, gone.pop(), may_begin=True)
        return update(key, change, most)

    monkeypatch.setattr(lake, "update", meanwhile)
    await run(lake, Chats({"0": chat(0)}))
    assert gone == []
    assert objects(lake) == {}


async def test_days_before_the_present_viewer_key_are_neither_read_nor_written(lake):
    QueueStore(lake).apply(lambda items: queue.enqueue(items, [item(n) for n in (1, 2, 30)]))
    # VOD 1 is of the day of NOW, 2 goes beyond midnight, 30 ended the day before.
    agree(lake, "o" * 32, NOW.date() - timedelta(days=9))
    begin_population(lake, SECRET, NOW.date())
    report = await run(lake, Chats({str(n): chat(n) for n in (1, 2, 30)}))
    assert (report.done, report.dead) == (2, 1)
    assert "first day that is counted with the present viewer key" in QueueStore(lake).load()["30"].reason
    starts = {record.window_start for record in records(lake)}
    assert {start.date() for start in starts} == {NOW.date()}
    begin = item(2).created_at.timestamp()
    midnight = datetime.combine(NOW.date(), datetime.min.time(), UTC).timestamp()
    assert report.before_key == -(-(midnight - begin) // settings().bucket_len_s) > 0


async def test_a_key_that_was_rotated_while_vods_are_read_ends_the_run_before_it_writes(lake):
    fill(lake, 1)
    agree(lake, SECRET, NOW.date())

    async def rotate(vod_id, start):
        if start == 20:
            begin_population(lake, "n" * 32, NOW.date())

    with pytest.raises(WrongKeyError):
        await run(lake, Chats({"0": chat(0)}, on_page=rotate))
    assert objects(lake) == {}


async def test_concurrency_is_bounded_and_used(lake):
    fill(lake, 8)
    source = Chats({str(n): chat(n) for n in range(8)})
    await run(lake, source, concurrency=3)
    assert source.most_together == 3


async def test_long_reads_keep_their_lease(lake):
    fill(lake, 1)
    hands = Hands()
    late = []

    async def slow(vod_id, start):
        hands.instant += 500
        late.append(QueueStore(lake).load()["0"].lease_expires_at.timestamp() - hands.instant)

    source = Chats({"0": chat(0, 100)}, on_page=slow)
    report = await run(lake, source, hands, lease_seconds=900)
    assert report.done == 1
    assert min(late) > 0
    assert len(late) == 10


async def test_what_a_killed_run_has_read_of_a_long_vod_is_not_read_again(lake):
    fill(lake, 1)
    hands = Hands()

    async def slow_then_killed(vod_id, start):
        hands.instant += 200
        if start == 70:
            raise SystemError("killed")

    told = [(number * 70.0, str(90000 + number % 7)) for number in range(100)]
    source = Chats({"0": told}, on_page=slow_then_killed)
    with pytest.raises(SystemError):
        await run(lake, source, hands, lease_seconds=900)
    one = QueueStore(lake).load()["0"]
    # Prolonged with the pages that came after 600 and 1,200 seconds.
    assert (one.status, one.resume_seconds) == ("leased", 59 * 70)
    source.on_page = None
    hands.instant += 900
    assert (await run(lake, source, hands, lease_seconds=900)).done == 1
    assert source.starts == [0, 59 * 70]
    truth, begin = Counter(), item(0).created_at.timestamp()
    for at, user in told:
        truth[0, int((begin + at) // 300 * 300), viewer_key(SECRET, user)] += 1
    assert presence(lake) == truth


async def test_a_lost_lease_is_counted_and_writes_nothing(lake):
    fill(lake, 1)
    store = QueueStore(lake)

    async def taken_over(vod_id, start):
        store.apply(lambda items: items | {"0": replace(items["0"], lease_id="another")})

    report = await run(lake, Chats({"0": chat(0)}, on_page=taken_over))
    assert (report.lost, report.done) == (1, 0)
    assert objects(lake) == {}


async def test_a_killed_run_is_repeated_when_its_lease_ran_out(lake, monkeypatch):
    fill(lake, 3)
    hands = Hands()
    update, written = Lake.update, []

    def dying_update(self, key, change, most=None):
        if key.startswith(VOD_PREFIX):
            if len(written) == 3:
                raise SystemError("killed")
            written.append(key)
        return update(self, key, change, most)

    chats = {str(n): chat(n) for n in range(3)}
    monkeypatch.setattr(Lake, "update", dying_update)
    with pytest.raises(SystemError):
        await run(lake, Chats(chats), hands, concurrency=1)
    monkeypatch.setattr(Lake, "update", update)
    # The third VOD lies in two days; the run died between its two objects.
    assert [one.status for one in QueueStore(lake).load().values()] == ["done", "done", "leased"]
    assert 0 < len(presence(lake)) < len(expected(3))

    source = Chats(chats)
    assert (await run(lake, source, hands)).done == 0
    hands.instant += 900
    assert (await run(lake, source, hands)).done == 1
    assert source.reads == {"2": 1}
    assert presence(lake) == expected(3)


async def test_a_cancelled_run_gives_its_leases_back(lake):
    fill(lake, 2)

    reading = asyncio.Barrier(3)

    async def hang(vod_id, start):
        await reading.wait()
        await asyncio.sleep(60)

    source = Chats({"0": chat(0), "1": chat(1)}, on_page=hang)
    task = asyncio.create_task(run(lake, source))
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert {(one.status, one.attempts) for one in QueueStore(lake).load().values()} == {("pending", 0)}


async def test_two_runs_at_once_share_the_work(lake):
    fill(lake, 10)
    source = Chats({str(n): chat(n) for n in range(10)})
    reports = await asyncio.gather(run(lake, source), run(lake, source))
    assert sum(report.done for report in reports) == 10
    assert set(source.reads.values()) == {1}
    assert presence(lake) == expected(10)
