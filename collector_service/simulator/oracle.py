"""The truth: the world's events, and the part of them that the server really delivered.

Presence in a channel and window is proven by a PRIVMSG of the room itself (``messages``) or by a notice
of a kind in `chat.PRESENT` that is not anonymous (``notices``). Mirrored copies prove nothing. An event is
delivered when it was written to at least one joined connection.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from collector_service.simulator.broadcast import Broadcast, Broadcaster
from collector_service.simulator.chat import ANONYMOUS, PRESENT, Kind, stream_events
from collector_service.simulator.lines import MessageIds
from collector_service.simulator.world import Stream, World

PRESENCE_HEADER = (
    "channel_id", "user_id", "window_start", "messages", "delivered", "notices", "notices_delivered",
)  # fmt: skip


class Presence(NamedTuple):
    """One viewer in one channel in one window: all events, and the delivered ones."""

    messages: int
    delivered: int
    notices: int
    notices_delivered: int


class Comment(NamedTuple):
    """One message of a stream's own chat; ``account`` numbers `World.accounts`."""

    id: str
    ms: int
    account: int
    detail: int


def comments(world: World, stream: Stream) -> list[Comment]:
    """The stream's chat as its VOD shows it: every message of the room, no notices, no copies."""
    ids = MessageIds(world, stream)
    return [
        Comment(ids[number], event.ms, event.account, event.detail)
        for number, event in enumerate(stream_events(world, stream))
        if event.kind == Kind.MESSAGE
    ]


class Oracle:
    """Keeps the truth while the world is played, and writes it.

    Args:
        world: the planted world.
        window_seconds: length of the windows in which presence is counted.
    """

    def __init__(self, world: World, window_seconds: int) -> None:
        self.world = world
        self.window_seconds = window_seconds
        # Finished streams are kept as CSV text: a tenth of the memory of rows.
        self._finished: dict[int, str] = {}
        self._broadcaster: Broadcaster | None = None
        self._service: Callable[[], dict[str, int]] = dict

    def watch(self, broadcaster: Broadcaster, service: Callable[[], dict[str, int]]) -> None:
        """Follow this sender; ``service`` gives further totals (connections and so on)."""
        self._broadcaster = broadcaster
        self._service = service

    def finish(self, broadcast: Broadcast) -> None:
        """Take over a stream whose last event has been played."""
        self._finished[broadcast.stream.index] = self._rows(broadcast)

    def presence(self) -> dict[tuple[int, int, int], Presence]:
        """(channel_id, user_id, window_start in epoch seconds) -> the counts so far."""
        found = {}
        for row in csv.reader(io.StringIO("".join(self._presence_texts()))):
            channel_id, user_id, window, *counts = map(int, row)
            found[channel_id, user_id, window] = Presence(*counts)
        return found

    def joined(self) -> list[tuple[int, float, float]]:
        """(channel_id, from, to): stretches in world seconds with at least one joined connection."""
        if self._broadcaster is None:
            return []
        now = self._broadcaster.clock.now()
        return [
            (room.channel.channel_id, begin, end)
            for room in self._broadcaster.rooms
            for begin, end in [
                *room.joined,
                *([(room.joined_since, now)] if room.joined_since is not None else []),
            ]
        ]

    def chat(self, video_id: str) -> list[Comment]:
        """The whole chat of a VOD.

        Raises:
            KeyError: the VOD does not exist.
        """
        for stream in self.world.streams:
            if stream.video_id == video_id:
                return comments(self.world, stream)
        raise KeyError(video_id)

    def totals(self) -> dict[str, int | float]:
        """Counts since the start; ``complete`` is 1 when the whole world has been played."""
        if self._broadcaster is None:
            return {}
        counts = self._broadcaster.counts
        return {
            "messages": counts.messages,
            "messages_delivered": counts.messages_delivered,
            "notices": counts.notices,
            "mirrored": counts.mirrored,
            "mirrored_delivered": counts.mirrored_delivered,
            "lines_sent": counts.lines_sent,
            "max_lag_seconds": round(counts.max_lag_seconds, 4),
            "streams_finished": len(self._finished),
            "complete": int(len(self._finished) == len(self.world.streams)),
            **self._service(),
        }

    def files(self) -> dict[str, bytes]:
        """Name -> content of every file as of now; quick, so it can be taken between two ticks."""
        world = self.world
        header = ",".join(PRESENCE_HEADER) + "\n"
        return {
            "channels.csv": _csv(
                ("channel_id", "login", "game_name", "language", "community", "region", "giant"),
                (
                    (
                        channel.channel_id,
                        channel.login_at(world.end),
                        channel.game.name,
                        channel.language,
                        channel.community,
                        channel.region,
                        int(channel.giant),
                    )
                    for channel in world.channels
                ),
            ),
            "bots.csv": _csv(
                ("user_id", "login", "listed"),
                ((bot.user_id, bot.login, int(bot.listed)) for bot in world.accounts if bot.bot),
            ),
            "streams.csv": _csv(
                ("channel_id", "started_at", "ended_at", "video_id"),
                (
                    (
                        world.channels[stream.channel].channel_id,
                        stream.started_at,
                        stream.ended_at,
                        stream.video_id,
                    )
                    for stream in world.streams
                ),
            ),
            "joined.csv": _csv(
                ("channel_id", "from", "to"),
                ((channel, f"{begin:.3f}", f"{end:.3f}") for channel, begin, end in self.joined()),
            ),
            "presence.csv.gz": (header + "".join(self._presence_texts())).encode(),
            "totals.json": json.dumps(self.totals(), indent=2).encode() + b"\n",
        }

    def _presence_texts(self) -> list[str]:
        current = {} if self._broadcaster is None else self._broadcaster.on_air
        texts = self._finished | {index: self._rows(broadcast) for index, broadcast in current.items()}
        return [texts[index] for index in sorted(texts)]

    def _rows(self, broadcast: Broadcast) -> str:
        """The presence rows of a stream as far as it has been played, ordered by window and user."""
        played = broadcast.cursor
        heard = _flags(broadcast.delivered, played)
        heard_notices = _flags(broadcast.notices_delivered, played)
        window = self.window_seconds * 1_000
        counts: dict[tuple[int, int], list[int]] = {}
        for number in range(played):
            ms, kind, account, _ = broadcast.events[number]
            if kind == Kind.MESSAGE:
                column, delivered = 0, heard[number]
            elif kind in PRESENT and account != ANONYMOUS:
                column, delivered = 2, heard_notices[number]
            else:
                continue
            row = counts.setdefault((ms // window, account), [0, 0, 0, 0])
            row[column] += 1
            row[column + 1] += delivered
        accounts = self.world.accounts
        channel_id = self.world.channels[broadcast.stream.channel].channel_id
        rows = sorted(
            (number * self.window_seconds, accounts[account].user_id, row)
            for (number, account), row in counts.items()
        )
        return "".join(
            [f"{channel_id},{user},{start},{a},{b},{c},{d}\n" for start, user, (a, b, c, d) in rows]
        )


def write_files(directory: Path, files: dict[str, bytes]) -> None:
    """Write each file whole or not at all; ``totals.json`` comes last and so marks a complete set.

    Names that end in .gz are compressed.

    Raises:
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in sorted(files.items(), key=lambda item: item[0] == "totals.json"):
        data = gzip.compress(content, compresslevel=3, mtime=0) if name.endswith(".gz") else content
        write_atomically(directory / name, data)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _flags(ranges: Iterable[tuple[int, int]], length: int) -> bytearray:
    flags = bytearray(length)
    for first, stop in ranges:
        flags[first:stop] = b"\x01" * (stop - first)
    return flags


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()
