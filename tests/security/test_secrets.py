"""Planted secrets are nowhere but where they belong.

Not in what objects show, not in Dagster's records, not in what commands say, not in their command lines.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest
from obstore.exceptions import BaseError

from collector_service.lake import Lake
from collector_service.live.viewer_keys import ViewerKeys
from collector_service.metrics import Stats
from collector_service.support.retry import RetryPolicy
from collector_service.twitch.helix import Helix, HelixTimings
from tests.conftest import VIEWERATLAS
from tests.security.planted import PLANTED, command_lines, shown, watched_command_lines
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.settings import Settings

ROOT = Path(__file__).parents[2]
# As S3 says it: with the key's id, and the request that was signed.
REFUSAL = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match.</Message>
<AWSAccessKeyId>{AWS_ACCESS_KEY_ID}</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256</StringToSign>
<CanonicalRequest>GET
x-amz-security-token:{AWS_SESSION_TOKEN}</CanonicalRequest></Error>""".format(**PLANTED)
# Arguments that Terraform writes into plan and state; their write-only twins end in _wo.
KEPT = re.compile(
    r"^\s*((?:\w*password|secret_string|secret_binary|auth_token|\w*secret_key)\s*=)", re.MULTILINE
)
READ = re.compile(
    r'^((?:data "aws_secretsmanager_|resource "random_|resource "aws_iam_access_key)\w*)', re.MULTILINE
)


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(403)
        self.send_header("Content-Length", str(len(REFUSAL)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(REFUSAL.encode())

    def log_message(self, *_):
        pass


for _verb in ("HEAD", "PUT", "POST", "DELETE"):
    setattr(_Refusing, f"do_{_verb}", _Refusing.do_GET)


@pytest.fixture
def refusing_s3():
    """Where a lake on S3 is, whose keys are wrong."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "STORAGE_TYPE": "s3",
            "S3_BUCKET": "lake",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        }
        server.shutdown()


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


async def test_no_object_that_holds_a_secret_shows_it(environment):
    timings = HelixTimings(retry=RetryPolicy(0.01, 0.01, attempts=6))
    settings = Settings.load(environment=environment)
    assert settings.twitch.client_secret.get_secret_value() == PLANTED["TWITCH_CLIENT_SECRET"]
    async with Helix.open(settings.twitch, Stats(), timings=timings) as helix:
        viewers = ViewerKeys(PLANTED["VIEWER_KEY_SECRET"], ())
        for one in (settings, settings.twitch, settings.privacy, helix, helix._patience, viewers):
            assert shown(f"{one!r} {one!s}") == []
        assert shown(settings.model_dump_json()) == []
        try:
            await helix.top_streams(10)
        except Exception as error:  # noqa: BLE001 - its whole story is looked at
            assert shown("".join(traceback.format_exception(error))) == []  # noqa: PT017
        else:
            pytest.fail("nobody answers there")


@pytest.mark.parametrize(
    "use",
    [
        lambda lake: lake.get("x"),
        lambda lake: lake.put("x", b""),
        lambda lake: lake.create("x", b""),
        lambda lake: lake.update("x", lambda _: b""),
        lambda lake: lake.exists("x"),
        lambda lake: lake.modified("x"),
        lambda lake: lake.objects("x/"),
        lambda lake: lake.folders("x/"),
        lambda lake: lake.delete("x"),
        lambda lake: lake.reader("x").read(),
    ],
)
def test_what_s3_answers_is_told_without_the_keys_that_it_repeats(
    environment, refusing_s3, monkeypatch, use
):
    for name, value in (environment | refusing_s3).items():
        monkeypatch.setenv(name, value)
    lake = Lake.open(Settings.load().storage)
    with pytest.raises(BaseError) as caught:
        use(lake)
    assert shown("".join(traceback.format_exception(caught.value))) == []
    # What there is to know stays; to HEAD, S3 answers without words.
    assert "SignatureDoesNotMatch: The signature does not match." in str(caught.value) or (
        "403" in str(caught.value) and "<" not in str(caught.value)
    )


@pytest.mark.parametrize("on_s3", [False, True])
def test_dagsters_records_hold_no_secret(environment, refusing_s3, tmp_path, monkeypatch, on_s3):
    for name, value in (environment | (refusing_s3 if on_s3 else {})).items():
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
        assert done.success is not on_s3
        assert instance.all_logs(done.run_id)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 2
    assert [path.name for path in files if shown(path.read_bytes())] == []


@pytest.mark.parametrize(
    ("command", "on_s3"),
    [
        (["-m", "collector_service"], False),
        ([VIEWERATLAS, "doctor"], False),
        ([VIEWERATLAS, "doctor"], True),
    ],
)
def test_what_commands_say_and_their_command_lines_hold_no_secret(
    environment, refusing_s3, tmp_path, command, on_s3
):
    """The doctor ends by itself; the collector cannot reach Twitch and says so until it is stopped."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TWITCH_", "AWS_"))}
    process = subprocess.Popen(
        [sys.executable, *command],
        env=clean | environment | (refusing_s3 if on_s3 else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + (60 if command[-1] == "doctor" else 8)
        lines = b""
        while process.poll() is None and time.monotonic() < deadline:
            lines += b"\n".join(command_lines())
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


def kept_by_terraform(folder):
    """The places in a module by which Terraform would get to know a secret and keep it."""
    return [
        (path.name, " ".join(hit.split()))
        for path in sorted(folder.rglob("*.tf"))
        for pattern in (KEPT, READ)
        for hit in pattern.findall(path.read_text())
    ]


def test_terraform_gets_no_secret_that_it_would_write_into_plan_or_state(tmp_path):
    module = ROOT / "infrastructure" / "aws"
    assert kept_by_terraform(module) == []
    # What it would see:
    shutil.copytree(module, tmp_path / "aws", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    for name, was, becomes in (
        ("database.tf", "password_wo ", "password "),
        ("modules/drawn_secret/main.tf", "secret_string_wo ", "secret_string "),
        ("modules/drawn_secret/main.tf", 'ephemeral "aws_secretsmanager_s', 'data "aws_secretsmanager_s'),
    ):
        file = tmp_path / "aws" / name
        assert was in file.read_text()
        file.write_text(file.read_text().replace(was, becomes))
    assert kept_by_terraform(tmp_path / "aws") == [
        ("database.tf", "password ="),
        ("main.tf", "secret_string ="),
        ("main.tf", 'data "aws_secretsmanager_secret_version'),
    ]


def test_the_search_sees_what_stands_on_a_command_line():
    # Not one of the planted ones: other tests look for those on this machine meanwhile.
    word = "marker9of9no9secret"
    with watched_command_lines(0.05) as found:
        assert not any(word.encode() in line for line in command_lines())
        subprocess.run([sys.executable, "-c", "import time; time.sleep(1)", word], check=True)
    assert any(word.encode() in line for line in found)
    assert shown(f"x{PLANTED['AWS_SECRET_ACCESS_KEY']}x") == ["AWS_SECRET_ACCESS_KEY"]
