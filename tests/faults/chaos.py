"""Chaos: a simulated day with random faults, drawn from a seed, and what was left of it.

``make chaos ARGS="--hours 24 --seed 1"``. Ends with 1 when the property of ``truth`` is broken.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Annotated, get_args

import typer

from collector_service.clock import utc
from collector_service.simulator.garbage import Garbage
from collector_service.simulator.http_faults import HelixFault

from .harness import UNFLUSHED_SECONDS, Session, eventually, planted, session
from .intervals import length
from .machine import refused_writes
from .s3 import FAULTS
from .truth import Verdict, joined_stretches

# World seconds per real second: a day takes about seven minutes.
RATE = 206.0
WINDOW_SECONDS = 300


class Chaos:
    """One run. ``injected`` counts the faults by kind; only a ``patient`` run has the slow ones.

    ``pauses``: the shortest and the longest time between two faults, in real seconds. ``loss`` says what
    was lost up to the last clean stop.
    """

    def __init__(self, it: Session, seed: int, pauses: tuple[float, float], patient: bool) -> None:
        self.it = it
        self.pauses = pauses
        self.loss = "nothing compared yet"
        self.rng = Random(f"{seed}:chaos")
        self.injected: Counter[str] = Counter()
        self.acts = {
            "close": self._quick(it.faults.close),
            "truncated line": self._quick(it.faults.truncate),
            "RECONNECT": self._quick(it.faults.reconnect),
            "noise": self._quick(it.faults.noise),
            "slow server": self._quick(lambda: it.faults.trickle(2.0)),
            "refused logins": self._quick(
                lambda: (it.faults.refuse_logins(2), it.faults.close(self._one()))
            ),
            "TCP reset": it.faults.reset,
            "connections refused": self._refuse_connections,
            "RECONNECT storm": self._storm,
            "garbage": self._garbage,
            "swallowed JOINs": self._swallow,
            "Helix": self._helix,
            "S3": self._s3,
            "disk refuses": self._disk,
            "kill -9": self._kill,
            "SIGTERM": self._restart,
        }
        if patient:
            self.acts |= {"silence": self._silence, "unanswered login": self._stall}

    async def run(self, until: float) -> None:
        """Inject faults until a world second, at random moments, all kinds equally often.

        Goes on after it until every kind was played once.
        """
        self.collector = await self.it.start(
            credentials=True,
            channels=self.it.all_logins(),
            refresh_seconds=WINDOW_SECONDS,
        )
        await self.it.reading()
        queue: list[str] = []
        while self.it.now() < until or len(self.injected) < len(self.acts):
            if not queue:
                queue = self.rng.sample(sorted(self.acts), len(self.acts))
            name = queue.pop()
            self.injected[name] += 1
            await self.acts[name]()
            self._tell(name)
            await asyncio.sleep(self.rng.uniform(*self.pauses))
        await self.it.reading()
        await self.it.still(0)
        await self.collector.stop()
        await self.it.bring_home(self.collector)

    def _tell(self, name: str) -> None:
        delivered = self.it.simulator.oracle.totals()["messages_delivered"]
        print(
            f"{utc(self.it.now()):%a %H:%M} fault {self.injected.total()}, {name}: "
            f"{delivered:,} messages delivered; {self.loss}",
            file=sys.stderr,
        )

    async def _compare(self) -> None:
        """Compare while nobody reads; what waits on the disk has not arrived yet, and is no loss."""
        await eventually(lambda: not self.it.simulator.irc.connections)
        if not self.collector.on_disk:
            verdict = self.it.compare(await self.it.collected(self.collector))
            self.loss = f"lost up to {utc(self.it.now()):%a %H:%M}: {verdict.lost}"

    def _quick(self, act):
        async def do():
            act()

        return do

    def _one(self) -> int:
        """Some connection's number."""
        return self.rng.choice(sorted(self.it.simulator.irc.connections) or [0])

    async def _refuse_connections(self) -> None:
        refusing = asyncio.ensure_future(self.it.faults.refuse_connections(1.5))
        await asyncio.sleep(0.1)
        self.it.faults.close(self._one())
        await refusing

    async def _silence(self) -> None:
        began = self.it.now()
        self.it.faults.silence(self._one())
        # Since when nothing came is all that the collector can know.
        self.it.allowed.unwatched.append((began - 10 * self.it.rate, began))

    async def _stall(self) -> None:
        self.it.faults.stall_logins(1)
        self.it.faults.close(self._one())

    async def _storm(self) -> None:
        for _ in range(5):
            self.it.faults.reconnect()
            await asyncio.sleep(0.2)

    async def _garbage(self) -> None:
        for kind in get_args(Garbage):
            self.it.faults.garbage(kind)

    async def _swallow(self) -> None:
        self.it.faults.drop_joins(0.2)
        self.it.faults.close(self._one())
        await asyncio.sleep(2.0)
        self.it.faults.drop_joins(0.0)

    async def _helix(self) -> None:
        self.it.faults.helix(self.rng.choice(get_args(HelixFault)))

    async def _s3(self) -> None:
        assert self.it.s3 is not None
        self.it.s3.mode = self.rng.choice(FAULTS)
        await asyncio.sleep(600 / self.it.rate)
        self.it.s3.mode = "pass"

    async def _disk(self) -> None:
        with refused_writes(self.collector.pid):
            await asyncio.sleep(self.rng.uniform(1.0, 3.0))

    async def _kill(self) -> None:
        await self.it.kill(self.collector)
        await self._start_again()

    async def _restart(self) -> None:
        await self.collector.stop()
        await self._compare()
        await self._start_again()

    async def _start_again(self) -> None:
        await self.collector.start()
        await self.it.reading(1)


async def play(
    folder: Path, hours: float, seed: int, pauses: tuple[float, float] = (1.0, 5.0)
) -> tuple[Verdict, Counter[str], str]:
    """Play so many simulated hours, at most 24, but every fault at least once.

    Returns:
        The comparison, the faults by kind, and a report for people.
    """
    world = planted(seed=seed, channels=40, viewers=4000, days=1)
    origin = world.start + (0 if hours > 23 else 1800)
    began = time.monotonic()
    async with session(folder, rate=RATE, window=WINDOW_SECONDS, world=world, origin=origin) as it:
        await it.use_s3()
        chaos = Chaos(it, seed, pauses, patient=hours > 12)
        await chaos.run(min(origin + hours * 3600, world.end))
        played = (it.now() - origin) / 3600
        found = await it.collected(chaos.collector)
        verdict = await asyncio.to_thread(it.compare, found)
        joined = sum(length(stretches) for stretches in joined_stretches(it.simulator).values())
    possible = played * 3600 * len(world.channels)
    gaps, away = possible - verdict.watched_seconds, 1 - joined / possible
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(chaos.injected.items()))
    risked = sum(it.allowed.lost.messages.values())
    report = [
        f"seed {seed}: {played:.1f} simulated hours in {time.monotonic() - began:.0f} s",
        f"faults injected: {chaos.injected.total()} ({kinds})",
        f"messages delivered: {verdict.messages:,}",
        f"lost: {verdict.lost}; invented or doubled: {verdict.invented}",
        f"in the last {UNFLUSHED_SECONDS:g} s before a kill -9: {risked:,}, recovered {verdict.spared:,}",
        f"declared gaps: {gaps:,.0f} channel-seconds, {gaps / possible:.2%}; not joined: {away:.2%}",
        f"gaps declared to within {verdict.edge_seconds:.2f} s of real time",
        *(f"BROKEN: {error}" for error in verdict.errors),
    ]
    return verdict, chaos.injected, "\n".join(report)


def main(
    hours: Annotated[float, typer.Option(min=0.1, max=24, help="Simulated hours.")] = 24.0,
    seed: Annotated[int, typer.Option(help="The same seed injects the same faults in the same order.")] = 1,
) -> None:
    """Run the collector through a simulated day of faults, and compare with the truth."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        verdict, _, report = asyncio.run(play(Path(folder), hours, seed))
    print(report)
    sys.exit(1 if verdict.errors else 0)


if __name__ == "__main__":
    typer.run(main)
