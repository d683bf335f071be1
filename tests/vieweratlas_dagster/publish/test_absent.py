"""What the page is told of channels that are left out."""

import polars as pl

from vieweratlas_dagster.publish import absent
from vieweratlas_dagster.tables import LEFT_OUT


def frame(rows):
    filled = [{"reason": "few", "kind": "few_viewers", "excluded_viewers": 0} | row for row in rows]
    return pl.DataFrame(filled, schema=LEFT_OUT.schema)


def test_the_largest_come_first_and_small_counts_are_not_told():
    rows = [
        {"channel": "b", "viewers": 4, "excluded_viewers": 3, "coverage": 0.999},
        {"channel": "a", "viewers": 5, "excluded_viewers": None, "kind": None},
        {"channel": "d", "viewers": 0, "kind": "offline", "coverage": 0.25},
        {"channel": "c", "viewers": 9, "excluded_viewers": 40},
    ]
    assert absent.encode_absent(frame(rows), floor=5) == {
        "name": ["c", "a", "b", "d"],
        "kind": ["few_viewers", None, "few_viewers", "offline"],
        "viewers": [9, 5, None, 0],
        "excluded": [40, 0, None, 0],
        "coverage": [None, None, 99, 25],
        "untold": 0,
    }


def test_what_there_is_no_room_for_is_counted(monkeypatch):
    monkeypatch.setattr(absent, "CHANNELS_LISTED", 2)
    told = absent.encode_absent(frame([{"channel": f"c{at}", "viewers": at} for at in range(5)]), floor=1)
    assert told["name"] == ["c4", "c3"]
    assert told["untold"] == 3
