"""Which channels' recordings are looked for, from planted live objects."""

from datetime import UTC, datetime, timedelta

from collector_service.contract import encode_object, live_key
from tests.worlds.records import snapshot
from vieweratlas_dagster.curation.imported_ids import derived_channel_id
from vieweratlas_dagster.vod.collected_channels import CollectedChannel, collected_channels

START = datetime(2026, 3, 1, 18, tzinfo=UTC)
END = START + timedelta(hours=6)
WINDOW = timedelta(seconds=300)


def put(lake, start, *channels, collector="c1", **changes):
    """Channels are (id, login), and live since then with a third field."""
    records = [
        snapshot(
            number,
            channel=name,
            collector_id=collector,
            window_start=start,
            started_at=since[0] if since else None,
            **changes,
        )
        for number, name, *since in channels
    ]
    lake.put(live_key(start, collector), encode_object(records))


def windows(start=START, end=END):
    return [start + number * WINDOW for number in range((end - start) // WINDOW)]


def names(found):
    return [(one.channel_id, one.login) for one in found]


def test_channels_of_the_span_alone_with_their_latest_names(lake):
    put(lake, START - WINDOW, (1, "too_early"))
    for number, start in enumerate(windows()):
        both = [(2, "steady"), (3, "before" if number < 40 else "after")]
        put(lake, start, *both, *([(4, "late")] if number == 71 else []))
    put(lake, END, (5, "too_late"))
    found = collected_channels(lake, START, END)
    assert names(found) == [(2, "steady"), (3, "after"), (4, "late")]
    assert not any(one.hidden for one in found)


def test_when_they_were_live_and_whether_they_still_are(lake):
    morning, evening = START - timedelta(hours=3), START + timedelta(hours=3)
    for number, start in enumerate(windows()):
        put(
            lake, start,
            (1, "running", morning),
            *([(2, "ended", morning)] if number < 37 else [(2, "ended")]),
            (3, "again", morning if number < 30 else evening),
            (4, "offline"),
            *([(5, "gone", morning)] if number < 13 else []),
        )  # fmt: skip
    assert collected_channels(lake, START, END) == [
        CollectedChannel(1, "running", END, running=True),
        CollectedChannel(2, "ended", START + 37 * WINDOW),
        CollectedChannel(3, "again", END),
        CollectedChannel(4, "offline"),
        CollectedChannel(5, "gone", START + 13 * WINDOW),
    ]


def test_without_helix_chat_says_who_was_live(lake):
    for start in windows():
        put(lake, start, (1, "talking"), messages=3)
        put(lake, start, (2, "silent"), collector="c2")
    assert collected_channels(lake, START, END) == [
        CollectedChannel(1, "talking", END), CollectedChannel(2, "silent"),
    ]  # fmt: skip


def test_all_collectors_of_a_window_are_read(lake):
    for start in windows():
        put(lake, start, (1, "one"), collector="c1")
        put(lake, start, (2, "two"), collector="c2")
    assert names(collected_channels(lake, START, END)) == [(1, "one"), (2, "two")]


def test_after_an_outage_who_was_there_before_is_looked_for(lake):
    for start in windows(START - timedelta(hours=2)):
        if start < START + timedelta(hours=1) or start >= START + timedelta(minutes=91):
            put(lake, start, (1, "steady"), *([(2, "before")] if start < START else []))
    put(lake, START - timedelta(hours=25), (3, "long_ago"))
    found = collected_channels(lake, START, END)
    assert names(found) == [(1, "steady"), (2, "before")]
    assert all(one.hidden for one in found)
    whole_outage = collected_channels(lake, END + timedelta(hours=20), END + timedelta(hours=26))
    assert names(whole_outage) == [(1, "steady")]


def test_the_span_may_pass_midnight_and_hold_nothing(lake):
    middle = START + timedelta(hours=3)
    put(lake, END + timedelta(minutes=10), (7, "tomorrow"))
    assert names(collected_channels(lake, middle, middle + timedelta(hours=6))) == [(7, "tomorrow")]
    assert collected_channels(lake, START - timedelta(days=3), START - timedelta(days=2)) == []


def test_channels_without_a_twitch_id_and_bad_objects_are_passed_over(lake):
    put(lake, START, (derived_channel_id("imported"), "imported"), (8, "real"))
    lake.put(live_key(START + timedelta(minutes=30), "broken"), b"no gzip")
    lake.put(live_key(START, "c1").rsplit("/", 1)[0] + "/notes.txt", b"left by somebody")
    assert names(collected_channels(lake, START, END)) == [(8, "real")]
