"""Judging raw objects: good lines are used, bad ones are named, nothing disappears."""

import gzip
import json
from datetime import UTC, datetime

import pytest

from collector_service.contract import SnapshotRecord, encode_object
from tests.worlds.records import snapshot
from vieweratlas_dagster.curation.validation import (
    Rejection,
    inspect_object,
    usable_records,
)

DAY = "2026-03-01"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
KEY = "raw/snapshots/date=2026-03-01/hour=00/20260301T000000Z-c1.ndjson.gz"


def record(channel_id, start=None):
    return snapshot(
        channel_id,
        window_start=start or datetime(2026, 3, 1, tzinfo=UTC),
        viewer_keys=[1, 2],
        viewer_messages=[1, 1],
    )


def test_good_lines_are_used_between_bad_ones():
    lines = [
        record(1).to_json(),
        "garbage",
        record(2, datetime(2026, 3, 2, tzinfo=UTC)).to_json(),
        record(2, datetime(2026, 3, 3, tzinfo=UTC)).to_json(),
        record(1).to_json(),
        record(3).to_json(),
        record(4).to_json().replace('"schema_version":1', '"schema_version":9'),
    ]
    data = gzip.compress("\n".join(lines).encode())
    items = list(usable_records(KEY, data, day=DAY, now=NOW))
    assert [item.channel_id for item in items if isinstance(item, SnapshotRecord)] == [1, 3]
    assert [(item.line, item.reason) for item in items if isinstance(item, Rejection)] == [
        (2, "not_json"),
        (3, "wrong_day"),
        (4, "future_window"),
        (5, "repeated"),
        (7, "schema_version"),
    ]
    report = inspect_object(KEY, data, day=DAY, now=NOW)
    assert (report.records, report.presences, len(report.rejections)) == (2, 4, 5)
    notes = [json.loads(line) for line in report.quarantine_note().splitlines()]
    assert notes[0] == {
        "object": KEY,
        "line": 2,
        "reason": "not_json",
        "detail": notes[0]["detail"],
        "content": "garbage",
    }


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_a_half_written_object_is_refused_as_a_whole_or_from_the_fault_on(cut):
    data = encode_object([record(n) for n in range(1, 4)])
    report = inspect_object(KEY, data[:-cut], day=DAY, now=NOW)
    assert report.rejections[-1].line is None
    assert report.rejections[-1].reason in ("bad_gzip", "not_json")
    assert report.records <= 3


def test_other_names_are_not_read():
    report = inspect_object(KEY.removesuffix(".gz"), b"", day=DAY, now=NOW)
    assert [rejection.reason for rejection in report.rejections] == ["unexpected_name"]


def test_an_empty_object_is_refused_and_an_object_without_lines_is_not():
    assert inspect_object(KEY, b"", day=DAY, now=NOW).records == 0
    assert inspect_object(KEY, encode_object([]), day=DAY, now=NOW).rejections == []
