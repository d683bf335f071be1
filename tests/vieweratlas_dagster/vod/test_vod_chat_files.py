"""Import of TwitchDownloaderCLI files into raw objects."""

import gzip
import json

import pytest

from collector_service.contract import decode_lines, parse_record, viewer_key
from collector_service.lake import Lake
from vieweratlas_dagster.vod.chat_files import import_vod_json

SECRET = "f" * 32


def text(vod_id, comments):
    return json.dumps(
        {
            "streamer": {"name": "Alpha", "login": "alpha", "id": 9},
            "video": {
                "title": "T", "id": vod_id, "created_at": "2026-01-02T23:58:00Z",
                "start": 0, "end": 600, "length": 600,
            },
            "comments": [
                {
                    "_id": f"c{n}",
                    "content_offset_seconds": at,
                    "commenter": user and {"_id": user, "name": f"marker_login_{user}"},
                    "message": {"body": "MARKER TEXT", "user_badges": []},
                }
                for n, (at, user) in enumerate(comments)
            ],
        }
    ).encode()  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.json").write_bytes(
        text("1", [(0, "777001"), (130, "777002"), (131, "777001"), (9, None)])
    )
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.json.gz").write_bytes(
        gzip.compress(text("2", [(700, "777001"), (1, "777003")]))
    )
    (tmp_path / "bad.json").write_bytes(text("3", [(0, "777001"), (1, "not a number")]))
    (tmp_path / "notes.txt").write_text("no chat")
    return tmp_path


def run(lake, *paths, **options):
    return import_vod_json(paths, lake, secret=SECRET, window_seconds=300, **options)


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


def test_a_missing_file_is_refused(tmp_path):
    report = run(Lake.in_memory(), tmp_path / "none.json")
    assert report.files == 0
    assert "No such file" in report.refused[0]
