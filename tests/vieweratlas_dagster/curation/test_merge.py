"""Merging records into presence and channel rows, against a plain-Python oracle."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from collector_service.contract import SnapshotRecord
from vieweratlas_dagster.curation.merge import (
    channel_attributes,
    curate,
    memberships,
    observed_share,
)
from vieweratlas_dagster.tables import CHANNELS, PRESENCE

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def record(channel_id=1, window=0, viewers=None, **changes):
    viewers = viewers or {}
    values = {
        "source": "live",
        "channel": f"channel{channel_id}",
        "channel_id": channel_id,
        "collector_id": "c1",
        "window_start": DAY + timedelta(seconds=300 * window),
        "window_seconds": 300,
        "observed_seconds": 300.0,
        "partial": False,
        "messages": sum(viewers.values()),
        "viewer_keys": sorted(viewers),
        "viewer_messages": [viewers[key] for key in sorted(viewers)],
    }
    return SnapshotRecord(**(values | changes))


records = st.builds(
    record,
    channel_id=st.integers(1, 3),
    window=st.integers(0, 2),
    viewers=st.dictionaries(st.integers(0, 4) | st.just(2**64 - 1), st.integers(0, 5), max_size=4),
    source=st.sampled_from(["live", "vod"]),
    collector_id=st.sampled_from(["c1", "c2"]),
    observed_seconds=st.integers(0, 300).map(float),
    known_bots=st.lists(st.integers(0, 4), unique=True, max_size=2),
    game_name=st.sampled_from([None, "A", "B"]),
)


def expected_presence(given_records):
    """Parts of one collector add up, collectors that saw the same take the larger count."""
    by_collector, bots = defaultdict(int), defaultdict(bool)
    for item in given_records:
        for key, count in zip(item.viewer_keys, item.viewer_messages, strict=True):
            place = (item.source, item.channel_id, key, item.window_start)
            by_collector[(*place, item.collector_id)] += count
            bots[place] |= key in item.known_bots
    merged = defaultdict(int)
    for (*place, _), count in by_collector.items():
        merged[tuple(place)] = max(merged[tuple(place)], count)
    return {place: (count, bots[place]) for place, count in merged.items()}


@given(st.lists(records, max_size=12), st.randoms())
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
    assert found == expected_presence(given_records)
    shuffled = random.sample(given_records, len(given_records))
    again = curate(shuffled)
    assert again.presence["live"].equals(made.presence["live"])
    assert again.channels.drop("title").equals(made.channels.drop("title"))


@given(st.lists(records, min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_channel_rows_count_viewers_and_never_more_time_than_there_was(given_records):
    made = curate(given_records)
    assert PRESENCE.problems(made.presence["live"]) == []
    assert CHANNELS.problems(made.channels) == []
    for row in made.channels.iter_rows(named=True):
        mine = [item for item in given_records if item.channel_id == row["channel_id"]]
        windows = {item.window_start for item in mine}
        bots = defaultdict(set)
        for item in mine:
            for key in item.viewer_keys:
                bots[(item.source, item.window_start, key)].add(key in item.known_bots)
        people = {key for (_, _, key), flags in bots.items() if True not in flags}
        assert row["viewers"] == len(people)
        assert row["windows"] == len(windows)
        assert 0 <= row["observed_seconds"] <= 300 * len(windows)
        assert row["recorded_seconds"] == 300 * len(windows)
        assert row["coverage"] == row["observed_seconds"] / (300 * len(windows))
        assert (row["reason"] is None) == (row["status"] == "observed")


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


def test_a_channel_without_audience_says_why():
    made = curate([record(1, observed_seconds=0.0), record(2), record(3, viewers={1: 1})])
    assert made.channels.select("channel_id", "status").rows() == [
        (1, "unobserved"),
        (2, "silent"),
        (3, "observed"),
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


def test_memberships_are_distinct_over_days():
    first = curate([record(1, 0, {7: 2}), record(1, 1, {7: 1, 8: 1}), record(2, 0, {7: 1})])
    second = curate([record(1, 0, {8: 4}, known_bots=[8])])
    frame = memberships([first.presence["live"], second.presence["live"]])
    assert frame.rows() == [(1, 7, 3, False), (1, 8, 5, True), (2, 7, 1, False)]
    assert memberships([]).height == 0


def test_channel_attributes_take_the_latest_name_and_the_most_observed_game():
    first = curate([record(1, channel="old_name", game_name="A", observed_seconds=300.0)])
    second = curate([record(1, channel="new_name", game_name="B", observed_seconds=200.0)])
    frame = channel_attributes([first.channels, second.channels])
    assert frame.rows() == [(1, "new_name", "A", None)]
    assert channel_attributes([]).columns == ["channel_id", "channel", "game_name", "language"]


def test_tables_refuse_what_breaks_their_contract():
    good = curate([record(1, 0, {7: 2})]).presence["live"]
    assert PRESENCE.problems(good.vstack(good)) == [
        "1 rows repeat another's channel_id, viewer_key, window_start, window_seconds"
    ]
    assert PRESENCE.problems(good.with_columns(pl.lit(None, pl.UInt32).alias("messages"))) == [
        "messages is null in 1 rows"
    ]
    assert PRESENCE.problems(good.drop("messages")) == ["column messages is missing"]
    assert PRESENCE.problems(good.cast({"messages": pl.Int8})) == ["messages is Int8, not UInt32"]
