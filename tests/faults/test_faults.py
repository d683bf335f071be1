"""The fault matrix: after every fault, what was collected equals what was delivered, minus declared gaps.

The scenarios wait far more than they work, so those that were selected run together, a few at a time.
"""

import asyncio

import pytest

from .chaos import play
from .scenarios import SCENARIOS

AT_ONCE = 8
# They take so long that the others can be played meanwhile.
LONGEST = {"s3-hang", "s3-refuse"}


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """Name of each selected scenario -> None, or the exception that it ended with."""
    selected = [
        item.callspec.params["fault"] for item in request.session.items if "outcomes" in item.fixturenames
    ]
    names = sorted(selected, key=lambda name: name not in LONGEST)
    folder = tmp_path_factory.mktemp("faults")

    async def run(name, turn):
        async with turn:
            (folder / name).mkdir()
            await SCENARIOS[name](folder / name)

    async def run_all():
        turn = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(run(name, turn) for name in names), return_exceptions=True)

    return dict(zip(names, asyncio.run(run_all()), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first one waits for all
@pytest.mark.parametrize("fault", SCENARIOS)
def test_fault(fault, outcomes):
    if outcomes[fault] is not None:
        raise outcomes[fault]


@pytest.mark.slow
def test_hours_of_chaos_with_every_fault(tmp_path):
    verdict, injected, report = asyncio.run(play(tmp_path, hours=2.0, seed=1, pauses=(0.2, 1.0)))
    assert not verdict.errors, report
    assert verdict.lost == verdict.invented == 0
    assert verdict.messages > 5_000
    assert set(injected) == {
        *("close", "TCP reset", "connections refused", "refused logins", "truncated line", "garbage"),
        *("noise", "RECONNECT", "RECONNECT storm", "slow server", "swallowed JOINs", "Helix", "S3"),
        *("disk refuses", "kill -9", "SIGTERM"),
    }
