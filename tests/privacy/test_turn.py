"""Two runs of forgetting never rewrite at the same time, and a killed one holds nobody up for good."""

import threading
import time

import pytest

from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OPT_OUTS_KEY
from collector_service.settings import StorageSettings
from tests.worlds import full_lake as world
from tests.worlds.full_lake import CHANNEL, KEY_IN_ANY_FORM, NOW, VIEWER
from vieweratlas_dagster.forgetting.erase import Forgetting
from vieweratlas_dagster.forgetting.lock import TURN_KEY, own_turn

FAST = {"renewed": 0.05, "lost": 0.6, "poll": 0.02}


@pytest.fixture(params=["folder", "memory"])
def lake(request, tmp_path):
    return Lake.open(StorageSettings(dir=tmp_path)) if request.param == "folder" else Lake.in_memory()


def test_runs_come_one_after_another(lake):
    inside, most, told = [], [], []

    def run():
        with own_turn(lake, told.append, **FAST):
            inside.append(1)
            most.append(len(inside))
            # Longer than an object without an owner would stand.
            time.sleep(0.8)
            inside.pop()

    runs = [threading.Thread(target=run) for _ in range(3)]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert most == [1, 1, 1]
    assert any("waiting for another run" in what for what in told)
    assert not lake.exists(TURN_KEY)


def test_a_fault_ends_the_turn(lake):
    with pytest.raises(OSError, match="away"), own_turn(lake, print, **FAST):
        raise OSError("away")
    with own_turn(lake, print, **FAST):
        pass


def test_the_object_of_a_killed_run_is_taken_over():
    lake = Lake.in_memory()
    lake.put(TURN_KEY, b"of a run that was killed\n")
    begun = time.monotonic()
    with own_turn(lake, print, **FAST):
        assert time.monotonic() - begun >= FAST["lost"]
    assert not lake.exists(TURN_KEY)


def test_two_at_once_lose_nothing_of_each_other(tmp_path):
    settings = world.settings_for(tmp_path)
    lake, slow = Lake.open(settings.storage), Lake.open(settings.storage)
    world.plant(lake, settings, maps=False)
    put, writing, other_is_done = slow.put, threading.Event(), threading.Event()

    def put_late(key, data):
        if key.startswith("raw/") and not writing.is_set():
            # What is written was read before the other run began.
            writing.set()
            other_is_done.wait(2)
        put(key, data)

    slow.put = put_late
    one = threading.Thread(target=Forgetting(slow, settings, None, NOW).run, args=(VIEWER,))
    one.start()
    assert writing.wait(10)
    Forgetting(lake, settings, None, NOW).run(CHANNEL)
    other_is_done.set()
    one.join()
    objects = world.everything(lake)
    assert world.holding(objects, *KEY_IN_ANY_FORM) == {OPT_OUTS_KEY}
    assert world.holding(objects, b"beta_two", b"9000012") == {OPT_OUTS_KEY}
