"""`make live` against the simulator over TLS: the same command and settings as on the real Twitch."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime

import polars as pl
import pytest

from tests.conftest import VIEWERATLAS
from tests.security.planted import UNUSED, shown, watched_command_lines


@contextmanager
def simulated_twitch(folder, *, rate):
    """A world that began at midnight today, with TLS, in a process of its own."""
    ready = folder / "ready.json"
    command = [
        *(sys.executable, "-m", "collector_service.simulator", "--tls"),
        *("--seed", "5", "--channels", "60", "--viewers", "4000", "--days", "1"),
        *("--start", f"{datetime.now(UTC):%Y-%m-%d}", "--rate", str(rate), "--start-delay", "2"),
        *("--join-limit", "2000/10", "--ready", str(ready), "--oracle", str(folder / "oracle")),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if ready.exists():
                break
            time.sleep(0.1)
        yield json.loads(ready.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def environment_for(world, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TWITCH", "VIEWER"))}
    return kept | {
        "TWITCH_IRC_URL": world["ircs_url"],
        "TWITCH_CA_FILE": world["ca_file"],
        "TWITCH_HELIX_URL": world["helix_url"],
        "TWITCH_ID_URL": world["id_url"],
        "VIEWERATLAS_CLOCK": world["clock"],
        "COLLECTOR_HTTP_PORT": "0",
        **more,
    }


@pytest.mark.slow
def test_live_collects_over_tls_without_credentials_and_maps_what_came_in(tmp_path):
    with simulated_twitch(tmp_path, rate=1440) as world:
        assert world["ircs_url"].startswith("ircs://")
        with open(tmp_path / "channels.txt", "w") as channels:
            channels.write("# the biggest few; the rest of the world is not collected\n")
            channels.writelines(f"{login}\n" for login in logins(world)[:17])
        process = subprocess.Popen(
            [
                VIEWERATLAS,
                "live",
                "--data-dir",
                str(tmp_path / "live"),
                "--channels-file",
                str(tmp_path / "channels.txt"),
            ],
            env=environment_for(world, **UNUSED),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with watched_command_lines() as lines:
            try:
                wait_for_hours_of_presence(tmp_path / "live/lake/raw", 9, process)
                process.send_signal(signal.SIGINT)
                output, _ = process.communicate(timeout=400)
            finally:
                process.kill()
    assert b"vieweratlas\0live" in b"\n".join(lines)
    assert shown(b"\n".join(lines)) == shown(output) == []
    assert process.returncode == 0, output
    nodes = pl.read_parquet(tmp_path / "live/lake/curated/analysis/latest/nodes.parquet")
    assert nodes.height > 4
    assert nodes["game_name"].null_count() == nodes.height
    assert "The atlas:" in output
    assert (tmp_path / "live/lake/curated/analysis/latest/atlas.html").stat().st_size > 100_000


def wait_for_hours_of_presence(raw, hours, process):
    """Wait until the lake has objects of so many simulated hours."""
    for _ in range(600):
        assert process.poll() is None, process.stdout.read()
        if len(found := list(raw.rglob("hour=*"))) >= hours:
            return
        time.sleep(0.5)
    raise AssertionError(f"only {found} after five minutes")


def logins(world):
    """Channels of the world, from the people who know: ask Helix who exists, biggest first."""

    def ask(url, data=None, headers=None):
        with urllib.request.urlopen(urllib.request.Request(url, data, headers or {})) as response:
            return json.load(response)

    secret = f"client_id={world['client_id']}&client_secret={world['client_secret']}"
    token = ask(f"{world['id_url']}/oauth2/token", f"{secret}&grant_type=client_credentials".encode())
    headers = {"Authorization": f"Bearer {token['access_token']}", "Client-Id": world["client_id"]}
    found = {}
    deadline = time.monotonic() + 20
    while len(found) < 17 and time.monotonic() < deadline:
        for stream in ask(f"{world['helix_url']}/streams?first=100", headers=headers)["data"]:
            found[stream["user_login"]] = True
        time.sleep(0.5)
    return list(found)


def test_a_collector_that_does_not_trust_the_certificate_collects_nothing(tmp_path):
    with simulated_twitch(tmp_path, rate=60) as world:
        environment = environment_for(
            world,
            TWITCH_CHANNELS="anyone",
            LAKE_DIR=str(tmp_path / "lake"),
            COLLECTOR_STATE_DIR=str(tmp_path / "state"),
            VIEWER_KEY_FILE=str(tmp_path / "key"),
        )
        del environment["TWITCH_CA_FILE"]
        process = subprocess.Popen(
            [sys.executable, "-m", "collector_service"], env=environment, stderr=subprocess.PIPE, text=True
        )
        said = []
        while not said or ": tls; next try" not in said[-1]:
            said.append(process.stderr.readline())
            assert said[-1], said
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=60)
        log = "".join(said) + rest
    assert process.returncode == 0
    assert "no connection to ircs://" in log, log
    assert ": tls; next try" in log, log
    for path in (tmp_path / "lake").rglob("*.gz"):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            assert json.loads(line)["observed_seconds"] == 0
