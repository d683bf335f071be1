"""Checks of freshness by data time: do data come in, hour after hour, and does yesterday's atlas exist.

They run on a schedule of their own, because silence causes no event. Freshness by materialization time is
the assets' FreshnessPolicy.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from collector_service.contract import LIVE_PREFIX, live_day_prefix
from collector_service.lake import Lake
from vieweratlas_dagster.checks.check import Verdict, View, check
from vieweratlas_dagster.checks.timing import (
    age_minutes,
    full_hour,
    hours_without,
    queue_failures,
    queue_state,
)
from vieweratlas_dagster.curation.imported_ids import IMPORT_ORIGIN
from vieweratlas_dagster.lake.keys import MAP_MANIFEST, analysis_key

if TYPE_CHECKING:
    from vieweratlas_dagster.vod.queue import VodItem

_VOD_OFF = "VOD chat is off (vod.enabled)"
_REASONS_SHOWN = 3


def newest_live_snapshot(lake: Lake, now: datetime) -> datetime | None:
    """Start of the newest live window of the last eight days, read from the objects' names."""
    for back in range(8):
        if found := list(_window_starts(lake, f"{now - timedelta(days=back):%Y-%m-%d}")):
            return max(found)
    return None


def _window_starts(lake: Lake, day: str) -> Iterator[datetime]:
    """Starts of the day's windows that a collector wrote; imported windows do not count."""
    for info in lake.objects(live_day_prefix(day)):
        stamp, _, origin = info.key.rsplit("/", 1)[-1].partition("-")
        if not origin.startswith(IMPORT_ORIGIN):
            try:
                yield datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            except ValueError:
                continue


@check("live_chat", of_a_day=False)
def live_chat_is_fresh(view: View) -> Verdict:
    """The collector wrote a snapshot recently."""
    age = age_minutes(newest_live_snapshot(view.lake, view.now), view.now)
    if age is None:
        return Verdict(False, "no live snapshot in the last eight days; is the collector running?")
    limit = view.limits.max_snapshot_age_minutes
    return Verdict(
        passed=age <= limit,
        text=f"the newest window started {age:.0f} minutes ago (limit {limit:g})",
        numbers={"age_minutes": age},
    )


@check("live_chat", of_a_day=False)
def live_hours_are_complete(view: View) -> Verdict:
    """Each of the last 24 full hours has live snapshots; only hours since the collector's first count."""
    # An hour's last windows arrive after its end.
    end = full_hour(view.now - timedelta(minutes=view.limits.max_snapshot_age_minutes))
    first = end - timedelta(hours=24)
    window = timedelta(seconds=view.settings.collection.window_seconds)
    days = sorted({f"{instant:%Y-%m-%d}" for instant in (first - window, first, end)})
    starts = [start for day in days for start in _window_starts(view.lake, day)]
    kept = (name.removeprefix("date=") for name in view.lake.folders(f"{LIVE_PREFIX}/"))
    if starts and min(kept) >= days[0]:
        first = max(first, full_hour(min(starts)))
    missing = hours_without(starts, window, first=first, end=end)
    expected = max(0, (end - first) // timedelta(hours=1))
    present = expected - len(missing)
    wanted = min(view.limits.min_live_hours, expected)
    text = f"{present} of the last {expected} full hours have live snapshots (at least {wanted})"
    if missing:
        text += f"; none in the hours from {', '.join(f'{hour:%d %H}:00' for hour in missing)} UTC"
    return Verdict(
        passed=present >= wanted,
        text=text,
        numbers={"hours_present": present, "hours_expected": expected, "hours_missing": len(missing)},
    )


@check("vod_chat", of_a_day=False)
def vod_queue_moves(view: View) -> Verdict:
    """Few recordings wait to be read, none for too long, and no run that ended long ago holds a lease."""
    if not view.settings.vod.enabled:
        return Verdict(passed=True, text=_VOD_OFF)
    # Leases are in real time, also with a simulated clock.
    state = queue_state(_vod_queue(view), now=view.now, real_now=datetime.now(UTC))
    limits = view.limits
    problems = []
    if state.waiting > limits.max_vods_waiting:
        problems.append(f"{state.waiting} recordings wait (limit {limits.max_vods_waiting})")
    if state.oldest_waiting_hours > limits.max_vod_wait_hours:
        problems.append(
            f"the longest has waited {state.oldest_waiting_hours:.0f} hours "
            f"(limit {limits.max_vod_wait_hours:g})"
        )
    if state.longest_expired_hours > limits.max_vod_expired_hours:
        problems.append(
            f"a lease ran out {state.longest_expired_hours:.0f} hours ago and no run took it over "
            f"(limit {limits.max_vod_expired_hours:g})"
        )
    return Verdict(
        passed=not problems,
        text="; ".join(problems) or f"{state.waiting} recordings wait, {state.leased} are being read",
        numbers=vars(state),
    )


@check("vod_chat", of_a_day=False)
def vods_can_be_read(view: View) -> Verdict:
    """Few of the recordings that were tried failed; recordings that their owners deleted do not count."""
    if not view.settings.vod.enabled:
        return Verdict(passed=True, text=_VOD_OFF)
    found = queue_failures(_vod_queue(view))
    limit, fewest = view.limits.max_vod_failed_share, view.limits.min_judged_vods
    text = (
        f"{found.dead + found.waiting} of {found.attempted} recordings that were tried failed: "
        f"{found.dead} dead, {found.waiting} to be tried again "
        f"(limit {limit:.0%}, judged from {fewest} onwards)"
    )
    often = sorted(found.reasons.items(), key=lambda reason: (-reason[1], reason[0]))[:_REASONS_SHOWN]
    if often:
        text += f"; {', '.join(f'{count} x {reason}' for reason, count in often)}"
    return Verdict(
        passed=found.attempted < fewest or found.share <= limit,
        text=text,
        numbers={
            "attempted": found.attempted,
            "dead": found.dead,
            "waiting": found.waiting,
            "share": found.share,
            "reasons": json.dumps(dict(often)),
        },
    )


def _vod_queue(view: View) -> list["VodItem"]:
    # Imported here since it loads the Twitch clients, which the code location does not need.
    from vieweratlas_dagster.vod.queue_store import QueueStore

    return list(QueueStore(view.lake).load().values())


@check("atlas", of_a_day=False)
def atlas_of_yesterday_exists(view: View) -> Verdict:
    """Yesterday's map is finished (the day before's until 05:00 UTC, while yesterday's is being made)."""
    day = f"{view.now - timedelta(days=2 if view.now.hour < 5 else 1):%Y-%m-%d}"
    there = view.lake.exists(analysis_key(day, MAP_MANIFEST))
    return Verdict(
        passed=there,
        text=f"the atlas of {day} {'exists' if there else 'is missing'}",
        numbers={"day": day, "there": there},
    )


CHECKS = (
    live_chat_is_fresh,
    live_hours_are_complete,
    vod_queue_moves,
    vods_can_be_read,
    atlas_of_yesterday_exists,
)
