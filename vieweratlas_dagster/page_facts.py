"""What a map says about itself.

Belongs here: the title, and the facts that the page tells about its making. Does not belong here: how they
are shown (``publish``).
"""

from __future__ import annotations

from collector_service.lake import Lake
from vieweratlas_dagster.lake_layout import analysis_key, channels_key, days_up_to, read_table
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import LEFT_OUT


def map_title(day: str) -> str:
    """The heading of the day's picture."""
    return f"ViewerAtlas {day}"


def page_facts(lake: Lake, day: str, settings: Settings) -> dict[str, object]:
    """What the page says about itself: dates, parameters and counts."""
    analysis = settings.analysis
    left_out = read_table(lake, analysis_key(day, "left_out.parquet"), LEFT_OUT)
    days = [name for name in days_up_to(day, analysis.window_days) if lake.exists(channels_key(name))]
    return {
        "title": "ViewerAtlas",
        "date_from": min(days, default=day),
        "date_to": day,
        "window_days": analysis.window_days,
        "min_channel_viewers": analysis.min_channel_viewers,
        "overlap_threshold": analysis.overlap_threshold,
        "min_shared_published": settings.privacy.min_shared_published,
        "algorithm": analysis.algorithm,
        "resolution": analysis.resolution,
        "left_out_channels": left_out.height,
    }
