"""The partitions of the assets: UTC days, and the four quarters of a day for VOD chat.

Belongs here: partition definitions and the mappings between them.
"""

from __future__ import annotations

from datetime import datetime

import dagster as dg

FIRST_DAY = "2022-01-01"
QUARTER_FORMAT = "%Y-%m-%d-%H:%M"

# end_offset: today's unfinished day can be materialized by hand; the schedule takes yesterday's.
daily = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1)

# The default mapping between these two gives each day its four quarters.
quarters = dg.TimeWindowPartitionsDefinition(
    start=datetime.fromisoformat(FIRST_DAY), fmt=QUARTER_FORMAT, cron_schedule="0 */6 * * *"
)


def last_days(count: int) -> dg.TimeWindowPartitionMapping:
    """A day depends on the ``count`` days that end with it."""
    return dg.TimeWindowPartitionMapping(
        start_offset=-(count - 1), end_offset=0, allow_nonexistent_upstream_partitions=True
    )
