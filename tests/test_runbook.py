"""The sections and commands of docs/RUNBOOK.md: none is missing, and each command does as the text says."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml

from collector_service.contract import live_key
from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from collector_service.simulator.planting import plant
from collector_service.simulator.world import WorldOptions
from tests.runbook.page import PAGE, ROOT, commands, sections
from tests.worlds.checked_queue import vod
from tests.worlds.days import planted_day, put_day
from tests.worlds.twitch_thread import twitch_in_thread
from vieweratlas_dagster.alerts.heartbeat import HEARTBEAT_KEY
from vieweratlas_dagster.alerts.run_log import RUN_ANCHOR
from vieweratlas_dagster.automation.sensors import vieweratlas_alerts
from vieweratlas_dagster.checks.all_checks import ALL_CHECKS
from vieweratlas_dagster.commands.run_jobs import open_instance
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.lake.keys import LATEST_MANIFEST
from vieweratlas_dagster.settings import SEVERITIES, Settings
from vieweratlas_dagster.vod.queue_store import QUEUE_KEY, QueueStore, encode

# The fixture's commands, when other tests share the machine.
pytestmark = pytest.mark.timeout(900)

# Recordings on the page; the one to be added is one of this world.
DEAD, TO_ADD = "2700000001", "2700000002"
WORLD = plant(WorldOptions(seed=5, channels=2, viewers=20, days=1))


# What is on the page


def test_every_check_has_its_section_and_its_row_and_there_are_no_others():
    names = [one.name for one in ALL_CHECKS]
    assert sorted(sections("Checks")) == sorted(names)
    rows = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| (\w+) \| (\w+) \|$", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(
        (one.name, one.name, one.asset, SEVERITIES[one.name]) for one in ALL_CHECKS
    )
    assert [row[0] for row in rows] == list(sections("Checks"))


def test_every_alarm_has_its_section_and_there_are_no_others():
    """Messages lead to a check's section or to that of failed runs; alarms outside, to the heartbeat's."""
    [heartbeat] = re.findall(r"RUNBOOK\.md#(\w+)", vieweratlas_alerts.description)
    assert list(sections("Alerts")) == [RUN_ANCHOR, heartbeat]


@pytest.mark.parametrize("name", [*sections("Alerts"), *sections("Checks")])
def test_every_section_says_what_it_means_how_to_look_what_to_do_and_what_proves_it(name):
    text = (sections("Alerts") | sections("Checks"))[name]
    parts = re.findall(r"^\*\*(Means\.|Look\.|Do\.|Proven by)\*\*", text, re.MULTILINE)
    assert parts == ["Means.", "Look.", "Do.", "Proven by"]
    proofs = re.findall(r"`(tests/[\w/]+\.py)::\w+`", text.partition("**Proven by**")[2])
    assert proofs
    if name in SEVERITIES:
        assert f'"{name}"' in "".join((ROOT / proof).read_text() for proof in proofs)


# What its commands do


@dataclass(frozen=True)
class Done:
    """What a command printed, how it ended, and what Dagster then knew."""

    code: int
    output: str
    switches: dict[str, str]
    runs: list[tuple[str, str, str | None]]


@dataclass(frozen=True)
class Place:
    """A working folder with a lake and an instance, and the environment of its commands."""

    folder: Path
    environment: dict[str, str]

    @property
    def lake(self) -> Lake:
        return Lake.open(StorageSettings(dir=self.folder / "data/lake"))

    def run(self, command: str, **environment: str) -> Done:
        """Run a command of the page as people would, on two days instead of seven."""
        here = command.replace("2026-03-07", "2026-03-02").replace(TO_ADD, WORLD.streams[0].video_id)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", here],
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )
        with open_instance(self.folder / "data/dagster") as instance:
            switches = {one.instigator_name: one.status.value for one in instance.all_instigator_state()}
            runs = [
                (run.job_name, run.status.value, run.tags.get("dagster/partition"))
                for run in instance.get_runs()
            ]
        return Done(done.returncode, done.stdout, switches, runs)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two days of raw data with a broken object, a window of now, a queue, Twitch, an empty instance."""
    folder = tmp_path_factory.mktemp("runbook")
    (folder / "config").symlink_to(ROOT / "config")
    shutil.copy(ROOT / "workspace.yaml", folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        unused_port = probe.getsockname()[1]
    foreign = ("AWS", "COLLECTOR", "DAGSTER", "LAKE", "S3_", "STORAGE", "TWITCH", "VIEWER")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DAGSTER_HOME": str(folder / "data/dagster"),
        "COLLECTOR_HTTP_PORT": str(unused_port),
        "TWITCH_IRC_URL": "irc://127.0.0.1:1",
        "COLUMNS": "200",
    }
    place = Place(folder, environment)
    lake, now = place.lake, datetime.now(UTC)
    for day in (date(2026, 3, 1), date(2026, 3, 2)):
        put_day(lake, day, planted_day(day))
    lake.put(live_key(datetime(2026, 3, 1, 21, tzinfo=UTC), "cut"), b"no gzip")
    lake.put(live_key(now, "c1"), b"")
    tried = {"attempts": 5, "reason": "HTTP 503"}
    items = [vod(77, 5, "pending"), vod(88, 5, "incomplete", **tried), vod(int(DEAD), 5, "dead", **tried)]
    lake.put(QUEUE_KEY, encode({item.vod_id: item for item in items}))
    lake.put(HEARTBEAT_KEY, b'{"at": "%s"}' % now.isoformat().encode())
    with open_instance(folder / "data/dagster"), twitch_in_thread(WORLD, WORLD.end + 3600) as twitch:
        environment.update(twitch)
        yield place


@pytest.fixture(scope="module")
def done(place):
    """Every command of the page, run in its order; those that wait for a code server beside the others."""
    with_server = [command for command in commands() if "workspace.yaml" in command]
    others = [command for command in commands() if "workspace.yaml" not in command]
    # Days are there before people look at them.
    others.sort(key=lambda command: not command.startswith("vieweratlas analyze"))

    def run(several: list[str]) -> dict[str, Done]:
        return {command: place.run(command) for command in several}

    with ThreadPoolExecutor() as pool:
        first, second = pool.map(run, (with_server, others))
        return first | second


def prints(*texts: str) -> Callable[[Done], bool]:
    return lambda done: all(re.search(text, done.output) for text in texts)


def switches(name: str, status: str) -> Callable[[Done], bool]:
    return lambda done: done.switches[name] == status


def has_runs(*runs: tuple[str, str, str | None]) -> Callable[[Done], bool]:
    return lambda done: set(runs) <= set(done.runs)


# What is to be seen of each command, found by its beginning.
EFFECTS = {
    "export PATH=": prints(),
    "vieweratlas analyze --day": has_runs(("analysis_daily", "SUCCESS", "2026-03-01")),
    "vieweratlas analyze --from": has_runs(("analysis_daily", "SUCCESS", "2026-03-02")),
    "vieweratlas doctor": prints(r"ok +heartbeat: \d+ minutes old", "ok +lake"),
    "dagster job launch -w workspace.yaml -j analysis_daily": has_runs(
        ("analysis_daily", "QUEUED", "2026-03-01")
    ),
    "dagster job launch -w workspace.yaml -j freshness": has_runs(("freshness", "QUEUED", None)),
    "dagster job execute -m vieweratlas_dagster.definitions -j freshness": has_runs(
        ("freshness", "SUCCESS", None)
    ),
    "dagster schedule list": prints(
        *(
            rf"Schedule: vieweratlas_{name} \[RUNNING\]"
            for name in ("analysis_daily", "vod_6h", "freshness", "maintenance")
        )
    ),
    "dagster schedule stop": switches("vieweratlas_analysis_daily", "STOPPED"),
    "dagster schedule start": switches("vieweratlas_analysis_daily", "RUNNING"),
    "dagster sensor stop": switches("vieweratlas_late_data", "STOPPED"),
    "dagster sensor start": switches("vieweratlas_late_data", "RUNNING"),
    "dagster job backfill": has_runs(
        ("analysis_daily", "QUEUED", "2026-03-01"), ("analysis_daily", "QUEUED", "2026-03-02")
    ),
    "python -c": prints(r"shape: \(24, \d+\)", "channel_id"),
    "python - <<": prints(r"raw/snapshots/date=.*-c1\.ndjson\.gz"),
    "python -m collector_service health": prints("no answer from a collector on port"),
    "vieweratlas vod list --status pending": prints(" 77 pending", " 88 incomplete .*: HTTP 503"),
    "vieweratlas vod list --status dead": prints(f"{DEAD} dead .* 5 attempts: HTTP 503", " 88 incomplete"),
    "vieweratlas vod recover": prints("^3 entries kept, 0 lost"),
    "vieweratlas vod add": prints(f"^{WORLD.streams[0].video_id} of .*: queued"),
    "vieweratlas vod retry --dead": prints("^1 made due"),
    f"vieweratlas vod retry {DEAD}": prints("^1 made due"),
    "cat": prints('"reason": ?"bad_gzip"', "cut.ndjson.gz"),
    "ls -l data/lake/curated/audiences": prints("audience.parquet"),
    "ls data/lake/raw": prints("hour=20", "hour=21"),
    "ls -lR data/lake/curated/presence": prints("source=live", "presence.parquet"),
    "ls data/lake/curated/analysis": prints("atlas.html", "atlas.png", "nodes.parquet"),
}


def test_no_effect_is_of_a_command_that_is_gone():
    assert [start for start in EFFECTS if not any(one.startswith(start) for one in commands())] == []


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_every_command_does_what_the_page_says(command, done):
    [effect] = [effect for start, effect in EFFECTS.items() if command.startswith(start)]
    # A collector that does not answer is the one thing here that is not well.
    assert done[command].code == ("health" in command), done[command].output
    assert effect(done[command]), done[command]


def test_the_shell_of_the_page_leads_to_what_the_demo_made(place):
    [command] = [command for command in commands() if command.startswith("export")]
    demo = place.folder / "data/demo"
    (demo / "dagster").mkdir(parents=True)
    (demo / "config.yaml").write_text(
        f"storage: {{dir: {demo}/lake}}\nprivacy: {{viewer_key_file: {demo}/key}}\n"
    )
    (place.folder / ".venv").symlink_to(sys.prefix)
    Lake.open(StorageSettings(dir=demo / "lake")).put(
        HEARTBEAT_KEY, b'{"at": "%s"}' % datetime.now(UTC).isoformat().encode()
    )
    seen = place.run(f"{command}\nwhich dagster; vieweratlas doctor", PATH="/usr/bin:/bin", DAGSTER_HOME="")
    assert seen.code == 0, seen.output
    assert f"{place.folder}/.venv/bin/dagster" in seen.output
    assert f"file://{demo}/lake can be written" in seen.output
    assert f"DAGSTER_HOME is {demo}/dagster" in seen.output


@pytest.mark.slow
def test_the_queue_is_as_its_commands_left_it(place, done):
    items = QueueStore(place.lake).load()
    assert {(key, item.status, item.attempts) for key, item in items.items()} == {
        ("77", "pending", 0),
        ("88", "incomplete", 5),
        (DEAD, "pending", 0),
        (WORLD.streams[0].video_id, "pending", 0),
    }


def test_the_map_of_the_last_day_is_published(place, done):
    assert b'"date": "2026-03-02"' in place.lake.get(LATEST_MANIFEST)


def test_the_newest_objects_are_found_in_a_bucket_too(place, s3_storage):
    [command] = [command for command in commands() if command.startswith("python - <<")]
    now = datetime.now(UTC)
    Lake.open(s3_storage).put(live_key(now, "in_the_bucket"), b"")
    seen = place.run(
        command,
        STORAGE_TYPE="s3",
        S3_BUCKET=s3_storage.s3_bucket,
        AWS_ENDPOINT_URL=s3_storage.endpoint_url,
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
    )
    assert seen.code == 0, seen.output
    assert "in_the_bucket" in seen.output


def test_a_folder_that_dagster_cannot_use_is_named_in_the_last_line(place):
    command = "dagster job execute -m vieweratlas_dagster.definitions -j freshness"
    for home, text in (("data/dagster", "must be an absolute path"), ("/no/folder", "does not exist")):
        seen = place.run(command, DAGSTER_HOME=home)
        assert seen.code == 1
        assert text in seen.output.splitlines()[-1]


def test_maintenance_can_be_tried_without_removing_anything(place):
    [block] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    settings = Settings(storage={"dir": place.folder / "data/lake"})
    old = live_key(datetime(2020, 1, 1, tzinfo=UTC), "old")
    place.lake.put(old, b"")
    os.utime(place.folder / "data/lake" / old, (0, 0))
    job = build_definitions(settings).resolve_job_def("maintenance")
    with dg.DagsterInstance.ephemeral() as instance:
        tried = job.execute_in_process(instance=instance, run_config=yaml.safe_load(block))
        assert tried.success
        assert place.lake.exists(old)
        assert job.execute_in_process(instance=instance).success
    assert not place.lake.exists(old)
