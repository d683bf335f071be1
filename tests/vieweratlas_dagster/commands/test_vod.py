"""The `vieweratlas vod` and `import --vod-json` commands: what they print, change, and exit with."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from collector_service.simulator.planting import plant
from collector_service.simulator.world import WorldOptions
from tests.worlds.chat_json import chat_json
from tests.worlds.twitch_thread import twitch_in_thread
from tests.worlds.vod_items import item
from vieweratlas_dagster.cli import app
from vieweratlas_dagster.vod import queue
from vieweratlas_dagster.vod.queue_store import QUEUE_KEY, QueueStore


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setenv("LAKE_DIR", str(tmp_path / "lake"))
    monkeypatch.setenv("COLLECTOR_STATE_DIR", str(tmp_path / "state"))
    return Lake.open(StorageSettings(dir=tmp_path / "lake"))


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines(text):
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def fill(lake, *items):
    QueueStore(lake).apply(lambda old: queue.enqueue(old, items))


def test_list_tells_all_of_each(lake):
    fill(
        lake,
        item(1, hours=3),
        item(2, hours=1, status="done", coverage_seconds=1800.0, comments=90, attempts=1),
        item(3, hours=2, status="incomplete", coverage_seconds=450.0, comments=7, attempts=2,
             reason="HTTP 503, 6 times in a row", next_attempt_at=datetime(2026, 5, 1, 12, 30, tzinfo=UTC)),
    )  # fmt: skip
    result = run("vod", "list")
    assert result.exit_code == 0
    waiting = "25% read, 7 comments, 2 attempts, next not before 05-01 12:30: HTTP 503, 6 times in a row"
    assert lines(result.output) == [
        "1 pending, 0 leased, 1 incomplete, 1 done, 0 dead",
        "2 done channel2 ended 2026-05-01 11:30 UTC, 0.5 h, 100% read, 90 comments, 1 attempt",
        f"3 incomplete channel3 ended 2026-05-01 10:30 UTC, 0.5 h, {waiting}",
        "1 pending channel1 ended 2026-05-01 09:30 UTC, 0.5 h, 0% read, 0 comments, 0 attempts",
    ]
    shown = run("vod", "list", "--status", "done", "--status", "pending").output
    assert [line.split()[0] for line in lines(shown)[1:]] == ["2", "1"]
    assert run("vod", "list", "--status", "sleeping").exit_code == 2


def test_retry_gives_all_attempts_back(lake):
    fill(
        lake,
        item(1, status="dead", attempts=5, reason="HTTP 503"),
        item(2, status="dead", attempts=1, gone=True),
        item(3, status="done"),
    )
    result = run("vod", "retry", "--dead")
    assert result.exit_code == 0
    assert lines(result.output)[0] == "1 made due"
    states = {key: one.status for key, one in QueueStore(lake).load().items()}
    assert states == {"1": "pending", "2": "dead", "3": "done"}
    result = run("vod", "retry", "https://www.twitch.tv/videos/3?t=1h", "404")
    assert result.exit_code == 1
    assert "404 is not in the queue; run `vieweratlas vod add 404` to add it" in result.stderr
    assert QueueStore(lake).load()["3"].status == "pending"
    for wrong in ([], ["--dead", "1"], ["someone"]):
        assert run("vod", "retry", *wrong).exit_code == 2


def test_a_damaged_queue_stops_every_command_and_is_recovered(lake):
    fill(lake, item(1), item(2))
    whole = json.loads(lake.get(QUEUE_KEY))
    whole["items"][0]["attempts"] = "many"
    lake.put(QUEUE_KEY, json.dumps(whole).encode())
    for command in (["list"], ["retry", "--dead"]):
        result = run("vod", *command)
        assert result.exit_code == 1
        assert "`vieweratlas vod recover`" in " ".join(result.stderr.split())
    result = run("vod", "recover")
    assert result.exit_code == 0
    assert lines(result.output)[0] == "1 entries kept, 1 lost"
    assert "quarantine/vod_queue/" in result.output
    assert lines(run("vod", "list").output)[0].startswith("1 pending")
    lake.delete(QUEUE_KEY)
    assert run("vod", "list").exit_code == 1
    assert "0 entries kept, an unknown number lost" in run("vod", "recover").output
    assert run("vod", "list").exit_code == 0


@contextmanager
def twitch(world, now, monkeypatch):
    """A simulated Twitch at an instant, with the settings that lead to both."""
    with twitch_in_thread(world, now) as environment:
        for name, value in (environment | {"VIEWERATLAS_CLOCK": f"0/{now}/1e-9"}).items():
            monkeypatch.setenv(name, value)
        yield


def test_add_queues_what_twitch_has(lake, monkeypatch):
    world = plant(WorldOptions(seed=5, channels=6, viewers=100, days=1))
    first, *_, last = sorted(world.streams, key=lambda stream: stream.ended_at)
    with twitch(world, last.started_at + 60.0, monkeypatch):
        result = run("vod", "add", first.video_id, f"twitch.tv/videos/{last.video_id}", "12")
        assert result.exit_code == 1
        channel = world.channels[first.channel].login
        told = lines(result.output)
        assert f"{first.video_id} of {channel}: queued" in told
        assert f"{last.video_id}: the broadcast is still running; add it when it has ended" in told
        assert "12: Twitch has no such past broadcast (deleted, expired, a highlight or an upload)" in told
        assert "But vod.enabled is false: recordings are read only when it is true." in told
        (queued,) = QueueStore(lake).load().values()
        assert (queued.vod_id, queued.channel, queued.status) == (first.video_id, channel, "pending")
        again = run("vod", "add", first.video_id)
        assert again.exit_code == 0
        assert f"already known; run `vieweratlas vod retry {first.video_id}` to read it" in again.output
    assert run("vod", "add", "../1").exit_code == 2


def test_chat_files_are_imported_with_their_dates(lake, tmp_path):
    (tmp_path / "a.json").write_bytes(chat_json("1", [(0, "777001"), (130, "777002"), (9, None)]))
    result = run("import", "--vod-json", tmp_path / "a.json")
    assert result.exit_code == 0
    told = " ".join(result.output.split())
    assert (
        "1 VODs, 2 comments of 2 viewers "
        "(1 of deleted accounts, 0 mirrored, 0 opted out, 0 outside the VOD)" in told
    )
    assert "in 2 objects" in told
    assert "Next: vieweratlas analyze --from 2026-01-02 --to 2026-01-03" in told
    (tmp_path / "b.json").write_text("{}")
    result = run("import", "--vod-json", tmp_path / "b.json", "--vod-json", tmp_path / "a.json")
    assert result.exit_code == 1
    assert "refused: " in result.output
    assert "1 VODs" in result.output
    for wrong in (
        [], ["--presence", "x.csv"], ["--date", "2026-01-02"],
        ["--vod-json", tmp_path / "a.json", "--date", "2026-01-02"],
    ):  # fmt: skip
        assert run("import", *wrong).exit_code == 2


def test_a_lake_that_cannot_be_used_is_one_line(lake, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAKE_DIR", str(tmp_path / "file"))
    result = run("vod", "list")
    assert result.exit_code == 1
    assert lines(result.stderr) == [f"vieweratlas: [Errno 17] File exists: '{tmp_path}/file'"]
