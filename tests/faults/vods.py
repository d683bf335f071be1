"""Rounds of VOD work as processes against a simulated Twitch, and the truth of its chats.

``vod_round`` is one such process; ``test_vod_faults`` has the scenarios.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import yaml

from collector_service.clock import ScaledClock
from collector_service.contract import VOD_PREFIX, viewer_key
from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from collector_service.simulator.oracle import comments
from collector_service.simulator.server import Simulator
from vieweratlas_dagster.vod import queue
from vieweratlas_dagster.vod.queue_store import QueueStore

from .harness import eventually
from .truth import SECRET, Collected

_CHILD = str(Path(__file__).with_name("vod_round.py"))
_REPOSITORY = str(Path(__file__).parents[2])
_WINDOW_SECONDS = 300


class Round:
    """A running round."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def finish(self) -> tuple[dict, dict] | None:
        """What it found and what it read; None when it was killed."""
        out, err = await self._process.communicate()
        if self._process.returncode == -signal.SIGKILL:
            return None
        assert self._process.returncode == 0, err.decode()
        done = json.loads(out.splitlines()[-1])
        return done["discovery"], done["report"]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def stopped(self) -> None:
        """Wait until it has been stopped, as it ordered."""
        stat = Path(f"/proc/{self._process.pid}/stat")
        await eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")


class VodSession:
    """A simulated Twitch whose world is over, and a lake that rounds fill."""

    def __init__(self, folder: Path, simulator: Simulator, storage: StorageSettings) -> None:
        self.simulator = simulator
        self.world = simulator.world
        self.lake = Lake.open(storage)
        self._storage = storage
        self._folder = folder
        self._rounds = 0
        self._running: list[Round] = []

    async def start(self, *, at_write: tuple[str, int, str] | None = None, **vod) -> Round:
        """Start a round.

        Args:
            at_write: the name of a signal that it sends itself, after how many writes, and below which
                prefix of the lake they count.
            **vod: settings of that section.
        """
        self._rounds += 1
        folder = self._folder / f"round-{self._rounds}"
        folder.mkdir(parents=True)
        simulator = self.simulator
        sections = {
            "storage": self._storage.model_dump(mode="json"),
            "twitch": {
                "helix_url": simulator.helix_url,
                "id_url": simulator.id_url,
                "gql_url": simulator.gql_url,
                "client_id": simulator.client_id,
                "client_secret": simulator.client_secret,
            },
            "collection": {"bots_file": None},
            "vod": {"enabled": True, "max_age_hours": 72, "max_attempts": 1000, **vod},
            "privacy": {"viewer_key_secret": SECRET},
            "simulation": {"clock": simulator.clock.spec()},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(sections))
        channels = {str(one.channel_id): one.login for one in self.world.channels}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, _CHILD, json.dumps(channels), *map(str, at_write or ())),
            cwd=folder,
            env={**_environment(), "PYTHONPATH": _REPOSITORY},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._running.append(Round(process))
        return self._running[-1]

    async def play(self, **options) -> tuple[dict, dict] | None:
        """Start a round and wait for its end."""
        return await (await self.start(**options)).finish()

    def on_page(self, number: int, act) -> None:
        """Call ``act`` once, before the ``number``-th page from now on is served."""
        hits, left = self.simulator.faults.hits_gql, number

        def counted(kind):
            nonlocal left
            # Asked first about each call.
            left -= kind == "hang"
            if kind == "hang" and left == 0:
                act()
            return hits(kind)

        self.simulator.faults.hits_gql = counted

    def retry_all(self) -> None:
        """What `vieweratlas vod retry` does, with every VOD that is not done."""
        QueueStore(self.lake).apply(
            lambda items: queue.retry(items, [key for key, one in items.items() if one.status != "done"])
        )

    def items(self) -> dict:
        """The queue."""
        return QueueStore(self.lake).load()

    @property
    def done(self) -> bool:
        """Whether every VOD of the world is in the queue and was read."""
        items = self.items().values()
        return len(items) == len(self.world.streams) and {one.status for one in items} == {"done"}

    async def all_done(self, *, rounds: int = 20, **vod) -> None:
        """Play rounds, with everything due at once, until every VOD was read."""
        for _ in range(rounds):
            await self.play(**vod)
            if self.done:
                return
            self.retry_all()
        raise AssertionError({key: (one.status, one.reason) for key, one in self.items().items()})

    def truth(self, first: dict[str, int] | None = None) -> Counter:
        """Messages by (channel id, viewer key, window start); VODs have none of accounts deleted since.

        Args:
            first: of these VODs only so many comments.
        """
        counts = Counter()
        for stream in self.world.streams:
            channel_id = self.world.channels[stream.channel].channel_id
            for comment in comments(self.world, stream)[: (first or {}).get(stream.video_id)]:
                account = self.world.accounts[comment.account]
                if not account.deleted:
                    key = viewer_key(SECRET, str(account.user_id))
                    start = comment.ms // 1_000 // _WINDOW_SECONDS * _WINDOW_SECONDS
                    counts[channel_id, key, start] += 1
        return counts

    def collected(self) -> Collected:
        """What the lake has."""
        return Collected(self.lake.get(info.key) for info in self.lake.objects(f"{VOD_PREFIX}/"))

    def check(self) -> None:
        """The property: everything that was said is in the lake once, and all of the VODs was watched."""
        found = self.collected()
        assert found.messages == self.truth()
        watched = Counter()
        for stream in self.world.streams:
            channel_id = self.world.channels[stream.channel].channel_id
            watched[channel_id] += stream.ended_at - stream.started_at
        assert {channel: round(seconds) for channel, seconds in found.observed.items()} == watched
        assert not any(record.partial for record in found.records)

    def end(self) -> None:
        """Kill what still runs."""
        for one in self._running:
            one.send(signal.SIGKILL)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in os.environ if name in ("PATH", "HOME") or name[:4] == "AWS_"}


@asynccontextmanager
async def vod_session(folder: Path, world, storage: StorageSettings | None = None):
    """A simulated Twitch an hour after the end of its world.

    Args:
        folder: for the rounds.
        world: what happened.
        storage: the lake; None: in the folder.
    """
    clock = ScaledClock(0.0, world.end + 3600, 1e-9)
    async with Simulator.start(world, clock) as simulator:
        session = VodSession(folder, simulator, storage or StorageSettings(dir=folder / "lake"))
        try:
            yield session
        finally:
            session.end()
