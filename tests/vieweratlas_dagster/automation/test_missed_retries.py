"""A killed run that the daemon overlooked is shown to it again; others are left alone."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

from vieweratlas_dagster.automation.missed_retries import look_again

KILLED = RunFailureReason.UNEXPECTED_TERMINATION


def soon():
    return datetime.now(UTC) + timedelta(minutes=1)


def daemon_looks(instance):
    """One round of the real daemon's part that retries."""
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
        list(EventLogConsumerDaemon().run_iteration(workspace))


def tries(instance, run_id):
    """How often the daemon wanted to retry the run, which it cannot here: no code location has the job."""
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return sum("unable to retry the run" in event.message for event in events)


def fail(instance, reason=KILLED):
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
    # As many events as a real run has: on SQLite its own log counts them, the log of failures does not.
    for _ in range(50):
        instance.report_engine_event("working", run)
    instance.report_run_failed(run, "over", JobFailureData(error=None, failure_reason=reason))
    return run.run_id


@pytest.fixture
def instance():
    retries = {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}
    with dg.instance_for_test(overrides={"run_retries": retries}) as instance:
        daemon_looks(instance)
        yield instance


@pytest.fixture
def overlooked(instance, monkeypatch):
    """A run whose failure the daemon read before its status: Dagster itself never retries it."""
    storage = instance.run_storage
    finish = storage.handle_run_event

    def daemon_is_quicker(*arguments):
        daemon_looks(instance)
        finish(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "handle_run_event", daemon_is_quicker)
        run_id = fail(instance)
    daemon_looks(instance)
    assert instance.get_run_by_id(run_id).tags["dagster/will_retry"] == "true"
    assert tries(instance, run_id) == 0
    return run_id


def test_an_overlooked_run_is_retried_after_all(instance, overlooked):
    assert look_again(instance, soon()) == [overlooked]
    daemon_looks(instance)
    assert tries(instance, overlooked) == 1


def test_the_daemon_still_sees_what_fails_after_it_was_set_back(instance, overlooked):
    look_again(instance, soon())
    later = fail(instance)
    daemon_looks(instance)
    assert (tries(instance, overlooked), tries(instance, later)) == (1, 1)


def test_the_oldest_of_several_counts(instance, overlooked):
    later = fail(instance)
    daemon_looks(instance)
    assert set(look_again(instance, soon())) == {overlooked, later}
    daemon_looks(instance)
    assert tries(instance, overlooked) == 1


def test_a_failure_of_this_moment_is_left_to_the_daemon(instance, overlooked):
    assert look_again(instance, datetime.now(UTC)) == []
    daemon_looks(instance)
    assert tries(instance, overlooked) == 0


def test_a_failure_of_yesterday_is_left_to_people(instance, overlooked):
    assert look_again(instance, soon() + timedelta(hours=7)) == []


def test_a_run_that_was_retried_or_shall_not_be_is_left_alone(instance, overlooked):
    instance.add_run_tags(overlooked, {"dagster/auto_retry_run_id": "another"})
    bug = fail(instance, RunFailureReason.STEP_FAILURE)
    assert instance.get_run_by_id(bug).tags["dagster/will_retry"] == "false"
    assert look_again(instance, soon()) == []
