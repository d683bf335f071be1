"""Windows of a VOD against a count by brute force."""

import gzip
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector_service.contract import decode_lines, parse_record, viewer_key
from collector_service.twitch.vod_chat import Vod, VodComment
from collector_service.twitch.vod_records import VodWindows, vod_objects

SECRET = "s" * 32
START = datetime(2026, 3, 1, 23, 52, 10, tzinfo=UTC)


def vod(created_at=START, duration=1200.0):
    return Vod("77", "alpha", 9, "A title", created_at, duration)


def comment(number, offset, user="100", login=None, is_bot=False):
    return VodComment(f"c{number}", offset, user, login or f"name{user}", is_bot)


def counted(comments, *, of=None, window_seconds=300, bots=()):
    windows = VodWindows(of or vod(), window_seconds=window_seconds, secret=SECRET, bots=frozenset(bots))
    for one in comments:
        windows.add(one)
    return windows


def test_windows_are_on_the_absolute_clock_and_split_by_day():
    windows = counted(
        [comment(0, 0), comment(1, 169.9), comment(2, 170.0, "200"), comment(3, 470.0), comment(4, 471)]
    )
    records = windows.records((0, 1200))
    assert [f"{record.window_start:%d %H:%M}" for record in records] == [
        "01 23:50", "01 23:55", "02 00:00", "02 00:05", "02 00:10",
    ]  # fmt: skip
    assert [record.observed_seconds for record in records] == [170, 300, 300, 300, 130]
    assert [record.observed_intervals for record in records] == [
        [(130, 300)], [(0, 300)], [(0, 300)], [(0, 300)], [(0, 130)],
    ]  # fmt: skip
    assert [record.messages for record in records] == [2, 1, 2, 0, 0]
    assert not any(record.partial for record in records)
    first = records[0]
    assert (first.source, first.collector_id, first.channel, first.channel_id) == ("vod", "vod", "alpha", 9)
    assert (first.title, first.started_at, first.game_name, first.language) == (
        "A title",
        START,
        None,
        None,
    )
    assert first.viewer_keys == [viewer_key(SECRET, "100")]
    objects = vod_objects("77", records)
    assert list(objects) == [
        "raw/vod_chat/date=2026-03-01/vod=77.ndjson.gz",
        "raw/vod_chat/date=2026-03-02/vod=77.ndjson.gz",
    ]
    read = [parse_record(line) for data in objects.values() for line in decode_lines(data)]
    assert read == records


def test_a_chat_that_broke_off_says_how_far_it_was_observed():
    records = counted([comment(0, 10), comment(1, 400)]).records((0, 400))
    assert [(record.observed_seconds, record.partial) for record in records] == [
        (170, False), (230, True),
    ]  # fmt: skip


def test_a_vod_between_milliseconds_survives_its_own_format():
    started = START + timedelta(microseconds=123_456)
    records = counted([comment(0, 10)], of=vod(started, 200.0004)).records((0, 200.0004))
    assert [record.observed_intervals for record in records] == [[(130.123, 300)], [(0, 30.124)]]
    assert [record.observed_seconds for record in records] == [169.877, 30.124]
    (data,) = vod_objects("77", records).values()
    assert [parse_record(line) for line in decode_lines(data)] == [
        replace(record, started_at=START) for record in records
    ]


def test_bots_by_list_and_badge_stay_marked():
    windows = counted(
        [comment(0, 1, "1", "NightBot"), comment(1, 2, "2", is_bot=True), comment(2, 3, "3"),
         comment(3, 4, "2")],
        bots=["nightbot"],
    )  # fmt: skip
    (record, *_) = windows.records((0, 1200))
    assert set(record.known_bots) == {viewer_key(SECRET, "1"), viewer_key(SECRET, "2")}
    assert windows.viewers == 3


def test_what_proves_no_presence_is_counted():
    windows = counted(
        [VodComment("a", 1, None, None, is_bot=False), comment(1, -1), comment(2, 1261), comment(3, 1259)]
    )
    assert (windows.null_commenters, windows.outside, windows.comments) == (1, 2, 1)
    last = windows.records((0, 1200))[-1]
    assert last.messages == 1
    assert last.observed_seconds == 130


def test_comments_mirrored_from_another_channel_prove_no_presence():
    told = [comment(0, 400), comment(1, 400), comment(2, 400), comment(3, 900, "200")]
    windows = counted(one._replace(mirrored=one.id != "c1") for one in told)
    records = [record for record in windows.records((0.0, 1200.0)) if record.mirrored_messages]
    assert [(record.messages, record.mirrored_messages) for record in records] == [(1, 2), (0, 1)]
    assert (windows.comments, windows.mirrored, windows.viewers) == (1, 3, 1)


@given(
    offsets=st.lists(st.floats(0, 7199), max_size=40).map(sorted),
    stop=st.integers(0, 7200),
)
def test_a_count_that_is_resumed_ends_as_one_that_never_stopped(offsets, stop):
    told = [
        VodComment(f"c{n}", at, None if n % 7 == 6 else str(7000 + n % 5), "x", n % 5 == 1, n % 11 == 3)
        for n, at in enumerate(offsets)
    ]
    long = vod(duration=7200.0)
    whole = counted(told, of=long)
    first = counted((one for one in told if one.offset_seconds < stop), of=long)
    second = counted([], of=long)
    second.resume(parse_record(record.to_json()) for record in first.records((0.0, float(stop))))
    for one in told:
        if one.offset_seconds >= stop:
            second.add(one)
    assert second.records((0.0, 7200.0)) == whole.records((0.0, 7200.0))
    assert (second.comments, second.mirrored, second.viewers) == (
        whole.comments,
        whole.mirrored,
        whole.viewers,
    )


def test_no_text_or_identity_in_the_bytes():
    objects = vod_objects("77", counted([comment(0, 1, "987654321", "markerlogin")]).records((0, 1200)))
    for data in objects.values():
        plain = gzip.decompress(data)
        assert b"987654321" not in plain
        assert b"markerlogin" not in plain


@given(
    start=st.integers(0, 3 * 86_400),
    duration=st.integers(1, 9_000),
    read=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    chat=st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from(["1", "2", "3", None]), st.booleans()), max_size=40
    ),
    window_seconds=st.sampled_from([60, 300, 3600]),
    seed=st.randoms(use_true_random=False),
)
def test_against_brute_force(start, duration, read, chat, window_seconds, seed):
    created = datetime(2026, 2, 27, tzinfo=UTC) + timedelta(seconds=start)
    begin = int(created.timestamp())
    covered = (int(read[0] * duration), int(read[1] * duration))
    comments = [
        comment(i, covered[0] + int(at * (covered[1] - covered[0])), user, is_bot=bot)
        for i, (at, user, bot) in enumerate(chat)
    ]
    of = vod(created, float(duration))
    records = counted(comments, of=of, window_seconds=window_seconds).records(covered)

    expected = Counter()
    for one in comments:
        if one.user_id is not None:
            instant = begin + int(one.offset_seconds)
            expected[instant - instant % window_seconds, viewer_key(SECRET, one.user_id)] += 1
    got = {
        (int(record.window_start.timestamp()), key): count
        for record in records
        for key, count in zip(record.viewer_keys, record.viewer_messages, strict=True)
    }
    assert got == dict(expected)
    seconds, broadcast, observed = Counter(), Counter(), set()
    for second in range(begin, begin + duration):
        window = second - second % window_seconds
        broadcast[window] += 1
        if begin + covered[0] <= second < begin + covered[1]:
            seconds[window] += 1
            observed.add(second)
    assert observed == {
        int(record.window_start.timestamp()) + second
        for record in records
        for since, until in record.observed_intervals
        for second in range(int(since), int(until))
    }
    for record in records:
        window = int(record.window_start.timestamp())
        assert record.observed_seconds == pytest.approx(seconds[window])
        assert record.partial == (seconds[window] < broadcast[window])
    assert {int(record.window_start.timestamp()) for record in records} >= {
        w for w in seconds if seconds[w]
    }
    assert [record.window_start for record in records] == sorted(record.window_start for record in records)

    shuffled = list(comments)
    seed.shuffle(shuffled)
    again = counted(shuffled, of=of, window_seconds=window_seconds).records(covered)
    assert vod_objects("77", again) == vod_objects("77", records)


def test_viewers_who_opted_out_since_then_are_not_taken_over():
    before = counted([comment(0, 1, "100"), comment(1, 2, "200"), comment(2, 400, "100")]).records((0, 500))
    gone = viewer_key(SECRET, "100")
    windows = VodWindows(vod(), window_seconds=300, secret=SECRET, opted_out={gone})
    windows.resume(before)
    assert (windows.comments, windows.viewers, windows.opted_out) == (1, 1, 2)
    kept = [(key, messages) for record in windows.records((0, 500))
            for key, messages in zip(record.viewer_keys, record.viewer_messages, strict=True)]  # fmt: skip
    assert kept == [(viewer_key(SECRET, "200"), 1)]
