"""The benchmark of VOD chat: that it compares the same comments and presence. Never how fast it is."""

from __future__ import annotations

import json
import sys

import pytest

from collector_service.contract import VOD_PREFIX, decode_lines, encode_object, parse_record
from collector_service.lake import Lake
from collector_service.settings import StorageSettings

from . import vod
from .overlap import timed
from .subject import BenchError
from .vod_world import long_chat, long_world, truth, write_chat_file

COMMENTS = 3_000


@pytest.fixture(scope="module")
def world():
    return long_world(COMMENTS)


@pytest.fixture(scope="module")
def chat(world):
    return long_chat(world, COMMENTS)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """The lake after the round, and what the round told."""
    folder = tmp_path_factory.mktemp("lake")
    with vod.serving(COMMENTS) as facts:
        told = timed([sys.executable, "-m", "tests.bench.vod_run", str(folder), json.dumps(facts)])
    return Lake.open(StorageSettings(dir=folder)), told


def test_the_chat_is_eight_hours_long_and_many_wrote_it(world, chat):
    stream = world.streams[0]
    assert len(chat) == len({one.id for one in chat}) == COMMENTS
    assert [one.ms for one in chat] == sorted(one.ms for one in chat)
    assert stream.ended_at - stream.started_at == 8 * 3600
    assert stream.started_at * 1_000 <= chat[0].ms
    assert 28_000_000 < chat[-1].ms - chat[0].ms < 28_800_000
    assert len({key for _, key in truth(world, chat)}) > 100


def test_the_round_reads_the_chat_and_tells_what_it_took(read, world, chat):
    lake, told = read
    vod.compare(lake, COMMENTS)
    gone = sum(world.accounts[one.account].deleted for one in chat)
    assert (told["done"], told["comments"], told["null_commenters"]) == (1, COMMENTS - gone, gone)
    assert gone
    assert 20 < told["start_mb"] <= told["peak_mb"]
    assert told["seconds"] > 0


def test_another_presence_is_refused(read, tmp_path):
    lake, _ = read
    other = Lake.open(StorageSettings(dir=tmp_path))
    for info in lake.objects(f"{VOD_PREFIX}/"):
        records = [parse_record(line) for line in decode_lines(lake.get(info.key))]
        busy = next(one for one in records if one.viewer_messages)
        busy.viewer_messages[0] += 1
        busy.messages += 1
        other.put(info.key, encode_object(records))
    with pytest.raises(BenchError, match="presences, the chat has"):
        vod.compare(other, COMMENTS)


@pytest.mark.long
def test_both_readers_give_every_comment_of_the_file(world, chat, tmp_path):
    path = tmp_path / "chat.json"
    write_chat_file(world, chat, path)
    told = vod.parse(path)
    assert told["ours"]["comments"] == told["rival"]["comments"] == COMMENTS
    assert all(one["seconds"] > 0 for one in told.values())
    written = json.loads(path.read_text())
    assert any(one["commenter"] is None for one in written["comments"])
    assert any(one["message"]["emoticons"] for one in written["comments"])
    assert any(len(one["message"]["user_badges"]) for one in written["comments"])


def test_readers_that_differ_are_refused(monkeypatch, tmp_path):
    def said(command):
        return {"comments": 1, "seconds": 1.0, "digest": command[-1]}

    monkeypatch.setattr(vod, "timed", said)
    with pytest.raises(BenchError, match="not give the same comments"):
        vod.parse(tmp_path)


def test_what_cannot_be_measured_misses_the_bar(monkeypatch, capsys):
    def broken(comments):
        raise BenchError("the server did not start")

    monkeypatch.setattr(vod, "PARTS", {"reading": broken})
    monkeypatch.setattr(sys, "argv", ["vod", "--quick"])
    assert vod.main() == 1
    assert "the server did not start" in capsys.readouterr().out
