"""The fault matrix: after every fault, what was collected equals what was delivered, minus declared gaps.

The scenarios wait far more than they work, so those that were selected run together, a few at a time.
"""

import asyncio

import pytest

from . import network, processes, storage
from .chaos import play

SCENARIOS = network.SCENARIOS | storage.SCENARIOS | processes.SCENARIOS
AT_ONCE = 8


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """Name of each selected scenario -> None, or the exception that it ended with."""
    names = [
        item.callspec.params["fault"] for item in request.session.items if "outcomes" in item.fixturenames
    ]
    folder = tmp_path_factory.mktemp("faults")

    async def play(name, turn):
        async with turn:
            (folder / name).mkdir()
            await SCENARIOS[name](folder / name)

    async def play_all():
        turn = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(play(name, turn) for name in names), return_exceptions=True)

    return dict(zip(names, asyncio.run(play_all()), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("fault", SCENARIOS)
def test_fault(fault, outcomes):
    if outcomes[fault] is not None:
        raise outcomes[fault]


@pytest.mark.slow
def test_an_hour_of_chaos(tmp_path):
    verdict, injected, report = asyncio.run(play(tmp_path, hours=1.5, seed=1))
    assert not verdict.errors, report
    assert verdict.lost == verdict.invented == 0
    assert verdict.messages > 5_000
    assert injected.total() >= 6
