"""Rounds of watching over a real Dagster instance with real runs, told through a real log."""

import json
import logging
import threading
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from collector_service.lake import Lake
from vieweratlas_dagster.alerts.delivery import LogBackend
from vieweratlas_dagster.alerts.heartbeat import HEARTBEAT_KEY, atlas_age_hours, last_heartbeat
from vieweratlas_dagster.alerts.incidents import STATE_KEY
from vieweratlas_dagster.alerts.watch import watch
from vieweratlas_dagster.lake.keys import LATEST_MANIFEST
from vieweratlas_dagster.settings import Settings

DAY = "2026-03-01"
RETRIES = {"run_retries": {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": True}}
days = dg.DailyPartitionsDefinition("2026-03-01")


class World:
    """What fails at present: names of assets that raise, and the verdicts of checks."""

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        self.severity: dict[str, dg.AssetCheckSeverity] = {}

    def make(self, name: str) -> dg.MaterializeResult:
        """Materialize an asset."""
        if name in self.broken:
            raise ValueError(self.broken[name])
        return dg.MaterializeResult()

    def judge(self, name: str) -> dg.AssetCheckResult:
        """Evaluate a check."""
        if name in self.broken:
            raise ValueError(self.broken[name])
        return dg.AssetCheckResult(
            passed=name not in self.severity,
            severity=self.severity.get(name, dg.AssetCheckSeverity.WARN),
            description=f"{name} says so",
            metadata={"share": 0.123456, "table": dg.MetadataValue.md("|x|"), "lines": 7},
        )


WORLD = World()


@dg.asset(partitions_def=days)
def a():
    return WORLD.make("a")


@dg.asset(partitions_def=days, deps=[a])
def b():
    return WORLD.make("b")


@dg.asset_check(asset=a, blocking=True, partitions_def=days)
def gate():
    return WORLD.judge("gate")


@dg.asset_check(asset=a, partitions_def=days)
def small():
    return WORLD.judge("small")


@dg.asset_check(asset=a, partitions_def=days)
def named():
    return WORLD.judge("named")


@dg.asset_check(asset=dg.AssetKey("live"))
def fresh():
    return WORLD.judge("fresh")


DEFINITIONS = dg.Definitions(
    assets=[dg.AssetSpec("live"), a, b],
    asset_checks=[gate, small, named, fresh],
    jobs=[
        dg.define_asset_job("daily", selection=dg.AssetSelection.assets("a", "b")),
        dg.define_asset_job(
            "freshness",
            selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("live"), "fresh")),
        ),
    ],
)


class AlertDesk:
    """An instance, a lake and somebody who reads the log."""

    def __init__(self, instance: dg.DagsterInstance, lake: Lake, settings: Settings) -> None:
        self.instance, self.lake, self.settings, self.world = instance, lake, settings, WORLD
        self.heard: list[str] = []
        self.log = logging.Logger("alerts")  # noqa: LOG001 - one that no other test can see
        handler = logging.Handler()
        handler.emit = lambda record: self.heard.append(record.getMessage())  # type: ignore[method-assign]
        self.log.addHandler(handler)

    def run(self, job: str = "daily", partition: str | None = DAY, **options) -> dg.ExecuteInProcessResult:
        """A real run."""
        return DEFINITIONS.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=partition,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            **options,
        )

    def check(self) -> dg.ExecuteInProcessResult:
        """A real run of the checks of the present."""
        return self.run("freshness", None)

    def watch(self, minutes: float = 0) -> list[str]:
        """One round, so many minutes from now; what was said in it."""
        before = len(self.heard)
        now = datetime.now(UTC) + timedelta(minutes=minutes)
        watch(self.instance, self.lake, self.settings, LogBackend(self.log), now, self.log)
        return self.heard[before:]


@pytest.fixture(autouse=True)
def all_is_well():
    WORLD.__init__()


@pytest.fixture
def desk(lake):
    with dg.DagsterInstance.ephemeral() as instance:
        yield AlertDesk(instance, lake, Settings())


@pytest.fixture
def retrying(lake):
    """A desk whose failed runs say that they will be retried."""
    with dg.DagsterInstance.ephemeral(settings=RETRIES) as instance:
        yield AlertDesk(instance, lake, Settings())


@pytest.fixture
def sqlite_desk(lake, tmp_path):
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield AlertDesk(instance, lake, Settings())


@pytest.mark.parametrize("storage", ["desk", "sqlite_desk"])
def test_a_failed_run_is_told_once_and_so_is_its_end(storage, request):
    desk = request.getfixturevalue(storage)
    desk.world.broken["b"] = "no such file\nand more"
    run = desk.run()
    [message] = desk.watch()
    assert message.startswith(f"ViewerAtlas: daily {DAY} failed at b | daily {DAY} failed at b. | ")
    assert "Error: ValueError: no such file and more" in message
    assert f"Look: http://127.0.0.1:3000/runs/{run.run_id}" in message
    assert "What to do: docs/RUNBOOK.md#run_failed" in message
    desk.run()
    assert desk.watch() == desk.watch(5) == []
    desk.world.broken.clear()
    desk.run(partition="2026-03-02")
    assert desk.watch() == []
    desk.run()
    [message] = desk.watch()
    assert message.startswith(f"ViewerAtlas: daily {DAY} is well again | ")
    assert desk.watch() == desk.watch(11) == desk.watch(100) == []


def test_a_run_that_other_runs_made_up_for_is_over(desk):
    desk.world.broken["b"] = "no"
    desk.run()
    assert len(desk.watch()) == 1
    desk.world.broken.clear()
    done = dg.materialize(
        [a, b],
        instance=desk.instance,
        partition_key=DAY,
        selection=dg.AssetSelection.assets("b"),
    )
    assert done.success
    [message] = desk.watch()
    assert message.startswith(f"ViewerAtlas: daily {DAY} is well again")


def test_checks_that_were_started_by_hand_and_broke_are_no_incident(desk):
    desk.world.broken["small"] = "no day"
    whole = DEFINITIONS.get_implicit_global_asset_job_def()
    key = dg.AssetCheckKey(dg.AssetKey("a"), "small")
    part = whole.get_subset(asset_selection=set(), asset_check_selection={key})
    assert not part.execute_in_process(instance=desk.instance, raise_on_error=False).success
    assert desk.watch() == []
    # In a job it is one.
    desk.run()
    [message] = desk.watch()
    assert message.startswith(f"ViewerAtlas: daily {DAY} failed at a_small")


def test_nothing_is_said_while_a_retry_is_coming(retrying):
    retrying.world.broken["b"] = "no"
    first = retrying.run()
    assert retrying.instance.get_run_by_id(first.run_id).tags["dagster/will_retry"] == "true"
    assert retrying.watch() == []
    last = retrying.run(tags={"dagster/parent_run_id": first.run_id, "dagster/max_retries": "0"})
    assert retrying.instance.get_run_by_id(last.run_id).tags["dagster/will_retry"] == "false"
    [message] = retrying.watch()
    assert message.startswith(f"ViewerAtlas: daily {DAY} failed at b")


def test_a_warning_whose_step_ended_before_the_kill_is_told_since_no_retry_makes_it_again(retrying):
    retrying.world.severity["small"] = dg.AssetCheckSeverity.WARN
    retrying.world.broken["b"] = "killed"
    first = retrying.run()
    assert retrying.instance.get_run_by_id(first.run_id).tags["dagster/will_retry"] == "true"
    [message] = retrying.watch()
    assert message.startswith(f"ViewerAtlas: small of a {DAY} did not pass")


def test_a_retry_that_succeeds_makes_no_noise_at_all(retrying):
    retrying.world.broken["b"] = "no"
    first = retrying.run()
    assert retrying.watch() == []
    retrying.world.broken.clear()
    retrying.run(tags={"dagster/parent_run_id": first.run_id})
    assert retrying.watch() == retrying.watch(5) == []


def test_a_retry_that_did_not_come_after_all_is_told(retrying):
    retrying.world.broken["b"] = "no"
    run = retrying.run()
    assert retrying.watch() == []
    # What the daemon does when it cannot launch the retry.
    retrying.instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})
    assert len(retrying.watch(1)) == 1


@pytest.mark.parametrize("made_good", [False, True])
def test_a_retry_that_was_announced_and_never_came_is_told(made_good, retrying):
    retrying.world.broken["b"] = "no"
    retrying.run()
    assert retrying.watch() == retrying.watch(9) == []
    if made_good:
        retrying.world.broken.clear()
        assert retrying.run().success
    told = [message.split(" | ")[0] for message in retrying.watch(11)]
    assert told == ([] if made_good else [f"ViewerAtlas: daily {DAY} failed at b"])
    # Nothing is told twice, however long the run stays as it is.
    assert retrying.watch(90) == []


def test_a_failure_whose_retry_is_not_decided_yet_waits_and_is_then_told(retrying):
    # Started by hand, and failed by an event of its own: Dagster's tag never comes.
    job = DEFINITIONS.resolve_job_def("daily")
    run = retrying.instance.create_run_for_job(job, tags={"dagster/partition": DAY})
    failed = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.RUN_FAILURE.value, job_name="daily", message="gone"
    )
    retrying.instance.run_storage.handle_run_event(run.run_id, failed)
    assert retrying.watch() == retrying.watch(1) == []
    [message] = retrying.watch(3)
    assert f"daily {DAY} failed. | Error: the run ended without an error message" in message


def test_a_run_that_was_killed_says_what_dagster_knows(desk):
    job = DEFINITIONS.resolve_job_def("daily")
    run = desk.instance.create_run_for_job(job, tags={"dagster/partition": DAY})
    desk.instance.report_run_failed(run, "Run worker vanished")
    [message] = desk.watch()
    assert f"daily {DAY} failed. | Error: Run worker vanished" in message


def test_a_cancelled_run_is_no_failure(desk):
    job = DEFINITIONS.resolve_job_def("daily")
    run = desk.instance.create_run_for_job(job, tags={"dagster/partition": DAY})
    desk.instance.report_run_canceled(run)
    assert desk.watch() == []


def test_a_check_of_the_present_is_told_with_what_it_measured(desk):
    desk.check()
    assert desk.watch() == []
    desk.world.severity["fresh"] = dg.AssetCheckSeverity.WARN
    desk.check()
    [message] = desk.watch()
    assert message.startswith("ViewerAtlas: fresh of live did not pass | ")
    assert "| Verdict: fresh says so | Severity: WARN | Numbers: lines 7, share 0.1235 | Since: " in message
    assert "Look: http://127.0.0.1:3000/assets/live?view=checks&checkDetail=fresh" in message
    assert message.endswith("What to do: docs/RUNBOOK.md#fresh")
    desk.check()
    assert desk.watch() == []
    desk.world.severity.clear()
    desk.check()
    [message] = desk.watch()
    assert message.startswith("ViewerAtlas: fresh of live is well again")
    # It comes back at once: people hear of it when the quiet period is over.
    desk.world.severity["fresh"] = dg.AssetCheckSeverity.WARN
    desk.check()
    assert desk.watch() == desk.watch(30) == []
    assert len(desk.watch(61)) == 1


def test_warnings_about_a_partition_come_in_one_message(desk):
    desk.world.severity |= dict.fromkeys(("small", "named"), dg.AssetCheckSeverity.WARN)
    desk.run()
    desk.run(partition="2026-03-02")
    messages = desk.watch()
    assert [message.split(":")[1] for message in messages] == [
        f" 2 warnings about {day}" for day in (DAY, "2026-03-02")
    ]
    desk.world.severity.clear()
    desk.run()
    [message] = desk.watch()
    assert message.startswith(f"ViewerAtlas: 2 warnings about {DAY} are over: ")


def test_a_blocking_check_and_the_run_that_it_stops_are_one_incident(desk):
    desk.world.severity["gate"] = dg.AssetCheckSeverity.ERROR
    assert not desk.run().success
    [message] = desk.watch()
    assert message.startswith(f"ViewerAtlas: gate of a {DAY} did not pass | ")
    assert "The run stopped here" in message
    desk.world.severity.clear()
    desk.run()
    [message] = desk.watch()
    assert message.startswith(f"ViewerAtlas: gate of a {DAY} is well again")


def test_with_errors_only_warnings_about_a_partition_are_silent_but_never_freshness(lake):
    with dg.DagsterInstance.ephemeral() as instance:
        desk = AlertDesk(instance, lake, Settings(alerts={"min_severity": "ERROR"}))
        desk.world.severity |= {
            "small": dg.AssetCheckSeverity.WARN,
            "named": dg.AssetCheckSeverity.ERROR,
            "fresh": dg.AssetCheckSeverity.WARN,
        }
        desk.run()
        desk.check()
        assert [message.split(" | ")[0] for message in desk.watch()] == [
            f"ViewerAtlas: named of a {DAY} did not pass",
            "ViewerAtlas: fresh of live did not pass",
        ]


def test_secrets_are_neither_told_nor_kept(lake, monkeypatch):
    monkeypatch.setenv("PG_PASS", "database-password")
    settings = Settings(twitch={"client_secret": "planted-secret"})
    with dg.DagsterInstance.ephemeral() as instance:
        desk = AlertDesk(instance, lake, settings)
        desk.world.broken["b"] = "planted-secret at postgresql://u:database-password@db/x"
        desk.run()
        [message] = desk.watch()
    assert "Error: ValueError: *** at postgresql://" in message
    for text in (message, lake.get(STATE_KEY).decode()):
        assert "planted-secret" not in text
        assert "database-password" not in text


def test_a_daemon_that_starts_anew_says_nothing_again(desk):
    desk.world.broken["b"] = "no"
    desk.run()
    assert len(desk.watch()) == 1
    again = AlertDesk(desk.instance, desk.lake, desk.settings)
    assert again.watch() == []


def test_what_happened_while_nobody_watched_is_read_in_full(desk, monkeypatch):
    monkeypatch.setattr("vieweratlas_dagster.alerts.run_log._RUNS_PER_READING", 3)
    desk.world.broken["b"] = "no"
    partitions = [f"2026-03-{day:02d}" for day in range(1, 9)]
    for partition in partitions:
        desk.run(partition=partition)
    told = [message for _ in range(4) for message in desk.watch()]
    assert sorted(message.split()[2] for message in told) == partitions
    # And runs that end now are read no later than a few rounds on.
    desk.world.broken.clear()
    desk.run(partition=partitions[0])
    over = [message for _ in range(6) for message in desk.watch(1)]
    assert [message.split(" | ")[0] for message in over] == [
        f"ViewerAtlas: daily {partitions[0]} is well again"
    ]


def test_an_unusable_state_is_replaced_and_failures_are_told_again(desk):
    desk.world.broken["b"] = "no"
    desk.run()
    assert len(desk.watch()) == 1
    desk.lake.put(STATE_KEY, b"{")
    said = desk.watch()
    assert len(said) == 3
    assert said[0].startswith("state/alerts.json cannot be read")
    assert f"daily {DAY} failed at b" in said[-1]
    assert desk.watch() == []


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def test_a_round_that_dies_after_sending_sends_again_rather_than_never(desk):
    desk.world.broken["b"] = "no"
    desk.run()
    [handler] = desk.log.handlers
    listen = handler.emit

    def hear_and_die(record):
        listen(record)
        raise Killed

    handler.emit = hear_and_die
    with pytest.raises(Killed):
        desk.watch()
    handler.emit = listen
    assert len(desk.heard) == 1
    # The dead round may still be at work, for all that the next ones know; then it is taken for dead.
    assert desk.watch(1) == desk.watch(4) == []
    assert len(desk.watch(6)) == 1
    assert desk.watch(12) == []


def test_of_two_rounds_at_once_one_sends(desk):
    desk.world.broken["b"] = "no"
    desk.run()
    [handler] = desk.log.handlers
    listen, sending, may_go_on = handler.emit, threading.Event(), threading.Event()

    def hear_slowly(record):
        listen(record)
        sending.set()
        assert may_go_on.wait(30)

    handler.emit = hear_slowly
    slow = threading.Thread(target=desk.watch)
    slow.start()
    assert sending.wait(30)
    handler.emit = listen
    desk.watch()
    may_go_on.set()
    slow.join()
    assert len(desk.heard) == 1
    assert desk.watch() == []


def test_a_quiet_minute_writes_nothing(desk):
    desk.check()
    desk.watch()
    states = [desk.lake.get(STATE_KEY)]
    for minutes in (1, 2, 3):
        desk.check()
        desk.watch(minutes)
        states.append(desk.lake.get(STATE_KEY))
    assert len(set(states)) == 1
    desk.watch(30)
    assert desk.lake.get(STATE_KEY) != states[0]


def test_the_heartbeat_tells_the_ages_of_checks_and_atlas(desk):
    desk.watch()
    first = last_heartbeat(desk.lake)
    assert (first.checks_age_minutes, first.atlas_age_hours) == (None, None)
    assert first.metrics() == {"Heartbeat": 1.0}
    desk.check()
    manifest = {"channels": 1, "complete": True, "date": f"{datetime.now(UTC):%Y-%m-%d}", "files": {}}
    desk.lake.put(LATEST_MANIFEST, json.dumps(manifest).encode())
    desk.watch(4)
    assert last_heartbeat(desk.lake) == first
    desk.watch(20)
    second = last_heartbeat(desk.lake)
    assert second.at - first.at >= timedelta(minutes=19)
    assert second.checks_age_minutes == pytest.approx(20, abs=1)
    assert second.atlas_age_hours == 0
    assert set(second.metrics()) == {"Heartbeat", "ChecksAgeMinutes", "AtlasAgeHours"}


def test_a_heartbeat_from_the_future_or_in_pieces_does_not_stop_the_next(desk):
    desk.watch(60 * 24)
    desk.watch()
    assert last_heartbeat(desk.lake).at < datetime.now(UTC)
    desk.lake.put(HEARTBEAT_KEY, b"{")
    assert last_heartbeat(desk.lake) is None
    desk.watch()
    assert last_heartbeat(desk.lake) is not None


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (datetime(2026, 3, 2, 0, tzinfo=UTC), 0),
        (datetime(2026, 3, 3, 12, tzinfo=UTC), 36),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), 0),
    ],
)
def test_an_atlas_ages_from_the_end_of_its_day(lake, now, hours):
    assert atlas_age_hours(lake, now) is None
    lake.put(LATEST_MANIFEST, b'{"channels": 1, "complete": true, "date": "2026-03-01", "files": {}}')
    assert atlas_age_hours(lake, now) == hours
