"""The snapshot record: round trips, and one clear reason for every kind of bad line."""

import gzip
import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector_service.contract import (
    BadRecordError,
    SnapshotRecord,
    decode_lines,
    encode_object,
    live_key,
    parse_record,
    viewer_key,
    vod_key,
)

START = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


def record(**changes):
    values = {
        "source": "live",
        "channel": "some_channel",
        "channel_id": 1234,
        "collector_id": "c1",
        "window_start": START,
        "window_seconds": 300,
        "observed_seconds": 299.5,
        "partial": False,
        "viewer_keys": [1, 2**64 - 1],
        "viewer_messages": [3, 0],
        "messages": 3,
    }
    return SnapshotRecord(**(values | changes))


def as_json(**changes):
    return json.dumps({**json.loads(record().to_json()), **changes})


texts = st.one_of(st.none(), st.text(min_size=1, max_size=80))


@given(
    keys=st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=20),
    window=st.integers(0, 6_000_000),
    observed=st.integers(0, 300_000),
    game=texts,
    title=texts,
    language=texts,
    data=st.data(),
)
def test_a_record_survives_the_way_through_an_object(keys, window, observed, game, title, language, data):
    counts = data.draw(st.lists(st.integers(0, 2**31 - 1), min_size=len(keys), max_size=len(keys)))
    original = record(
        window_start=datetime(2000, 1, 1, tzinfo=UTC) + window * timedelta(seconds=300),
        observed_seconds=observed / 1000,
        viewer_keys=keys,
        viewer_messages=counts,
        known_bots=keys[:2],
        game_name=game,
        title=title,
        language=language,
        started_at=START,
        observed_intervals=[(0.0, observed / 3000), (observed / 3000, observed / 1000)],
        status="joined",
        part=window,
    )
    [line] = decode_lines(encode_object([original]))
    assert parse_record(line) == original


def test_the_same_records_give_the_same_bytes():
    assert encode_object([record(), record(channel_id=5)]) == encode_object(
        [record(), record(channel_id=5)]
    )


def test_viewer_keys_are_keyed_blake2b_and_written_as_decimal_text():
    expected = hashlib.blake2b(b"twitch:42", digest_size=8, key=b"secret").digest()
    assert viewer_key("secret", "42") == int.from_bytes(expected, "big")
    assert viewer_key("secret", "42") != viewer_key("other", "42")
    assert json.loads(record().to_json())["chatters"]["viewer_key"] == ["1", "18446744073709551615"]


def test_half_a_surrogate_pair_is_replaced_on_both_ways():
    [line] = decode_lines(encode_object([record(title="cut \ud83d")]))
    assert parse_record(line).title == "cut ?"
    assert parse_record(as_json(title="cut \ud83d")).title == "cut ?"


def test_unknown_fields_are_accepted():
    assert parse_record(as_json(colour="blue")) == record()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not_json"),
        ("[" * 100_000, "not_json"),
        ("[]", "not_object"),
        ("7", "not_object"),
        (as_json(schema_version=2), "schema_version"),
        (as_json(schema_version=True), "schema_version"),
        (as_json(schema_version=None), "schema_version"),
        (as_json(channel=None), "missing_field"),
        (as_json(chatters=None), "missing_field"),
        (as_json(channel="../etc"), "bad_field"),
        (as_json(channel="a" * 51), "bad_field"),
        (as_json(source="dream"), "bad_field"),
        (as_json(channel_id="-4"), "bad_field"),
        (as_json(channel_id=str(2**63)), "bad_field"),
        (as_json(window_seconds=0), "bad_field"),
        (as_json(window_start="yesterday"), "bad_field"),
        (as_json(window_start="2026-03-01T12:05:00"), "bad_field"),
        (as_json(window_start="2026-03-01T12:05:01Z"), "unaligned_window"),
        (as_json(window_start="2126-03-01T12:05:00Z"), "future_window"),
        (as_json(window_start="0001-01-01T00:00:00+23:00"), "bad_field"),
        (as_json(started_at="9999-12-31T23:59:59-10:00"), "bad_field"),
        (as_json(collector_id="a b"), "bad_field"),
        (as_json(known_bots=["5"]), "bad_field"),
        (as_json(observed_seconds=301), "bad_field"),
        (as_json(observed_seconds=-1), "bad_field"),
        (as_json(observed_intervals=[[0, 10]]), "bad_field"),
        (as_json(observed_intervals=[[0, 299.5], 4]), "bad_field"),
        (as_json(observed_intervals=[[0, 200], [100, 199.5]]), "bad_field"),
        (as_json(observed_intervals=[[10, 309.5]]), "bad_field"),
        (as_json(observed_intervals=[[-1, 298.5]]), "bad_field"),
        (as_json(observed_intervals=[[0, float("nan")]]), "bad_field"),
        (as_json(observed_intervals="all of it"), "bad_field"),
        (as_json(part=-1), "bad_field"),
        (as_json(messages=-1), "bad_field"),
        (as_json(messages=1.5), "bad_field"),
        (as_json(viewer_count=-3), "bad_field"),
        (as_json(partial="no"), "bad_field"),
        (as_json(chatters={"viewer_key": ["1"], "messages": []}), "bad_field"),
        (as_json(chatters={"viewer_key": ["1", "1"], "messages": [1, 1]}), "bad_field"),
        (as_json(chatters={"viewer_key": [1], "messages": [1]}), "bad_field"),
        (as_json(chatters={"viewer_key": [str(2**64)], "messages": [1]}), "bad_field"),
        (as_json(chatters={"viewer_key": ["1"], "messages": [-1]}), "bad_field"),
    ],
)
def test_bad_lines_are_refused_with_their_reason(line, reason):
    with pytest.raises(BadRecordError) as refused:
        parse_record(line, now=datetime(2026, 6, 1, tzinfo=UTC))
    assert refused.value.reason == reason


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_not_fatal(line):
    with pytest.raises(BadRecordError):
        parse_record(line)


def test_a_cut_object_gives_its_whole_lines_and_then_the_fault():
    # Incompressible enough that cutting the end leaves whole lines before it.
    keys = {n: [n * 7919 + k for k in range(200)] for n in range(200)}
    records = [record(channel_id=n, viewer_keys=keys[n], viewer_messages=[1] * 200) for n in keys]
    data = encode_object(records)
    lines = []
    reading = decode_lines(data[: len(data) // 2])
    with pytest.raises(BadRecordError) as refused:
        lines += iter(lambda: next(reading), None)
    assert refused.value.reason == "bad_gzip"
    assert 0 < len(lines) < 200
    assert parse_record(lines[0]) == records[0]


def test_something_else_than_gzip_is_refused():
    with pytest.raises(BadRecordError, match="bad_gzip"):
        list(decode_lines(b"plain text"))
    assert list(decode_lines(gzip.compress(b"\n\n"))) == []


def test_keys_follow_the_lakes_layout():
    assert live_key(START, "c1") == "raw/snapshots/date=2026-03-01/hour=12/20260301T120500Z-c1.ndjson.gz"
    assert live_key(START, "c1", 3).endswith("/20260301T120500Z-c1-03.ndjson.gz")
    assert vod_key("2026-03-01", "99") == "raw/vod_chat/date=2026-03-01/vod=99.ndjson.gz"
