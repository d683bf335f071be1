import asyncio
import csv
import gzip
import json
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter

import aiohttp
import pytest

from collector_service.clock import ScaledClock, parse_clock

COMMAND = [sys.executable, "-m", "collector_service.simulator"]


def test_the_command_serves_until_sigterm_and_leaves_the_truth(tmp_path):
    ready, oracle = tmp_path / "ready.json", tmp_path / "oracle"
    process = subprocess.Popen(
        [
            *(*COMMAND, "--seed", "4", "--channels", "24", "--viewers", "600", "--days", "1"),
            *("--start", "2026-11-20", "--rate", "40000", "--start-delay", "1", "--window-seconds", "600"),
            *("--ready", str(ready), "--oracle", str(oracle), "--tls", "--oddities"),
            *("--join-limit", "2000/10"),
        ],
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 30
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        facts = json.loads(ready.read_text())
        assert {
            "irc_url", "ircs_url", "ca_file", "helix_url", "id_url", "gql_url", "control_url",
            "client_id", "client_secret", "clock", "starts_at", "ends_at", "oddities",
        } == set(facts)  # fmt: skip
        assert facts["irc_url"].startswith("irc://127.0.0.1:")
        assert facts["helix_url"] == facts["id_url"] + "/helix"
        clock = parse_clock(facts["clock"])
        assert isinstance(clock, ScaledClock)
        assert clock.world_origin == facts["starts_at"] == 1795132800
        assert facts["ends_at"] - facts["starts_at"] == 86_400
        heard = asyncio.run(listen(facts))
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"planted 24 channels" in errors
    assert b"messages" in errors.splitlines()[-1]
    with gzip.open(oracle / "presence.csv.gz", "rt") as handle:
        rows = list(csv.DictReader(handle))
    delivered: Counter[str] = Counter()
    for row in rows:
        assert int(row["window_start"]) % 600 == 0
        delivered[row["channel_id"]] += int(row["delivered"])
    assert +delivered == heard
    assert sum(heard.values()) > 100
    assert json.loads((oracle / "totals.json").read_text())["complete"] == 1
    assert not list(tmp_path.rglob(".*"))


async def listen(facts) -> Counter[str]:
    """Messages by room, over TLS, to the end of the world, in all channels that Helix shows."""
    async with aiohttp.ClientSession() as http:
        form = {name: facts[name] for name in ("client_id", "client_secret")}
        form["grant_type"] = "client_credentials"
        async with http.post(facts["id_url"] + "/oauth2/token", data=form) as response:
            token = (await response.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Client-Id": facts["client_id"]}
        clock, logins = parse_clock(facts["clock"]), []
        while not logins:
            await asyncio.sleep(0.05)
            async with http.get(facts["helix_url"] + "/streams", headers=headers) as response:
                logins = [stream["user_login"] for stream in (await response.json())["data"]]
    host, port = facts["ircs_url"].removeprefix("ircs://").split(":")
    context = ssl.create_default_context(cafile=facts["ca_file"])
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    writer.write(b"CAP REQ :twitch.tv/tags\r\nNICK justinfan5\r\n")
    writer.write(f"JOIN #{',#'.join(logins)}\r\n".encode())
    heard: Counter[str] = Counter()
    while True:
        try:
            async with asyncio.timeout(0.5):
                line = await reader.readline()
        except TimeoutError:
            if clock.now() > facts["ends_at"]:
                break
            continue
        if b" PRIVMSG #" in line:
            tags = dict(tag.split("=", 1) for tag in line.decode()[1:].partition(" ")[0].split(";"))
            if tags.get("source-room-id", tags["room-id"]) == tags["room-id"]:
                heard[tags["room-id"]] += 1
    writer.close()
    return heard


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--join-limit", "many"], "expected COUNT/SECONDS"),
        (["--start", "yesterday"], "expected a day"),
        (["--rate", "0"], "0.001"),
    ],
)
def test_wrong_arguments_are_explained(arguments, text):
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert text in done.stderr
