"""From closed windows to the lake with a lake and a disk that fail."""

import asyncio
import math
import random
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass

import pytest
from obstore.exceptions import BaseError as LakeError

from collector_service.clock import utc
from collector_service.contract import decode_lines, encode_object, live_key, parse_record
from collector_service.lake import Lake, LakeTimings
from collector_service.live.health import ReaderState, judge
from collector_service.live.journal import Journal
from collector_service.live.spool import DiskSpool, ShareName
from collector_service.live.uploader import PATIENCE, Uploader, UploaderTimings
from collector_service.live.windows import Windows, WindowShare
from collector_service.metrics import Stats
from collector_service.settings import StorageSettings
from collector_service.twitch.irc import MESSAGE
from tests.collector_service.virtual_time import Hang

from . import killed_child
from .full_disk import full_disk
from .irc_double import eventually
from .killed_child import StepClock, viewer_key

pytestmark = pytest.mark.virtual_time

START = 1_700_000_100 // 300 * 300


class FlakyLake:
    """A lake in memory; ``broken`` says what happens instead of a write, ``refused`` a key it refuses."""

    def __init__(self):
        self.inner = Lake.in_memory()
        self.broken = None
        self.refused = None
        self.tried = []

    @property
    def attempts(self):
        return len(self.tried)

    def create(self, key, data):
        self.tried.append(key)
        if key == self.refused:
            raise LakeError("403: no such luck")
        if self.broken == "after":
            self.inner.create(key, data)
        if self.broken:
            raise OSError("the lake is down")
        return self.inner.create(key, data)

    def get(self, key, most=None):
        return self.inner.get(key)

    def content(self):
        return {info.key: self.inner.get(info.key) for info in self.inner.objects("raw/")}


@dataclass
class Rig:
    uploader: Uploader
    lake: FlakyLake
    journal: Journal
    spool: DiskSpool
    stats: Stats


@pytest.fixture
def rig(tmp_path):
    # Objects that fail yield for longer than all back-offs of a test.
    return made(tmp_path, timings=UploaderTimings(hold_seconds=3600.0))


def made(folder, **options):
    lake, stats = FlakyLake(), Stats()
    journal, spool = Journal(folder / "journal", "c"), DiskSpool(folder / "spool", lake)
    return Rig(Uploader(journal, spool, "c", stats, **options), lake, journal, spool, stats)


def a_share(sequence, start=START):
    share = WindowShare(start, 300, sequence)
    share.joined(7, "seven", start + sequence)
    share.count(7, MESSAGE, sequence, False)
    return share


def expected(shares):
    return sorted(encode_object(share.records("c")) for share in shares)


@pytest.mark.parametrize("broken", ["before", "after"])
async def test_a_lake_that_was_down_gets_the_same_bytes(rig, broken):
    rig.lake.broken = broken
    shares = [a_share(n, START + 300 * n) for n in range(4)]
    tasks = [
        asyncio.ensure_future(work)
        for work in (rig.uploader.keep_spooling(), rig.uploader.keep_uploading())
    ]
    rig.uploader._closed.extend(shares)
    rig.uploader._has_closed.set()
    await eventually(lambda: rig.stats.spool_files == 4 and rig.stats.upload_failures > 3)
    rig.lake.broken = None
    await eventually(lambda: rig.stats.spool_files == 0)
    for task in tasks:
        task.cancel()
    assert sorted(rig.lake.content().values()) == expected(shares)
    assert list(rig.lake.content()) == sorted(rig.lake.content())
    assert rig.stats.uploads == 4


async def test_what_the_disk_refuses_goes_to_the_lake_from_memory(rig, tmp_path):
    shares = [a_share(n, START + 300 * n) for n in range(3)]
    rig.journal.write(rig.journal.take([a_share(n, START + 300 * n) for n in range(3)], START + 50.0))
    with full_disk():
        tasks = [
            asyncio.ensure_future(work)
            for work in (rig.uploader.keep_spooling(), rig.uploader.keep_uploading())
        ]
        rig.uploader._closed.extend(shares)
        rig.uploader._has_closed.set()
        await eventually(lambda: rig.stats.uploads == 3)
        for task in tasks:
            task.cancel()
    assert rig.stats.spool_failures >= 3
    assert rig.stats.windows_spooled == 0
    assert sorted(rig.lake.content().values()) == expected(shares)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_what_disk_and_lake_refuse_waits_in_memory_for_the_disk(rig, tmp_path):
    rig.lake.broken = "before"
    shares = [a_share(n, START + 300 * n) for n in range(3)]
    tasks = [
        asyncio.ensure_future(work)
        for work in (rig.uploader.keep_spooling(), rig.uploader.keep_uploading())
    ]
    with full_disk():
        rig.uploader._closed.extend(shares)
        rig.uploader._has_closed.set()
        await eventually(lambda: rig.stats.upload_failures > 3 and rig.stats.spool_failures > 3)
        assert rig.stats.spool_files == 3
        assert list(rig.uploader._closed) == rig.spool.names() == []
    await eventually(lambda: len(rig.spool.names()) == 3)
    assert list((tmp_path / "journal").iterdir()) == []
    rig.lake.broken = None
    await eventually(lambda: rig.stats.uploads == 3)
    for task in tasks:
        task.cancel()
    assert sorted(rig.lake.content().values()) == expected(shares)
    assert rig.stats.spool_files == 0


async def test_an_upload_from_memory_that_a_kill_cuts_off_from_its_journal_is_not_repeated(tmp_path):
    """The journal's share is shorter than the one in the lake, and ends a second before its last flush."""
    rig = made(tmp_path)
    rig.journal.write(rig.journal.take([a_share(4)], START + 50.0))
    whole = a_share(4)
    whole.count(7, MESSAGE, 99, False)
    rig.uploader._closed.append(whole)
    with full_disk():
        with pytest.raises(OSError, match="too large"):
            await rig.uploader._spool_next()
        rig.uploader._memory.upload(ShareName.of(whole, "c"))
    again = made(tmp_path)
    again.lake.inner = rig.lake.inner
    again.uploader.recover()
    assert again.stats.recovered_parts == 1
    assert await again.uploader.finish([], 5.0)
    assert list(again.lake.content().values()) == expected([whole])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_start_on_a_full_disk_brings_the_journal_into_the_lake(tmp_path):
    share = a_share(4)
    journal = Journal(tmp_path / "journal", "other")
    journal.write(journal.take([a_share(4)], float("inf")))
    with full_disk():
        rig = made(tmp_path)
        rig.uploader.recover()
        assert rig.stats.spool_files == 1
        assert len(list((tmp_path / "journal").iterdir())) == 1
        assert await rig.uploader.finish([], 5.0)
    share.partial = True
    [(key, data)] = rig.lake.content().items()
    assert key == live_key(utc(START), "other")
    assert data == encode_object(share.records("other"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_what_was_on_its_way_at_the_last_flush_does_not_count_as_watched(rig, tmp_path):
    clock = type("Clock", (), {"rate": 60.0, "now": lambda self: START + 200.0})()
    windows = Windows(clock, 300)
    windows.joined(7, "seven", START + 20.0)
    task = asyncio.ensure_future(rig.uploader.keep_journal(windows))
    await eventually(lambda: any(path.stat().st_size for path in (tmp_path / "journal").iterdir()))
    task.cancel()
    later = made(tmp_path)
    later.uploader.recover()
    [name] = later.spool.names()
    [record] = [parse_record(line) for line in decode_lines(later.spool.read(name))]
    assert record.observed_intervals == [(20.0, 140.0)]


@pytest.fixture
def uploading(rig):
    """Starts the uploads of a rig whose spool holds five windows, and returns them in order."""
    shares = [a_share(n, START + 300 * n) for n in range(5)]
    for share in shares:
        rig.spool.add(ShareName.of(share, "c"), encode_object(share.records("c")))
    tasks = []

    def start():
        tasks.append(asyncio.ensure_future(rig.uploader.keep_uploading()))
        return [live_key(utc(share.start), "c") for share in shares]

    yield start
    for task in tasks:
        task.cancel()


async def test_an_object_that_the_lake_refuses_does_not_block_the_others(rig, uploading):
    rig.lake.refused = live_key(utc(START), "c")
    keys = uploading()
    await eventually(lambda: rig.stats.uploads == 4)
    assert list(rig.lake.content()) == keys[1:]
    assert rig.lake.tried[: PATIENCE + 4] == [keys[0]] * PATIENCE + keys[1:]
    # Later windows pass, too, while it is tried again now and then.
    await eventually(lambda: rig.stats.upload_failures > PATIENCE)
    late = a_share(9, START + 2700)
    rig.spool.add(ShareName.of(late, "c"), encode_object(late.records("c")))
    await eventually(lambda: rig.stats.uploads == 5)
    assert len(rig.spool.names()) == 1
    rig.lake.refused = None
    await eventually(lambda: rig.spool.names() == [])
    assert list(rig.lake.content()) == [*keys, live_key(utc(START + 2700), "c")]


async def test_a_refused_object_does_not_hold_up_the_end(rig):
    rig.lake.refused = live_key(utc(START), "c")
    shares = [a_share(n, START + 300 * n) for n in range(3)]
    assert not await rig.uploader.finish(shares, 4.0)
    assert list(rig.lake.content().values()) == [encode_object(p.records("c")) for p in shares[1:]]
    assert [name.sequence for name in rig.spool.names()] == [0]


async def test_a_long_fault_of_the_lake_costs_no_time_when_it_is_over(rig, uploading):
    """By then all have failed so often that each lets the others pass."""
    rig.lake.broken = "before"
    keys = uploading()
    await eventually(lambda: rig.lake.attempts > 6 * PATIENCE, 1200)
    assert set(rig.lake.tried) == set(keys)
    rig.lake.broken = None
    await eventually(lambda: rig.stats.uploads == 5)
    assert list(rig.lake.content()) == keys


async def test_a_short_fault_of_the_lake_leaves_the_order(rig, uploading):
    rig.lake.broken = "before"
    keys = uploading()
    await eventually(lambda: rig.lake.attempts == PATIENCE - 1)
    rig.lake.broken = None
    await eventually(lambda: rig.stats.uploads == 5)
    assert rig.lake.tried == [keys[0]] * (PATIENCE - 1) + keys


async def test_an_unreadable_file_does_not_block_the_uploads(rig, uploading, tmp_path):
    path = min((tmp_path / "spool").iterdir())
    path.unlink()
    path.symlink_to("/proc/self/mem")  # whose beginning gives EIO
    keys = uploading()
    await eventually(lambda: rig.stats.uploads == 4)
    assert list(rig.lake.content()) == keys[1:]
    assert (rig.stats.spool_unreadable, rig.stats.spool_files) == (1, 0)
    assert [file.suffix for file in (tmp_path / "spool").iterdir()] == [".unreadable"]


async def test_a_disk_that_hangs_costs_viewers_beyond_a_bound_and_says_so(tmp_path, monkeypatch):
    """The oldest window is on its way to the disk; of the others, the newest keep their viewers."""
    rig = made(tmp_path, closed_pairs=50, closed_shares=6)
    hang, clock = Hang(), StepClock()
    store = rig.spool._store

    def store_after_the_hang(*given):
        hang.wait()
        store(*given)

    monkeypatch.setattr(rig.spool, "_store", store_after_the_hang)
    windows = Windows(clock, 300)
    windows.joined(7, "seven", clock.time)
    closed = []
    tasks = [
        asyncio.ensure_future(work)
        for work in (
            rig.uploader.tick(windows, 0.01, lambda: closed.append(windows.closed)),
            rig.uploader.keep_spooling(),
            rig.uploader.keep_uploading(),
        )
    ]
    for number in range(9):
        share = windows.share_at(clock.time, clock.time)
        for key in range(20):
            share.count(7, MESSAGE, 100 * number + key, False)
        while windows.closed == number:
            clock.time += 10.0
            await asyncio.sleep(0.02)
        assert sum(share.pairs for share in rig.uploader._closed) <= 50
        assert len(rig.uploader._closed) <= 7
    assert (rig.stats.spool_thinned, rig.stats.spool_removed) == (7, 2)
    assert judge(ReaderState(10.0, 0.0, {"joined": 1}, {"open": 1}, 0), rig.stats)["status"] == "degraded"
    hang.end()
    await eventually(lambda: rig.stats.uploads == 7)
    for task in tasks:
        task.cancel()
    records = [parse_record(line) for data in rig.lake.content().values() for line in decode_lines(data)]
    assert [(record.status, len(record.viewer_keys)) for record in records] == [
        (None, 20), *[("dropped", 0)] * 5, (None, 20),
    ]  # fmt: skip
    assert [record.observed_seconds > 0 for record in records] == [True, *[False] * 5, True]


async def test_windows_that_memory_had_no_room_for_come_from_the_journal_in_the_end(tmp_path):
    rig = made(tmp_path, closed_shares=2)
    shares = [a_share(number) for number in range(5)]
    expected = [record for share in shares for record in share.records("c1")]
    rig.journal.write(rig.journal.take(shares, START + 3600.0))
    rig.uploader._closed.extend(shares)
    rig.uploader._bound_closed()
    assert rig.stats.spool_removed == 3
    assert await rig.uploader.finish([], 5.0)
    records = [parse_record(line) for data in rig.lake.content().values() for line in decode_lines(data)]
    assert sorted(one.viewer_keys for one in records) == sorted(one.viewer_keys for one in expected)
    assert list(rig.journal.recover()) == []


async def test_objects_that_memory_had_no_room_for_come_from_the_journal_in_the_end(rig):
    share = a_share(0)
    rig.journal.write(rig.journal.take([share], START + 3600.0))
    rig.uploader._memory.losses["removed"] += 1
    assert await rig.uploader.finish([], 5.0)
    [data] = rig.lake.content().values()
    assert [parse_record(line).viewer_keys for line in decode_lines(data)] == [[0]]


async def test_a_state_folder_that_cannot_be_read_in_the_end_is_told_and_keeps_its_windows(
    rig, monkeypatch, caplog
):
    share = a_share(0)
    rig.journal.write(rig.journal.take([share], START + 3600.0))
    rig.uploader._losses["removed"] += 1

    def refused():
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(rig.journal, "recover", refused)
    assert not await rig.uploader.finish([], 5.0)
    assert (
        "0 objects stay in the spool and 1 windows in the journal for the next start: Input" in caplog.text
    )


async def test_a_share_thinned_in_memory_leaves_its_journal_as_it_is(tmp_path):
    """What the journal has said so far is true; it must not watch on without counting."""
    rig = made(tmp_path, closed_pairs=0)
    share = a_share(0)
    rig.journal.write(rig.journal.take([share], START + 100.0))
    [path] = (tmp_path / "journal").iterdir()
    before = path.read_bytes()
    rig.uploader._closed.append(share)
    rig.uploader._bound_closed()
    assert share.pairs == 0
    await rig.uploader._flush_closed(rig.uploader._closed)
    assert path.read_bytes() == before
    other = a_share(1)
    await rig.uploader._flush_closed([share, other])
    assert path.read_bytes() == before
    assert len(list((tmp_path / "journal").iterdir())) == 2


async def test_what_a_refusing_disk_leaves_does_not_wait_as_shares(rig):
    """Each becomes an object in memory, which is far smaller, before the disk is given time."""
    rig.lake.broken = "before"
    with full_disk():
        rig.uploader._closed.extend(a_share(n, START + 300 * n) for n in range(4))
        task = asyncio.ensure_future(rig.uploader.keep_spooling())
        await eventually(lambda: len(rig.uploader._memory.names()) == 4, 0.4)
        task.cancel()
    assert not rig.uploader._closed


async def test_a_journal_that_is_of_no_use_does_not_stop_the_start(tmp_path, caplog):
    rig = made(tmp_path)
    payload = b"\x02\x00\x00\x00{}"
    frame = struct.pack("<II", len(payload), zlib.crc32(payload)) + payload
    (tmp_path / "journal" / f"{ShareName(START, 'c', 3)}.journal").write_bytes(frame)
    rig.uploader.recover()
    assert (rig.stats.recovered_parts, rig.stats.recovered_lost_bytes) == (0, len(frame))
    assert rig.spool.names() == []
    assert f"the journal of the window of {utc(START):%Y-%m-%dT%H:%M:%SZ} is unusable" in caplog.text


def test_a_lake_that_hangs_fails_within_a_minute(monkeypatch):
    assert LakeTimings().request_seconds + LakeTimings().retry_seconds <= 60
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        storage = StorageSettings(type="s3", s3_bucket="bucket", endpoint_url=url)
        lake = Lake.open(storage, LakeTimings(request_seconds=0.5, retry_seconds=0.5))
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
    spool = DiskSpool(tmp_path / "spool", killed_child.open_lake(tmp_path), killed_child.SPOOL_BYTES)
    uploader = Uploader(Journal(tmp_path / "journal", "c"), spool, "c", Stats())
    uploader.recover()
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
    assert [n for n, share in journalled.items() if share not in dropped and not seen[viewer_key(n)]] == []
    assert len([n for n in journalled if seen[viewer_key(n)]]) > 300
    assert list((tmp_path / "journal").iterdir()) == []


async def test_what_cannot_be_uploaded_in_time_is_there_at_the_next_start(rig, tmp_path):
    rig.lake.broken = "before"
    shares = [a_share(n, START + 300 * n) for n in range(3)]
    assert not await rig.uploader.finish(shares, 0.8)
    assert rig.lake.content() == {}
    later = made(tmp_path)
    assert 0 <= later.uploader.recover() < 2**30
    assert await later.uploader.finish([], 5.0)
    assert sorted(later.lake.content().values()) == expected(shares)


async def test_a_hanging_upload_does_not_hold_up_the_end(rig):
    hang = Hang()
    rig.lake.create = lambda key, data: hang.wait()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert not await rig.uploader.finish([a_share(0)], 12.0)
    assert loop.time() - began == pytest.approx(12.0, abs=0.1)
    assert [name.sequence for name in rig.spool.names()] == [0]
    hang.end()


async def test_what_cannot_be_spooled_in_time_is_in_the_journal(rig, tmp_path):
    """The disk has room for the journal's frame, but not for the object."""
    rig.lake.broken = "before"
    share = a_share(0)
    for room in range(20):
        share.joined(100 + room, f"room{room}", START + 20.0 + room / 7)
    share.until = START + 100.0
    share.partial = True
    whole = expected([share])
    frame = rig.journal.take([share], math.inf)
    rig.journal.write(frame)
    with full_disk(200):
        assert not await rig.uploader.finish([share], 0.8)
    later = made(tmp_path)
    later.uploader.recover()
    assert later.stats.recovered_parts == 1
    assert await later.uploader.finish([], 5.0)
    assert list(later.lake.content().values()) == whole


async def test_recovery_at_every_point_of_the_way_gives_each_share_once(tmp_path):
    """Every prefix of: journal written, spooled, journal removed, uploaded, spool removed."""
    share = a_share(4)
    share.partial = True
    name = ShareName.of(share, "c")
    data = encode_object(share.records("c"))
    for stage in range(5):
        rig = made(tmp_path / str(stage))
        rig.journal.write(rig.journal.take([a_share(4)], float("inf")))
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
        again.uploader.recover()
        assert again.stats.recovered_parts == (stage == 0)
        assert await again.uploader.finish([], 5.0)
        assert list(again.lake.content().values()) == [data]
        assert [path for path in (tmp_path / str(stage)).rglob("*") if path.is_file()] == []


async def test_a_share_that_closes_while_the_journal_is_busy_leaves_no_journal(rig, tmp_path):
    clock = type("Clock", (), {"rate": 1.0, "time": float(START), "now": lambda self: self.time})()
    windows = Windows(clock, 300)
    windows.joined(7, "seven", START)
    tasks = [
        asyncio.ensure_future(work)
        for work in (
            rig.uploader.keep_journal(windows),
            rig.uploader.keep_spooling(),
            rig.uploader.keep_uploading(),
            rig.uploader.tick(windows, 0.01, lambda: None),
        )
    ]
    while rig.stats.uploads < 5:
        clock.time += 10.0
        await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await rig.uploader.finish(windows.close_all(windows.now()), 5.0)
    assert list((tmp_path / "journal").iterdir()) == []
    assert rig.stats.recovered_parts == 0
