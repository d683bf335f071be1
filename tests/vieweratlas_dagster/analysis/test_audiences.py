"""Audiences of days and of windows, against sums over all presence rows."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vieweratlas_dagster.analysis.audiences import day_audience, window_audience
from vieweratlas_dagster.tables import DAY_AUDIENCES, PRESENCE

START = datetime(2026, 3, 1, tzinfo=UTC)
MOST = 2**32 - 1

places = st.tuples(st.integers(1, 4), st.sampled_from([0, 1, 7, 2**63, 2**64 - 1]), st.integers(0, 3))
sources = st.dictionaries(places, st.tuples(st.integers(0, 9), st.booleans()), max_size=25)
days = st.lists(st.tuples(sources, sources), max_size=9)


def presence(rows):
    """PRESENCE from {(channel, viewer, window number): (messages, known_bot)}."""
    listed = [
        (channel, viewer, START + timedelta(seconds=300 * window), 300, messages, bot)
        for (channel, viewer, window), (messages, bot) in rows.items()
    ]
    return PRESENCE.conform(pl.DataFrame(listed, schema=PRESENCE.schema, orient="row"))


def audience_frame(rows):
    """DAY_AUDIENCES from (channel, viewer, messages, windows, known_bot)."""
    return DAY_AUDIENCES.conform(pl.DataFrame(rows, schema=DAY_AUDIENCES.schema, orient="row"))


def by_hand(days):
    """{(viewer, channel): [messages, windows, known_bot]}, one presence row after the other."""
    found = defaultdict(lambda: [0, 0, False])
    for live, vod in days:
        for place in live.keys() | vod.keys():
            told = [source[place] for source in (live, vod) if place in source]
            channel, viewer, _ = place
            sums = found[viewer, channel]
            sums[0] += max(messages for messages, _ in told)
            sums[1] += 1
            sums[2] |= any(bot for _, bot in told)
    return {key: tuple(sums) for key, sums in found.items()}


def as_dict(frame):
    names = ("viewer_key", "channel_id", "messages", "windows", "known_bot")
    return {(viewer, channel): tuple(rest) for viewer, channel, *rest in frame.select(names).rows()}


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(days)
def test_merged_days_are_what_all_presence_rows_give(days):
    made = [day_audience([presence(live), presence(vod)]) for live, vod in days]
    for (live, vod), frame in zip(days, made, strict=True):
        assert DAY_AUDIENCES.problems(frame) == []
        assert as_dict(frame) == by_hand([(live, vod)])
    window = window_audience(iter(made))
    assert window.schema == DAY_AUDIENCES.schema
    assert as_dict(window) == by_hand(days)
    assert window.equals(DAY_AUDIENCES.conform(window))
    assert window_audience(made[::-1]).equals(window)


def test_a_new_day_is_one_merge_more():
    rows = [{(1 + n % 3, n * k % 11, k): (n, n == 5) for n in range(20)} for k in range(5)]
    made = [day_audience([presence(one)]) for one in rows]
    before = window_audience(made[:-1])
    assert window_audience([before, made[-1]]).equals(window_audience(made))


def test_nothing_is_merged_into_nothing():
    for empty in (day_audience([]), day_audience([PRESENCE.empty()] * 2), window_audience([])):
        assert empty.equals(DAY_AUDIENCES.empty())
    one = audience_frame([(1, 2, 3, 1, False)])
    assert window_audience([DAY_AUDIENCES.empty(), one, DAY_AUDIENCES.empty()]).equals(one)


def test_numbers_stop_at_the_largest_their_columns_hold():
    much = {(1, 7, window): (MOST, False) for window in range(3)}
    assert as_dict(day_audience([presence(much)])) == {(7, 1): (MOST, 3, False)}
    day = audience_frame([(1, 7, MOST - 1, MOST, False)])
    assert as_dict(window_audience([day, day])) == {(7, 1): (MOST, MOST, False)}


@pytest.mark.parametrize("flagged", [0, 1, 2])
def test_a_bot_of_any_day_is_a_bot_of_the_window(flagged):
    made = [audience_frame([(1, 7, 1, 1, day == flagged), (1, 8, 1, 1, False)]) for day in range(3)]
    assert as_dict(window_audience(made)) == {(7, 1): (3, 3, True), (8, 1): (3, 3, False)}
