"""The partitions of the assets: UTC days, and the four quarters of a day for VOD chat."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime

import dagster as dg

QUARTER_FORMAT = "%Y-%m-%d-%H:%M"


def days_from(first: date) -> dg.DailyPartitionsDefinition:
    """UTC days from ``first`` onwards, with today's unfinished day, which can be materialized by hand."""
    return dg.DailyPartitionsDefinition(start_date=first.isoformat(), end_offset=1)


def quarters_from(first: date) -> dg.TimeWindowPartitionsDefinition:
    """Quarters of a UTC day; by Dagster's default mapping each day depends on its four."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return dg.TimeWindowPartitionsDefinition(start=start, fmt=QUARTER_FORMAT, cron_schedule="0 */6 * * *")


# Assets are declared with these; `build_definitions` replaces them by those of the settings.
daily = days_from(date(2020, 1, 1))
quarters = quarters_from(date(2020, 1, 1))


def last_days(count: int) -> dg.TimeWindowPartitionMapping:
    """A day depends on the ``count`` days that end with it."""
    with warnings.catch_warnings():
        # Beta, and the only way to allow a window that begins before the first day.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(
            start_offset=-(count - 1), end_offset=0, allow_nonexistent_upstream_partitions=True
        )
