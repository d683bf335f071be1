"""The opt-outs while the collector runs, and the copy that stands in for the lake's."""

import asyncio

import pytest

from collector_service.lake import Lake
from collector_service.live.lake_reads import LakeReadTimings
from collector_service.live.opt_out_watch import OptOutWatch
from collector_service.metrics import Stats
from collector_service.privacy.opt_outs import OPT_OUTS_KEY, BadOptOutsError, OptOuts
from tests.collector_service.virtual_time import Hang

from .full_disk import full_disk
from .irc_double import eventually

pytestmark = pytest.mark.virtual_time

SOME = OptOuts(frozenset({2**64 - 1, 0, 17}), frozenset({2**63 - 1, 5}), frozenset({"someone", "x_1"}))
MORE = OptOuts(SOME.viewer_keys | {99}, SOME.channel_ids, SOME.channels)


class AwayLake:
    """A lake whose reads fail, hang or work, as the test says."""

    uri = "s3://bucket/prefix"

    def __init__(self, lake):
        self._lake = lake
        self.error = None
        self.hang = None
        self.reads = 0

    def address(self, key):
        return self._lake.address(key)

    def get(self, key, most=None):
        self.reads += 1
        if self.hang is not None:
            self.hang.wait()
        if self.error is not None:
            raise self.error
        return self._lake.get(key)


@pytest.fixture
def inner():
    return Lake.in_memory()


@pytest.fixture
def away(inner):
    return AwayLake(inner)


def watch(lake, folder):
    return OptOutWatch(lake, folder, Stats(), LakeReadTimings())


async def test_on_every_lake(any_lake, tmp_path):
    first = watch(any_lake, tmp_path)
    assert await first.load() == first.current == OptOuts()
    assert await first.refresh() is False
    any_lake.put(OPT_OUTS_KEY, SOME.to_bytes())
    assert await first.refresh() is True
    assert first.current == SOME
    assert await first.refresh() is False
    assert await watch(any_lake, tmp_path).load() == SOME
    any_lake.put(OPT_OUTS_KEY, OptOuts().to_bytes())
    assert await first.refresh() is True
    assert first.current == OptOuts()


async def test_a_copy_stands_in_while_the_lake_is_away(inner, away, tmp_path):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    await watch(away, tmp_path).load()
    assert OptOuts.from_bytes((tmp_path / "opt_outs.json").read_bytes()) == SOME
    away.error = OSError("away")
    later = watch(away, tmp_path)
    assert await later.load() == SOME
    assert await later.refresh() is False
    assert (later.current, later._stats.refresh_failures) == (SOME, 1)
    away.error = None
    inner.put(OPT_OUTS_KEY, MORE.to_bytes())
    assert await later.refresh() is True
    assert OptOuts.from_bytes((tmp_path / "opt_outs.json").read_bytes()) == MORE


async def test_a_start_that_never_saw_the_lake_waits_for_it(inner, away, tmp_path):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    away.error = OSError("away")
    loading = asyncio.create_task(watch(away, tmp_path).load())
    await eventually(lambda: away.reads >= 5)
    assert not loading.done()
    away.error = None
    assert await asyncio.wait_for(loading, 60) == SOME


async def test_an_empty_list_is_a_copy_too(away, tmp_path):
    assert await watch(away, tmp_path).load() == OptOuts()
    away.error = OSError("away")
    assert await asyncio.wait_for(watch(away, tmp_path).load(), 60) == OptOuts()


async def test_waiting_can_be_cancelled_even_while_a_read_hangs(away, tmp_path):
    away.hang = Hang()
    loading = asyncio.create_task(watch(away, tmp_path).load())
    await eventually(lambda: away.reads)
    began = asyncio.get_running_loop().time()
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert asyncio.get_running_loop().time() == began
    away.hang.end()


async def test_a_read_that_hangs_counts_as_away(inner, away, tmp_path):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    (tmp_path / "opt_outs.json").write_bytes(MORE.to_bytes())
    away.hang = Hang()
    assert await watch(away, tmp_path).load() == MORE
    away.hang.end()


async def test_a_missing_bucket_is_no_empty_list(away, tmp_path):
    away.error = FileNotFoundError("404: <Code>NoSuchBucket</Code>")
    loading = asyncio.create_task(watch(away, tmp_path).load())
    await eventually(lambda: away.reads >= 3)
    assert not loading.done()
    loading.cancel()


async def test_a_corrupt_object_ends_the_start_even_with_a_copy(inner, tmp_path):
    (tmp_path / "opt_outs.json").write_bytes(SOME.to_bytes())
    inner.put(OPT_OUTS_KEY, b"{")
    with pytest.raises(BadOptOutsError, match=r"memory:///state/opt_outs\.json cannot be read \(Invalid"):
        await watch(inner, tmp_path).load()
    assert (tmp_path / "opt_outs.json").read_bytes() == SOME.to_bytes()


async def test_a_corrupt_object_changes_nothing_while_running(inner, tmp_path, caplog):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    running = watch(inner, tmp_path)
    await running.load()
    inner.put(OPT_OUTS_KEY, SOME.to_bytes()[:40])
    assert await running.refresh() is False
    assert (running.current, running._stats.refresh_failures) == (SOME, 1)
    assert "memory:///state/opt_outs.json cannot be read (Invalid JSON" in caplog.text
    assert OptOuts.from_bytes((tmp_path / "opt_outs.json").read_bytes()) == SOME


async def test_an_object_that_vanishes_ends_no_opt_out(inner, tmp_path, caplog):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    running = watch(inner, tmp_path)
    await running.load()
    inner.delete(OPT_OUTS_KEY)
    assert await running.refresh() is False
    assert running.current == SOME
    assert await watch(inner, tmp_path).load() == SOME
    assert "write the object with empty lists" in caplog.text


@pytest.mark.parametrize("copy", [b"", b"{", SOME.to_bytes()[:-20]])
async def test_an_unusable_copy_counts_as_none(inner, away, tmp_path, copy):
    (tmp_path / "opt_outs.json").write_bytes(copy)
    inner.put(OPT_OUTS_KEY, MORE.to_bytes())
    away.error = OSError("away")
    loading = asyncio.create_task(watch(away, tmp_path).load())
    await eventually(lambda: away.reads >= 3)
    assert not loading.done()
    away.error = None
    assert await asyncio.wait_for(loading, 60) == MORE
    assert (tmp_path / "opt_outs.json").read_bytes() == MORE.to_bytes()


async def test_a_disk_that_refuses_does_not_stop_the_collector(inner, tmp_path, caplog):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    running = watch(inner, tmp_path / "missing")
    assert await running.load() == SOME
    assert "cannot keep a copy of the opt-outs" in caplog.text
    (tmp_path / "missing").mkdir()
    await running.refresh()
    assert OptOuts.from_bytes((tmp_path / "missing/opt_outs.json").read_bytes()) == SOME


@pytest.mark.parametrize("step", ["fsync", "rename"])
async def test_a_crash_while_the_copy_is_written_leaves_the_old_one(inner, tmp_path, monkeypatch, step):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    running = watch(inner, tmp_path)
    await running.load()
    inner.put(OPT_OUTS_KEY, MORE.to_bytes())

    class CrashError(Exception):
        pass

    def crash(*_):
        raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync" if step == "fsync" else "pathlib.Path.rename", crash)
        with pytest.raises(CrashError):
            await running.refresh()
    assert (tmp_path / "opt_outs.json").read_bytes() == SOME.to_bytes()
    assert await watch(inner, tmp_path).load() == MORE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["opt_outs.json"]


async def test_a_disk_that_refuses_the_copy_half_way_keeps_the_old_one(inner, tmp_path, caplog):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    running = watch(inner, tmp_path)
    await running.load()
    inner.put(OPT_OUTS_KEY, MORE.to_bytes())
    with full_disk(20):
        await running.refresh()
    assert "cannot keep a copy of the opt-outs" in caplog.text
    assert running.current == MORE
    assert (tmp_path / "opt_outs.json").read_bytes() == SOME.to_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["opt_outs.json"]
