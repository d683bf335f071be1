"""The spool: objects wait within a bound, and the lake gets each of them once."""

import dataclasses
import os
import shutil
import time

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
from collector_service.live.spool import DiskSpool, MemorySpool, ShareName, thin, thin_share
from collector_service.live.windows import WindowShare
from collector_service.twitch.irc import MESSAGE

from .full_disk import full_disk
from .shares import START, a_share, fill


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
    spool = DiskSpool(folder, lake, limit) if on_disk else MemorySpool(lake, limit)
    whole, removed, gone = {}, 0, 0
    for number, size in enumerate(sizes):
        name, data = an_object(number, size, START + 300 * number)
        if on_disk and number == restart:
            removed += spool.losses["removed"]
            spool = DiskSpool(folder, lake, limit)
        spool.add(name, data)
        whole[name] = data
        names = spool.names()
        here = {name: spool.read(name) for name in names}
        thinned = [is_thin(here[name]) for name in names]
        assert here[name] == data
        assert all(
            here[name] == (thin(whole[name]) if is_thin(here[name]) else whole[name]) for name in names
        )
        assert sum(map(len, here.values())) <= max(limit, len(data))
        assert spool.size()[:2] == (len(names), sum(map(len, here.values())))
        assert thinned == sorted(thinned, reverse=True)
        assert names == sorted(whole)[len(whole) - len(names) :]
        assert removed + spool.losses["removed"] == len(whole) - len(names)
        assert removed + spool.losses["removed"] == gone or all(thinned[:-1])
        gone = removed + spool.losses["removed"]
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


def test_a_different_share_is_known_by_its_first_record(tmp_path):
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


def test_a_thinned_share_is_its_thinned_object():
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


def test_two_late_shares_with_the_same_content_are_two_objects(tmp_path):
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
def test_a_share_that_is_in_the_lake_already_is_known_by_its_number(tmp_path, there, ours, arrive):
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
