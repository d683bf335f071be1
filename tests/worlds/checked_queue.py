"""Recordings of the VOD queue as the checks of the present see them at noon."""

from datetime import UTC, datetime, timedelta

from vieweratlas_dagster.vod.queue import VodItem

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


HOUR = timedelta(hours=1)


def vod(number, ended_hours_ago, status, lease_hours=None, **changes):
    leased = (
        {} if lease_hours is None else {"lease_id": "me", "lease_expires_at": NOON + lease_hours * HOUR}
    )
    return VodItem(
        vod_id=str(number),
        channel="c",
        channel_id=number,
        title=None,
        created_at=NOON - ended_hours_ago * HOUR - timedelta(seconds=60),
        duration_seconds=60.0,
        view_count=1,
        status=status,
        **leased,
        **changes,
    )
