"""The benchmark of VOD chat: ``python -m tests.bench.vod [--quick] [--only PART]``.

Exit code 0 when every bar is met, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collector_service.contract import VOD_PREFIX, decode_lines, parse_record
from collector_service.lake import Lake
from collector_service.settings import StorageSettings

from .overlap import timed
from .report import Row, exit_code, progress, render
from .subject import BenchError
from .vod_world import long_chat, long_world, truth, write_chat_file

RIVAL = "json.load of the whole file"
_COMMENTS, _QUICK_COMMENTS = 500_000, 20_000
_MOST_MB = 400.0
_LEAST_PER_SECOND = 100_000.0
_REPOSITORY = Path(__file__).parents[2]
_ROUNDS = 3


def measure_reading(comments: int) -> list[Row]:
    """An eight-hour broadcast from the comments query to the lake, by the real round."""
    with tempfile.TemporaryDirectory(prefix="vieweratlas-bench-") as name:
        lake = Path(name) / "lake"
        progress(f"reading: planting a chat of {comments:,} comments ...")
        with serving(comments) as facts:
            progress("reading: the round ...")
            told = timed([sys.executable, "-m", "tests.bench.vod_run", str(lake), json.dumps(facts)])
        compare(Lake.open(StorageSettings(dir=lake)), comments)
    return [
        Row("reading", "comments of one VOD of eight hours", told["comments"] + told["null_commenters"]),
        Row("reading", "viewers", told["viewers"]),
        Row("reading", "peak memory", told["peak_mb"], "MB", most=_MOST_MB,
            note="the real round in a process of its own, one VOD; presence is that of the truth"),
        Row("reading", "memory at the start", told["start_mb"], "MB"),
        Row("reading", "seconds, with Twitch on the same machine", told["seconds"], "s"),
    ]  # fmt: skip


def measure_parsing(comments: int) -> list[Row]:
    """A chat file of TwitchDownloaderCLI: the collector's reader, and the standard library's."""
    with tempfile.TemporaryDirectory(prefix="vieweratlas-bench-") as name:
        path = Path(name) / "chat.json"
        progress(f"parsing: writing a chat file of {comments:,} comments ...")
        world = long_world(comments)
        write_chat_file(world, long_chat(world, comments), path)
        megabytes = path.stat().st_size / 1e6
        told = parse(path)
    ours, rival = (told[who]["comments"] / told[who]["seconds"] for who in ("ours", "rival"))
    return [
        Row("parsing", "comments in the file", told["ours"]["comments"]),
        Row("parsing", "size of the file", megabytes, "MB"),
        Row("parsing", "on one core", ours, "comments/s", least=_LEAST_PER_SECOND,
            note=f"the best of {_ROUNDS} turns, in seconds of the processor; both give the same comments"),
        Row("parsing", RIVAL, rival, "comments/s"),
        Row("parsing", "times as fast", ours / rival),
        Row("parsing", "peak memory", told["ours"]["peak_mb"], "MB"),
        Row("parsing", f"{RIVAL}, peak memory", told["rival"]["peak_mb"], "MB"),
    ]  # fmt: skip


@contextmanager
def serving(comments: int) -> Iterator[dict[str, Any]]:
    """A process that serves the long chat; yields its addresses.

    Raises:
        BenchError: it does not start.
    """
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.vod_server", str(comments)],
        cwd=_REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        if not line:
            raise BenchError("the server of the chat did not start; its error is above")
        yield json.loads(line)
    finally:
        server.stdin.close()
        server.stdout.close()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def compare(lake: Lake, comments: int) -> None:
    """Refuse a lake whose presence is not that of the chat.

    Raises:
        BenchError: it differs.
    """
    found: Counter[tuple[int, int]] = Counter()
    for info in lake.objects(f"{VOD_PREFIX}/"):
        for record in map(parse_record, decode_lines(lake.get(info.key))):
            start = int(record.window_start.timestamp())
            for key, messages in zip(record.viewer_keys, record.viewer_messages, strict=True):
                found[start, key] += messages
    world = long_world(comments)
    expected = truth(world, long_chat(world, comments))
    if found != expected:
        raise BenchError(
            f"the lake has {found.total():,} messages of {len(found):,} presences, the chat has "
            f"{expected.total():,} of {len(expected):,}"
        )


def parse(path: Path) -> dict[str, dict[str, Any]]:
    """What both readers say about one file, each in its best turn.

    Raises:
        BenchError: they read different comments.
    """
    told: dict[str, dict[str, Any]] = {}
    for turn in range(_ROUNDS):
        for who in ("ours", "rival"):
            progress(f"parsing: {who}, turn {turn + 1} of {_ROUNDS} ...")
            one = timed([sys.executable, "-m", "tests.bench.vod_parse", str(path), who])
            if who not in told or one["seconds"] < told[who]["seconds"]:
                told[who] = one
    if told["ours"]["digest"] != told["rival"]["digest"]:
        raise BenchError("the two readers do not give the same comments")
    return told


PARTS: dict[str, Callable[[int], list[Row]]] = {"reading": measure_reading, "parsing": measure_parsing}


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.vod", description="Measure VOD chat.")
    parser.add_argument("--quick", action="store_true", help="a short chat: a look only")
    parser.add_argument("--only", choices=PARTS, help="only this part")
    arguments = parser.parse_args()
    comments = _QUICK_COMMENTS if arguments.quick else _COMMENTS
    rows: list[Row] = []
    for name in [arguments.only] if arguments.only else PARTS:
        try:
            rows += PARTS[name](comments)
        except BenchError as error:
            rows.append(Row(name, "could not be measured", None, most=0, note=str(error)))
    print(render(rows))
    return exit_code(rows)


if __name__ == "__main__":
    sys.exit(main())
