"""Checks of a day's input (groups raw and curated): amount, usable share, and references."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl

from collector_service.contract import ChannelStatus
from vieweratlas_dagster.checks.check import Verdict, View, check
from vieweratlas_dagster.checks.rules import times_usual, unknown_channels
from vieweratlas_dagster.curation.merge import observed_share, status_counts
from vieweratlas_dagster.lake.keys import SOURCES, channels_key, days_up_to, presence_key
from vieweratlas_dagster.lake.manifests import read_day_manifest
from vieweratlas_dagster.lake.tables_io import read_table_if_there
from vieweratlas_dagster.tables import CHANNELS, PRESENCE

# States of a channel that no collector can change.
_CANNOT_BE_READ = [
    status.value
    for status in (
        ChannelStatus.SUSPENDED,
        ChannelStatus.BANNED,
        ChannelStatus.NOT_FOUND,
        ChannelStatus.RENAMED,
        ChannelStatus.OPTED_OUT,
    )
]
_USUAL_DAYS = 7
_FEWEST_USUAL_DAYS = 3


@check("snapshots")
def quarantine_is_small(view: View) -> Verdict:
    """Few of the day's lines had to be refused."""
    objects = read_day_manifest(view.lake, view.day)
    rejected = sum(entry.rejected for entry in objects)
    lines = rejected + sum(entry.records for entry in objects)
    share = rejected / lines if lines else 0.0
    reasons = sorted({reason for entry in objects for reason in entry.reasons})
    return Verdict(
        passed=share <= view.limits.max_quarantined_share,
        text=f"{rejected} of {lines} lines refused" + (f": {', '.join(reasons)}" if reasons else ""),
        numbers={"rejected": rejected, "lines": lines, "share": share, "reasons": json.dumps(reasons)},
    )


@check("snapshots")
def day_has_data(view: View) -> Verdict:
    """Something arrived on this day."""
    objects = read_day_manifest(view.lake, view.day)
    records = sum(entry.records for entry in objects)
    return Verdict(
        passed=records > 0,
        text=f"{records} usable records" if records else f"no usable record on {view.day}",
        numbers={"records": records, "objects": len(objects)},
    )


@check("presence_snapshots")
def presence_refers_to_channels(view: View) -> Verdict:
    """Every channel with presence is in the day's channel dimension."""
    channels = view.table(channels_key(view.day), CHANNELS)
    unknown = {
        source: unknown_channels(view.table(presence_key(view.day, source), PRESENCE), channels)
        for source in SOURCES
    }
    problems = [
        f"{source}: {count} channels are not in the channel dimension"
        for source, count in unknown.items()
        if count
    ]
    return Verdict.of(problems, channels=channels.height)


@check("presence_snapshots")
def volume_is_usual(view: View) -> Verdict:
    """The day has about as many presence rows and viewers as the median of the seven days before it."""
    if datetime.fromisoformat(view.day).replace(tzinfo=UTC) + timedelta(days=1) > view.now:
        return Verdict(passed=True, text="the day is not over yet")
    counts = {day: _volume(view, day) for day in days_up_to(view.day, _USUAL_DAYS + 1)}
    rows, viewers = counts.pop(view.day)
    earlier = [count for count in counts.values() if count[0]]
    low, high = view.limits.min_times_usual, view.limits.max_times_usual
    numbers: dict[str, int | float] = {"rows": rows, "viewers": viewers, "earlier_days": len(earlier)}
    texts, passed = [], True
    for place, (name, value) in enumerate((("rows", rows), ("viewers", viewers))):
        times = times_usual(value, [count[place] for count in earlier], fewest=_FEWEST_USUAL_DAYS)
        if times is not None:
            numbers[f"{name}_times_usual"] = times
            texts.append(f"{value} {name}, {times:.2f} times the usual")
            passed = passed and low <= times <= high
    if not texts:
        text = f"{len(earlier)} of the {_USUAL_DAYS} days before have data; {_FEWEST_USUAL_DAYS} are needed"
        return Verdict(passed=True, text=text, numbers=numbers)
    return Verdict(passed, f"{'; '.join(texts)} (from {low:g} to {high:g})", numbers)


def _volume(view: View, day: str) -> tuple[int, int]:
    """Presence rows and distinct viewers of a day; none of a day that was not made."""
    found = [read_table_if_there(view.lake, presence_key(day, source), PRESENCE) for source in SOURCES]
    keys = pl.concat([PRESENCE.empty(), *(frame for frame in found if frame is not None)])["viewer_key"]
    return keys.len(), keys.n_unique()


@check("channels")
def channels_were_observed(view: View) -> Verdict:
    """The collector or VODs observed the day's channels for most of the time that they should be read.

    Channels that cannot be read, because of Twitch or the channel itself, do not count.
    """
    frame = view.table(channels_key(view.day), CHANNELS)
    readable = frame.filter(~pl.col("collector_status").is_in(_CANNOT_BE_READ).fill_null(False))
    never = status_counts(readable.filter(status="unobserved"))
    share = observed_share(readable)
    text = f"{share:.1%} of the time of {readable.height} channels was observed"
    if never.height:
        words = (f"{row['channels']} {row['collector_status']}" for row in never.iter_rows(named=True))
        text += f"; never observed: {', '.join(words)}"
    return Verdict(
        passed=share >= view.limits.min_observed_share,
        text=text,
        numbers={
            "observed_share": share,
            "channels": readable.height,
            "never_observed": int(never["channels"].sum()),
            "cannot_be_read": frame.height - readable.height,
        },
    )


CHECKS = (
    quarantine_is_small,
    day_has_data,
    presence_refers_to_channels,
    volume_is_usual,
    channels_were_observed,
)
