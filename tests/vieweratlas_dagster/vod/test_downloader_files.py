"""Import of TwitchDownloaderCLI files into raw objects."""

import gzip
import json
import re
from datetime import UTC, date, datetime

import pytest

from collector_service.contract import decode_lines, parse_record, viewer_key
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts
from collector_service.settings import StorageSettings
from collector_service.twitch.vod_json import ChatJsonError
from tests.worlds.chat_json import chat_json
from vieweratlas_dagster.vod.downloader_files import ChatImport

SECRET = "f" * 32


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.json").write_bytes(
        chat_json("1", [(0, "777001"), (130, "777002"), (131, "777001"), (9, None)])
    )
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.json.gz").write_bytes(
        gzip.compress(chat_json("2", [(700, "777001"), (1, "777003")]))
    )
    (tmp_path / "bad.json").write_bytes(chat_json("3", [(0, "777001"), (1, "not a number")]))
    (tmp_path / "notes.txt").write_text("no chat")
    return tmp_path


def run(lake, *paths, progress=lambda _: None, **options):
    days = {"first_day": date(2026, 1, 2), "now": datetime(2026, 1, 3, 1, tzinfo=UTC)}
    chats = ChatImport(lake, secret=SECRET, window_seconds=300, **{**days, **options})
    return chats.run([str(path) for path in paths], progress)


def test_a_folder_is_imported_once_and_for_all(folder):
    lake, seen = Lake.in_memory(), []
    report = run(lake, folder, bots={"marker_login_777002"}, progress=seen.append)
    assert (report.files, report.comments, report.viewers) == (2, 4, 3)
    assert (report.null_commenters, report.outside, report.objects) == (1, 1, 4)
    assert report.days == ("2026-01-02", "2026-01-03")
    assert len(report.refused) == 1
    assert "bad.json: comments[1].commenter._id" in report.refused[0]
    assert len(seen) == 3
    keys = [info.key for info in lake.objects("raw/")]
    assert keys == [
        f"raw/vod_chat/date=2026-01-0{day}/vod={vod}.ndjson.gz" for day in (2, 3) for vod in (1, 2)
    ]
    before = {key: lake.get(key) for key in keys}
    second = [parse_record(line) for line in decode_lines(before[keys[2]])]
    one, two = viewer_key(SECRET, "777001"), viewer_key(SECRET, "777002")
    assert [sorted(zip(r.viewer_keys, r.viewer_messages, strict=True)) for r in second] == [
        sorted([(one, 1), (two, 1)]), [],
    ]  # fmt: skip
    assert second[0].known_bots == [two]
    assert [record.observed_seconds for record in second] == [300, 180]
    for data in before.values():
        plain = gzip.decompress(data)
        assert b"marker_login" not in plain
        assert b"MARKER" not in plain
        assert b'"777001"' not in plain
    run(lake, folder)
    assert keys == [info.key for info in lake.objects("raw/")]
    assert {key: lake.get(key) for key in keys if "vod=2" in key} == {
        key: data for key, data in before.items() if "vod=2" in key
    }


def test_files_in_the_lake_are_the_same_as_on_this_machine(folder, tmp_path):
    ours, theirs = Lake.in_memory(), Lake.open(StorageSettings(dir=tmp_path / "lake"))
    for lake in (ours, theirs):
        lake.put("chats/a.json", (folder / "a.json").read_bytes())
        lake.put("chats/deep/b.json.gz", (folder / "deep/b.json.gz").read_bytes())
        lake.put("chats/notes.txt", b"no chat")
        seen = []
        report = run(lake, "lake:chats", progress=seen.append)
        assert (report.files, report.refused) == (2, ())
        assert seen == [lake.address("chats/a.json"), lake.address("chats/deep/b.json.gz")]
        again = run(lake, "lake:chats/a.json")
        assert (again.files, again.comments) == (1, 3)
    expected = Lake.in_memory()
    run(expected, folder / "a.json", folder / "deep")
    raw = {info.key: expected.get(info.key) for info in expected.objects("raw/")}
    assert len(raw) == 4
    for lake in (ours, theirs):
        assert {info.key: lake.get(info.key) for info in lake.objects("raw/")} == raw


def test_viewers_and_channels_that_opted_out_are_not_imported(folder):
    lake = Lake.in_memory()
    viewer = viewer_key(SECRET, "777001")
    report = run(lake, folder / "a.json", opt_outs=OptOuts(frozenset({viewer})))
    assert (report.comments, report.opted_out) == (1, 2)
    records = [
        parse_record(line) for info in lake.objects("raw/") for line in decode_lines(lake.get(info.key))
    ]
    assert {key for record in records for key in record.viewer_keys} == {viewer_key(SECRET, "777002")}
    report = run(Lake.in_memory(), folder / "a.json", opt_outs=OptOuts(channels=frozenset({"alpha"})))
    assert (report.files, len(report.refused)) == (0, 1)
    assert "its channel has opted out" in report.refused[0]


def cropped(start, end, comments, length=600):
    data = json.loads(chat_json("1", comments))
    data["video"] |= {"start": start, "end": end, "length": length}
    return json.dumps(data).encode()


def test_a_part_never_takes_the_place_of_more(tmp_path):
    lake = Lake.in_memory()
    told = [(at, "777001") for at in range(0, 600, 50)]
    (tmp_path / "whole.json").write_bytes(chat_json("1", told))
    (tmp_path / "begin.json").write_bytes(cropped(0, 250, told[:5]))
    (tmp_path / "end.json").write_bytes(cropped(200, 600, told[4:]))
    assert run(lake, tmp_path / "begin.json").comments == 5
    report = run(lake, tmp_path / "end.json")
    assert report.files == 0
    assert "200 to 600 of VOD 1, the lake 0 to 250" in report.refused[0]
    assert run(lake, tmp_path / "whole.json").comments == 12
    whole = {info.key: lake.get(info.key) for info in lake.objects("raw/")}
    for name in ("begin.json", "end.json"):
        report = run(lake, tmp_path / name)
        assert (report.files, report.refused) == (0, ())
        assert report.already_there == (str(tmp_path / name),)
    assert {info.key: lake.get(info.key) for info in lake.objects("raw/")} == whole


def test_places_without_chat_are_refused_before_anything_is_written(folder, tmp_path):
    lake, empty = Lake.in_memory(), tmp_path / "empty"
    empty.mkdir()
    for place in (empty, "lake:chats"):
        with pytest.raises(ChatJsonError, match=r"contains neither \*\.json nor \*\.json\.gz"):
            run(lake, folder / "a.json", place)
    for place in ("lake:", "lake:/"):
        with pytest.raises(ChatJsonError, match=r"name the prefix of the chat files, such as lake:imports"):
            run(lake, folder / "a.json", place)
    assert lake.objects("raw/") == []


def test_chat_of_days_that_are_not_made_is_refused(folder):
    lake = Lake.in_memory()
    for days, problem in (
        (
            {"first_day": date(2026, 1, 3)},
            r"it begins on 2026-01-02, before 2026-01-03 \(analysis.first_day",
        ),
        (
            {"now": datetime(2026, 1, 3, 0, 7, 59, tzinfo=UTC)},
            r"it ends at 2026-01-03 00:08 UTC, in the future",
        ),
    ):
        report = run(lake, folder / "a.json", **days)
        assert report.files == 0
        (refused,) = report.refused
        assert re.search(rf"a\.json: {problem}", refused)
    assert lake.objects("raw/") == []
    assert run(lake, folder / "a.json", now=datetime(2026, 1, 3, 0, 8, tzinfo=UTC)).files == 1


def test_a_missing_file_is_refused(tmp_path):
    report = run(Lake.in_memory(), tmp_path / "none.json")
    assert report.files == 0
    assert "No such file" in report.refused[0]
