"""Planted secrets are nowhere but where they belong.

Not in what objects show, not in Dagster's records, not in what commands say, not in their command lines.
"""

import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

import dagster as dg
import pytest

from collector_service.stats import Stats
from collector_service.twitch import helix as helix_module
from collector_service.twitch.helix import Helix
from collector_service.viewers import Viewers
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.settings import Settings

PLANTED = {
    "TWITCH_OAUTH_TOKEN": "oauth:marker1oauth1token",
    "TWITCH_CLIENT_SECRET": "marker2client2secret",
    "VIEWER_KEY_SECRET": "marker3viewer3key3secret",
    "AWS_SECRET_ACCESS_KEY": "marker4aws4secret",
    "AWS_SESSION_TOKEN": "marker5aws5session",
    "DAGSTER_PG_PASSWORD": "marker6database6password",
}


def shown(text):
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    return [name for name, value in PLANTED.items() if value.removeprefix("oauth:") in text]


@pytest.fixture
def environment(tmp_path):
    """The planted secrets, and a Twitch that nobody answers for."""
    return PLANTED | {
        "TWITCH_CLIENT_ID": "some-client",
        "TWITCH_IRC_URL": "ircs://127.0.0.1:9",
        "TWITCH_HELIX_URL": "https://127.0.0.1:9/helix",
        "TWITCH_ID_URL": "https://127.0.0.1:9",
        "LAKE_DIR": str(tmp_path / "lake"),
        "COLLECTOR_STATE_DIR": str(tmp_path / "state"),
        "COLLECTOR_HTTP_PORT": "0",
        "LOG_LEVEL": "DEBUG",
    }


async def test_no_object_that_holds_a_secret_shows_it(environment, monkeypatch):
    monkeypatch.setattr(helix_module, "backoff", lambda failures: 0.01)
    settings = Settings.load(environment=environment)
    assert settings.twitch.client_secret.get_secret_value() == PLANTED["TWITCH_CLIENT_SECRET"]
    async with Helix.open(settings.twitch, Stats()) as helix:
        viewers = Viewers(PLANTED["VIEWER_KEY_SECRET"], ())
        for one in (settings, settings.twitch, settings.privacy, helix, helix._patience, viewers):
            assert shown(f"{one!r} {one!s}") == []
        assert shown(settings.model_dump_json()) == []
        try:
            await helix.top_streams(10)
        except Exception as error:  # noqa: BLE001 - its whole story is looked at
            assert shown("".join(traceback.format_exception(error))) == []  # noqa: PT017
        else:
            pytest.fail("nobody answers there")


def test_dagsters_records_hold_no_secret(environment, tmp_path, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        job = build_definitions(Settings.load()).resolve_implicit_global_asset_job_def()
        done = job.execute_in_process(
            instance=instance, partition_key="2026-03-01", raise_on_error=False,
            asset_selection=[dg.AssetKey("snapshots")],
        )  # fmt: skip
        assert instance.get_run_by_id(done.run_id) is not None
        assert instance.all_logs(done.run_id)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 2
    assert [path.name for path in files if shown(path.read_bytes())] == []


@pytest.mark.parametrize(
    "command", [["-m", "collector_service"], [str(Path(sys.executable).with_name("vieweratlas")), "doctor"]]
)
def test_what_commands_say_and_their_command_lines_hold_no_secret(environment, tmp_path, command):
    """The doctor ends by itself; the collector cannot reach Twitch and says so until it is stopped."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TWITCH_", "AWS_"))}
    process = subprocess.Popen(
        [sys.executable, *command],
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + (60 if command[-1] == "doctor" else 8)
        lines = b""
        while process.poll() is None and time.monotonic() < deadline:
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    lines += line.read_bytes()
                except OSError:
                    continue
            time.sleep(0.2)
    finally:
        process.terminate()
        try:
            output, _ = process.communicate(timeout=40)
        finally:
            process.kill()
    assert command[-1].encode() in lines
    assert shown(lines) == []
    assert len(output) > 50
    assert shown(output) == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files if shown(path.read_bytes())] == []
