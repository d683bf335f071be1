"""The smoke test: is the platform doing its work, as far as can be seen from outside?

It reads ECS's descriptions and the lake, and changes nothing. The results of the checks come from two
objects that Dagster's alert sensor writes: ``state/heartbeat.json`` (the time of its last look, and the age
of the checks) and ``state/alerts.json`` (the present failures).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from vieweratlas_dagster.alerts.heartbeat import HEARTBEAT
from vieweratlas_dagster.alerts.incidents import STATE, State
from vieweratlas_dagster.lake.keys import MAP_MANIFEST, analysis_key
from vieweratlas_dagster.lake.manifests import MAP_MANIFESTS

from .platform_on_aws import SERVICES, Platform, environment

# The daily job begins at 03:00 UTC and may be retried; until then, the map of the day before is the newest.
_MAP_DUE = timedelta(hours=6)
_MAX_HEARTBEAT = timedelta(minutes=15)
_MAX_CHECKS_MINUTES = 60.0
# The quarter of a day that ended last is read up to six hours later, and its broadcasts began before it.
_MAX_VOD_DAYS = 2
_SHOWN = 5
Found = TypeVar("Found")


@dataclass(frozen=True)
class Finding:
    """The examined part, whether it works, and what was seen."""

    part: str
    ok: bool
    text: str


@dataclass(frozen=True)
class Expectations:
    """Expectations of a healthy platform.

    ``snapshot_age``: the most since the newest live window began. ``vod``: whether recordings are read.
    """

    snapshot_age: timedelta
    vod: bool


class Bucket:
    """The deployed lake, read only, of any number of objects."""

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self._s3, self._bucket, self._prefix = s3, bucket, prefix.strip("/") + "/"

    def keys(self, prefix: str) -> Iterable[str]:
        """Every key below ``prefix``, relative to the lake's root, in alphabetical order."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        for page in pages:
            for found in page.get("Contents", []):
                yield found["Key"].removeprefix(self._prefix)

    def days(self, prefix: str) -> list[date]:
        """The days of the partitions below ``prefix``, newest first."""
        start = self._prefix + prefix + "date="
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=start, Delimiter="/"
        )
        names = [found["Prefix"] for page in pages for found in page.get("CommonPrefixes", [])]
        return sorted(
            (date.fromisoformat(name.removeprefix(start).strip("/")) for name in names), reverse=True
        )

    def get(self, key: str) -> bytes | None:
        """An object's bytes; None when it does not exist."""
        try:
            return bytes(self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"].read())
        except self._s3.exceptions.NoSuchKey:
            return None


def smoke_test(platform: Platform, expected: Expectations, now: datetime) -> list[Finding]:
    """Examine every part; one that cannot be examined does not work, and nothing raises."""
    services = _look("services", lambda: platform.services())
    if isinstance(services, Finding):
        return [services]
    findings = [_try(f"{kind} service", _service, platform, services, kind) for kind in SERVICES]
    bucket = _look("lake", lambda: _bucket(platform, services))
    if isinstance(bucket, Finding):
        return [*findings, bucket]
    findings.append(_try("live snapshots", _snapshots, bucket, expected.snapshot_age, now))
    findings.append(_try("analysis", _analysis, bucket, now))
    if expected.vod:
        findings.append(_try("recordings", _recordings, bucket, now))
    findings.append(_try("heartbeat", _heartbeat, bucket, now))
    findings.append(_try("checks and runs", _incidents, bucket))
    return findings


def _look(part: str, look: Callable[[], Found]) -> Found | Finding:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - the operator wants to read any fault
        return Finding(part, False, f"{type(error).__name__}: {error}")


def _try(part: str, examine: Callable[..., tuple[bool, str]], *arguments: Any) -> Finding:
    seen = _look(part, lambda: examine(*arguments))
    return seen if isinstance(seen, Finding) else Finding(part, *seen)


def _service(platform: Platform, services: dict[str, dict[str, Any]], kind: str) -> tuple[bool, str]:
    if kind not in services:
        return False, f"the service {platform.full_name(kind)} does not exist; safe-deploy.sh makes it"
    service = services[kind]
    count = f"{service['runningCount']} of {service['desiredCount']} running"
    if service["desiredCount"] == 0:
        return False, f"{count}: stopped on purpose (services_running=false)"
    arns = platform.ecs.list_tasks(
        cluster=platform.name, serviceName=platform.full_name(kind), desiredStatus="RUNNING"
    )["taskArns"]
    tasks = platform.ecs.describe_tasks(cluster=platform.name, tasks=arns)["tasks"] if arns else []
    health = sorted(
        {task.get("healthStatus", "UNKNOWN") for task in tasks if task["lastStatus"] == "RUNNING"}
    )
    revision = service["taskDefinition"].rsplit("/", 1)[-1]
    well = service["runningCount"] == service["desiredCount"] and health == ["HEALTHY"]
    return well, f"{count}, {', '.join(health) or 'no task'}, {revision}"


def _bucket(platform: Platform, services: dict[str, dict[str, Any]]) -> Bucket:
    if "collector" not in services:
        raise LookupError("unknown without a collector, whose task definition names the bucket")
    variables = environment(platform.containers(services["collector"]["taskDefinition"])["collector"])
    return Bucket(platform.client("s3"), variables["S3_BUCKET"], variables["S3_PREFIX"])


def _snapshots(bucket: Bucket, allowed: timedelta, now: datetime) -> tuple[bool, str]:
    # Around midnight the newest window is from yesterday.
    for day in (now.date(), now.date() - timedelta(days=1)):
        keys = list(bucket.keys(f"raw/snapshots/date={day}/"))
        if keys:
            # Names begin with the window's start, below a folder of its hour: the last key is the newest.
            start = datetime.strptime(keys[-1].rsplit("/", 1)[-1][:16], "%Y%m%dT%H%M%S%z")
            age = now - start
            return age <= allowed, f"newest window began {_span(age)} ago; {len(keys)} objects on {day}"
    return False, f"none since {now.date() - timedelta(days=1)}"


def _analysis(bucket: Bucket, now: datetime) -> tuple[bool, str]:
    due = (now - timedelta(days=1) - _MAP_DUE).date()
    for day in bucket.days("curated/analysis/"):
        key = analysis_key(f"{day}", MAP_MANIFEST)
        manifest = bucket.get(key)
        if manifest is not None and MAP_MANIFESTS.parse(manifest, key).complete:
            late = "" if day >= due else f"; {due} is due"
            return day >= due, f"last finished map: {day}{late}"
    first = min(bucket.days("raw/snapshots/"), default=None)
    if first is None or first > due:
        return True, "none is due before a day of snapshots has ended"
    return False, f"no finished map; {due} is due"


def _recordings(bucket: Bucket, now: datetime) -> tuple[bool, str]:
    days = bucket.days("raw/vod_chat/")
    oldest = now.date() - timedelta(days=_MAX_VOD_DAYS)
    if not days:
        first = min(bucket.days("raw/snapshots/"), default=now.date())
        return first > oldest, "no chat of recordings in the lake"
    return days[0] >= oldest, f"newest day with chat of recordings: {days[0]}"


def _heartbeat(bucket: Bucket, now: datetime) -> tuple[bool, str]:
    data = bucket.get(HEARTBEAT.key)
    if data is None:
        return False, "none yet: is the sensor vieweratlas_alerts on, and the daemon running?"
    heartbeat = HEARTBEAT.parse(data, HEARTBEAT.key)
    age, checks = now - heartbeat.at, heartbeat.checks_age_minutes
    if checks is None:
        return False, f"{_span(age)} ago, but the freshness checks have not run yet"
    # The checks are as much older now as the heartbeat is old.
    checks += age / timedelta(minutes=1)
    return (
        age <= _MAX_HEARTBEAT and checks <= _MAX_CHECKS_MINUTES,
        f"{_span(age)} ago; freshness checks last ran {_span(timedelta(minutes=checks))} ago",
    )


def _incidents(bucket: Bucket) -> tuple[bool, str]:
    data = bucket.get(STATE.key)
    state = State() if data is None else STATE.parse(data, STATE.key)
    failing = [incident.report for incident in state.incidents.values() if incident.failing]
    if not failing:
        return True, "green: nothing fails"
    named = "; ".join(f"{report.name}: {report.what}" for report in failing[:_SHOWN])
    more = f"; and {len(failing) - _SHOWN} more" if len(failing) > _SHOWN else ""
    return False, f"{len(failing)} failing: {named}{more}"


def _span(age: timedelta) -> str:
    minutes = age / timedelta(minutes=1)
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
