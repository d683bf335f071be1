"""The queue's object in the lake: no lost updates, damage refused and recovered."""

import json
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from tests.worlds.vod_items import item, queued, take
from vieweratlas_dagster.vod import queue, queue_store
from vieweratlas_dagster.vod.queue_store import (
    MARKER_KEY,
    QUEUE_KEY,
    QueueError,
    QueueFullError,
    QueueStore,
)


@pytest.fixture(params=["file", "memory"])
def lake(request, tmp_path):
    if request.param == "file":
        return Lake.open(StorageSettings(dir=tmp_path / "lake"))
    return Lake.in_memory()


def fill(lake, *items):
    QueueStore(lake).apply(lambda old: queue.enqueue(old, items))


def test_a_first_use_is_an_empty_queue(lake):
    assert QueueStore(lake).load() == {}
    fill(lake, item(2), item(1))
    assert QueueStore(lake).load() == queued(item(1), item(2))
    data = lake.get(QUEUE_KEY)
    fill(lake)
    assert lake.get(QUEUE_KEY) == data
    assert b'"created_at": "2026-05-01T11:00:00Z"' in data


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"[]",
        lambda data: b'{"schema_version": 1}',
        lambda data: data.replace(b'"schema_version": 1', b'"schema_version": 2'),
        lambda data: data.replace(b'"pending"', b'"sleeping"'),
        lambda data: data.replace(b"T11:00:00Z", b"T11:00:00"),
        lambda data: data.replace(b'"attempts": 0', b'"attempts": "0"'),
        lambda data: data.replace(b'"vod_id": "1"', b'"vod_id": "../1"'),
        lambda data: data.replace(b'"attempts"', b'"tries"'),
        lambda data: data.replace(b'"coverage_seconds": 0.0', b'"coverage_seconds": 1e999'),
        lambda data: data.replace(b'"coverage_seconds": 0.0', b'"coverage_seconds": -1.0'),
        lambda data: data.replace(b'"vod_id": "2"', b'"vod_id": "1"'),
    ],
)
def test_a_corrupt_queue_is_an_error_and_stays_as_it_is(lake, spoil):
    fill(lake, item(1), item(2))
    bad = spoil(lake.get(QUEUE_KEY))
    assert bad != lake.get(QUEUE_KEY)
    lake.put(QUEUE_KEY, bad)
    for use in (lambda: QueueStore(lake).load(), lambda: fill(lake, item(3))):
        with pytest.raises(
            QueueError, match=r"state/vod/queue\.json cannot be read .*vieweratlas vod recover"
        ):
            use()
    assert lake.get(QUEUE_KEY) == bad


def test_a_lost_queue_is_an_error_until_it_is_recovered(lake):
    fill(lake, item(1))
    lake.delete(QUEUE_KEY)
    for use in (lambda: QueueStore(lake).load(), lambda: fill(lake, item(3))):
        with pytest.raises(QueueError, match=r"is missing, but it existed before.*vieweratlas vod recover"):
            use()
    found = QueueStore(lake).recover()
    assert (found.kept, found.lost, found.copy) == (0, None, None)
    fill(lake, item(3))
    assert QueueStore(lake).load() == queued(item(3))


def test_recovery_keeps_what_can_be_read_and_a_copy(lake):
    fill(lake, item(1), item(2, status="dead", reason="HTTP 503", attempts=5), item(3))
    sound = lake.get(QUEUE_KEY)
    found = QueueStore(lake).recover()
    assert (found.kept, found.lost, found.copy, lake.get(QUEUE_KEY)) == (3, 0, None, sound)

    rows = json.loads(sound)
    rows["items"][0]["status"] = "sleeping"
    bad = json.dumps(rows).encode()
    lake.put(QUEUE_KEY, bad)
    found = QueueStore(lake).recover()
    assert (found.kept, found.lost) == (2, 1)
    assert QueueStore(lake).load() == queued(item(2, status="dead", reason="HTTP 503", attempts=5), item(3))
    (copy,) = lake.objects("quarantine/vod_queue/")
    assert found.copy == lake.address(copy.key)
    assert lake.get(copy.key) == bad


@pytest.mark.parametrize(
    ("spoil", "left"),
    [
        # Torn off within the third entry, a stray byte in the second, bytes that are no text before all.
        (lambda data: data[: data.index(b'"vod_id": "3"') + 40], [1, 2]),
        (lambda data: data.replace(b'"vod_id": "2"', b'"vod_id": "2'), [1, 3]),
        (lambda data: b"\xff\xfe" + data, [1, 2, 3]),
    ],
)
def test_recovery_keeps_the_whole_entries_of_what_is_no_json_any_more(lake, spoil, left):
    every = {number: item(number, title="  }\n  {") for number in (1, 2, 3)}
    fill(lake, *every.values())
    lake.put(QUEUE_KEY, spoil(lake.get(QUEUE_KEY)))
    found = QueueStore(lake).recover()
    assert (found.kept, found.lost) == (len(left), None)
    assert QueueStore(lake).load() == queued(*(every[number] for number in left))


@pytest.mark.parametrize(
    ("name", "limit"), [("_MAX_ITEMS", 2), ("QUEUE", replace(queue_store.QUEUE, most=1200))]
)
def test_more_than_can_be_read_back_is_not_written(lake, monkeypatch, name, limit):
    fill(lake, item(1), item(2))
    before = lake.get(QUEUE_KEY)
    assert len(before) < 1200 < len(before) * 1.5
    monkeypatch.setattr(queue_store, name, limit)
    with pytest.raises(QueueFullError, match=r"3 recordings in .* raise vod\.min_views"):
        fill(lake, item(3))
    assert lake.get(QUEUE_KEY) == before
    assert len(QueueStore(lake).load()) == 2


def test_brackets_in_titles_are_no_parts_of_the_queue(lake, monkeypatch):
    monkeypatch.setattr(queue_store, "_MAX_ELEMENTS", 4)
    titles = {1: "[[[{{{", 2: '"[\\"]\\['}
    fill(lake, *(item(number, title=title) for number, title in titles.items()))
    assert {int(key): one.title for key, one in QueueStore(lake).load().items()} == titles
    fill(lake, item(3))
    with pytest.raises(QueueError, match="more than 4 lists and objects"):
        QueueStore(lake).load()


@pytest.mark.parametrize("bad", [b"", b"{", b"[]", b"null", b'{"items": 3}', b'{"items": [3, null, {}]}'])
def test_any_bytes_can_be_recovered_from(lake, bad):
    fill(lake, item(1))
    lake.put(QUEUE_KEY, bad)
    found = QueueStore(lake).recover()
    assert found.kept == 0
    assert found.lost in (None, 3)
    assert QueueStore(lake).load() == {}
    assert lake.get(lake.objects("quarantine/vod_queue/")[0].key) == bad


def test_recovery_before_first_use_makes_an_empty_queue(lake):
    assert QueueStore(lake).recover().kept == 0
    assert lake.exists(MARKER_KEY)
    assert QueueStore(lake).load() == {}


@given(count=st.integers(1, 12), workers=st.integers(2, 4))
@settings(max_examples=10, deadline=None)
def test_two_lessees_never_get_the_same_vod(tmp_path_factory, count, workers):
    lake = Lake.open(StorageSettings(dir=tmp_path_factory.mktemp("lake")))
    fill(lake, *(item(n, hours=n + 1) for n in range(count)))
    got, barrier = [], threading.Barrier(workers)

    def work(name):
        store = QueueStore(Lake.open(StorageSettings(dir=lake._local_root)))
        barrier.wait()
        while taken := store.change(lambda items: take(items, lease_id=name)):
            got.extend(taken)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(one.vod_id) for one in got) == list(range(count))
    assert all(one.status == "leased" for one in QueueStore(lake).load().values())
