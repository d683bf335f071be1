"""The alert sensor as operators meet it: its definition, the daemon's evaluation, settings, the doctor."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from collector_service.settings import Settings as CollectorSettings
from collector_service.settings import SettingsError
from vieweratlas_dagster.alerts.heartbeat import HEARTBEAT_KEY
from vieweratlas_dagster.alerts.run_log import RUN_ANCHOR
from vieweratlas_dagster.automation.sensors import vieweratlas_alerts
from vieweratlas_dagster.commands.doctor import examine
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import Settings

ARN = "arn:aws:sns:us-east-1:111122223333:alerts"


def test_the_sensor_runs_by_default_and_explains_itself():
    [sensor] = [
        sensor
        for sensor in build_definitions(Settings()).get_repository_def().sensor_defs
        if sensor.name == "vieweratlas_alerts"
    ]
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 60
    assert "starts no runs" in sensor.description


def test_a_tick_tells_in_its_own_log_and_asks_for_no_run(tmp_path, capfd):
    settings = Settings(storage={"dir": tmp_path / "lake"})
    definitions = build_definitions(settings)
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    resources = {"lake": LakeResource.of(settings.storage), "settings": settings}
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert definitions.resolve_job_def("freshness").execute_in_process(instance=instance).success
        capfd.readouterr()
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            ended = vieweratlas_alerts.evaluate_tick(context)
        assert ended.run_requests in (None, [])
        assert re.fullmatch(r"1 ended runs read, \d+ messages sent, \d+ incidents open", ended.skip_message)
        lines = capfd.readouterr().err.splitlines()
        [line] = [line for line in lines if "live_chat_is_fresh of live_chat did not pass | " in line]
        assert " WARNING " in line
        assert "docs/RUNBOOK.md#live_chat_is_fresh" in line


@pytest.mark.parametrize("anchor", [RUN_ANCHOR, "heartbeat_missing"])
def test_the_runbook_has_the_sections_that_alerts_link_to(anchor):
    assert f"## {anchor}" in Path("docs/RUNBOOK.md").read_text().splitlines()


@pytest.mark.parametrize(
    "alerts",
    [
        {"backend": "sns"},
        {"backend": "sns", "topic_arn": "alerts"},
        {"backend": "sns", "topic_arn": f"{ARN}.fifo"},
        {"backend": "mail"},
        {"min_severity": "INFO"},
        {"ui_url": "desk.example"},
        {"quiet_minutes": -1},
        {"heartbeat_minutes": 0},
    ],
)
def test_settings_that_could_not_work_are_refused(tmp_path, alerts):
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"alerts": alerts}))
    with pytest.raises(SettingsError, match="alerts"):
        Settings.load(config, environment={})


def test_the_environment_names_topic_and_desk_and_the_collector_does_not_mind(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("{}\n")
    environment = {
        "ALERTS_BACKEND": "sns",
        "ALERTS_TOPIC_ARN": ARN,
        "DAGSTER_UI_URL": "https://desk.example/",
    }
    alerts = Settings.load(config, environment=environment).alerts
    assert (alerts.backend, alerts.topic_arn, alerts.ui_url) == ("sns", ARN, "https://desk.example")
    assert CollectorSettings.load(config, environment=environment).collection.window_seconds == 300


@pytest.mark.parametrize("backend", ["log", "sns"])
@pytest.mark.parametrize(
    ("minutes", "ok", "text"),
    [
        (None, False, "the lake has no state/heartbeat.json: is the Dagster daemon running"),
        (200, False, "the last one is 200 minutes old: is the Dagster daemon running"),
        (3, True, "3 minutes old; alerts go to "),
    ],
)
def test_the_doctor_hears_the_heartbeat(tmp_path, backend, minutes, ok, text):
    alerts = {"backend": backend, "topic_arn": ARN}
    settings = Settings(storage={"dir": tmp_path / "lake"}, alerts=alerts)
    if minutes is not None:
        at = datetime.now(UTC) - timedelta(minutes=minutes, seconds=5)
        LakeResource.of(settings.storage).lake.put(
            HEARTBEAT_KEY, json.dumps({"at": at.isoformat()}).encode()
        )
    [finding] = [finding for finding in examine(settings) if finding.subject == "heartbeat"]
    assert (finding.ok, finding.text.startswith(text)) == (ok, True), finding.text
    # Where people rely on alerts, a missing heartbeat is a fault; elsewhere a note.
    assert finding.required is (backend == "sns")
