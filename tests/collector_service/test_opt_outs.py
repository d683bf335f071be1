"""Opt-outs: the object, and the copy that stands in for it."""

import asyncio
import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from collector_service.lake import Lake
from collector_service.live import opt_out_watch
from collector_service.live.opt_out_watch import OptOutsKeeper
from collector_service.metrics import Stats
from collector_service.privacy.opt_outs import MAX_BYTES, OPT_OUTS_KEY, BadOptOutsError, OptOuts
from collector_service.settings import SettingsError
from collector_service.support.retry import RetryPolicy

from .full_disk import full_disk
from .irc_double import eventually

SOME = OptOuts(frozenset({2**64 - 1, 0, 17}), frozenset({2**63 - 1, 5}), frozenset({"someone", "x_1"}))
MORE = OptOuts(SOME.viewer_keys | {99}, SOME.channel_ids, SOME.channels)

everything = st.builds(
    OptOuts,
    st.frozensets(st.integers(0, 2**64 - 1)),
    st.frozensets(st.integers(0, 2**63 - 1)),
    st.frozensets(st.from_regex(r"[a-z0-9_]{1,25}", fullmatch=True)),
)


class AwayLake:
    """A lake whose reads fail, hang or work, as the test says."""

    uri = "s3://bucket/prefix"

    def __init__(self, lake):
        self._lake = lake
        self.error = None
        self.hang = threading.Event()
        self.hang.set()
        self.reads = 0

    def address(self, key):
        return self._lake.address(key)

    def get(self, key, most=None):
        self.reads += 1
        self.hang.wait(20)
        if self.error is not None:
            raise self.error
        return self._lake.get(key)


@pytest.fixture
def inner():
    return Lake.in_memory()


@pytest.fixture
def away(inner, monkeypatch):
    monkeypatch.setattr(opt_out_watch, "NETWORK", RetryPolicy(0.01, 0.01))
    return AwayLake(inner)


def keeper(lake, folder):
    return OptOutsKeeper(lake, folder, Stats())


# The object ------------------------------------------------------------------------------------------


def test_the_object_as_people_know_it():
    assert json.loads(SOME.to_bytes()) == {
        "schema_version": 1,
        "viewer_keys": ["0", "17", "18446744073709551615"],
        "channel_ids": ["5", "9223372036854775807"],
        "channels": ["someone", "x_1"],
    }


@examples(deadline=None, max_examples=50)
@given(everything)
def test_what_is_written_is_read_again(some):
    assert OptOuts.from_bytes(some.to_bytes()) == some
    turned = OptOuts(*(frozenset(reversed(list(one))) for one in vars(some).values()))
    assert turned.to_bytes() == some.to_bytes()


def test_which_channels_are_meant():
    assert SOME.has_channel("someone", None)
    assert SOME.has_channel("someone", 6)
    assert SOME.has_channel("renamed", 5)
    assert not SOME.has_channel("another", 6)
    assert not SOME.has_channel("another", None)


def changed(**fields):
    return json.dumps(json.loads(SOME.to_bytes()) | fields).encode()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "Invalid JSON"),
        (SOME.to_bytes()[:-3], "Invalid JSON"),
        (b"\xff\xfe\xff", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"[]", "Input should be an object"),
        (b"null", "Input should be an object"),
        (changed(schema_version=2), "schema_version: 2 is not the version 1"),
        (changed(schema_version=True), "schema_version: True"),
        (changed(schema_version="1"), "schema_version: '1'"),
        (b"{}", "schema_version: Field required"),
        (b'{"schema_version": 1}', "viewer_keys: Field required"),
        (changed(viewer_key=[]), "viewer_key: Unexpected keyword argument"),
        (changed(viewer_keys={}), "viewer_keys: Input should be a valid array"),
        (
            changed(viewer_keys=["1", 2]),
            "viewer_keys.1: not a decimal text below 18446744073709551616",
        ),
        (changed(viewer_keys=[str(2**64)]), "viewer_keys.0: not a decimal"),
        (changed(viewer_keys=["-1"]), "viewer_keys.0: not a decimal"),
        (changed(viewer_keys=["٣"]), "viewer_keys.0: not a decimal"),
        (changed(viewer_keys=["1" * 5000]), "viewer_keys.0: not a decimal"),
        (changed(channel_ids=[str(2**63)]), "channel_ids.0: not a decimal"),
        (changed(channel_ids=[None]), "channel_ids.0: not a decimal"),
        (changed(channels=["ok", "Upper"]), r"channels.1: not a login \(a-z, 0-9 and _\)"),
        (changed(channels=[["a"]]), "channels.0: not a login"),
    ],
)
def test_whatever_else_is_refused_and_explained(data, problem):
    with pytest.raises(
        SettingsError, match=rf"^the lake/it cannot be read \({problem}.*put an earlier version back"
    ) as failure:
        OptOuts.from_bytes(data, "the lake/it")
    assert len(str(failure.value)) < 400
    assert "\n" not in str(failure.value)


def test_an_object_is_read_up_to_its_bound():
    whole = SOME.to_bytes().ljust(MAX_BYTES)
    assert OptOuts.from_bytes(whole) == SOME
    with pytest.raises(BadOptOutsError, match="bytes, more than the"):
        OptOuts.from_bytes(whole + b" ")


# The keeper ------------------------------------------------------------------------------------------


async def test_on_every_lake(any_lake, tmp_path):
    first = keeper(any_lake, tmp_path)
    assert await first.load() == first.current == OptOuts()
    assert await first.refresh() is False
    any_lake.put(OPT_OUTS_KEY, SOME.to_bytes())
    assert await first.refresh() is True
    assert first.current == SOME
    assert await first.refresh() is False
    assert await keeper(any_lake, tmp_path).load() == SOME
    any_lake.put(OPT_OUTS_KEY, OptOuts().to_bytes())
    assert await first.refresh() is True
    assert first.current == OptOuts()


async def test_a_copy_stands_in_while_the_lake_is_away(inner, away, tmp_path):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    await keeper(away, tmp_path).load()
    assert OptOuts.from_bytes((tmp_path / "opt_outs.json").read_bytes()) == SOME
    away.error = OSError("away")
    later = keeper(away, tmp_path)
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
    loading = asyncio.create_task(keeper(away, tmp_path).load())
    await eventually(lambda: away.reads >= 5)
    assert not loading.done()
    away.error = None
    assert await asyncio.wait_for(loading, 10) == SOME


async def test_an_empty_list_is_a_copy_too(away, tmp_path):
    assert await keeper(away, tmp_path).load() == OptOuts()
    away.error = OSError("away")
    assert await asyncio.wait_for(keeper(away, tmp_path).load(), 10) == OptOuts()


async def test_waiting_can_be_cancelled_even_while_a_read_hangs(away, tmp_path):
    away.hang.clear()
    loading = asyncio.create_task(keeper(away, tmp_path).load())
    await eventually(lambda: away.reads)
    began = time.monotonic()
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert time.monotonic() - began < 5
    away.hang.set()


async def test_a_read_that_hangs_counts_as_away(inner, away, tmp_path, monkeypatch):
    monkeypatch.setattr(opt_out_watch, "READ_SECONDS", 0.1)
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    (tmp_path / "opt_outs.json").write_bytes(MORE.to_bytes())
    away.hang.clear()
    assert await keeper(away, tmp_path).load() == MORE
    away.hang.set()


async def test_a_missing_bucket_is_no_empty_list(away, tmp_path):
    away.error = FileNotFoundError("404: <Code>NoSuchBucket</Code>")
    loading = asyncio.create_task(keeper(away, tmp_path).load())
    await eventually(lambda: away.reads >= 3)
    assert not loading.done()
    loading.cancel()


async def test_a_corrupt_object_ends_the_start_even_with_a_copy(inner, tmp_path):
    (tmp_path / "opt_outs.json").write_bytes(SOME.to_bytes())
    inner.put(OPT_OUTS_KEY, b"{")
    with pytest.raises(BadOptOutsError, match=r"memory:///state/opt_outs\.json cannot be read \(Invalid"):
        await keeper(inner, tmp_path).load()
    assert (tmp_path / "opt_outs.json").read_bytes() == SOME.to_bytes()


async def test_a_corrupt_object_changes_nothing_while_running(inner, tmp_path, caplog):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    running = keeper(inner, tmp_path)
    await running.load()
    inner.put(OPT_OUTS_KEY, SOME.to_bytes()[:40])
    assert await running.refresh() is False
    assert (running.current, running._stats.refresh_failures) == (SOME, 1)
    assert "memory:///state/opt_outs.json cannot be read (Invalid JSON" in caplog.text
    assert OptOuts.from_bytes((tmp_path / "opt_outs.json").read_bytes()) == SOME


async def test_an_object_that_vanishes_ends_no_opt_out(inner, tmp_path, caplog):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    running = keeper(inner, tmp_path)
    await running.load()
    inner.delete(OPT_OUTS_KEY)
    assert await running.refresh() is False
    assert running.current == SOME
    assert await keeper(inner, tmp_path).load() == SOME
    assert "write the object with empty lists" in caplog.text


@pytest.mark.parametrize("copy", [b"", b"{", SOME.to_bytes()[:-20]])
async def test_an_unusable_copy_counts_as_none(inner, away, tmp_path, copy):
    (tmp_path / "opt_outs.json").write_bytes(copy)
    inner.put(OPT_OUTS_KEY, MORE.to_bytes())
    away.error = OSError("away")
    loading = asyncio.create_task(keeper(away, tmp_path).load())
    await eventually(lambda: away.reads >= 3)
    assert not loading.done()
    away.error = None
    assert await asyncio.wait_for(loading, 10) == MORE
    assert (tmp_path / "opt_outs.json").read_bytes() == MORE.to_bytes()


async def test_a_disk_that_refuses_does_not_stop_the_collector(inner, tmp_path, caplog):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    running = keeper(inner, tmp_path / "missing")
    assert await running.load() == SOME
    assert "cannot keep a copy of the opt-outs" in caplog.text
    (tmp_path / "missing").mkdir()
    await running.refresh()
    assert OptOuts.from_bytes((tmp_path / "missing/opt_outs.json").read_bytes()) == SOME


@pytest.mark.parametrize("step", ["fsync", "rename"])
async def test_a_crash_while_the_copy_is_written_leaves_the_old_one(inner, tmp_path, monkeypatch, step):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    running = keeper(inner, tmp_path)
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
    assert await keeper(inner, tmp_path).load() == MORE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["opt_outs.json"]


async def test_a_disk_that_refuses_the_copy_half_way_keeps_the_old_one(inner, tmp_path, caplog):
    inner.put(OPT_OUTS_KEY, SOME.to_bytes())
    running = keeper(inner, tmp_path)
    await running.load()
    inner.put(OPT_OUTS_KEY, MORE.to_bytes())
    with full_disk(20):
        await running.refresh()
    assert "cannot keep a copy of the opt-outs" in caplog.text
    assert running.current == MORE
    assert (tmp_path / "opt_outs.json").read_bytes() == SOME.to_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["opt_outs.json"]
