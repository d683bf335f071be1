"""The days that keys are made of."""

from vieweratlas_dagster.lake.keys import days_up_to


def test_days_are_counted_backwards_over_months():
    assert days_up_to("2026-03-01", 3) == ["2026-02-27", "2026-02-28", "2026-03-01"]
