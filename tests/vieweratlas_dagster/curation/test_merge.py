"""Merging records into presence and channel rows, against a plain-Python oracle."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector_service.contract import ChannelStatus
from tests.worlds.records import snapshot
from vieweratlas_dagster.curation.merge import (
    channel_attributes,
    curate,
    observed_share,
    recorded_windows,
    status_counts,
)
from vieweratlas_dagster.tables import CHANNELS, PRESENCE

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def record(channel_id=1, window=0, viewers=None, seconds=300, **changes):
    viewers = viewers or {}
    values = {
        "channel": f"channel{channel_id}",
        "channel_id": channel_id,
        "window_start": DAY + timedelta(seconds=seconds * window),
        "window_seconds": seconds,
        "observed_seconds": float(seconds),
        "messages": sum(viewers.values()),
        "viewer_keys": sorted(viewers),
        "viewer_messages": [viewers[key] for key in sorted(viewers)],
    }
    return snapshot(**(values | changes))


def observing(*intervals):
    """The fields of a record that observed these stretches, in seconds."""
    return {
        "observed_intervals": list(intervals),
        "observed_seconds": sum(until - since for since, until in intervals),
    }


def in_milliseconds(bounds):
    pairs = list(zip(sorted(bounds)[::2], sorted(bounds)[1::2], strict=False))
    return {
        "observed_intervals": [(since / 1000, until / 1000) for since, until in pairs],
        "observed_seconds": sum(until - since for since, until in pairs) / 1000,
    }


# Windows of one second, so that brute force can count their milliseconds.
observations = (
    st.sets(st.sampled_from([0, 1, 250, 500, 999, 1000]) | st.integers(0, 1000)).map(in_milliseconds)
    | st.integers(0, 1000).map(lambda milliseconds: {"observed_seconds": milliseconds / 1000})
    | st.just({})
)


@st.composite
def any_record(draw):
    return record(
        channel_id=draw(st.integers(1, 2)),
        window=draw(st.integers(0, 1)),
        seconds=1,
        viewers=draw(
            st.dictionaries(st.integers(0, 4) | st.just(2**64 - 1), st.integers(0, 5), max_size=4)
        ),
        source=draw(st.sampled_from(["live", "live", "vod"])),
        collector_id=draw(st.sampled_from(["c1", "c2", "c3"])),
        part=draw(st.sampled_from([None, None, 0, 1])),
        status=draw(st.sampled_from([None, *map(str, ChannelStatus), "word of a later version"])),
        mirrored_messages=draw(st.integers(0, 50)),
        known_bots=draw(st.lists(st.integers(0, 4), unique=True, max_size=2)),
        game_name=draw(st.sampled_from([None, "A", "B"])),
        title=draw(st.sampled_from([None, "one", "two"])),
        **draw(observations),
    )


def size(item):
    return item.observed_seconds, item.messages, len(item.viewer_keys), item.mirrored_messages


# Two records of one part differ in size; which of two equals is taken would depend on their order.
days = st.lists(any_record(), max_size=12, unique_by=size)


def each_part_once(given_records):
    """Of records with the same part number, the one that saw the most."""
    best, kept = {}, []
    for item in given_records:
        place = (item.source, item.collector_id, item.part, item.channel_id, item.window_start)
        if item.part is None:
            kept.append(item)
        elif place not in best or size(best[place]) < size(item):
            best[place] = item
    return kept + list(best.values())


def moments(item):
    """The milliseconds that a record observed; None when it counted something, nobody knows when."""
    if item.observed_seconds == 0:
        return None if item.messages or item.mirrored_messages or item.viewer_keys else set()
    if item.observed_seconds == item.window_seconds:
        return set(range(1000))
    if item.observed_intervals is None:
        return None
    return {
        millisecond
        for since, until in item.observed_intervals
        for millisecond in range(round(since * 1000), round(until * 1000))
    }


def by_window(given_records, *names):
    found = defaultdict(list)
    for item in given_records:
        found[(item.channel_id, item.window_start, *(getattr(item, name) for name in names))].append(item)
    return found


def processes(given_records):
    """The records of one window and source by process: those of one name that overlap are several."""
    named, found = defaultdict(list), {}
    for item in given_records:
        named[item.collector_id].append(item)
    for name, items in named.items():
        seen = [moments(item) or set() for item in items]
        if sum(map(len, seen)) == len(set().union(*seen)):
            found[name] = items
        else:
            found |= {(name, number): [item] for number, item in enumerate(items)}
    return found


def observers(given_records):
    """The records of one window and source by observer: processes, or all of them if they took turns."""
    collectors, seen = processes(given_records), defaultdict(set)
    for name, items in collectors.items():
        for item in items:
            seen[name] |= moments(item) or set()
    placed = all(moments(item) is not None for item in given_records)
    apart = sum(len(part) for part in seen.values()) == len(set().union(*seen.values()))
    return [given_records] if placed and apart else list(collectors.values())


def expected_presence(given_records):
    """Parts and turns add up, collectors that saw the same take the larger count."""
    merged = {}
    for (channel_id, start, source), items in by_window(given_records, "source").items():
        for observer in observers(items):
            counts = defaultdict(int)
            for item in observer:
                for key, count in zip(item.viewer_keys, item.viewer_messages, strict=True):
                    counts[key] += count
            for key, count in counts.items():
                place = (source, channel_id, key, start)
                bot = any(key in item.known_bots and key in item.viewer_keys for item in items)
                merged[place] = (max(count, merged.get(place, (0, False))[0]), bot)
    return merged


def expected_milliseconds(items):
    """For how long anybody observed one window of one channel."""
    unplaced = [0]
    for source in ("live", "vod"):
        for own in processes([item for item in items if item.source == source]).values():
            unknown = (item for item in own if moments(item) is None)
            unplaced.append(sum(round(item.observed_seconds * 1000) for item in unknown))
    together = len(set().union(*(moments(item) or set() for item in items)))
    return max(together, min(1000, max(unplaced)))


@pytest.mark.slow
@given(days, st.randoms())
@settings(max_examples=150, deadline=None)
def test_presence_equals_the_plain_merge_in_any_order(given_records, random):
    made = curate(given_records)
    found = {
        (source, row["channel_id"], row["viewer_key"], row["window_start"]): (
            row["messages"],
            row["known_bot"],
        )
        for source, frame in made.presence.items()
        for row in frame.iter_rows(named=True)
    }
    assert found == expected_presence(each_part_once(given_records))
    shuffled = random.sample(given_records, len(given_records))
    again = curate(shuffled)
    assert again.presence["live"].equals(made.presence["live"])
    assert again.presence["vod"].equals(made.presence["vod"])
    assert again.channels.equals(made.channels)


@pytest.mark.slow
@given(days)
@settings(max_examples=150, deadline=None)
def test_channel_rows_equal_brute_force(given_records):
    made = curate(given_records)
    assert PRESENCE.problems(made.presence["live"]) == []
    assert CHANNELS.problems(made.channels) == []
    once = each_part_once(given_records)
    assert set(made.channels["channel_id"]) == {item.channel_id for item in once}
    for row in made.channels.iter_rows(named=True):
        mine = [item for item in once if item.channel_id == row["channel_id"]]
        windows = by_window(mine)
        bots = defaultdict(set)
        for item in mine:
            for key in item.viewer_keys:
                bots[(item.source, item.window_start, key)].add(key in item.known_bots)
        people = {key for (_, _, key), flags in bots.items() if True not in flags}
        assert row["viewers"] == len(people)
        assert row["windows"] == row["recorded_seconds"] == len(windows)
        milliseconds = sum(expected_milliseconds(items) for items in windows.values())
        assert row["observed_seconds"] == milliseconds / 1000
        assert row["coverage"] == milliseconds / 1000 / len(windows)
        for name in ("messages", "mirrored_messages"):
            counts = defaultdict(int)
            for (_, start, _), items in by_window(mine, "source").items():
                for observer in observers(items):
                    seen = sum(getattr(item, name) for item in observer)
                    counts[start] = max(counts[start], seen)
            assert row[name] == sum(counts.values())
        words = [(item.window_start, item.status == "joined", item.status) for item in mine if item.status]
        assert row["collector_status"] == max(words, default=(None,))[-1]


@pytest.mark.parametrize(
    ("first", "second", "messages", "observed"),
    [
        ([(0.0, 100.0)], [(100.0, 300.0)], 5, 300.0),
        ([(0.0, 100.0), (200.0, 250.0)], [(100.0, 200.0)], 5, 250.0),
        ([(0.0, 100.001)], [(100.0, 300.0)], 3, 300.0),
        ([(0.0, 300.0)], [(100.0, 300.0)], 3, 300.0),
    ],
)
def test_collectors_that_take_turns_add_up_and_others_do_not(first, second, messages, observed):
    made = curate(
        [
            record(viewers={5: 2}, **observing(*first)),
            record(viewers={5: 3}, collector_id="c2", **observing(*second)),
        ]
    )
    assert made.presence["live"]["messages"].to_list() == [messages]
    assert made.channels.select("messages", "observed_seconds").row(0) == (messages, observed)


def test_a_part_that_was_uploaded_twice_counts_once():
    early = record(viewers={5: 1}, part=4, game_name="A", **observing((0.0, 40.0)))
    whole = record(viewers={5: 2, 6: 1}, part=4, game_name="B", **observing((0.0, 60.0)))
    restart = record(viewers={5: 4}, part=5, game_name="A", **observing((70.0, 120.0)))
    for given_records in ([early, whole, restart], [whole, restart, early], [whole, whole, restart]):
        made = curate(given_records)
        assert made.presence["live"].select("viewer_key", "messages").rows() == [(5, 6), (6, 1)]
        assert made.channels.select("messages", "observed_seconds", "game_name").row(0) == (7, 110.0, "B")


def test_two_processes_with_one_name_count_nobody_twice():
    made = curate(
        [
            record(viewers={5: 5}, part=100, **observing((0.0, 200.0))),
            record(viewers={5: 4, 6: 1}, part=700, **observing((100.0, 300.0))),
        ]
    )
    assert made.presence["live"].select("viewer_key", "messages").rows() == [(5, 5), (6, 1)]
    assert made.channels["observed_seconds"].to_list() == [300.0]


def test_a_vod_fills_the_gap_that_live_left():
    made = curate(
        [
            record(viewers={5: 1}, **observing((0.0, 100.0))),
            record(viewers={5: 3}, source="vod", collector_id="vod", **observing((50.0, 250.0))),
        ]
    )
    assert made.channels.select("messages", "observed_seconds").row(0) == (3, 250.0)


def test_a_restart_adds_up_and_a_second_collector_does_not():
    made = curate(
        [
            record(viewers={5: 2}, observed_seconds=100.0),
            record(viewers={5: 1, 6: 1}, observed_seconds=150.0),
            record(viewers={5: 3, 6: 1}, observed_seconds=300.0, collector_id="c2"),
        ]
    )
    assert made.presence["live"].select("viewer_key", "messages").rows() == [(5, 3), (6, 1)]
    assert made.channels["observed_seconds"].to_list() == [300.0]
    assert made.channels["messages"].to_list() == [4]


def test_game_and_language_are_those_of_the_most_observed_time():
    made = curate(
        [
            record(window=0, game_name="A", language="en", observed_seconds=100.0),
            record(window=1, game_name="B", language="de", observed_seconds=300.0),
            record(window=2, game_name="A", language=None, observed_seconds=250.0),
        ]
    )
    assert made.channels.select("game_name", "language").row(0) == ("A", "de")


@pytest.mark.parametrize(
    ("given_records", "expected"),
    [
        ([record()], ("silent", None, "joined, but nobody wrote")),
        ([record(viewers={5: 1})], ("observed", None, None)),
        ([record(viewers={5: 1}, status="joined")], ("observed", "joined", None)),
        (
            [record(observed_seconds=0.0)],
            ("unobserved", None, "the collector was never joined to this channel"),
        ),
        (
            [record(0, 0, observed_seconds=0.0, status="joining"),
             record(0, 1, observed_seconds=0.0, status="suspended")],
            ("unobserved", "suspended", ChannelStatus.SUSPENDED.meaning),
        ),
        (
            [record(observed_seconds=0.0, status="word of a later version")],
            ("unobserved", "word of a later version", "word of a later version"),
        ),
        (
            [record(0, 0, {5: 1}, status="joined"), record(0, 1, observed_seconds=0.0, status="no answer"),
             record(0, 2, status="joined")],
            ("observed", "joined", f"at times: {ChannelStatus.NO_ANSWER.meaning}"),
        ),
        (
            [record(observed_seconds=100.0, status="banned")],
            ("silent", "banned", f"joined, but nobody wrote; at times: {ChannelStatus.BANNED.meaning}"),
        ),
        (
            [record(0, 0, {5: 1}, status="joined"),
             record(0, 0, observed_seconds=0.0, status="joining", collector_id="c2")],
            ("observed", "joined", None),
        ),
        (
            [record(viewers={5: 1}, observed_seconds=299.0, status="joined")],
            ("observed", "joined", None),
        ),
    ],
)  # fmt: skip
def test_a_channel_says_why_it_has_no_audience_or_gaps(given_records, expected):
    made = curate(given_records)
    assert made.channels.select("status", "collector_status", "reason").row(0) == expected


def test_statuses_are_counted_with_their_meaning():
    words = ["joined", "joined", "joined", "suspended", "banned", None, "a later word"]
    made = curate([record(number, status=word) for number, word in enumerate(words)])
    assert status_counts(made.channels).rows() == [
        ("joined", ChannelStatus.JOINED.meaning, 3),
        ("a later word", None, 1),
        ("banned", ChannelStatus.BANNED.meaning, 1),
        ("suspended", ChannelStatus.SUSPENDED.meaning, 1),
        ("unknown", None, 1),
    ]


def test_the_observed_share_counts_what_was_never_observed():
    made = curate([record(1, observed_seconds=0.0), record(2, observed_seconds=150.0), record(2, 1)])
    assert observed_share(made.channels) == 0.5
    assert observed_share(made.channels.clear()) == 0.0


def test_windows_of_two_lengths_live_side_by_side():
    made = curate([record(viewers={5: 2}), record(viewers={5: 7}, window_seconds=86_400)])
    assert made.presence["live"].select("window_seconds", "messages").rows() == [(300, 2), (86_400, 7)]


def test_an_empty_day_gives_empty_tables():
    made = curate([])
    assert made.channels.height == made.presence["live"].height == made.presence["vod"].height == 0
    assert made.channels.schema == CHANNELS.schema


def test_channel_attributes_take_the_latest_name_and_the_most_observed_game():
    first = curate([record(1, channel="old_name", game_name="A", observed_seconds=300.0)])
    second = curate([record(1, channel="new_name", game_name="B", observed_seconds=200.0)])
    frame = channel_attributes([first.channels, second.channels])
    names = ["channel_id", "channel", "game_name", "language"]
    assert frame.select(names).rows() == [(1, "new_name", "A", None)]
    assert set(names) < set(channel_attributes([]).columns)


def test_channel_attributes_tell_how_a_channel_was_observed():
    first = curate([record(1, observed_seconds=0.0, status="suspended"), record(2, viewer_count=5)])
    second = curate([record(1, 1, observed_seconds=150.0), record(2, 1), record(2, 2)])
    frame = channel_attributes([first.channels, second.channels])
    told = frame.select("observed_seconds", "recorded_seconds", "live_windows")
    assert told.rows() == [(150.0, 600, 0), (900.0, 900, 1)]
    assert frame["reason"].to_list() == [
        second.channels["reason"][0] or first.channels["reason"][0],
        second.channels["reason"][1],
    ]


def test_tables_refuse_what_breaks_their_contract():
    good = curate([record(1, 0, {7: 2})]).presence["live"]
    assert PRESENCE.problems(good.vstack(good)) == [
        "1 rows have the same channel_id, viewer_key, window_start, window_seconds as another row"
    ]
    assert PRESENCE.problems(good.with_columns(pl.lit(None, pl.UInt32).alias("messages"))) == [
        "messages is null in 1 rows"
    ]
    assert PRESENCE.problems(good.drop("messages")) == ["column messages is missing"]
    assert PRESENCE.problems(good.cast({"messages": pl.Int8})) == ["messages is Int8, not UInt32"]


def whole_day(channel_id):
    return record(channel_id, seconds=86_400, observed_seconds=86_400.0)


RECORDED = {
    "nothing": ([], 0, None),
    "a day on which nothing was observed": ([[record(1, observed_seconds=0.0)]], 0, None),
    "a full day": ([[record(1, window) for window in range(288)]], 1, 300),
    "the shortest of days and channels": (
        [[record(1, seconds=600)], [record(1, seconds=60), record(2, seconds=3600)], [record(2)]],
        3,
        60,
    ),
    "windows of a restored recording": ([[record(1), record(1, 1, source="vod")]], 1, 300),
    "an import": ([[whole_day(1)]], 1, 86_400),
    "an import beside two hours of chat": (
        [[whole_day(1), *(record(1, window) for window in range(24))]],
        1,
        None,
    ),
    "an import beside a day of chat": (
        [[whole_day(1), *(record(1, window) for window in range(288))]],
        1,
        None,
    ),
    "an import of one channel, chat of another": ([[whole_day(1), record(1), record(2)]], 1, 300),
    "two lengths on one day": ([[record(1, 0), record(1, 1, seconds=3600)]], 1, None),
}


@pytest.mark.parametrize(("days", "count", "seconds"), RECORDED.values(), ids=RECORDED)
def test_the_length_of_windows_is_told_by_channels_with_one_length_only(days, count, seconds):
    assert recorded_windows([curate(day).channels for day in days]) == (count, seconds)
