"""Which channels' recordings are looked for, from planted live objects."""

from datetime import UTC, datetime, timedelta

from collector_service.contract import SnapshotRecord, encode_object, live_key
from vieweratlas_dagster.presence_import import derived_channel_id
from vieweratlas_dagster.vod.channels import collected_channels

START = datetime(2026, 3, 1, 18, tzinfo=UTC)
END = START + timedelta(hours=6)


def put(lake, start, *channels):
    records = [
        SnapshotRecord(
            source="live",
            channel=name,
            channel_id=number,
            collector_id="c1",
            window_start=start,
            window_seconds=300,
            observed_seconds=300.0,
            partial=False,
        )
        for number, name in channels
    ]
    lake.put(live_key(start, "c1"), encode_object(records))


def test_channels_of_the_span_alone_with_their_latest_names(lake):
    put(lake, START - timedelta(seconds=300), (1, "too_early"))
    for window in range(72):
        names = [(2, "steady"), (3, "before" if window < 40 else "after")]
        put(lake, START + window * timedelta(seconds=300), *names, *([(4, "late")] if window == 71 else []))
    put(lake, END, (5, "too_late"))
    assert collected_channels(lake, START, END) == [(2, "steady"), (3, "after"), (4, "late")]


def test_the_span_may_pass_midnight_and_hold_nothing(lake):
    middle = START + timedelta(hours=3)
    put(lake, END + timedelta(minutes=10), (7, "tomorrow"))
    assert collected_channels(lake, middle, middle + timedelta(hours=6)) == [(7, "tomorrow")]
    assert collected_channels(lake, START - timedelta(days=3), START - timedelta(days=2)) == []


def test_channels_without_a_twitch_id_and_bad_objects_are_passed_over(lake):
    put(lake, START, (derived_channel_id("imported"), "imported"), (8, "real"))
    lake.put(live_key(START + timedelta(minutes=30), "broken"), b"no gzip")
    assert collected_channels(lake, START, END) == [(8, "real")]
