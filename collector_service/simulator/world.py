"""The planted world: channels, viewers, bots, streams, and the visits of each stream.

``planting`` decides all of it from the seed, before the first message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from collector_service.simulator.vocabulary import Game, phrases

DAY = 86_400
# Logins have room for it.
MARK = re.compile(r"[a-z0-9]{0,10}")


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """The size and the seed of a world. ``start`` is in seconds since the epoch, a UTC midnight.

    ``hostile``: most messages look like lines of the protocol. ``mark``: every viewer's login and display
    name begin with it, and every message ends with it, so that it can be looked for where it must not be.

    Raises:
        ValueError: a number is out of its range.
    """

    seed: int = 1
    channels: int = 300
    viewers: int = 20_000
    days: int = 3
    start: float = datetime(2026, 11, 18, tzinfo=UTC).timestamp()
    oddities: bool = False
    hostile: bool = False
    mark: str = ""

    def __post_init__(self) -> None:
        if not MARK.fullmatch(self.mark):
            raise ValueError(f"mark {self.mark[:40]!r} is not made of at most 10 of a-z and 0-9")
        if self.channels < 2 or self.viewers < 1 or self.days < 1:
            raise ValueError("a world needs at least 2 channels, 1 viewer and 1 day")
        if self.start % DAY:
            raise ValueError(f"start {self.start} is not a UTC midnight")


@dataclass(frozen=True, slots=True)
class Account:
    """A viewer, a bot or a channel's owner. A ``deleted`` one no longer exists when VODs are read."""

    user_id: int
    login: str
    display_name: str
    bot: bool = False
    listed: bool = False
    deleted: bool = False


@dataclass(slots=True)
class Channel:
    """A channel; its login is ``renamed_to`` from the world second ``renamed_at`` on, if ever."""

    channel_id: int
    owner: int
    login: str
    display_name: str
    game: Game
    language: str
    utc_offset: int
    community: int
    region: int
    weight: float
    giant: bool = False
    renamed_to: str | None = None
    renamed_at: float = float("inf")

    def login_at(self, instant: float) -> str:
        """The channel's login at a world second."""
        return self.renamed_to if self.renamed_to and instant >= self.renamed_at else self.login


# (account, from, to, messages): the account writes this number of messages between two world seconds.
Visit = tuple[int, float, float, int]
# (world second, raiding channel, viewers)
Raid = tuple[float, int, int]


@dataclass(slots=True)
class Stream:
    """A stream from ``started_at`` to ``ended_at`` (whole world seconds) and its visits."""

    index: int
    channel: int
    day: int
    started_at: int
    ended_at: int
    stream_id: str
    video_id: str
    title: str
    visits: list[Visit] = field(default_factory=list)
    raids: list[Raid] = field(default_factory=list)
    session: SharedSession | None = None


@dataclass(frozen=True, slots=True)
class SharedSession:
    """Streams whose chats are shared between two world seconds."""

    streams: tuple[int, ...]
    started_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class Oddities:
    """Logins that behave oddly: suspended, never registered, renamed (old, new, world second)."""

    suspended: str
    nonexistent: str
    renamed: tuple[str, str, float]


@dataclass(slots=True)
class World:
    """Everything planted. ``accounts`` holds viewers, then bots, then channel owners."""

    options: WorldOptions
    accounts: list[Account]
    channels: list[Channel]
    streams: list[Stream]
    sessions: list[SharedSession]
    oddities: Oddities | None

    @property
    def start(self) -> float:
        """First world second."""
        return self.options.start

    @property
    def end(self) -> float:
        """World second after which nothing happens any more."""
        return self.options.start + self.options.days * DAY

    def texts(self, channel: Channel) -> tuple[str, ...]:
        """The messages of a channel's chat; an event picks one by number."""
        texts = phrases(channel.language, self.options.hostile)
        mark = self.options.mark
        return tuple(f"{text} {mark}" for text in texts) if mark else texts

    def login(self, stream: Stream) -> str:
        """The channel's login during a stream."""
        return self.channels[stream.channel].login_at(stream.started_at)
