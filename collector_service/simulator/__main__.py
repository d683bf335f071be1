"""The simulator's command line: ``python -m collector_service.simulator``."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from collector_service.clock import ScaledClock, utc
from collector_service.simulator.irc_rules import IrcOptions, Limit
from collector_service.simulator.oracle import write_atomically
from collector_service.simulator.planting import plant
from collector_service.simulator.server import Simulator, SimulatorOptions
from collector_service.simulator.world import World, WorldOptions

_PROGRESS_SECONDS = 10.0


def _limit(text: str) -> Limit:
    try:
        return Limit.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _midnight(text: str) -> float:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"start {text!r}: expected a day such as 2026-11-18") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def main(
    seed: Annotated[int, typer.Option(help="The same seed gives the same world.")] = 1,
    channels: Annotated[int, typer.Option(min=2)] = 300,
    viewers: Annotated[int, typer.Option(min=1)] = 20_000,
    days: Annotated[int, typer.Option(min=1, help="Length of the world's time.")] = 3,
    start: Annotated[str, typer.Option(help="First day, YYYY-MM-DD, UTC.")] = "2026-11-18",
    rate: Annotated[float, typer.Option(min=0.001, help="World seconds per real second.")] = 1.0,
    start_delay: Annotated[float, typer.Option(min=0, help="Real seconds until the world starts.")] = 3.0,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="The world's time is the real one; it began at midnight, UTC. No start or rate."
        ),
    ] = False,
    window_seconds: Annotated[int, typer.Option(min=1, max=3600, help="The oracle's windows.")] = 300,
    ready: Annotated[Path | None, typer.Option(help="Write the addresses here as JSON.")] = None,
    oracle: Annotated[Path | None, typer.Option(help="Write the truth into this directory.")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Also serve IRC over TLS.")] = False,
    oddities: Annotated[
        bool, typer.Option("--oddities", help="Add a suspended, a renamed, a nonexistent channel.")
    ] = False,
    mark: Annotated[
        str, typer.Option(help="In every viewer's names and every message, to look for; a-z, 0-9.")
    ] = "",
    join_limit: Annotated[str, typer.Option(help="JOINs/seconds, real time.")] = "20/10",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all.")] = "127.0.0.1",
    irc_port: Annotated[int, typer.Option(min=0, max=65535)] = 0,
    http_port: Annotated[int, typer.Option(min=0, max=65535)] = 0,
    client_id: Annotated[str, typer.Option(help="Id of the only application; empty: random.")] = "",
    client_secret: Annotated[str, typer.Option(help="Its secret; empty: random.")] = "",
) -> None:
    """Serve a planted world over Twitch's protocols until SIGTERM or Ctrl-C."""
    options = SimulatorOptions(
        window_seconds=window_seconds,
        tls=tls,
        host=host,
        irc_port=irc_port,
        http_port=http_port,
        client_id=client_id,
        client_secret=client_secret,
        oracle_dir=oracle,
        irc=IrcOptions(join_limit=_limit(join_limit)),
    )
    began = time.monotonic()
    first_day = f"{datetime.now(UTC):%Y-%m-%d}" if live else start
    world = plant(WorldOptions(seed, channels, viewers, days, _midnight(first_day), oddities, mark=mark))
    _say(
        f"planted {channels} channels, {viewers} viewers and {len(world.streams)} streams "
        f"in {time.monotonic() - began:.1f} s"
    )
    origin = world.start if live else time.time() + start_delay
    clock = ScaledClock(origin, world.start, 1.0 if live else rate)
    asyncio.run(_serve(world, clock, options, ready))


async def _serve(world: World, clock: ScaledClock, options: SimulatorOptions, ready: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Simulator.start(world, clock, options) as simulator:
        facts = json.dumps(simulator.ready(), indent=2)
        if ready is not None:
            ready.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(ready, facts.encode() + b"\n")
        else:
            _say(facts)
        while not stop.is_set():
            try:
                async with asyncio.timeout(_PROGRESS_SECONDS):
                    await stop.wait()
            except TimeoutError:
                _say(_progress(simulator))
        await simulator.write_oracle()
        _say(_progress(simulator))


def _progress(simulator: Simulator) -> str:
    world, now, totals = simulator.world, simulator.clock.now(), simulator.oracle.totals()
    joined = sum(1 for room in simulator.broadcaster.rooms if room.subscribers)
    share = min(1.0, (now - world.start) / (world.end - world.start))
    return (
        f"{utc(now):%Y-%m-%d %H:%M}Z {share:4.0%}  {len(simulator.broadcaster.on_air)} live, "
        f"{totals['messages']:,} messages ({totals['messages_delivered']:,} delivered), "
        f"{totals['connections_open']} connections, {joined}/{len(world.channels)} channels joined, "
        f"at most {totals['max_lag_seconds']:.2f} s late"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"simulator: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    typer.run(main)
