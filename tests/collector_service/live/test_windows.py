"""Windows against a brute-force oracle: every event in its window once, watching time exact."""

from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector_service.contract import encode_object, parse_record
from collector_service.live.windows import GRACE_SECONDS, SETTLE_SECONDS, StreamInfo, Windows
from collector_service.twitch.irc import MESSAGE, MIRRORED, PRESENCE

START = 1_700_000_000 // 300 * 300


@dataclass
class ManualClock:
    time: float = float(START)
    rate: float = 1.0

    def now(self):
        return self.time


def count(windows, room, sent, kind=MESSAGE, key=1, bot=False):
    share = windows.share_at(sent, windows.now())
    share.tally(room, f"channel{room}")
    share.count(room, kind, key, bot)


def records(shares):
    return [record for share in shares for record in share.records("c1")]


def advance(windows, clock, until, step=5.0):
    closed = []
    while clock.time < until:
        clock.time = min(clock.time + step, until)
        closed += windows.tick()
    return closed


def test_a_window_closes_after_its_grace_with_what_it_saw():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.joined(7, "channel7", START + 10)
    count(windows, 7, START + 20, key=5)
    count(windows, 7, START + 20, key=5)
    count(windows, 7, START + 20, PRESENCE, key=5)
    count(windows, 7, START + 20, PRESENCE, key=3)
    count(windows, 7, START + 20, MIRRORED, key=0)
    count(windows, 7, START + 20, key=2**64 - 1, bot=True)
    assert advance(windows, clock, START + 60) == []
    windows.describe({7: StreamInfo(viewer_count=9, game_name="Chess")})
    assert advance(windows, clock, START + 300 + GRACE_SECONDS - 0.1) == []
    windows.describe({7: StreamInfo(viewer_count=10, game_name="Go")})
    [share] = advance(windows, clock, START + 300 + GRACE_SECONDS)
    [record] = share.records("c1")
    assert (record.channel, record.channel_id, record.collector_id) == ("channel7", 7, "c1")
    assert (record.viewer_keys, record.viewer_messages) == ([3, 5, 2**64 - 1], [0, 2, 1])
    assert (record.messages, record.mirrored_messages, record.known_bots) == (3, 1, [2**64 - 1])
    assert (record.observed_seconds, record.partial) == (290.0, False)
    assert (record.viewer_count, record.game_name) == (9, "Chess")
    assert parse_record(record.to_json()) == record
    assert windows.closed == 1


def test_the_window_in_which_the_process_started_is_partial():
    clock = ManualClock(START + 100.0)
    windows = Windows(clock, 300)
    windows.joined(7, "a", START + 100)
    shares = advance(windows, clock, START + 700)
    assert [(share.start, share.partial) for share in shares] == [(START, True), (START + 300, False)]
    assert [record.observed_seconds for record in records(shares)] == [200.0, 300.0]


def test_stopping_closes_at_the_exact_instant():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.joined(7, "a", START)
    advance(windows, clock, START + 301)
    clock.time = START + 301.25
    shares = windows.close_all(windows.now())
    found = records(shares)
    assert [(r.observed_seconds, r.partial) for r in found] == [(300.0, False), (1.25, True)]
    assert windows.open_shares == []


def test_events_for_a_closed_window_are_kept_in_a_supplement():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.joined(7, "channel7", START)
    advance(windows, clock, START + 310)
    count(windows, 7, START + 299, key=4)
    shares = advance(windows, clock, START + 310 + GRACE_SECONDS)
    [record] = records(shares)
    assert (record.window_start.timestamp(), record.viewer_keys, record.partial) == (START, [4], True)
    assert record.observed_seconds == 0
    assert windows.closed == 1
    assert windows.supplementary_shares == 1


@pytest.mark.parametrize(("seconds", "supplements"), [(10, 0), (25, 1)])
def test_a_window_whose_events_keep_arriving_late_stays_open_for_a_while(seconds, supplements):
    """A reader that is behind writes one object of a window, and one more if it is far behind."""
    clock = ManualClock()
    windows = Windows(clock, 300)
    shares = advance(windows, clock, START + 300)
    for key in range(seconds):
        count(windows, 7, START + 299, key=key)
        shares += advance(windows, clock, clock.time + 1.0)
    shares += advance(windows, clock, clock.time + 60.0)
    found = [share for share in shares if share.start == START]
    assert len(found) == 1 + supplements == 1 + windows.supplementary_shares
    assert sorted(key for record in records(found) for key in record.viewer_keys) == list(range(seconds))
    longest = GRACE_SECONDS + SETTLE_SECONDS
    assert found[0].close_at == START + 300 + min(seconds - 1 + GRACE_SECONDS, longest)


def test_event_times_are_brought_into_range():
    clock = ManualClock(START + 10.0)
    windows = Windows(clock, 300)
    assert windows.share_at(START + 9_999, windows.now()).start == START
    assert windows.share_at(0, windows.now()).start == START - 300
    clock.time = START + 200.0
    windows.tick()
    assert windows.share_at(0, windows.now()).start == START


def test_a_clock_that_is_set_back_a_little_stands_still():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.joined(7, "channel7", START)
    advance(windows, clock, START + 310)
    clock.time = START + 306.0
    assert windows.tick() == []
    assert windows.now() == START + 310
    count(windows, 7, START + 309, key=4)
    windows.left(7)
    shares = advance(windows, clock, START + 650)
    assert [share.start for share in shares] == [START + 300]
    [record] = records(shares)
    assert (record.viewer_keys, record.observed_seconds) == ([4], 10.0)


def test_a_clock_that_is_set_back_far_ends_the_shares_and_goes_on_from_there():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.joined(7, "channel7", START)
    shares = advance(windows, clock, START + 1000)
    count(windows, 7, START + 999, key=4)
    clock.time = START + 400.0
    shares += windows.tick()
    count(windows, 7, START + 405, key=5)
    shares += advance(windows, clock, START + 910)
    found = [
        (r.window_start.timestamp() - START, r.viewer_keys, r.observed_intervals) for r in records(shares)
    ]
    assert found == [
        (0, [], [(0, 300)]),
        (300, [], [(0, 300)]),
        (600, [], [(0, 300)]),
        (900, [4], [(0, 100)]),
        (300, [5], [(100, 300)]),
        (600, [], [(0, 300)]),
    ]
    assert [share.partial for share in shares] == [False, False, False, True, True, False]
    assert len({share.sequence for share in shares}) == 6


def test_while_the_machine_slept_nothing_was_watched():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.joined(7, "channel7", START)
    closed = advance(windows, clock, START + 100)
    clock.time = START + 1000.0
    closed += windows.tick()
    closed += advance(windows, clock, START + 1300)
    assert [(r.window_start.timestamp() - START, r.observed_seconds) for r in records(closed)] == [
        (0, 100.0),
        (900, 200.0),
    ]
    assert windows.pauses == 1


def test_silence_is_subtracted_from_where_it_began():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.joined(7, "channel7", START)
    advance(windows, clock, START + 100)
    windows.left(7, ago=70)
    [record] = records(windows.close_all(windows.now()))
    assert record.observed_seconds == 30.0


class Readers:
    """Connections as the windows see them."""

    def __init__(self, statuses=None):
        self.heard = float(START)
        self.probes = 0
        self.known = statuses or {}

    def heard_until(self):
        return self.heard

    def probe(self):
        self.probes += 1

    def quiet(self, since):
        return {}

    def statuses(self):
        return dict(self.known)


def test_a_window_waits_until_every_connection_was_heard_after_it():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.reader = readers = Readers()
    windows.joined(7, "channel7", START)
    readers.heard = START + 250.0
    assert advance(windows, clock, START + 305) == []
    assert readers.probes > 0
    # The connection turns out to have been dead since it was last heard.
    windows.left(7, ago=clock.time - readers.heard)
    readers.heard = clock.time
    [record] = records(windows.tick())
    assert (record.observed_seconds, record.observed_intervals) == (250.0, [(0.0, 250.0)])


def test_a_window_with_late_events_waits_no_longer_for_a_silent_connection():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.reader = Readers()
    end = START + 300 + GRACE_SECONDS + SETTLE_SECONDS
    assert advance(windows, clock, START + 300) == []
    for seconds in range(1, 17):
        count(windows, 7, START + 299)
        assert advance(windows, clock, START + 300 + seconds) == []
        assert (windows.reader.probes > 0) == (seconds >= GRACE_SECONDS)
    assert [share.start for share in advance(windows, clock, end)] == [START]


def test_a_window_does_not_wait_for_ever():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.reader = Readers()
    end = START + 300 + GRACE_SECONDS + SETTLE_SECONDS
    assert advance(windows, clock, end - 0.1) == []
    assert [share.start for share in advance(windows, clock, end)] == [START]


def test_a_wanted_channel_has_a_record_that_says_why_nothing_was_seen():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.reader = readers = Readers({7: ("alpha", "joined"), 8: ("beta", "suspended")})
    windows.joined(7, "alpha", START + 10)
    readers.heard = START + 1000.0
    found = records(advance(windows, clock, START + 310))
    assert [(r.channel, r.channel_id, r.status, r.observed_seconds) for r in found] == [
        ("alpha", 7, "joined", 290.0),
        ("beta", 8, "suspended", 0.0),
    ]
    assert found[1].observed_intervals == []
    assert all(parse_record(record.to_json()) == record for record in found)
    count(windows, 7, START + 299)
    clock.time += 10.0
    [late] = [share for share in windows.close_all(clock.time) if share.supplementary]
    assert [(r.channel_id, r.status) for r in late.records("c1")] == [(7, None)]


def test_a_gap_in_the_middle_shows_where_it_was():
    clock = ManualClock()
    windows = Windows(clock, 300)
    windows.joined(7, "a", START)
    advance(windows, clock, START + 100)
    windows.left(7, ago=20)
    clock.time = START + 110.5
    windows.joined(7, "a", clock.time)
    windows.tick()
    [record, *_] = records(advance(windows, clock, START + 310))
    assert record.observed_intervals == [(0.0, 80.0), (110.5, 300.0)]
    assert record.observed_seconds == 269.5


def test_memory_is_bounded_and_the_rest_of_the_window_declared_unwatched():
    clock = ManualClock()
    windows = Windows(clock, 300, max_pairs=50)
    windows.joined(7, "channel7", START)
    for key in range(51):
        count(windows, 7, START + 1, key=key)
    advance(windows, clock, START + 100)
    for key in range(1000):
        count(windows, 7, START + 101, key=key)
    windows.joined(8, "b", clock.time)
    assert windows.overflows == 1
    closed = advance(windows, clock, START + 310)
    found = [record for record in records(closed) if record.window_start.timestamp() == START]
    assert [(r.channel_id, len(r.viewer_keys), r.partial) for r in found] == [(7, 51, True)]
    assert found[0].observed_seconds <= 5.0
    # The next window has room again.
    count(windows, 7, START + 310, key=1)
    [record, _] = records(windows.close_all(clock.time))
    assert (record.viewer_keys, record.observed_seconds) == ([1], 10.0)


_STEP = st.one_of(
    st.tuples(st.just("time"), st.floats(0.1, 14.0)),
    st.tuples(st.just("join"), st.integers(1, 3)),
    st.tuples(st.just("leave"), st.integers(1, 3)),
    st.tuples(
        st.just("event"),
        st.integers(1, 3),
        st.floats(-60, 5),
        st.sampled_from([MESSAGE, PRESENCE, MIRRORED]),
        st.integers(1, 4),
    ),
)


@settings(max_examples=200)
@given(st.lists(_STEP, max_size=80), st.sampled_from([1.0, 3.0]))
def test_every_event_and_every_watched_moment_counts_once(steps, rate):
    clock = ManualClock(float(START), rate)
    windows = Windows(clock, 20)
    shares = []
    events, watched, since = Counter(), defaultdict(float), {}

    def watch(room, begin, end):
        start = int(begin // 20) * 20
        while start < end:
            watched[room, start] += max(0.0, min(end, start + 20) - max(begin, start))
            start += 20

    for step in steps:
        match step:
            case "time", seconds:
                clock.time += seconds * rate
                shares += windows.tick()
            case "join", room:
                if room not in since:
                    since[room] = clock.time
                    windows.joined(room, f"channel{room}", clock.time)
            case "leave", room:
                if room in since:
                    watch(room, since.pop(room), clock.time)
                    windows.left(room)
            case "event", room, offset, kind, key:
                count(windows, room, clock.time + offset, kind, key)
                sent = min(clock.time + offset, clock.time)
                events[room, int(sent // 20) * 20, kind, 0 if kind == MIRRORED else key] += 1
    for room, begin in since.items():
        watch(room, begin, clock.time)
    shares += windows.close_all(windows.now())

    assert_counted(shares, events, watched)


def assert_counted(shares, events, watched):
    """The shares hold exactly these events and watched seconds."""
    found, seen = Counter(), set()
    observed = defaultdict(float)
    for share in shares:
        for record in share.records("c"):
            window = record.channel_id, int(record.window_start.timestamp())
            observed[window] += record.observed_seconds
            found[*window, MIRRORED, 0] += record.mirrored_messages
            assert record.messages == sum(record.viewer_messages)
            assert record.viewer_keys == sorted(record.viewer_keys)
            for key, number in zip(record.viewer_keys, record.viewer_messages, strict=True):
                found[*window, MESSAGE, key] += number
                seen.add((*window, key))
    assert +found == Counter({event: n for event, n in events.items() if event[2] != PRESENCE})
    assert seen == {(room, start, key) for room, start, kind, key in events if kind != MIRRORED}
    assert max(Counter(share.start for share in shares if not share.supplementary).values()) == 1
    for window in observed.keys() | watched.keys():
        assert observed[window] == pytest.approx(watched[window], abs=0.02)
        assert 0 <= observed[window] <= 20


def test_the_same_input_gives_the_same_bytes():
    def collect(order):
        windows = Windows(ManualClock(), 300)
        for room, key in order:
            count(windows, room, START + 1, key=key)
        [share] = windows.close_all(START + 5.0)
        return encode_object(share.records("c"))

    pairs = [(room, key) for room in (5, 3, 9) for key in (8, 2, 11)]
    assert collect(pairs) == collect(pairs[::-1])
