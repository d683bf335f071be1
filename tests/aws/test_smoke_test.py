"""The smoke test of the deployed platform, against moto: each part well, late, broken and missing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from pydantic import TypeAdapter

from collector_service.contract import live_key, vod_key
from vieweratlas_dagster.alerts import incidents
from vieweratlas_dagster.alerts.heartbeat import HEARTBEAT_KEY, Heartbeat
from vieweratlas_dagster.alerts.incidents import STATE_KEY, CheckEvaluated, Failure
from vieweratlas_dagster.lake.keys import MAP_MANIFEST, analysis_key

from .fargate_double import REGION
from .front import Front, front_of

NAME, BUCKET, PREFIX = "smoke", "smoke-lake", "vieweratlas/"
NOW = datetime(2026, 3, 10, 12, 2, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WINDOW = 5 * MINUTE


@pytest.fixture(scope="module")
def front(s3_endpoint) -> Iterator[Front]:
    """AWS with both services, and an empty bucket."""
    with front_of(s3_endpoint) as front, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", front.endpoint)
        boto3.client("s3", region_name=REGION).create_bucket(Bucket=BUCKET)
        ecs = boto3.client("ecs", region_name=REGION)
        ecs.create_cluster(clusterName=NAME)
        variables = [{"name": "S3_BUCKET", "value": BUCKET}, {"name": "S3_PREFIX", "value": PREFIX}]
        for kind in ("collector", "dagster"):
            family = f"{NAME}-{kind}"
            container = {"name": kind, "image": "x", "memory": 64, "environment": variables}
            ecs.register_task_definition(family=family, containerDefinitions=[container])
            ecs.create_service(cluster=NAME, serviceName=family, taskDefinition=family, desiredCount=1)
        yield front


class Lake:
    """The lake's objects, put where moto keeps them: thousands of requests would take half a minute."""

    def __init__(self) -> None:
        self._backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self._backend.buckets[BUCKET].keys.clear()

    def put(self, key: str, data: bytes = b"-") -> None:
        self._backend.put_object(BUCKET, PREFIX + key, data)

    def put_windows(self, newest: datetime, count: int, collectors: int = 1) -> None:
        for back, collector in product(range(count), range(collectors)):
            self.put(live_key(newest - back * WINDOW, f"{collector}-{collectors}"))

    def put_map(self, day: str, complete: bool = True) -> None:
        body = {"channels": 3, "complete": complete, "date": day, "files": {}}
        self.put(analysis_key(day, MAP_MANIFEST), json.dumps(body).encode())

    def put_heartbeat(self, age: timedelta, checks: float | None = 5.0) -> None:
        self.put(HEARTBEAT_KEY, TypeAdapter(Heartbeat).dump_json(Heartbeat(NOW - age, checks, 12.0)))


@pytest.fixture
def lake(front) -> Lake:
    """A lake in which all is well."""
    front.fate = "healthy"
    lake = Lake()
    lake.put_windows(NOW.replace(minute=0) - WINDOW, count=3)
    lake.put_map("2026-03-08")
    lake.put_map("2026-03-09")
    lake.put_heartbeat(3 * MINUTE)
    return lake


class Look:
    """The smoke test at a time of choice."""

    def __init__(self) -> None:
        from ops import platform_on_aws, smoke

        self._smoke, self._platform = smoke, platform_on_aws

    def __call__(self, now: datetime = NOW, vod: bool = False, name: str = NAME) -> dict[str, Any]:
        expected = self._smoke.Expectations(snapshot_age=20 * MINUTE, vod=vod)
        found = self._smoke.smoke_test(self._platform.Platform(name, REGION), expected, now)
        return {finding.part: finding for finding in found}


@pytest.fixture
def look(ops, front) -> Look:
    return Look()


def bad(found: dict[str, Any]) -> list[str]:
    return [part for part, finding in found.items() if not finding.ok]


def test_all_is_well_beyond_a_page_of_a_thousand_objects(look, lake, front):
    lake.put_windows(NOW.replace(minute=0) - WINDOW, count=288, collectors=18)
    asked = len(front.operations)
    found = look()
    assert bad(found) == []
    assert list(found) == [
        "collector service",
        "dagster service",
        "live snapshots",
        "analysis",
        "heartbeat",
        "checks and runs",
    ]
    # The newest window began at 11:55; 144 of 288 windows of 18 collectors are of today.
    assert found["live snapshots"].text == "newest window began 7 minutes ago; 2595 objects on 2026-03-10"
    assert found["collector service"].text == f"1 of 1 running, HEALTHY, {NAME}-collector:1"
    assert found["analysis"].text == "last finished map: 2026-03-09"
    writes = [one for one in front.operations[asked:] if one in ("PUT", "POST", "DELETE")]
    assert writes == []


@pytest.mark.parametrize(("minutes", "well"), [(20, True), (21, False)])
def test_the_newest_window_may_have_begun_so_long_ago(look, lake, minutes, well):
    found = look(NOW.replace(minute=0) - WINDOW + minutes * MINUTE)
    assert found["live snapshots"].ok is well


def test_around_midnight_the_newest_window_is_of_yesterday(look, front):
    Lake().put_windows(datetime(2026, 3, 9, 23, 55, tzinfo=UTC), count=320)
    seen = look(datetime(2026, 3, 10, 0, 4, tzinfo=UTC))["live snapshots"]
    assert (seen.ok, seen.text) == (True, "newest window began 9 minutes ago; 288 objects on 2026-03-09")


def test_a_lake_without_snapshots_is_not_well(look, lake):
    Lake().put_map("2026-03-09")
    seen = look()["live snapshots"]
    assert (seen.ok, seen.text) == (False, "none since 2026-03-09")


@pytest.mark.parametrize(
    ("hour", "days", "well"),
    [
        (5, ["2026-03-08"], True),  # yesterday's run may still be under way
        (7, ["2026-03-08"], False),
        (7, ["2026-03-09"], True),
        (7, ["2026-03-07", "2026-03-09", "2026-03-08"], True),
        (7, [], False),
    ],
)
def test_yesterday_s_map_is_due_in_the_morning(look, front, hour, days, well):
    lake = Lake()
    lake.put_windows(datetime(2026, 3, 7, tzinfo=UTC), count=1)
    for day in days:
        lake.put_map(day)
    assert look(NOW.replace(hour=hour))["analysis"].ok is well


def test_a_map_that_is_not_finished_is_none(look, lake):
    lake.put_map("2026-03-09", complete=False)
    seen = look()["analysis"]
    assert (seen.ok, seen.text) == (False, "last finished map: 2026-03-08; 2026-03-09 is due")


def test_on_the_first_day_no_map_is_due(look, front):
    Lake().put_windows(NOW, count=3)
    assert look()["analysis"].ok
    assert look(NOW + DAY - 7 * HOUR)["analysis"].ok
    assert not look(NOW + DAY)["analysis"].ok


def test_recordings_are_looked_for_only_where_they_are_read(look, lake):
    assert "recordings" not in look()
    assert look(vod=True)["recordings"].ok  # the lake is a day old
    lake.put(live_key(NOW - 3 * DAY, "c1"))
    assert not look(vod=True)["recordings"].ok
    lake.put(vod_key("2026-03-07", "1"))
    assert not look(vod=True)["recordings"].ok
    lake.put(vod_key("2026-03-08", "2"))
    seen = look(vod=True)["recordings"]
    assert (seen.ok, seen.text) == (True, "newest day with chat of recordings: 2026-03-08")


@pytest.mark.parametrize(
    ("age", "checks", "well"),
    [
        (3 * MINUTE, 5.0, True),
        (16 * MINUTE, 5.0, False),
        (3 * MINUTE, 61.0, False),
        (3 * MINUTE, 58.0, False),
        (3 * MINUTE, None, False),
    ],
)
def test_the_heartbeat_tells_how_old_the_checks_are(look, lake, age, checks, well):
    lake.put_heartbeat(age, checks)
    assert look()["heartbeat"].ok is well


def test_what_fails_now_is_named_and_what_is_over_is_not(look, lake):
    late = Failure("check live_chat_is_fresh", "the newest window is 40 minutes old", (), "", "")
    failed = CheckEvaluated("live_chat", "live_chat_is_fresh", "", NOW - HOUR, late)
    over = [
        replace(failed, check="day_has_data"),
        replace(failed, check="day_has_data", at=NOW, failure=None),
    ]
    lake.put(STATE_KEY, incidents.STATE.encode(incidents.observe(incidents.State(), [failed, *over])))
    seen = look()["checks and runs"]
    assert (seen.ok, seen.text) == (
        False,
        "1 failing: check live_chat_is_fresh: the newest window is 40 minutes old",
    )


@pytest.mark.parametrize(("key", "part"), [(STATE_KEY, "checks and runs"), (HEARTBEAT_KEY, "heartbeat")])
def test_what_cannot_be_read_is_not_well(look, lake, key, part):
    lake.put(key, b"{")
    assert bad(look()) == [part]


def test_nothing_that_watches_is_not_well(look, front):
    Lake().put_windows(NOW, count=1)
    assert bad(look()) == ["heartbeat"]


@pytest.mark.parametrize(
    ("fate", "text"),
    [("unhealthy", "1 of 1 running, UNHEALTHY"), ("starting", "0 of 1 running, no task")],
)
def test_services_must_run_and_be_healthy(look, lake, front, fate, text):
    front.fate = fate
    found = look()
    assert bad(found) == ["collector service", "dagster service"]
    assert found["collector service"].text.startswith(text)


def test_services_that_were_stopped_are_not_well(look, lake, front):
    ecs = boto3.client("ecs", region_name=REGION)
    ecs.update_service(cluster=NAME, service=f"{NAME}-dagster", desiredCount=0)
    try:
        found = look()
    finally:
        ecs.update_service(cluster=NAME, service=f"{NAME}-dagster", desiredCount=1)
    assert bad(found) == ["dagster service"]
    assert "services_running=false" in found["dagster service"].text


def test_where_nothing_is_deployed_nothing_is_well(look, front):
    found = look(name="elsewhere")
    assert bad(found) == list(found) == ["collector service", "dagster service", "lake"]
    assert "safe-deploy.sh makes it" in found["collector service"].text
