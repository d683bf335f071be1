"""From closed windows to the lake with a lake and a disk that fail."""

import asyncio
import math
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import pytest
from obstore.exceptions import BaseError as LakeError

from collector_service import archive as archive_module
from collector_service import lake as lake_module
from collector_service.archive import Archive
from collector_service.clock import utc
from collector_service.contract import decode_lines, encode_object, live_key, parse_record
from collector_service.health import Snapshot, StatsCollector, judge
from collector_service.journal import Journal
from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from collector_service.spool import PartName, Spool
from collector_service.stats import Stats
from collector_service.twitch.irc import MESSAGE
from collector_service.windows import Part, Windows

from . import killed_child
from .full_disk import full_disk
from .irc_double import eventually
from .killed_child import viewer_key

START = 1_700_000_100 // 300 * 300


class FlakyLake:
    """A lake in memory; ``broken`` says what happens instead of a write."""

    def __init__(self):
        self.inner = Lake.in_memory()
        self.broken = None
        self.attempts = 0

    def create(self, key, data):
        self.attempts += 1
        if self.broken == "after":
            self.inner.create(key, data)
        if self.broken:
            raise OSError("the lake is down")
        return self.inner.create(key, data)

    def get(self, key):
        return self.inner.get(key)

    def content(self):
        return {info.key: self.inner.get(info.key) for info in self.inner.objects("raw/")}


@dataclass
class Rig:
    archive: Archive
    lake: FlakyLake
    journal: Journal
    spool: Spool
    stats: Stats


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "backoff", lambda failures: 0.01)
    monkeypatch.setattr(archive_module, "FLUSH_SECONDS", 0.05)
    return made(tmp_path)


def made(folder):
    lake, stats = FlakyLake(), Stats()
    journal, spool = Journal(folder / "journal", "c"), Spool(folder / "spool", lake)
    return Rig(Archive(journal, spool, "c", stats), lake, journal, spool, stats)


def a_part(sequence, start=START):
    part = Part(start, 300, sequence)
    part.joined(7, "seven", start + sequence)
    part.count(7, MESSAGE, sequence, False)
    return part


def expected(parts):
    return sorted(encode_object(part.records("c")) for part in parts)


@pytest.mark.parametrize("broken", ["before", "after"])
async def test_a_lake_that_was_down_gets_the_same_bytes(rig, broken):
    rig.lake.broken = broken
    parts = [a_part(n, START + 300 * n) for n in range(4)]
    tasks = [
        asyncio.ensure_future(work) for work in (rig.archive.keep_spooling(), rig.archive.keep_uploading())
    ]
    rig.archive._closed.extend(parts)
    rig.archive._has_closed.set()
    await eventually(lambda: rig.stats.spool_files == 4 and rig.stats.upload_failures > 3)
    rig.lake.broken = None
    await eventually(lambda: rig.stats.spool_files == 0)
    for task in tasks:
        task.cancel()
    assert sorted(rig.lake.content().values()) == expected(parts)
    assert list(rig.lake.content()) == sorted(rig.lake.content())
    assert rig.stats.uploads == 4


async def test_what_the_disk_refuses_goes_to_the_lake_from_memory(rig, tmp_path):
    parts = [a_part(n, START + 300 * n) for n in range(3)]
    rig.journal.write(rig.journal.take([a_part(n, START + 300 * n) for n in range(3)], START + 50.0))
    with full_disk():
        tasks = [
            asyncio.ensure_future(work)
            for work in (rig.archive.keep_spooling(), rig.archive.keep_uploading())
        ]
        rig.archive._closed.extend(parts)
        rig.archive._has_closed.set()
        await eventually(lambda: rig.stats.uploads == 3)
        for task in tasks:
            task.cancel()
    assert rig.stats.spool_failures >= 3
    assert rig.stats.windows_spooled == 0
    assert sorted(rig.lake.content().values()) == expected(parts)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_what_disk_and_lake_refuse_waits_in_memory_for_the_disk(rig, tmp_path):
    rig.lake.broken = "before"
    parts = [a_part(n, START + 300 * n) for n in range(3)]
    tasks = [
        asyncio.ensure_future(work) for work in (rig.archive.keep_spooling(), rig.archive.keep_uploading())
    ]
    with full_disk():
        rig.archive._closed.extend(parts)
        rig.archive._has_closed.set()
        await eventually(lambda: rig.stats.upload_failures > 3 and rig.stats.spool_failures > 3)
        assert rig.stats.spool_files == 3
        assert list(rig.archive._closed) == rig.spool.names() == []
    await eventually(lambda: len(rig.spool.names()) == 3)
    assert list((tmp_path / "journal").iterdir()) == []
    rig.lake.broken = None
    await eventually(lambda: rig.stats.uploads == 3)
    for task in tasks:
        task.cancel()
    assert sorted(rig.lake.content().values()) == expected(parts)
    assert rig.stats.spool_files == 0


async def test_an_upload_from_memory_that_a_kill_cuts_off_from_its_journal_is_not_repeated(tmp_path):
    """The journal's part is shorter than the one in the lake, and ends a second before its last flush."""
    rig = made(tmp_path)
    rig.journal.write(rig.journal.take([a_part(4)], START + 50.0))
    whole = a_part(4)
    whole.count(7, MESSAGE, 99, False)
    rig.archive._closed.append(whole)
    with full_disk():
        with pytest.raises(OSError, match="too large"):
            await rig.archive._spool_next()
        rig.archive._overflow.upload(PartName.of(whole, "c"))
    again = made(tmp_path)
    again.lake.inner = rig.lake.inner
    again.archive.recover()
    assert again.stats.recovered_parts == 1
    assert await again.archive.finish([], 5.0)
    assert list(again.lake.content().values()) == expected([whole])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_start_on_a_full_disk_brings_the_journal_into_the_lake(tmp_path):
    part = a_part(4)
    journal = Journal(tmp_path / "journal", "other")
    journal.write(journal.take([a_part(4)], float("inf")))
    with full_disk():
        rig = made(tmp_path)
        rig.archive.recover()
        assert rig.stats.spool_files == 1
        assert len(list((tmp_path / "journal").iterdir())) == 1
        assert await rig.archive.finish([], 5.0)
    part.partial = True
    [(key, data)] = rig.lake.content().items()
    assert key == live_key(utc(START), "other")
    assert data == encode_object(part.records("other"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_what_was_on_its_way_at_the_last_flush_does_not_count_as_watched(rig, tmp_path):
    clock = type("Clock", (), {"rate": 60.0, "now": lambda self: START + 200.0})()
    windows = Windows(clock, 300)
    windows.joined(7, "seven", START + 20.0)
    task = asyncio.ensure_future(rig.archive.keep_journal(windows))
    await eventually(lambda: any(path.stat().st_size for path in (tmp_path / "journal").iterdir()))
    task.cancel()
    later = made(tmp_path)
    later.archive.recover()
    [name] = later.spool.names()
    [record] = [parse_record(line) for line in decode_lines(later.spool.read(name))]
    assert record.observed_intervals == [(20.0, 140.0)]


def test_the_health_page_tells_of_windows_that_lost_their_viewers():
    now = Snapshot(10.0, 0.0, {"joined": 1}, {"open": 1}, 0)
    assert judge(now, Stats())["status"] == "ok"
    verdict = judge(now, Stats(spool_thinned=2, spool_removed=1))
    assert verdict["status"] == "degraded"
    assert [text.split(": ")[1] for text in verdict["problems"]] == [
        "2 windows lost their viewers",
        "1 windows are gone altogether",
    ]
    shown = {metric.name: metric.samples[0].value for metric in StatsCollector(
        Stats(spool_thinned=2, spool_removed=1), lambda: now
    ).collect() if metric.samples}  # fmt: skip
    assert (shown["vieweratlas_spool_thinned"], shown["vieweratlas_spool_removed"]) == (2, 1)


def test_a_lake_that_hangs_fails_within_a_minute(monkeypatch):
    assert (lake_module._REQUEST_SECONDS + lake_module._RETRY_SECONDS).total_seconds() <= 60
    monkeypatch.setattr(lake_module, "_REQUEST_SECONDS", timedelta(seconds=0.5))
    monkeypatch.setattr(lake_module, "_RETRY_SECONDS", timedelta(seconds=0.5))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        lake = Lake.open(StorageSettings(type="s3", s3_bucket="bucket", endpoint_url=url))
        for call in (lambda: lake.create("key", b"data"), lambda: lake.get("key")):
            began = time.monotonic()
            with pytest.raises(LakeError):
                call()
            assert time.monotonic() - began < 20


def test_kill_9_loses_what_was_not_journalled_and_doubles_nothing(tmp_path):
    """Kills children at random points; what they said was journalled is there once, or declared dropped."""
    journalled = {}
    rng = random.Random(7)
    for run in range(6):
        child = subprocess.Popen(
            [sys.executable, killed_child.__file__, tmp_path, str(run * 100_000)],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = [child.stdout.readline() for _ in range(rng.randint(30, 900))]
        time.sleep(rng.random() * 0.02)
        child.kill()
        lines += child.stdout.read().split("\n")[:-1]
        journalled.update(map(int, line.split()) for line in lines)
        child.wait()
        child.stdout.close()
    spool = Spool(tmp_path / "spool", killed_child.open_lake(tmp_path), killed_child.SPOOL_BYTES)
    archive = Archive(Journal(tmp_path / "journal", "c"), spool, "c", Stats())
    archive.recover()
    for name in spool.names():
        spool.upload(name)
    lake = killed_child.open_lake(tmp_path)
    records = [
        parse_record(line) for info in lake.objects("raw/") for line in decode_lines(lake.get(info.key))
    ]
    seen = Counter(key for record in records for key in record.viewer_keys)
    dropped = {record.part for record in records if record.status == "dropped"}
    assert len(journalled) > 300
    assert set(seen.values()) == {1}
    assert dropped
    assert [n for n, part in journalled.items() if part not in dropped and not seen[viewer_key(n)]] == []
    assert len([n for n in journalled if seen[viewer_key(n)]]) > 300
    assert list((tmp_path / "journal").iterdir()) == []


async def test_what_cannot_be_uploaded_in_time_is_there_at_the_next_start(rig, tmp_path):
    rig.lake.broken = "before"
    parts = [a_part(n, START + 300 * n) for n in range(3)]
    assert not await rig.archive.finish(parts, 0.8)
    assert rig.lake.content() == {}
    later = made(tmp_path)
    assert 0 <= later.archive.recover() < 2**30
    assert await later.archive.finish([], 5.0)
    assert sorted(later.lake.content().values()) == expected(parts)


async def test_a_hanging_upload_does_not_hold_up_the_end(rig):
    import threading

    blocked = threading.Event()
    rig.lake.create = lambda key, data: blocked.wait(30)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert not await rig.archive.finish([a_part(0)], 0.5)
    assert loop.time() - began < 5
    assert [name.sequence for name in rig.spool.names()] == [0]
    blocked.set()


async def test_what_cannot_be_spooled_in_time_is_in_the_journal(rig, tmp_path):
    """The disk has room for the journal's frame, but not for the object."""
    rig.lake.broken = "before"
    part = a_part(0)
    for room in range(20):
        part.joined(100 + room, f"room{room}", START + 20.0 + room / 7)
    part.until = START + 100.0
    part.partial = True
    whole = expected([part])
    frame = rig.journal.take([part], math.inf)
    rig.journal.write(frame)
    with full_disk(200):
        assert not await rig.archive.finish([part], 0.8)
    later = made(tmp_path)
    later.archive.recover()
    assert later.stats.recovered_parts == 1
    assert await later.archive.finish([], 5.0)
    assert list(later.lake.content().values()) == whole


async def test_recovery_at_every_point_of_the_way_gives_each_part_once(tmp_path):
    """Every prefix of: journal written, spooled, journal removed, uploaded, spool removed."""
    part = a_part(4)
    part.partial = True
    name = PartName.of(part, "c")
    data = encode_object(part.records("c"))
    for stage in range(5):
        rig = made(tmp_path / str(stage))
        rig.journal.write(rig.journal.take([a_part(4)], float("inf")))
        if stage >= 1:
            rig.spool.add(name, data)
        if stage >= 2:
            rig.journal.discard(name)
        if stage >= 3:
            rig.lake.broken = "after"
            with pytest.raises(OSError, match="down"):
                rig.spool.upload(name)
        if stage >= 4:
            rig.lake.broken = None
            rig.spool.upload(name)
        again = made(tmp_path / str(stage))
        again.lake.inner = rig.lake.inner
        again.archive.recover()
        assert again.stats.recovered_parts == (stage == 0)
        assert await again.archive.finish([], 5.0)
        assert list(again.lake.content().values()) == [data]
        assert [path for path in (tmp_path / str(stage)).rglob("*") if path.is_file()] == []


async def test_a_part_that_closes_while_the_journal_is_busy_leaves_no_journal(rig, tmp_path):
    clock = type("Clock", (), {"rate": 1.0, "time": float(START), "now": lambda self: self.time})()
    windows = Windows(clock, 300)
    windows.joined(7, "seven", START)
    tasks = [
        asyncio.ensure_future(work)
        for work in (
            rig.archive.keep_journal(windows),
            rig.archive.keep_spooling(),
            rig.archive.keep_uploading(),
            rig.archive.tick(windows, 0.01, lambda: None),
        )
    ]
    while rig.stats.uploads < 5:
        clock.time += 10.0
        await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await rig.archive.finish(windows.close_all(windows.now()), 5.0)
    assert list((tmp_path / "journal").iterdir()) == []
    assert rig.stats.recovered_parts == 0
