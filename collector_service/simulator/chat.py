"""The chat of a stream: every message and notice with its millisecond."""

from __future__ import annotations

from enum import IntEnum
from random import Random
from typing import NamedTuple

from collector_service.simulator.world import Stream, World


class Kind(IntEnum):
    """The kind of a chat event."""

    MESSAGE = 0
    SUB = 1
    RESUB = 2
    SUBGIFT = 3
    MYSTERY_GIFT = 4
    RAID = 5
    ANNOUNCEMENT = 6
    MILESTONE = 7
    BAN = 8


ANONYMOUS = -1

# Kinds whose account was in the chat, unless it is anonymous.
PRESENT = frozenset(
    {Kind.SUB, Kind.RESUB, Kind.SUBGIFT, Kind.MYSTERY_GIFT, Kind.ANNOUNCEMENT, Kind.MILESTONE}
)


class Event(NamedTuple):
    """Milliseconds since the epoch, the kind, the account (or `ANONYMOUS`), and a number to vary it.

    ``detail`` chooses a text, or is the months of a resub, the recipient of a gift, the number of gifts,
    the viewers of a raid, or the seconds of a ban (0: without end).
    """

    ms: int
    kind: int
    account: int
    detail: int


def stream_events(world: World, stream: Stream) -> list[Event]:
    """The stream's own chat in the order of time; the same world gives the same list."""
    rng = Random(f"{world.options.seed}:chat:{stream.index}")
    random = rng.random
    message = int(Kind.MESSAGE)
    rows: list[tuple[int, int, int, int]] = []
    for account, begin, end, messages in stream.visits:
        first = begin * 1_000
        span = (end - begin) * 1_000
        rows += [
            (int(first + random() * span), message, account, int(random() * 1_000_000))
            for _ in range(messages)
        ]
    rows += _owner(world, stream, rng)
    rows += _notices(world, stream, rng)
    rows.sort()
    return list(map(Event._make, rows))


def _owner(world: World, stream: Stream, rng: Random) -> list[tuple[int, int, int, int]]:
    owner = world.channels[stream.channel].owner
    length = (stream.ended_at - stream.started_at) * 1_000

    def instant() -> int:
        return stream.started_at * 1_000 + int(rng.random() * length)

    rows = [
        (instant(), int(Kind.MESSAGE), owner, rng.randrange(1_000_000))
        for _ in range(1 + int(rng.expovariate(1 / 5)))
    ]
    if rng.random() < 0.5:
        rows.append((instant(), int(Kind.ANNOUNCEMENT), owner, rng.randrange(1_000_000)))
    return rows


def _notices(world: World, stream: Stream, rng: Random) -> list[tuple[int, int, int, int]]:
    rows = [
        (int(instant * 1_000), int(Kind.RAID), world.channels[raider].owner, viewers)
        for instant, raider, viewers in stream.raids
    ]
    viewers = world.options.viewers
    for account, begin, end, _ in stream.visits:
        draw = rng.random()
        if draw > 0.022 or account >= viewers:
            continue
        ms = int((begin + rng.random() * (end - begin)) * 1_000)
        if draw < 0.003:
            rows.append((ms, int(Kind.SUB), account, 1))
        elif draw < 0.010:
            rows.append((ms, int(Kind.RESUB), account, rng.randint(2, 60)))
        elif draw < 0.014:
            rows.append((ms, int(Kind.MILESTONE), account, rng.choice((3, 5, 7, 10, 15, 20))))
        elif draw < 0.018:
            giver = ANONYMOUS if rng.random() < 0.25 else account
            gifts = rng.choice((1, 1, 1, 5))
            if gifts > 1:
                rows.append((ms, int(Kind.MYSTERY_GIFT), giver, gifts))
            rows += [
                (ms + 1 + gift, int(Kind.SUBGIFT), giver, rng.randrange(viewers)) for gift in range(gifts)
            ]
        else:
            rows.append((int(end * 1_000) + 500, int(Kind.BAN), account, rng.choice((0, 10, 600))))
    return rows
