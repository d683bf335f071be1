"""Which runs go and which stay, on a real SQLite instance with real runs whose age is planted."""

import shutil
import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from vieweratlas_dagster.automation.old_runs import remove_old_runs

NOW = datetime.now(UTC)
DAYS = dg.DailyPartitionsDefinition("2026-01-01")


class Mood(dg.Config):
    fail: bool = False


@dg.asset(partitions_def=DAYS)
def upper() -> None:
    pass


@dg.asset(partitions_def=DAYS, deps=[upper])
def lower(config: Mood) -> None:
    if config.fail:
        raise RuntimeError("planted")


@dg.asset_check(asset="upper")
def fresh() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


DEFINITIONS = dg.Definitions(
    assets=[upper, lower],
    asset_checks=[fresh],
    jobs=[
        dg.define_asset_job(
            "both", dg.AssetSelection.assets(upper, lower) - dg.AssetSelection.all_asset_checks()
        ),
        dg.define_asset_job("freshness", dg.AssetSelection.all_asset_checks()),
    ],
    executor=dg.in_process_executor,
)


class Records:
    """An instance below a folder, and runs by a name."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.folder, self.instance, self.runs = folder, instance, {}

    def run(self, name: str, job: str, day: str | None, age: float, fail: bool = False) -> None:
        config = {"ops": {"lower": {"config": {"fail": True}}}} if fail else None
        done = DEFINITIONS.resolve_job_def(job).execute_in_process(
            instance=self.instance, partition_key=day, run_config=config, raise_on_error=False
        )
        assert done.success is not fail
        self.runs[name] = done.run_id
        with sqlite3.connect(self.folder / "history/runs.db") as connection:
            created = (NOW - timedelta(days=age)).replace(tzinfo=None).isoformat(" ")
            changed = connection.execute(
                "UPDATE runs SET create_timestamp = ? WHERE run_id = ?", (created, done.run_id)
            )
            assert changed.rowcount == 1

    def left(self) -> set[str]:
        there = {run.run_id for run in self.instance.get_runs()}
        return {name for name, run_id in self.runs.items() if run_id in there}

    def partitions(self, asset: str) -> set[str]:
        return set(self.instance.get_materialized_partitions(dg.AssetKey(asset)))

    def remove(self, **options):
        return remove_old_runs(
            self.instance,
            **{
                "check_jobs": ("freshness",),
                "checks_before": NOW - timedelta(days=14),
                "others_before": NOW - timedelta(days=90),
                "seconds": 60,
                "dry_run": False,
                "report": lambda line: None,
            }
            | options,
        )


@contextmanager
def another_process(records: Records):
    """The same instance as a process sees it that has not opened it before."""
    before = records.instance
    with dg.DagsterInstance.from_ref(before.get_ref()) as records.instance:
        yield
    records.instance = before


@pytest.fixture
def records(tmp_path):
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Records(tmp_path, instance)


@pytest.fixture(scope="module")
def made_year(tmp_path_factory):
    """Runs of every kind, the oldest first as in life."""
    folder = tmp_path_factory.mktemp("year")
    with dg.instance_for_test(temp_dir=str(folder)) as instance:
        records = Records(folder, instance)
        records.run("superseded", "both", "2026-01-01", 200)
        records.run("newest of its day", "both", "2026-01-01", 199)
        records.run("failed, half of it newest", "both", "2026-01-02", 150, fail=True)
        records.run("failed, made again", "both", "2026-01-03", 149, fail=True)
        records.run("made again", "both", "2026-01-03", 148)
        records.run("young and superseded", "both", "2026-01-04", 80)
        records.run("young and failed", "both", "2026-01-04", 79, fail=True)
        records.run("young and newest", "both", "2026-01-04", 78)
        records.run("old check", "freshness", None, 20)
        records.run("older check", "freshness", None, 21)
        records.run("young check", "freshness", None, 1)
    return records


@pytest.fixture
def year(made_year, tmp_path):
    """A copy of the made year."""
    folder = tmp_path / "year"
    shutil.copytree(made_year.folder, folder)
    with dg.instance_for_test(temp_dir=str(folder)) as instance:
        copy = Records(folder, instance)
        copy.runs = dict(made_year.runs)
        yield copy


GO = {"superseded", "failed, made again", "old check", "older check"}


def test_what_is_old_and_made_again_goes_and_all_partitions_stay(year):
    partitions = year.partitions("upper"), year.partitions("lower")
    assert partitions == (
        {f"2026-01-0{day}" for day in (1, 2, 3, 4)},
        {f"2026-01-0{day}" for day in (1, 3, 4)},
    )
    lines = []
    done = year.remove(report=lines.append)
    assert set(year.runs) - year.left() == GO
    assert (year.partitions("upper"), year.partitions("lower")) == partitions
    assert done.removed == {"superseded": 1, "failed": 1, "checks": 2}
    assert (done.examined, done.kept, done.complete) == (7, 3, True)
    assert len(lines) == 4
    for name in GO:
        assert list(year.folder.rglob(f"*{year.runs[name]}*")) == []
    with another_process(year):
        for name in GO:
            assert year.instance.all_logs(year.runs[name]) == []
        for name in year.left():
            assert len(year.instance.all_logs(year.runs[name])) > 5
        assert year.remove().removed == {}


def test_a_run_that_holds_the_newest_would_take_its_partition_with_it(records):
    """Why such runs stay."""
    records.run("only", "both", "2026-01-01", 0)
    assert records.partitions("upper") == {"2026-01-01"}
    records.instance.delete_run(records.runs["only"])
    assert records.partitions("upper") == set()


def test_the_newest_evaluation_of_a_check_stays_however_old(records):
    records.run("old check", "freshness", None, 30)
    records.run("newest check", "freshness", None, 29)
    records.remove()
    assert records.left() == {"newest check"}


def test_a_dry_run_counts_the_same_and_removes_nothing(year):
    done = year.remove(dry_run=True)
    assert done.removed == {"superseded": 1, "failed": 1, "checks": 2}
    assert year.left() == set(year.runs)


def test_without_time_nothing_is_begun_and_the_next_pass_goes_on(year, monkeypatch):
    assert not year.remove(seconds=0).complete
    assert year.left() == set(year.runs)
    ticks = iter(range(1000))
    monkeypatch.setattr("vieweratlas_dagster.automation.old_runs.time.monotonic", lambda: next(ticks))
    first = year.remove(seconds=3)
    assert (first.complete, first.examined) == (False, 2)
    second = year.remove(seconds=3)
    assert (second.complete, second.examined) == (False, 2)
    while not year.remove(seconds=3).complete:
        pass
    assert set(year.runs) - year.left() == GO


def test_a_pass_that_is_killed_within_a_run_finds_it_again(year, monkeypatch):
    storage = type(year.instance.run_storage)
    real = storage.delete_run

    def killed(self, run_id):
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "delete_run", killed)
    with pytest.raises(KeyboardInterrupt):
        year.remove()
    monkeypatch.setattr(storage, "delete_run", real)
    with another_process(year):
        year.remove()
    assert set(year.runs) - year.left() == GO


def test_the_first_run_of_a_group_stays_as_long_as_its_retry(records):
    records.run("first", "both", "2026-01-01", 200, fail=True)
    records.run("retry", "both", "2026-01-01", 199)
    first = records.runs["first"]
    records.instance.add_run_tags(
        records.runs["retry"], {"dagster/root_run_id": first, "dagster/parent_run_id": first}
    )
    assert records.remove().kept == 2
    assert records.left() == {"first", "retry"}
    records.run("newer", "both", "2026-01-01", 1)
    records.remove()
    assert records.left() == {"first", "newer"}
    records.remove()
    assert records.left() == {"newer"}


def test_the_history_of_a_check_goes_with_its_runs(year):
    key = dg.AssetCheckKey(dg.AssetKey("upper"), "fresh")
    storage = year.instance.event_log_storage
    assert len(storage.get_asset_check_execution_history(key, limit=10)) == 3
    year.remove()
    [row] = storage.get_asset_check_execution_history(key, limit=10)
    assert row.run_id == year.runs["young check"]


def test_an_instance_without_runs_is_no_trouble(records):
    done = records.remove()
    assert (done.examined, done.kept, done.complete) == (0, 0, True)
