"""Journal and spool: what a crash at any byte leaves, and that the lake gets everything once."""

import dataclasses
import json
import os
import shutil
import struct
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector_service.clock import utc
from collector_service.contract import (
    BadRecordError,
    decode_lines,
    encode_object,
    live_key,
    parse_record,
)
from collector_service.lake import Lake
from collector_service.live.journal import Flush, Journal
from collector_service.live.spool import DiskSpool, MemorySpool, ShareName, thin, thin_share
from collector_service.live.windows import StreamInfo, WindowShare
from collector_service.twitch.irc import MESSAGE, MIRRORED, PRESENCE

from .full_disk import full_disk

START = 1_700_000_100 // 300 * 300


def content(share):
    return [record.to_json() for record in share.records("c")]


def a_share(sequence=0):
    share = WindowShare(START, 300, sequence, partial=True)
    share.stream_infos = {7: StreamInfo(5, "33", "Chess", "en", "a title", utc(START - 60))}
    return share


def fill(share, step):
    """One of several deterministic changes."""
    share.joined(7, "seven", START + step)
    share.tally(8, "eight")
    share.count(7, MESSAGE, 2**64 - 1 - step % 3, step % 2 == 0)
    share.count(8, PRESENCE, step, False)
    share.count(8, MIRRORED, 0, False)
    if step % 3 == 2:
        share.left(7, START + step + 0.5)


def test_a_journal_cut_at_any_byte_gives_the_last_whole_flush(tmp_path):
    journal = Journal(tmp_path, "c")
    share = a_share()
    states = [(0, None)]
    path = tmp_path / f"{ShareName.of(share, 'c')}.journal"
    for step in range(6):
        fill(share, step)
        share.until = START + step + 0.75
        journal.write(journal.take([share], START + step + 0.75))
        states.append((path.stat().st_size, content(share)))
    journal.sync()
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        size, expected = max(state for state in states if state[0] <= cut)
        recovered = list(Journal(tmp_path, "c").recover())
        if expected is None:
            assert recovered == []
            assert not path.exists()
        else:
            [found] = recovered
            assert content(found.share) == expected
            assert found.lost_bytes == cut - size
            assert found.name == ShareName(START, "c", 0)


def test_a_quiet_channel_counts_as_watched_until_it_was_last_heard(tmp_path):
    journal = Journal(tmp_path, "c")
    share = a_share()
    share.joined(7, "seven", START + 10.0)
    share.joined(8, "eight", START + 10.0)
    share.joined(9, "nine", START + 10.0)
    journal.write(journal.take([share], START + 20.0, {7: START + 15.0, 8: START + 15.0}))
    journal.write(journal.take([share], START + 30.0, {7: START + 25.0, 9: START + 5.0, 99: START + 1.0}))
    [found] = Journal(tmp_path, "c").recover()
    assert [(r.channel, r.observed_intervals) for r in found.share.records("c")] == [
        ("seven", [(10.0, 25.0)]),
        ("eight", [(10.0, 30.0)]),
    ]


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_journal_gives_a_true_beginning(tmp_path_factory, position, flip):
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, "c")
    share = a_share()
    states = []
    for step in range(4):
        fill(share, step)
        share.until = START + step + 0.75
        journal.write(journal.take([share], START + step + 0.75))
        states.append(content(share))
    [path] = folder.glob("*.journal")
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= flip
    path.write_bytes(data)
    for found in Journal(folder, "c").recover():
        assert content(found.share) in states[:-1]
        assert found.lost_bytes > 0
    shutil.rmtree(folder)


OPERATIONS = st.one_of(
    st.tuples(st.just("message"), st.integers(1, 3), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("presence"), st.integers(1, 3), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("mirrored"), st.integers(1, 3)),
    st.tuples(st.just("joined"), st.integers(1, 3)),
    st.tuples(st.just("left"), st.integers(1, 3)),
    st.tuples(st.just("flush"), st.one_of(st.none(), st.integers(0, 600))),
)


def apply(share, operation, instant):
    kind, *given_values = operation
    room = given_values[0]
    if kind == "joined":
        share.joined(room, f"room{room}", instant)
    elif kind == "left":
        share.left(room, instant)
    else:
        share.tally(room, f"room{room}")
        code = {"message": MESSAGE, "presence": PRESENCE, "mirrored": MIRRORED}[kind]
        _, key, bot = given_values if kind != "mirrored" else (room, 0, False)
        share.count(room, code, key, bot)


@settings(max_examples=300)
@given(st.lists(OPERATIONS, max_size=40), st.sampled_from([0, 300, 1000, 10**6]), st.booleans())
def test_a_disk_that_refuses_now_and_then_ends_with_a_true_part(
    tmp_path_factory, operations, backlog_bytes, healed
):
    """The journal holds the share as it was at a flush: the last one, once the disk takes writes again."""
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, "c", backlog_bytes)
    share = WindowShare(START, 300, 4, partial=True)
    share.stream_infos = {
        1: StreamInfo(5, "33", "Chess", "en", "a title", utc(START - 60)),
        2: StreamInfo(),
    }
    states, held = [[]], 0
    for number, operation in enumerate([*operations, ("flush", None)] if healed else operations):
        if operation[0] != "flush":
            apply(share, operation, START + number + 0.25)
            continue
        flushes = journal.take([share], START + number + 0.5)
        share.until = START + number + 0.5
        states.append(content(share))
        share.until = float(share.end)
        assert [len(share.events), len(share.coverage), len(share.new_channels)] == [0, 0, 0]
        try:
            if operation[1] is None:
                journal.write(flushes)
            else:
                with full_disk(operation[1]):
                    journal.write(flushes)
            held = len(states) - 1
        except OSError:
            assert operation[1] is not None
        assert sum(len(flush.data) for flush in journal._backlog) <= backlog_bytes
    recovered = [(content(found.share), found.lost_bytes) for found in Journal(folder, "c").recover()]
    [(state, lost_bytes)] = recovered or [([], 0)]
    assert state in states[held:]
    assert lost_bytes == 0
    shutil.rmtree(folder)


def test_a_part_of_many_channels_starts_its_file_anew(tmp_path):
    journal = Journal(tmp_path, "c", backlog_bytes=0)
    share = a_share()
    for room in range(350):
        share.joined(room, f"room{room}", START + room * 0.5)
        for key in range(room % 7):
            share.count(room, MESSAGE, 2**63 + key, key == 0)
    with full_disk(), pytest.raises(OSError, match="too large"):
        journal.write(journal.take([share], START + 199))
    journal.write(journal.take([share], START + 200))
    share.count(5, MESSAGE, 3, False)
    journal.write(journal.take([share], START + 201.0))
    journal.sync()
    [found] = Journal(tmp_path, "c").recover()
    share.until = START + 201.0
    assert content(found.share) == content(share)
    assert [path.suffix for path in tmp_path.iterdir()] == [".journal"]


def test_a_journal_whose_beginning_was_taken_away_does_not_stop_the_start(tmp_path):
    journal = Journal(tmp_path, "c")
    share = a_share()
    fill(share, 0)
    journal.write(journal.take([share], START + 1))
    [path] = tmp_path.iterdir()
    path.unlink()
    fill(share, 1)
    journal.write(journal.take([share], START + 2))
    [found] = Journal(tmp_path, "c").recover()
    assert found.share is None
    assert found.lost_bytes == path.stat().st_size


def test_the_journal_of_another_collector_is_read_and_a_half_made_file_is_not(tmp_path):
    share = a_share(3)
    fill(share, 0)
    other = Journal(tmp_path, "other")
    other.write(other.take([share], float("inf")))
    (tmp_path / f"{ShareName.of(share, 'c')}.journal.tmp").write_bytes(b"half")
    [found] = Journal(tmp_path, "c").recover()
    assert found.name == ShareName(START, "other", 3)
    assert content(found.share) == content(share)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_discarded_part_does_not_come_back(tmp_path):
    journal = Journal(tmp_path, "c")
    share = a_share()
    fill(share, 0)
    journal.write(journal.take([share], START + 1))
    journal.discard(ShareName.of(share, "c"))
    journal.sync()
    assert list(tmp_path.iterdir()) == []


def test_names_sort_by_window_and_survive_as_files(tmp_path):
    names = [
        ShareName(START + 300, "a.b_c", 2),
        ShareName(START, "a.b_c", 1_000_000),
        ShareName(START, "a", 3),
    ]
    for name in names:
        (tmp_path / f"{name}.journal").touch()
    (tmp_path / "something-else.journal").touch()
    assert sorted(ShareName.find(tmp_path, ".journal")) == sorted(names)


def test_objects_reach_the_lake_with_their_exact_bytes(tmp_path):
    lake = Lake.in_memory()
    spool = DiskSpool(tmp_path, lake)
    share = a_share()
    fill(share, 0)
    data = encode_object(share.records("c"))
    name = ShareName.of(share, "c")
    spool.add(name, data)
    assert spool.names() == [name]
    files, size, oldest = spool.size()
    assert (files, size) == (1, len(data))
    assert oldest > 0
    key = spool.upload(name)
    assert key == live_key(utc(START), "c")
    assert lake.get(key) == data
    assert spool.names() == []
    assert [parse_record(line).channel for line in decode_lines(lake.get(key))] == ["seven", "eight"]


def test_a_second_object_of_a_window_takes_the_next_part_number(tmp_path):
    lake = Lake.in_memory()
    spool = DiskSpool(tmp_path, lake)
    for sequence, data in enumerate([b"one", b"two", b"three"]):
        spool.add(ShareName(START, "c", sequence), data)
    keys = [spool.upload(name) for name in spool.names()]
    assert keys == [live_key(utc(START), "c", part) for part in range(3)]
    assert [lake.get(key) for key in keys] == [b"one", b"two", b"three"]


def test_an_upload_whose_answer_got_lost_is_not_repeated(tmp_path):
    lake = Lake.in_memory()
    spool = DiskSpool(tmp_path, lake)
    name = ShareName(START, "c", 0)
    spool.add(name, b"data")
    assert lake.create(live_key(utc(START), "c"), b"other")
    assert lake.create(live_key(utc(START), "c", 1), b"data")
    assert spool.upload(name) == live_key(utc(START), "c", 1)
    assert len(lake.objects("raw/")) == 2


def test_a_half_written_object_is_gone_after_a_restart(tmp_path):
    (tmp_path / "20231114T221500Z-c-000000.ndjson.gz.tmp").write_bytes(b"half")
    assert DiskSpool(tmp_path, Lake.in_memory()).names() == []
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_the_disk_refuses_half_way_leaves_whole_frames(tmp_path):
    journal, path = Journal(tmp_path, "c1"), tmp_path / "frames"
    journal.write([Flush(path, b"a" * 600)])
    with full_disk(1000):
        for _ in range(2):
            with pytest.raises(OSError, match="too large"):
                journal.write([Flush(path, b"b" * 600)])
            assert path.read_bytes() == b"a" * 600
    journal.write([])
    assert path.read_bytes() == b"a" * 600 + b"b" * 1200


def test_a_torn_frame_that_the_disk_does_not_take_back_ends_with_a_whole_part(tmp_path, monkeypatch):
    """What comes behind a torn frame cannot be read, so the file has to be replaced."""

    def refuse(*_):
        raise OSError("Input/output error")

    journal = Journal(tmp_path, "c")
    share, other = a_share(0), a_share(1)
    for one in (share, other):
        fill(one, 0)
    journal.write(journal.take([share, other], START + 1.0))
    for one in (share, other):
        fill(one, 1)
    [path, _] = sorted(tmp_path.iterdir())
    with full_disk(path.stat().st_size + 10), monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(OSError, match="too large"):
            journal.write(journal.take([share, other], START + 2.0))
    for step in (2, 3):
        for one in (share, other):
            fill(one, step)
        journal.write(journal.take([share, other], START + 1.0 + step))
        for found, one in zip(Journal(tmp_path, "c").recover(), (share, other), strict=True):
            one.until = START + 1.0 + step
            assert content(found.share) == content(one)
            assert found.lost_bytes == 0
            one.until = float(one.end)


def sealed(state, numbers=b""):
    """A frame whose checksum is right."""
    text = state if isinstance(state, bytes) else json.dumps(state).encode()
    payload = struct.pack("<I", len(text)) + text + numbers
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


USABLE = {"now": START + 9.0, "window_seconds": 300, "rooms": [], "coverage": [], "quiet": []}


@pytest.mark.parametrize(
    "frame",
    [
        *(
            sealed({key: value for key, value in USABLE.items() if key != gone})
            for gone in ("now", "rooms")
        ),
        sealed(USABLE | {"coverage": [[7, START + 5.0, False]]}, b"12345"),
        sealed(USABLE | {"coverage": [[7, START + 5.0, False]]}, b"12345678"),
        sealed(USABLE | {"coverage": [[7, START + 5.0, False], [99, START, True]]}),
        sealed(USABLE | {"coverage": [[7, START + 5.0, "left", "why"]]}),
        sealed(USABLE | {"rooms": [[9, "nine", {"mood": "good"}]]}),
        sealed(USABLE | {"rooms": [[9, "nine", 5]]}),
        sealed(USABLE | {"quiet": {"7": START + 5.0}}),
        sealed(USABLE | {"quiet": [[[7], START + 5.0]]}),
        sealed(USABLE | {"now": None}),
        sealed({**USABLE, "channels": [[9, "nine", None, 0, [], None, 3, 0]]}, bytes(40)),
        sealed([1, 2]),
        sealed(b"\xff{"),
        sealed(b"{"),
    ],
)
def test_a_sound_frame_of_another_version_ends_what_is_read(tmp_path, frame):
    """Neither it nor what is behind it counts, not even the share of it that could be applied."""
    share = a_share()
    journal = Journal(tmp_path, "c")
    fill(share, 0)
    share.joined(7, "seven", START + 0.5)
    journal.write(journal.take([share], START + 3.0))
    share.until = START + 3.0
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    behind = sealed(USABLE | {"rooms": [[11, "eleven", None]], "coverage": [[11, START, True]]})
    path.write_bytes(whole + frame + behind)
    [found] = Journal(tmp_path, "c").recover()
    assert content(found.share) == content(share)
    assert found.lost_bytes == len(frame + behind)
    path.write_bytes(frame + behind)
    [found] = Journal(tmp_path, "c").recover()
    assert found.share is None or content(found.share) == []
    assert found.lost_bytes == len(frame + behind)


def test_a_usable_frame_is_used(tmp_path):
    """The frames of the test above differ from this one by their one fault."""
    frame = sealed(USABLE | {"rooms": [[9, "nine", None]], "coverage": [[9, START + 1.0, True]]})
    (tmp_path / f"{ShareName(START, 'c', 0)}.journal").write_bytes(frame)
    [found] = Journal(tmp_path, "c").recover()
    assert [record.observed_intervals for record in found.share.records("c")] == [[(1.0, 9.0)]]
    assert found.lost_bytes == 0


def an_object(sequence, viewers, start=START):
    """An object with ``viewers`` viewers in channel 7, and a channel 8 that was never read."""
    share = WindowShare(start, 300, sequence)
    share.joined(7, "seven", start + 10.0)
    for key in range(viewers):
        share.count(7, MESSAGE, key * 0x9E3779B97F4A7C15 % 2**64, key % 2 == 0)
    share.statuses = {7: ("seven", "joined"), 8: ("eight", "suspended")}
    return ShareName.of(share, "c"), encode_object(share.records("c"))


def records(data):
    return [parse_record(line) for line in decode_lines(data)]


def is_thin(data):
    return [record.status for record in records(data)] == ["dropped", "suspended"]


def test_a_thinned_object_keeps_its_windows_and_declares_the_gap():
    _, data = an_object(5, 20)
    before, after = records(data), records(thin(data))
    assert len(before[0].viewer_keys) == before[0].messages == 20
    lost = {
        "observed_seconds": 0.0, "observed_intervals": [], "partial": True, "status": "dropped",
        "messages": 0, "viewer_keys": [], "viewer_messages": [], "known_bots": [],
    }  # fmt: skip
    assert after == [dataclasses.replace(before[0], **lost), before[1]]
    assert thin(thin(data)) == thin(data)
    with pytest.raises(BadRecordError):
        thin(b"nothing of ours")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=25), st.integers(0, 24), st.booleans())
def test_a_bounded_spool_thins_the_oldest_then_removes_the_oldest(
    tmp_path_factory, sizes, restart, on_disk
):
    folder, limit = tmp_path_factory.mktemp("spool"), 4000
    lake = Lake.in_memory()
    shelf = DiskSpool(folder, lake, limit) if on_disk else MemorySpool(lake, limit)
    whole, removed, gone = {}, 0, 0
    for number, size in enumerate(sizes):
        name, data = an_object(number, size, START + 300 * number)
        if on_disk and number == restart:
            removed += shelf.losses["removed"]
            shelf = DiskSpool(folder, lake, limit)
        shelf.add(name, data)
        whole[name] = data
        names = shelf.names()
        here = {name: shelf.read(name) for name in names}
        thinned = [is_thin(here[name]) for name in names]
        assert here[name] == data
        assert all(
            here[name] == (thin(whole[name]) if is_thin(here[name]) else whole[name]) for name in names
        )
        assert sum(map(len, here.values())) <= max(limit, len(data))
        assert shelf.size()[:2] == (len(names), sum(map(len, here.values())))
        assert thinned == sorted(thinned, reverse=True)
        assert names == sorted(whole)[len(whole) - len(names) :]
        assert removed + shelf.losses["removed"] == len(whole) - len(names)
        assert removed + shelf.losses["removed"] == gone or all(thinned[:-1])
        gone = removed + shelf.losses["removed"]
    shutil.rmtree(folder)


def test_nothing_is_thinned_for_its_own_sake_and_the_age_stays(tmp_path):
    spool = DiskSpool(tmp_path, Lake.in_memory(), 4000)
    old, data = an_object(0, 200)
    assert 2000 < len(data) < 4000
    spool.add(old, data)
    [path] = tmp_path.iterdir()
    os.utime(path, (1000.0, 1000.0))
    spool = DiskSpool(tmp_path, Lake.in_memory(), 4000)
    assert spool.losses == {}
    spool.add(*an_object(1, 200))
    assert spool.losses == {"thinned": 1}
    assert spool.size()[2] == 1000.0
    assert path.stat().st_mtime == 1000.0
    assert is_thin(path.read_bytes())


def test_thinning_that_the_disk_refuses_changes_nothing(tmp_path):
    spool = DiskSpool(tmp_path, Lake.in_memory(), 4000)
    old, data = an_object(0, 200)
    spool.add(old, data)
    with full_disk(100), pytest.raises(OSError, match="too large"):
        spool.add(*an_object(1, 200))
    assert spool.names() == [old]
    assert spool.read(old) == data
    assert spool.losses == {}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("answer_lost", [False, True])
def test_an_object_that_is_thinned_while_it_is_uploaded_arrives_whole_and_once(tmp_path, answer_lost):
    """The lake takes the object, and before the spool hears of it, the object is thinned."""

    class SlowLake:
        def __init__(self):
            self.inner = Lake.in_memory()
            self.get = self.inner.get

        def create(self, key, data):
            created = self.inner.create(key, data)
            if created:
                spool.add(*an_object(1, 200, START + 300))
                if answer_lost:
                    raise OSError("the answer got lost")
            return created

    lake = SlowLake()
    spool = DiskSpool(tmp_path, lake, 4000)
    name, data = an_object(0, 200)
    spool.add(name, data)
    if answer_lost:
        with pytest.raises(OSError, match="lost"):
            spool.upload(name)
        assert is_thin(spool.read(name))
    spool.upload(name)
    # Nothing was lost; a lake that did not answer leaves that open, and the thinning was counted then.
    assert +spool.losses == ({"thinned": 1} if answer_lost else {})
    assert [key.sequence for key in spool.names()] == [1]
    assert {info.key: lake.get(info.key) for info in lake.inner.objects("raw/")} == {
        live_key(utc(START), "c"): data
    }


def make_unreadable(path):
    """Let the disk answer with EIO: nothing is mapped at the beginning of a process's memory."""
    path.unlink()
    path.symlink_to("/proc/self/mem")
    with pytest.raises(OSError, match="Input/output error"):
        path.read_bytes()


def test_a_file_that_the_disk_cannot_read_is_moved_aside_and_stops_nothing(tmp_path):
    lake = Lake.in_memory()
    spool = DiskSpool(tmp_path, lake, 4000)
    objects = dict(an_object(n, size, START + 300 * n) for n, size in enumerate((200, 20, 200)))
    [first, second, third] = objects
    for name in (first, second):
        spool.add(name, objects[name])
    for path in tmp_path.iterdir():
        make_unreadable(path)
    spool.add(third, objects[third])
    assert spool.names() == [second, third]
    assert spool.losses == {"unreadable": 1}
    with pytest.raises(OSError, match="Input/output error"):
        spool.upload(second)
    assert spool.names() == [third]
    assert spool.losses == {"unreadable": 2}
    assert spool.size()[:2] == (1, len(objects[third]))
    assert lake.get(spool.upload(third)) == objects[third]
    aside = sorted(path.name for path in tmp_path.iterdir())
    assert aside == [f"{name}.ndjson.gz.unreadable" for name in (first, second)]
    again = DiskSpool(tmp_path, lake, 4000)
    assert again.names() == []
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_cannot_be_read_just_now_is_passed_over(tmp_path):
    """Only damage moves a file aside. What cannot be thinned is removed when there is no other way."""
    spool = DiskSpool(tmp_path / "spool", Lake.in_memory(), 4000)
    objects = dict(an_object(n, size, START + 300 * n) for n, size in enumerate((20, 200, 100, 200)))
    [first, second, third, fourth] = objects
    spool.add(first, objects[first])
    [path] = (tmp_path / "spool").iterdir()
    path.unlink()
    path.symlink_to(path.name)  # to itself: ELOOP
    spool.add(second, objects[second])
    spool.add(third, objects[third])
    assert spool.names() == [first, second, third]
    assert spool.losses == {"thinned": 1}
    assert is_thin(spool.read(second))
    spool.add(fourth, objects[fourth] + b" " * (4000 - len(objects[fourth])))
    assert spool.names() == [fourth]
    assert spool.losses == {"thinned": 2, "removed": 3}
    assert len(list((tmp_path / "spool").iterdir())) == 1


def test_another_part_is_known_by_its_first_record(tmp_path):
    """A large object in the lake is not read to its end to learn that it is another share."""
    share = WindowShare(START, 300, 8)
    for room in range(2000):
        share.joined(room, f"room{room}", START + 1.0)
        for key in range(20):
            share.count(room, MESSAGE, key, False)
    large = encode_object(share.records("c"))
    began = time.process_time()
    assert len(records(large)) == 2000
    whole_seconds = time.process_time() - began
    lake = Lake.in_memory()
    assert lake.create(live_key(utc(START), "c"), large)
    spool = DiskSpool(tmp_path, lake)
    name, data = an_object(9, 3)
    spool.add(name, data)
    began = time.process_time()
    assert spool.upload(name) == live_key(utc(START), "c", 1)
    assert time.process_time() - began < whole_seconds / 3
    assert lake.get(live_key(utc(START), "c", 1)) == data


def test_a_thinned_part_is_its_thinned_object():
    share = a_share(5)
    for step in range(4):
        fill(share, step)
    share.tally(10, "ten")
    share.joined(11, "eleven", START + 250.0)
    share.statuses = {7: ("seven", "joined"), 9: ("nine", "suspended")}
    before = encode_object(share.records("c"))
    thin_share(share)
    assert share.pairs == 0
    assert list(share.records("c")) == records(thin(before))
    assert [record.status for record in share.records("c")] == ["dropped"] * 2 + ["suspended", "dropped"]


def test_two_late_parts_with_the_same_content_are_two_objects(tmp_path):
    lake = Lake.in_memory()
    spool = DiskSpool(tmp_path, lake)
    for sequence in (1, 2):
        share = WindowShare(START, 300, sequence, supplementary=True)
        share.tally(7, "seven")
        share.count(7, MESSAGE, 5, False)
        spool.add(ShareName.of(share, "c"), encode_object(share.records("c")))
    keys = [spool.upload(name) for name in spool.names()]
    assert keys == [live_key(utc(START), "c"), live_key(utc(START), "c", 1)]
    assert sum(record.messages for key in keys for record in records(lake.get(key))) == 2


@pytest.mark.parametrize(
    ("there", "ours", "arrive"),
    [
        ("whole", "short", 1),
        ("whole", "thin", 1),
        ("thin", "thin", 1),
        ("thin", "short", 2),
        ("other", "short", 2),
    ],
)
def test_a_part_that_is_in_the_lake_already_is_known_by_its_number(tmp_path, there, ours, arrive):
    """``short`` is what a journal gives back of a share; after it was thinned in memory, that is more."""
    name, whole = an_object(9, 30)
    versions = {
        "whole": whole,
        "short": an_object(9, 20)[1],
        "thin": thin(whole),
        "other": an_object(8, 30)[1],
    }
    lake = Lake.in_memory()
    assert lake.create(live_key(utc(START), "c"), versions[there])
    spool = DiskSpool(tmp_path, lake)
    spool.add(name, versions[ours])
    spool.upload(name)
    assert spool.names() == []
    found = {lake.get(info.key) for info in lake.objects("raw/")}
    assert found == {versions[name] for name in (there, ours)[:arrive]}
