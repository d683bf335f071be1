"""From closed windows to the lake with a lake and a disk that fail."""

import asyncio
from dataclasses import dataclass

import pytest

from collector_service import archive as archive_module
from collector_service.archive import Archive
from collector_service.contract import encode_object
from collector_service.journal import Journal
from collector_service.lake import Lake
from collector_service.spool import PartName, Spool
from collector_service.stats import Stats
from collector_service.twitch.irc import MESSAGE
from collector_service.windows import Part, Windows

from .irc_double import eventually

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


async def test_a_disk_that_was_full_loses_nothing(rig, monkeypatch):
    add, full = rig.spool.add, True

    def refuse(name, data):
        if full:
            raise OSError(28, "No space left on device")
        add(name, data)

    monkeypatch.setattr(rig.spool, "add", refuse)
    parts = [a_part(n, START + 300 * n) for n in range(3)]
    tasks = [
        asyncio.ensure_future(work) for work in (rig.archive.keep_spooling(), rig.archive.keep_uploading())
    ]
    rig.archive._closed.extend(parts)
    rig.archive._has_closed.set()
    await eventually(lambda: rig.stats.spool_failures >= 3)
    full = False
    await eventually(lambda: rig.stats.uploads == 3)
    for task in tasks:
        task.cancel()
    assert sorted(rig.lake.content().values()) == expected(parts)


async def test_what_cannot_be_uploaded_in_time_is_there_at_the_next_start(rig, tmp_path):
    rig.lake.broken = "before"
    parts = [a_part(n, START + 300 * n) for n in range(3)]
    assert not await rig.archive.finish(parts, 0.8)
    assert rig.lake.content() == {}
    later = made(tmp_path)
    assert later.archive.recover() == 3
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


async def test_what_cannot_be_spooled_in_time_is_in_the_journal(rig, tmp_path, monkeypatch):
    def refuse(name, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rig.spool, "add", refuse)
    part = a_part(0)
    part.until = START + 100.0
    assert not await rig.archive.finish([part], 0.8)
    part.partial = True
    later = made(tmp_path)
    assert later.archive.recover() == 1
    assert await later.archive.finish([], 5.0)
    assert list(later.lake.content().values()) == expected([part])


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
        assert again.archive.recover() == (5 if stage < 4 else 0)
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
