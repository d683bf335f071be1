"""The partitions of the assets: UTC days, and the four quarters of a day for VOD chat.

Belongs here: partition definitions and the mappings between them.
"""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime

import dagster as dg

QUARTER_FORMAT = "%Y-%m-%d-%H:%M"


def days_from(first: date) -> dg.DailyPartitionsDefinition:
    """UTC days from ``first`` on; today's unfinished day too, which can be materialized by hand."""
    return dg.DailyPartitionsDefinition(start_date=first.isoformat(), end_offset=1)


def quarters_from(first: date) -> dg.TimeWindowPartitionsDefinition:
    """Quarters of a UTC day; by Dagster's default mapping each day depends on its four."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return dg.TimeWindowPartitionsDefinition(start=start, fmt=QUARTER_FORMAT, cron_schedule="0 */6 * * *")


# What assets are declared with; `build_definitions` puts the first day of the settings in.
daily = days_from(date(2020, 1, 1))
quarters = quarters_from(date(2020, 1, 1))


def last_days(count: int) -> dg.TimeWindowPartitionMapping:
    """A day depends on the ``count`` days that end with it."""
    with warnings.catch_warnings():
        # Beta, and the only way to say that days before the first one are no mistake.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(
            start_offset=-(count - 1), end_offset=0, allow_nonexistent_upstream_partitions=True
        )
