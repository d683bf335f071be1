"""Names from outside never become a path: no file is written or read where a name says.

Nothing here reads GEXF: it is only written, and names in it are text.
"""

import csv
import io
import json
import zipfile
from contextlib import suppress
from datetime import UTC, date, datetime

import pytest
from obstore.exceptions import BaseError
from pydantic import ValidationError

from collector_service.clock import SystemClock
from collector_service.contract import BadRecordError, parse_record
from collector_service.lake import Lake
from collector_service.live.intake import Intake
from collector_service.live.viewer_keys import ViewerKeys
from collector_service.live.windows import Windows
from collector_service.logins import read_logins
from collector_service.metrics import Stats
from collector_service.settings import SettingsError, StorageSettings
from collector_service.twitch.helix import Video
from collector_service.twitch.irc import parse
from collector_service.twitch.vod_chat import Vod
from vieweratlas_dagster.commands.map_list import map_overlap_list
from vieweratlas_dagster.imports.csv_rows import FileError
from vieweratlas_dagster.imports.presence import import_presence
from vieweratlas_dagster.lake.keys import LATEST_MANIFEST, analysis_key
from vieweratlas_dagster.lake.manifests import BadMapManifestError, publish_latest, read_map_manifest
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.discovery import queue_videos
from vieweratlas_dagster.vod.downloader_files import ChatImport

UNSEEN = ["x\x00y", "x\ny", "x\r\ny", "\x00"]
NAMES = [
    *("../../x", "/etc/passwd", "..", ".", "a/../../x", "a/b", "..\\x", "C:\\x", "~root", "%2e%2e/x"),
    *("file:///etc/passwd", "con", "-rf", "$(id)", "a" * 120),
]
# What the store says of a key that it does not take: of delete, that it is no text.
REFUSED = (BaseError, OSError, TypeError, ValueError)
KEY = "k" * 32
DAY = "2026-03-01"
START = datetime(2026, 3, 1, 20, tzinfo=UTC)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def write_csv(path, *rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path.write_text(text.getvalue(), newline="")
    return path


@pytest.fixture
def deep(tmp_path):
    """A lake far enough down for every way up to end within the test's own folder."""
    return Lake.open(StorageSettings(dir=tmp_path / "a/b/c/lake"))


@pytest.mark.parametrize("name", [*NAMES, *UNSEEN])
def test_no_key_leads_out_of_the_lakes_folder(deep, tmp_path, name):
    (tmp_path / "a/b/x").write_text("not the lake's")
    (tmp_path / "a/b/c/x").write_text("not the lake's")
    before = files(tmp_path)
    for key in (name, f"raw/{name}", f"{name}/manifest.json"):
        with suppress(*REFUSED):
            assert deep.get(key) != b"not the lake's"
        with suppress(*REFUSED):
            deep.put(key, b"x")
        with suppress(*REFUSED):
            deep.delete(key)
        with suppress(*REFUSED):
            deep.create(key, b"y")
    assert {path for path in files(tmp_path) - before if not path.startswith("a/b/c/lake/")} == set()
    assert before <= files(tmp_path)


def test_names_of_an_overlap_list_are_in_no_files_name(tmp_path):
    pairs = [(one, other, 9) for one, other in zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True)]
    edges = write_csv(tmp_path / "edges.csv", ("source", "target", "shared_viewers"), *pairs)
    rows = [(name, 100, name) for name in NAMES]
    nodes = write_csv(tmp_path / "nodes.csv", ("channel", "viewers", "game_name"), *rows)
    map_overlap_list(edges, nodes, tmp_path / "out")
    plain = [("a", "b", 9), ("b", "c", 9)]
    other = write_csv(tmp_path / "plain.csv", ("source", "target", "shared_viewers"), *plain)
    map_overlap_list(other, None, tmp_path / "plain")
    names = files(tmp_path / "plain")
    assert files(tmp_path / "out") == names
    inputs = {"edges.csv", "nodes.csv", "plain.csv"}
    both = {f"{folder}/{name}" for folder in ("out", "plain") for name in names}
    assert files(tmp_path) == inputs | both
    with zipfile.ZipFile(tmp_path / "out/channels.zip") as archive:
        held = json.loads(archive.read("index.json"))["channels"]
        assert set(held) == set(NAMES)
        for name in archive.namelist():
            assert name == "index.json" or name.removeprefix("channels/").replace("~", "").isascii()
            assert name.count("/") == (name != "index.json")
            assert ".." not in name
        archive.extractall(tmp_path / "unpacked")
    assert files(tmp_path / "unpacked") == {"index.json", *held.values()}


@pytest.mark.parametrize("name", UNSEEN)
def test_names_with_nul_or_newlines_end_an_overlap_list_with_their_row(tmp_path, name):
    head = ("source", "target", "shared_viewers")
    edges = write_csv(tmp_path / "edges.csv", head, ("a", "b", 9), (name, "b", 9))
    with pytest.raises(FileError, match=r"edges\.csv, row "):
        map_overlap_list(edges, None, tmp_path / "out")
    assert files(tmp_path) == {"edges.csv"}


@pytest.mark.parametrize("name", [*NAMES[:-4], *NAMES[-3:], *UNSEEN])
def test_names_of_lists_that_are_no_logins_are_refused(deep, tmp_path, name):
    presence = write_csv(tmp_path / "p.csv", ("channel", "viewer"), (name, "1"))
    with pytest.raises(FileError, match=r"p\.csv, row "):
        import_presence(deep, KEY, presence, None, date.fromisoformat(DAY))
    good = write_csv(tmp_path / "good.csv", ("channel", "viewer"), ("alpha", "1"))
    named = write_csv(tmp_path / "c.csv", ("channel",), (name,))
    with pytest.raises(FileError, match=r"c\.csv, row "):
        import_presence(deep, KEY, good, named, date.fromisoformat(DAY))
    (tmp_path / "channels.txt").write_text(name)
    if name.strip() and "\n" not in name:
        with pytest.raises(SettingsError, match="is not a login"):
            read_logins(tmp_path / "channels.txt", "collection.channels_file")
    assert deep.objects("raw/") == []


@pytest.mark.parametrize("name", [*NAMES, *UNSEEN])
def test_a_vods_id_or_login_that_is_none_is_no_key(deep, tmp_path, name):
    whole = {
        "streamer": {"name": "Alpha", "login": "alpha", "id": 9},
        "video": {"title": name, "id": "1", "created_at": "2026-03-01T20:00:00Z", "start": 0, "end": 60},
        "comments": [],
    }
    whole["video"]["length"] = 60
    for section, field in (("video", "id"), ("streamer", "login"), ("streamer", "id")):
        if (section, field, name) == ("streamer", "login", "con"):
            continue
        spoilt = json.loads(json.dumps(whole))
        spoilt[section][field] = name
        (tmp_path / "chat.json").write_text(json.dumps(spoilt))
        chats = ChatImport(
            deep, secret=KEY, window_seconds=300, first_day=date(2020, 1, 1), now=START.replace(day=9)
        )
        report = chats.run([str(tmp_path / "chat.json")])
        assert (report.files, report.objects, len(report.refused)) == (0, 0, 1)
        with pytest.raises(ValueError, match=r"VOD|login|channel"):
            Vod(name if field == "id" else "1", name if field == "login" else "alpha", 9, None, START, 60.0)
    video = Video(name, 9, "alpha", "", START, 60, 100)
    asked = queue_videos(deep, [name], [video], now=START.replace(day=9))
    assert (asked.queued, asked.missing) == ((), (name,))
    assert not [key for key in files(tmp_path) if "raw" in key]


@pytest.mark.parametrize("name", [*NAMES, *UNSEEN])
def test_a_collectors_name_that_is_none_is_no_key(tmp_path, name):
    if name == "con":
        assert Settings(collection={"collector_id": name}).collection.collector_id == "con"
        return
    with pytest.raises((ValidationError, SettingsError)):
        Settings(collection={"collector_id": name})
    line = {
        "schema_version": 1, "source": "live", "channel": name, "channel_id": "1", "collector_id": "c1",
        "window_start": "2026-03-01T20:00:00Z", "window_seconds": 300, "observed_seconds": 300,
        "partial": False, "messages": 0, "chatters": {"viewer_key": [], "messages": []},
    }  # fmt: skip
    for field in ("channel", "collector_id"):
        with pytest.raises(BadRecordError, match=field):
            parse_record(json.dumps(line | {"channel": "alpha", field: name}))


@pytest.mark.parametrize("name", NAMES)
def test_a_channel_that_chat_names_otherwise_than_by_a_login_is_not_counted(name):
    stats, windows = Stats(), Windows(SystemClock(), 300)
    line = f"@id=m;room-id=5;user-id=7 :u!u@x PRIVMSG #{name} :text".encode()
    Intake(windows, ViewerKeys(KEY, []), stats).chats([parse(line)])
    counted = [tally.login for part in windows.open_shares for tally in part.tallies.values()]
    assert counted == (["con"] if name == "con" else [])


@pytest.mark.parametrize("name", [*NAMES, *UNSEEN, "", "_x ", "a:b"])
def test_names_in_a_maps_manifest_that_are_no_files_names_are_not_copied(deep, tmp_path, name):
    body = {"channels": 1, "complete": True, "date": DAY, "files": {"atlas.html": "0", name: "0"}}
    (tmp_path / "a/b/x").write_text("not the lake's")
    spoilt = [body | {"files": {}, "date": name}]
    if name not in ("con", "a" * 120):  # which are names like any other
        spoilt.append(body)
    for changed in spoilt:
        deep.put(analysis_key(DAY, "manifest.json"), json.dumps(changed).encode())
        deep.put(analysis_key(DAY, "atlas.html"), b"page")
        with pytest.raises(BadMapManifestError, match=r"date=2026-03-01/manifest\.json cannot be read"):
            publish_latest(deep, DAY)
        deep.put(LATEST_MANIFEST, json.dumps(changed).encode())
        with pytest.raises(BadMapManifestError, match=r"latest/manifest\.json cannot be read"):
            read_map_manifest(deep, LATEST_MANIFEST)
        deep.delete(LATEST_MANIFEST)
    assert deep.objects("curated/analysis/latest/") == []
