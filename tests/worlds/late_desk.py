"""Three made days, with the sensor for late data and the runs that it asks for."""

import shutil
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import dagster as dg

from collector_service.lake import Lake
from tests.worlds.days import planted_day, put_day, run_day
from vieweratlas_dagster.automation.late_data import vieweratlas_late_data
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.settings import Settings

NOON = datetime.fromisoformat("2026-03-04T12:00:00Z")
DAYS = [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)]
FIRST, SECOND, THIRD = (f"{day}" for day in DAYS)


def settings_in(folder, **sections) -> Settings:
    # A clock that stands still at noon of the day after the last one.
    real = datetime.fromisoformat("2100-01-01T00:00:00Z").timestamp()
    return Settings(
        storage={"dir": folder / "lake"},
        analysis={"min_channel_viewers": 5, "overlap_threshold": 2, "window_days": 3},
        simulation={"clock": f"{real}/{NOON.timestamp()}/1"},
        **({"late_data": {"quiet_minutes": 0}} | sections),
    )


class LateDesk:
    """A lake with three days, an instance, and the sensor with its cursor."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance, self.cursor = settings, instance, None
        self.lake = Lake.open(settings.storage)
        self.definitions = build_definitions(settings)

    def tick(self) -> dg.SensorResult:
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            definitions=self.definitions,
            resources=self.definitions.resources,
        ) as context:
            result = vieweratlas_late_data(context)
        self.cursor = result.cursor
        return result

    def request(self) -> dg.RunRequest:
        result = self.tick()
        assert result.skip_reason is None, result.skip_reason
        [request] = result.run_requests
        return request

    def reason(self) -> str:
        result = self.tick()
        assert not result.run_requests
        return result.skip_reason.skip_message

    def execute(self, request: dg.RunRequest) -> bool:
        tags = {"dagster/run_key": request.run_key} | dict(request.tags)
        return self.run(request.job_name, request.partition_key, tags)

    def run(self, job: str, day: str, tags: dict[str, str] | None = None) -> bool:
        job = self.definitions.resolve_job_def(job)
        done = job.execute_in_process(
            instance=self.instance, partition_key=day, tags=tags, raise_on_error=False
        )
        return done.success

    def work_off(self) -> list[tuple[str, str]]:
        """Ticks until nothing is requested; the jobs and days that were."""
        made = []
        while (result := self.tick()).run_requests:
            [request] = result.run_requests
            assert self.execute(request)
            made.append((request.job_name, request.partition_key))
            assert len(made) < 20
        return made

    def content(self) -> dict[str, bytes]:
        return content_of(self.lake)


def content_of(lake: Lake) -> dict[str, bytes]:
    """Every curated object."""
    return {info.key: lake.get(info.key) for info in lake.objects("curated/")}


def make_days(folder: Path) -> None:
    """Fill a folder with the lake of `settings_in` and three made days."""
    settings = settings_in(folder)
    lake = Lake.open(settings.storage)
    for day in DAYS:
        put_day(lake, day, planted_day(day)[:12])
    run_days(settings)


def run_days(settings: Settings) -> None:
    """Make the three days in an instance of their own."""
    with dg.instance_for_test() as instance:
        for day in DAYS:
            assert run_day(settings, day, instance).success


def with_days(settings: Settings, made_once: Callable[[str, Callable[[Path], None]], Path]) -> Settings:
    """Copy the three made days, with their times, to where the settings have their lake."""
    shutil.copytree(made_once("late-days", make_days) / "lake", settings.storage.dir, dirs_exist_ok=True)
    return settings
