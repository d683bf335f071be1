"""The dead-man's switch: a heartbeat whose absence raises an alarm.

Dagster sends no message when a sensor fails or the daemon stops, and a process cannot report its own end.
So the alarms on the heartbeat live in CloudWatch, outside the processes that may be dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import dagster as dg
from pydantic import AwareDatetime, TypeAdapter

from collector_service.clock import Clock
from collector_service.lake import Lake
from collector_service.support.state_object import StateObject, UnreadableStateError
from vieweratlas_dagster.alerts.delivery import Backend
from vieweratlas_dagster.alerts.run_log import last_success
from vieweratlas_dagster.lake.keys import LATEST_MANIFEST
from vieweratlas_dagster.lake.manifests import read_map_manifest

HEARTBEAT_KEY = "state/heartbeat.json"
# The last success of this job proves that schedule, queue and runs work.
_CHECKING_JOB = "freshness"


@dataclass(frozen=True)
class Heartbeat:
    """The time of the last round of alerts, and the ages at that time; None for an unknown age."""

    at: AwareDatetime
    checks_age_minutes: float | None = None
    atlas_age_hours: float | None = None

    def metrics(self) -> dict[str, float]:
        """The CloudWatch metrics, without unknown ages."""
        ages = {"ChecksAgeMinutes": self.checks_age_minutes, "AtlasAgeHours": self.atlas_age_hours}
        return {"Heartbeat": 1.0} | {name: age for name, age in ages.items() if age is not None}


HEARTBEAT = StateObject.of_type(
    HEARTBEAT_KEY,
    TypeAdapter(Heartbeat),
    advice="the next round of vieweratlas_alerts replaces it",
    indent=None,
)


def last_heartbeat(lake: Lake) -> Heartbeat | None:
    """The last heartbeat in the lake; None if it does not exist or cannot be read."""
    try:
        return HEARTBEAT.read(lake)
    except (FileNotFoundError, UnreadableStateError):
        return None


def beat(
    instance: dg.DagsterInstance,
    lake: Lake,
    backend: Backend,
    clock: Clock,
    now: datetime,
    every: timedelta,
) -> bool:
    """Publish a heartbeat unless the last one is younger than ``every``; return whether it did."""
    last = last_heartbeat(lake)
    if last is not None and timedelta(0) <= now - last.at < every:
        return False
    checked = last_success(instance, _CHECKING_JOB)
    heartbeat = Heartbeat(
        now,
        None if checked is None else round((now - checked) / timedelta(minutes=1), 1),
        atlas_age_hours(lake, datetime.fromtimestamp(clock.now(), UTC)),
    )
    # The object in the lake comes last: if it came first, metrics that failed would not be sent again.
    backend.measure(heartbeat.metrics())
    HEARTBEAT.write(lake, heartbeat)
    return True


def atlas_age_hours(lake: Lake, now: datetime) -> float | None:
    """Hours since the end of the day of the published atlas; None before the first one."""
    manifest = read_map_manifest(lake, LATEST_MANIFEST)
    if manifest is None:
        return None
    end = datetime.combine(manifest.date, time(), tzinfo=UTC) + timedelta(days=1)
    return round(max(now - end, timedelta(0)) / timedelta(hours=1), 2)
