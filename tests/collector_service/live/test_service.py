"""The collector as a process: exit codes, SIGTERM, kill -9, and what may never be written."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import pytest
from aiohttp import web

from collector_service.clock import ScaledClock
from collector_service.contract import decode_lines, parse_record, viewer_key
from collector_service.lake import Lake
from collector_service.live.collector_parts import CollectorTimings
from collector_service.live.journal import Journal
from collector_service.live.pool import PoolTimings
from collector_service.privacy.opt_outs import OptOuts
from collector_service.privacy.populations import agree, begin_population, fingerprint, populations
from collector_service.settings import StorageSettings

from . import impatient_collector
from .irc_double import eventually, irc_double, message

ROOMS = {"alpha": 901, "beta": 902}
SECRET = "the-viewer-key-secret-of-the-test"
USERS = {71234567: "veryuniquelogin", 81234567: "anotheruniquelogin"}
TEXT = "nobodymaykeepthistext"


class Collector:
    """The process, its environment, and what it left behind."""

    def __init__(self, folder, **environment):
        self.folder = folder
        # A window has just begun, so that no test meets its end.
        self.clock = ScaledClock(time.time(), 1_700_000_000 // 300 * 300, 1.0)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TWITCH", "S3", "LAKE", "COLLECTOR", "VIEWER", "CHANNELS", "STORAGE"))
        }
        self.environment = kept | {
            "TWITCH_CHANNELS": "alpha,beta",
            "LAKE_DIR": str(folder / "lake"),
            "COLLECTOR_STATE_DIR": str(folder / "state"),
            "COLLECTOR_HTTP_PORT": "0",
            "VIEWER_KEY_SECRET": SECRET,
            "LOG_LEVEL": "DEBUG",
            "VIEWERATLAS_CLOCK": self.clock.spec(),
            **environment,
        }
        self.process = None

    async def start(self, *program, **environment):
        """Start ``python -m collector_service``, or a program instead of it."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(program or ("-m", "collector_service")),
            cwd=self.folder,
            env=self.environment | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def end(self, number=None):
        """Send a signal, if any; returns exit code and output."""
        if number is not None:
            self.process.send_signal(number)
        output, _ = await asyncio.wait_for(self.process.communicate(), 60)
        return self.process.returncode, output.decode()

    def say(self, client, user_id, number, channel="alpha"):
        """Let the server send a line of a viewer."""
        sent_ms = int(self.clock.now() * 1000)
        line = message(ROOMS[channel], user_id, f"m{number}", sent_ms, channel, TEXT)
        client.send(line.replace(f"u{user_id}", USERS[user_id]))

    def kill(self):
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    def records(self):
        found = []
        for path in sorted((self.folder / "lake").rglob("*.ndjson.gz")):
            found += [(path.name, parse_record(line)) for line in decode_lines(path.read_bytes())]
        return found

    def messages(self):
        counts = Counter()
        for _, record in self.records():
            for key, number in zip(record.viewer_keys, record.viewer_messages, strict=True):
                counts[record.channel, key] += number
        return counts

    def journalled(self):
        """Messages in the journal of the process, read as its next start would read it."""
        with TemporaryDirectory() as copy:
            shutil.copytree(self.folder / "state/journal", copy, dirs_exist_ok=True)
            found = [recovered.share for recovered in Journal(Path(copy), "c").recover()]
        return sum(tally.messages for share in found if share for tally in share.tallies.values())

    def left_behind(self):
        state = self.folder / "state"
        kept = ("lock", "collector_id", "opt_outs.json", "viewer_key.json")
        return [path.name for path in state.rglob("*") if path.is_file() and path.name not in kept]


@pytest.fixture
async def twitch():
    async with irc_double(ROOMS) as double:
        yield double


@pytest.fixture
async def collector(tmp_path, twitch):
    made = Collector(tmp_path, TWITCH_IRC_URL=f"irc://127.0.0.1:{twitch.port}")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/bots.txt").write_text("anotheruniquelogin\n")
    yield made
    made.kill()


async def all_joined(twitch, connection=1):
    await eventually(lambda: len(twitch.clients) == connection and len(twitch.clients[-1].joins) == 2, 20)
    return twitch.clients[-1]


def key(user_id):
    return viewer_key(SECRET, str(user_id))


async def test_sigterm_flushes_everything_and_ends_well(collector, twitch):
    began = time.time()
    await collector.start()
    client = await all_joined(twitch)
    for number in range(20):
        collector.say(client, 71234567, number)
    collector.say(client, 81234567, 20, "beta")
    await asyncio.sleep(1.5)
    stopped = time.monotonic()
    code, output = await collector.end(signal.SIGTERM)
    assert (code, time.monotonic() - stopped < 10) == (0, True), output
    assert collector.messages() == {("alpha", key(71234567)): 20, ("beta", key(81234567)): 1}
    assert collector.left_behind() == []
    for _, record in collector.records():
        assert record.partial
        assert 0 < record.observed_seconds < time.time() - began
        bots = [key(81234567)] if record.channel == "beta" and record.messages else []
        assert record.known_bots == bots
    assert sum(r.observed_seconds for _, r in collector.records() if r.channel == "alpha") > 1.4


async def test_nothing_that_names_a_viewer_is_written(collector, twitch, tmp_path):
    await collector.start(LOG_FORMAT="json")
    client = await all_joined(twitch)
    for number, user_id in enumerate(USERS):
        collector.say(client, user_id, number)
    client.send("@room-id=901 :x!x@x PRIVMSG #alpha :no user", "garbage veryuniquelogin")
    await eventually(lambda: collector.journalled() == len(USERS))
    journal = b"".join(path.read_bytes() for path in (tmp_path / "state/journal").iterdir())
    _, output = await collector.end(signal.SIGTERM)
    for line in output.splitlines():
        assert json.loads(line)["message"]
    lake = b"".join(line for path in tmp_path.rglob("*.gz") for line in decode_lines(path.read_bytes()))
    assert str(key(71234567)).encode() in lake
    for secret in (SECRET, TEXT, *USERS.values(), *map(str, USERS)):
        assert secret not in output
        assert secret.encode() not in journal
        assert secret.encode() not in lake


async def test_ids_are_in_raw_objects_alone_and_only_where_the_operator_decided_so(
    collector, twitch, tmp_path
):
    (tmp_path / "config/config.yaml").write_text("privacy: {raw_identities: true}\n")
    await collector.start()
    client = await all_joined(twitch)
    for number, user_id in enumerate(USERS):
        collector.say(client, user_id, number)
    await eventually(lambda: collector.journalled() == len(USERS))
    kept = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    _, output = await collector.end(signal.SIGTERM)
    lines = [
        json.loads(line) for path in tmp_path.rglob("*.gz") for line in decode_lines(path.read_bytes())
    ]
    [alpha] = [line["chatters"] for line in lines if line["channel"] == "alpha"]
    told = dict(zip(alpha["viewer_key"], alpha["user_id"], strict=True))
    assert told == {str(key(user_id)): str(user_id) for user_id in USERS}
    for user_id in map(str, USERS):
        assert user_id not in output
        assert not any(user_id.encode() in data for data in kept)
    assert not any(name.encode() in data for name in (*USERS.values(), TEXT) for data in kept)
    assert not any(name in json.dumps(lines) for name in (*USERS.values(), TEXT))


async def test_kill_9_loses_a_few_seconds_at_most(collector, twitch):
    await collector.start()
    client = await all_joined(twitch)
    began = time.monotonic()
    for number in range(30):
        collector.say(client, 71234567, number)
        await asyncio.sleep(0.1)
    chatted_seconds = time.monotonic() - began
    await eventually(lambda: collector.journalled() == 30)
    await collector.end(signal.SIGKILL)
    assert collector.records() == []
    await collector.start()
    client = await all_joined(twitch, 2)
    for number in range(30, 35):
        collector.say(client, 71234567, number)
    code, output = await collector.end(signal.SIGTERM)
    assert code == 0, output
    assert "recovered the window" in output
    assert collector.messages() == {("alpha", key(71234567)): 35}
    records = {r.messages: (name, r) for name, r in collector.records() if r.channel == "alpha"}
    (before, recovered), (after, rest) = records[30], records[5]
    assert recovered.partial
    assert rest.partial
    # Up to a second before the last flush, which is at most a second old.
    assert chatted_seconds - 2.0 < recovered.observed_seconds < chatted_seconds + 10.0
    assert recovered.window_start == rest.window_start
    assert after == before.replace(".ndjson", "-01.ndjson")
    assert collector.left_behind() == []


async def test_sigterm_while_the_lake_hangs_ends_in_time_and_keeps_the_spool(collector, twitch, tmp_path):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        # An earlier start has seen who opted out, and whose key it is.
        (tmp_path / "state").mkdir()
        (tmp_path / "state/viewer_key.json").write_text(fingerprint(SECRET))
        (tmp_path / "state/opt_outs.json").write_bytes(OptOuts().to_bytes())
        await collector.start(
            impatient_collector.__file__,
            PYTHONPATH=os.pathsep.join(sys.path),
            STORAGE_TYPE="s3",
            S3_BUCKET="bucket",
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{deaf.getsockname()[1]}",
            AWS_ACCESS_KEY_ID="a",
            AWS_SECRET_ACCESS_KEY="b",
        )
        client = await all_joined(twitch)
        collector.say(client, 71234567, 1)
        await eventually(lambda: collector.journalled() == 1)
        stopped = time.monotonic()
        code, output = await collector.end(signal.SIGTERM)
    assert code == 0, output
    ends = PoolTimings.drain_seconds + impatient_collector.TIMINGS.finish_seconds
    assert time.monotonic() - stopped < ends + 10
    assert PoolTimings.drain_seconds + CollectorTimings.finish_seconds < 25
    assert "stay in the spool" in output
    assert len(collector.left_behind()) >= 1
    await collector.start()
    await all_joined(twitch, 2)
    code, output = await collector.end(signal.SIGTERM)
    assert collector.messages() == {("alpha", key(71234567)): 1}
    assert collector.left_behind() == []


async def test_an_opt_out_is_obeyed_once_it_is_read(collector, twitch, tmp_path):
    await collector.start()
    client = await all_joined(twitch)
    collector.say(client, 71234567, 1)
    await asyncio.sleep(1.0)
    (tmp_path / "lake/state").mkdir(parents=True, exist_ok=True)
    opt_outs = OptOuts(viewer_keys=frozenset({key(71234567)}))
    (tmp_path / "lake/state/opt_outs.json").write_bytes(opt_outs.to_bytes())
    collector.process.send_signal(signal.SIGHUP)
    kept = tmp_path / "state/opt_outs.json"
    await eventually(lambda: kept.exists() and kept.read_bytes() == opt_outs.to_bytes())
    await asyncio.sleep(1.0)  # it is kept a moment before it is in force
    collector.say(client, 71234567, 2)
    collector.say(client, 81234567, 3)
    await asyncio.sleep(1.0)
    code, output = await collector.end(signal.SIGTERM)
    assert code == 0, output
    # Nor is there what the open window had counted before.
    assert collector.messages() == {("alpha", key(81234567)): 1}


async def test_a_collector_whose_key_was_rotated_meanwhile_stops_with_code_78(collector, twitch, tmp_path):
    await collector.start()
    client = await all_joined(twitch)
    collector.say(client, 71234567, 1)
    await asyncio.sleep(0.5)
    lake = Lake.open(StorageSettings(dir=tmp_path / "lake"))
    assert [one.fingerprint for one in populations(lake)] == [fingerprint(SECRET)]
    begin_population(lake, "the-key-after-the-rotation", date(2026, 3, 1))
    collector.process.send_signal(signal.SIGHUP)
    code, output = await collector.end()
    assert code == 78, output
    assert "two populations would mix" in output
    assert "Traceback" not in output
    # What was counted before is not lost.
    assert collector.messages() == {("alpha", key(71234567)): 1}
    await collector.start()
    code, output = await collector.end()
    assert (code, "two populations would mix" in output) == (78, True), output


async def test_a_collector_that_has_lost_its_key_makes_no_new_one(collector, tmp_path):
    agree(Lake.open(StorageSettings(dir=tmp_path / "lake")), SECRET, date(2026, 3, 1))
    await collector.start(VIEWER_KEY_SECRET="", VIEWER_KEY_FILE=str(tmp_path / "key"))
    code, output = await collector.end()
    assert (code, "is missing, but the viewers in" in output) == (78, True), output
    assert not (tmp_path / "key").exists()


async def test_it_ends_after_so_many_windows(collector, twitch, tmp_path):
    origin = time.time()
    config = {"collection": {"window_seconds": 10, "max_collection_cycles": 2}}
    (tmp_path / "config/config.yaml").write_text(json.dumps(config))
    await collector.start(VIEWERATLAS_CLOCK=f"{origin}/1700000000/10")
    code, output = await collector.end()
    assert code == 0
    assert "max_collection_cycles" in output
    assert sum(not record.partial for _, record in collector.records()) >= 1


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TWITCH_CHANNELS": ""}, "no channels to collect: set TWITCH_CHANNELS"),
        ({"TWITCH_CHANNELS": "not a login"}, "'not a login' is not a login"),
        ({"TWITCH_CHANNELS": "", "CHANNELS_FILE": "gone.txt"}, "cannot read gone.txt"),
        ({"LAKE_DIR": "/proc/nowhere"}, "storage.dir (LAKE_DIR): /proc/nowhere"),
        ({"COLLECTOR_STATE_DIR": "/proc/nowhere"}, "COLLECTOR_STATE_DIR"),
        ({"TWITCH_IRC_URL": "http://x"}, "irc_url"),
    ],
)
async def test_a_wrong_setting_is_one_line_and_code_2(collector, environment, said):
    await collector.start(**environment)
    code, output = await collector.end()
    assert code == 2
    assert said in output
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) == 1


async def test_two_collectors_do_not_share_a_state_directory(collector, twitch):
    await collector.start()
    await all_joined(twitch)
    first = collector.process
    await collector.start()
    code, output = await collector.end()
    assert code == 2
    assert "in use by a different collector" in output
    collector.process = first
    assert (await collector.end(signal.SIGTERM))[0] == 0


@asynccontextmanager
async def id_server(status, asked=None):
    async def token(_):
        if asked:
            asked.set()
        return web.json_response({"status": status, "message": "invalid client secret"}, status=status)

    app = web.Application()
    app.add_routes([web.post("/oauth2/token", token)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_refused_credentials_are_code_78_without_the_secret(collector):
    async with id_server(403) as url:
        await collector.start(
            TWITCH_CHANNELS="",
            TWITCH_ID_URL=url,
            TWITCH_HELIX_URL=url,
            TWITCH_CLIENT_ID="id",
            TWITCH_CLIENT_SECRET="secret-of-the-application",
        )
        code, output = await collector.end()
    assert code == 78
    assert "refuses the credentials (403: invalid client secret)" in output
    assert "secret-of-the-application" not in output
    assert "Traceback" not in output


async def test_sigterm_during_the_start_ends_at_once(collector):
    asked = asyncio.Event()
    async with id_server(503, asked) as url:
        await collector.start(
            TWITCH_CHANNELS="",
            TWITCH_ID_URL=url,
            TWITCH_HELIX_URL=url,
            TWITCH_CLIENT_ID="id",
            TWITCH_CLIENT_SECRET="secret",
        )
        async with asyncio.timeout(60):
            await asked.wait()
        code, output = await collector.end(signal.SIGTERM)
    assert code == 0, output


async def test_health_and_metrics_of_the_running_service(collector, twitch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    await collector.start(COLLECTOR_HTTP_PORT=str(port))
    client = await all_joined(twitch)
    collector.say(client, 71234567, 1)
    await asyncio.sleep(0.5)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/healthz") as response:
            body = await response.json()
        assert (response.status, body["status"], body["channels"]["joined"]) == (200, "ok", 2)
        async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
            text = await response.text()
    assert 'vieweratlas_messages_total{command="PRIVMSG"} 1.0' in text
    assert not [name for name in (*ROOMS, *USERS.values()) if name in text]
    assert (await collector.end(signal.SIGTERM))[0] == 0
