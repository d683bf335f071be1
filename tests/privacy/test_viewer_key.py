"""The viewer key: made once, kept by one user alone, and never changed without anybody noticing."""

import asyncio
import json
import logging
import stat
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from typer.testing import CliRunner

from collector_service.clock import ScaledClock
from collector_service.contract import decode_lines, parse_record, viewer_key
from collector_service.lake import Lake
from collector_service.live.key_watch import KeyWatch, refuse_if_lost_before_collecting
from collector_service.live.lake_reads import LakeReadTimings
from collector_service.privacy.opt_outs import OptOuts, add_opt_outs
from collector_service.privacy.populations import (
    KEY_RECORD,
    WrongKeyError,
    agree,
    begin_population,
    check_if_at_hand,
    checked_secret,
    fingerprint,
    population_start,
    populations,
)
from collector_service.settings import PrivacySettings, SettingsError
from collector_service.support.retry import RetryPolicy
from vieweratlas_dagster.cli import app
from vieweratlas_dagster.commands import doctor
from vieweratlas_dagster.commands.rotate_key import rotate
from vieweratlas_dagster.forgetting.ledger import keep_job, new_job
from vieweratlas_dagster.forgetting.subject import Subject, find_viewer
from vieweratlas_dagster.settings import Settings

TODAY = date(2026, 3, 4)
NOW = datetime(2026, 3, 4, tzinfo=UTC)
RIGHT, WRONG = "r" * 32, "w" * 32
TIMINGS = LakeReadTimings()


def watch(lake, secret, folder, timings=TIMINGS):
    return KeyWatch(lake, secret, folder, ScaledClock(NOW.timestamp(), NOW.timestamp(), 1.0), timings)


def given(secret):
    return PrivacySettings(viewer_key_secret=secret)


def test_the_first_use_makes_a_file_for_its_owner_alone_and_the_lake_remembers_a_fingerprint(
    any_lake, tmp_path
):
    privacy = PrivacySettings(viewer_key_file=tmp_path / "new" / "key")
    secret = checked_secret(privacy, any_lake, TODAY)
    assert stat.S_IMODE(privacy.viewer_key_file.stat().st_mode) == 0o600
    assert [one.since for one in populations(any_lake)] == [TODAY]
    before = any_lake.get(KEY_RECORD)
    assert checked_secret(privacy, any_lake, date(2026, 4, 1)) == secret
    assert any_lake.get(KEY_RECORD) == before


def test_the_fingerprint_holds_nothing_of_the_key(lake):
    agree(lake, RIGHT, TODAY)
    text = lake.get(KEY_RECORD)
    assert RIGHT.encode() not in text
    assert RIGHT.encode().hex().encode() not in text
    assert fingerprint(RIGHT) in text.decode()
    assert fingerprint(RIGHT) != fingerprint(RIGHT + "r")
    # Not made of viewer keys: it tells nothing of any viewer.
    assert f"{viewer_key(RIGHT, '0'):x}" not in text.decode()


def test_another_key_is_refused_before_anything_is_written(any_lake):
    agree(any_lake, RIGHT, TODAY)
    with pytest.raises(WrongKeyError, match=r"two populations would mix.*rotate-key"):
        checked_secret(given(WRONG), any_lake, TODAY)
    with pytest.raises(WrongKeyError):
        check_if_at_hand(given(WRONG), any_lake)
    check_if_at_hand(given(RIGHT), any_lake)


def test_a_lost_key_is_not_replaced_by_a_new_one(lake, tmp_path):
    agree(lake, RIGHT, TODAY)
    privacy = PrivacySettings(viewer_key_file=tmp_path / "lost")
    with pytest.raises(WrongKeyError, match="is missing, but the viewers"):
        checked_secret(privacy, lake, TODAY)
    assert not privacy.viewer_key_file.exists()
    check_if_at_hand(privacy, lake)  # who only reads needs none


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"schema_version": 2, "populations": [{}]}', b"null"])
def test_an_unreadable_record_is_never_taken_for_none(lake, text):
    lake.put(KEY_RECORD, text)
    with pytest.raises(SettingsError, match="put an earlier version back"):
        checked_secret(given(RIGHT), lake, TODAY)
    assert lake.get(KEY_RECORD) == text


async def test_a_collector_with_another_key_does_not_start_to_collect(lake, tmp_path):
    agree(lake, RIGHT, TODAY)
    with pytest.raises(WrongKeyError):
        await watch(lake, WRONG, tmp_path).before_collecting()


async def test_without_the_lake_a_collector_waits_unless_its_copy_says_the_same(
    lake, tmp_path, monkeypatch, caplog
):
    await watch(lake, RIGHT, tmp_path).before_collecting()

    def away(key, most=None):
        raise OSError("no route to the lake")

    monkeypatch.setattr(lake, "get", away)
    with caplog.at_level(logging.WARNING):
        await watch(lake, RIGHT, tmp_path).before_collecting()
    assert "the viewer key is that of the last start" in caplog.text
    waits = asyncio.Event()

    class Long(RetryPolicy):
        def wait_seconds(self, failures):
            waits.set()
            return super().wait_seconds(failures)

    slow = LakeReadTimings(retry=Long(3600.0, 3600.0))
    waiting = asyncio.create_task(watch(lake, WRONG, tmp_path, slow).before_collecting())
    async with asyncio.timeout(30):
        await waits.wait()
    await asyncio.sleep(0)
    assert "nothing is collected until the lake's viewer key is known" in caplog.text
    assert not waiting.done()
    waiting.cancel()


async def test_without_a_key_and_the_lake_a_collector_waits_before_it_makes_one(
    lake, tmp_path, monkeypatch
):
    agree(lake, RIGHT, TODAY)
    privacy = PrivacySettings(viewer_key_file=tmp_path / "lost")
    answers = iter([OSError("no route to the lake"), None])
    get = lake.get

    def away_at_first(key, most=None):
        if problem := next(answers):
            raise problem
        return get(key, most)

    monkeypatch.setattr(lake, "get", away_at_first)
    with pytest.raises(WrongKeyError, match="is missing, but the viewers"):
        await refuse_if_lost_before_collecting(privacy, lake, LakeReadTimings(retry=RetryPolicy(0.0, 0.0)))
    assert not privacy.viewer_key_file.exists()
    assert list(answers) == []


async def test_a_collector_goes_on_while_nobody_can_tell_whether_its_key_is_the_lakes_still(
    lake, tmp_path, caplog
):
    agree(lake, RIGHT, TODAY)
    await watch(lake, RIGHT, tmp_path).again()
    with pytest.raises(WrongKeyError):
        await watch(lake, WRONG, tmp_path).again()
    lake.put(KEY_RECORD, b"{")
    await watch(lake, WRONG, tmp_path).again()
    assert "put an earlier version back" in caplog.text


@pytest.fixture
def settings(tmp_path):
    return Settings(storage={"dir": tmp_path / "lake"}, privacy={"viewer_key_file": tmp_path / "key"})


def test_rotation_puts_the_old_key_away_and_begins_a_new_population(settings, tmp_path):
    lake = Lake.open(settings.storage)
    old = checked_secret(settings.privacy, lake, TODAY)
    rotate(settings, drop_viewer_opt_outs=False)
    new = checked_secret(settings.privacy, lake, TODAY)
    assert new != old
    [retired] = tmp_path.glob("key.retired-*")
    assert retired.read_text().strip() == old
    assert [stat.S_IMODE(path.stat().st_mode) for path in (retired, tmp_path / "key")] == [0o600, 0o600]
    first, second = populations(lake)
    assert (first.fingerprint, second.fingerprint) == (fingerprint(old), fingerprint(new))
    # Graphs from then on do not mix viewers of both.
    assert population_start(lake, f"{second.since}") == f"{second.since}"
    assert population_start(lake, "2026-03-05") == (
        "" if f"{second.since}" > "2026-03-05" else f"{second.since}"
    )
    with pytest.raises(SettingsError, match="was the lake's before"):
        begin_population(lake, old, TODAY)


def test_a_rotation_that_was_killed_halfway_is_noticed_and_finished_by_the_same_command(settings):
    lake = Lake.open(settings.storage)
    checked_secret(settings.privacy, lake, TODAY)
    settings.privacy.viewer_key_file.write_text("n" * 64)
    with pytest.raises(WrongKeyError):
        checked_secret(settings.privacy, lake, TODAY)
    rotate(settings, drop_viewer_opt_outs=False)
    assert checked_secret(settings.privacy, lake, TODAY) == "n" * 64


def test_rotation_does_not_silently_bring_back_viewers_who_opted_out(settings):
    lake = Lake.open(settings.storage)
    checked_secret(settings.privacy, lake, TODAY)
    add_opt_outs(lake, OptOuts(frozenset({5})), may_begin=True)
    with pytest.raises(SettingsError, match="1 viewers have opted out under the old key"):
        rotate(settings, drop_viewer_opt_outs=False)
    assert len(populations(lake)) == 1
    rotate(settings, drop_viewer_opt_outs=True)
    assert len(populations(lake)) == 2


def test_a_key_of_the_environment_is_rotated_there_first(tmp_path):
    def with_key(secret):
        return Settings(storage={"dir": tmp_path / "lake"}, privacy={"viewer_key_secret": secret})

    lake = Lake.open(with_key(RIGHT).storage)
    agree(lake, RIGHT, TODAY)
    with pytest.raises(SettingsError, match="put a new one into your secret store"):
        rotate(with_key(RIGHT), drop_viewer_opt_outs=False)
    rotate(with_key(WRONG), drop_viewer_opt_outs=False)
    assert checked_secret(given(WRONG), lake, TODAY) == WRONG


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.setenv("LAKE_DIR", str(tmp_path / "lake"))
    monkeypatch.setenv("VIEWER_KEY_SECRET", RIGHT)
    monkeypatch.setenv("COLLECTOR_STATE_DIR", str(tmp_path / "collector"))

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return result.exit_code, " ".join((result.output + result.stderr).split())

    return run


def test_an_import_with_another_key_is_refused_and_doctor_says_why(command, tmp_path, monkeypatch):
    (tmp_path / "p.csv").write_text("channel,viewer\nalpha,77\n")
    arguments = ("import", "--presence", tmp_path / "p.csv", "--date", "2026-03-01")
    assert command(*arguments)[0] == 0
    monkeypatch.setenv("VIEWER_KEY_SECRET", WRONG)
    code, text = command(*arguments)
    assert (code, "two populations would mix" in text, WRONG in text) == (2, True, False)
    finding = doctor._try("viewer key", doctor._viewer_key, Settings.load(), None)
    assert not finding.ok
    assert "rotate-key" in finding.text
    lake = Lake.open(Settings.load().storage)
    [key] = [info.key for info in lake.objects("raw/")]
    assert [parse_record(line).viewer_keys for line in decode_lines(lake.get(key))] == [
        [viewer_key(RIGHT, "77")]
    ]


def test_forget_at_the_command_line(command, tmp_path):
    assert command("forget")[0] == 2
    assert command("forget", "--viewer", "7", "--channel", "x")[0] == 2
    (tmp_path / "p.csv").write_text("channel,viewer\nalpha,77\nalpha,78\n")
    command("import", "--presence", tmp_path / "p.csv", "--date", "2026-03-01")
    code, text = command("forget", "--viewer", "somebody")
    assert (code, "give the numeric user id" in text) == (1, True)
    code, text = command("forget", "--viewer", "77", "--dry-run")
    assert code == 0
    assert "1 viewer entries in raw data" in text
    code, text = command("forget", "--viewer", "77")
    assert (code, "Put on the list of opt-outs" in text) == (0, True)
    lake = Lake.open(Settings.load().storage)
    entries = [json.loads(lake.get(info.key)) for info in lake.objects("state/forgotten/")]
    assert [entry["progress"] for entry in entries] == ["done"]
    assert "The lake does not contain it" in command("forget", "--viewer", "77")[1]
    assert "There is no unfinished job" in command("forget", "--resume")[1]


def _of_three_populations(command, tmp_path, monkeypatch):
    """A lake with one viewer in a day of each of three populations; returns the keys, oldest first."""
    keys = ["a" * 32, "b" * 32, "c" * 32]
    (tmp_path / "p.csv").write_text("channel,viewer\nalpha,77\nalpha,78\n")
    for number, secret in enumerate(keys):
        monkeypatch.setenv("VIEWER_KEY_SECRET", secret)
        lake = Lake.open(Settings.load().storage)
        if number:
            begin_population(lake, secret, date(2026, 3, 1 + number))
        code, text = command("import", "--presence", tmp_path / "p.csv", "--date", f"2026-03-0{1 + number}")
        assert code == 0, text
    return keys


def _who_is_there(tmp_path):
    lake = Lake.open(Settings.load().storage)
    lines = [line for info in lake.objects("raw/") for line in decode_lines(lake.get(info.key))]
    return [parse_record(line).viewer_keys for line in lines]


def _key_file(path, secret):
    path.write_text(secret)
    path.chmod(0o600)
    return path


def test_a_viewer_is_forgotten_in_days_of_every_population_whose_key_is_there(
    command, tmp_path, monkeypatch
):
    first, second, third = _of_three_populations(command, tmp_path, monkeypatch)
    monkeypatch.setenv("VIEWER_KEY_FILE", str(tmp_path / "key"))
    _key_file(tmp_path / "key.retired-2026-03-02", first)
    old = _key_file(tmp_path / "from the secret store", second)
    code, text = command("forget", "--viewer", "77", "--old-key-file", old)
    assert (code, "3 viewer entries" in text) == (0, True), text
    assert _who_is_there(tmp_path) == [[viewer_key(secret, "78")] for secret in (first, second, third)]


def test_days_of_a_population_whose_key_is_missing_are_named_and_end_with_1(command, tmp_path, monkeypatch):
    first, second, third = _of_three_populations(command, tmp_path, monkeypatch)
    monkeypatch.setenv("VIEWER_KEY_FILE", str(tmp_path / "key"))
    _key_file(tmp_path / "key.retired-2026-03-02", second)
    for _ in range(2):  # also when all else is done already
        code, text = command("forget", "--viewer", "77")
        assert (code, "could not search days from the first to 2026-03-02:" in text) == (1, True), text
        assert "--old-key-file" in text
    # So does the command that finishes what a killed one has begun, and knows no more than that one.
    lake = Lake.open(Settings.load().storage)
    subject = find_viewer("77", third, None, [second])
    keep_job(lake, new_job(replace(subject, out_of_reach=("from the first to 2026-03-02",)), NOW))
    code, text = command("forget", "--resume")
    assert (code, "could not search days from the first to 2026-03-02:" in text) == (1, True), text
    code, text = command("forget", "--resume")
    assert (code, text.endswith("There is no unfinished job.")) == (0, True), text
    both = sorted(viewer_key(first, name) for name in ("77", "78"))
    assert _who_is_there(tmp_path) == [both, [viewer_key(second, "78")], [viewer_key(third, "78")]]
    # Days that an earlier run could reach are not out of reach of the run that goes on with it.
    keep_job(lake, new_job(find_viewer("77", third, None, [first, second]), NOW))
    code, text = command("forget", "--viewer", "77")
    assert (code, "could not search days" in text) == (0, False), text
    assert _who_is_there(tmp_path) == [[viewer_key(secret, "78")] for secret in (first, second, third)]
    # A file that anybody can read is no place for a key.
    (tmp_path / "key.retired-2026-03-02").chmod(0o644)
    code, text = command("forget", "--viewer", "77")
    assert (code, "chmod 600" in text) == (2, True)


def test_a_resumed_channel_comes_with_the_same_advice(command):
    lake = Lake.open(Settings.load().storage)
    subject = Subject("channel", OptOuts(channel_ids=frozenset({7}), channels=frozenset({"alpha"})))
    keep_job(lake, new_job(subject, NOW))
    code, text = command("forget", "--resume")
    assert (code, "Remove it from your own lists" in text) == (0, True), text


def test_no_import_brings_the_present_key_into_a_day_of_an_earlier_population(
    command, tmp_path, monkeypatch
):
    _of_three_populations(command, tmp_path, monkeypatch)
    before = _who_is_there(tmp_path)
    code, text = command("import", "--presence", tmp_path / "p.csv", "--date", "2026-03-02")
    assert (code, "Only days since 2026-03-03 can be imported" in text) == (1, True), text
    chat = {
        "streamer": {"name": "Alpha", "login": "alpha", "id": 9},
        "video": {"title": "T", "id": "1", "created_at": "2026-03-02T23:58:00Z", "start": 0, "end": 600},
        "comments": [
            {
                "_id": "c",
                "content_offset_seconds": 200,
                "commenter": {"_id": "77", "name": "x"},
                "message": {"body": "", "user_badges": []},
            }
        ],
    }
    chat["video"]["length"] = 600
    (tmp_path / "chat.json").write_text(json.dumps(chat))
    code, text = command("import", "--vod-json", tmp_path / "chat.json")
    assert (code, "only chat since 2026-03-03 can be imported" in text) == (1, True), text
    assert _who_is_there(tmp_path) == before
