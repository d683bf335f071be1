"""Invented secrets, planted in the environment of a program, and the search for them in its traces."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLANTED = {
    "TWITCH_OAUTH_TOKEN": "oauth:marker1oauth1token",
    "TWITCH_CLIENT_SECRET": "marker2client2secret",
    "VIEWER_KEY_SECRET": "marker3viewer3key3secret",
    "AWS_ACCESS_KEY_ID": "AKIAMARKER7ACCESS7KEY",
    "AWS_SECRET_ACCESS_KEY": "marker4aws4secret",
    "AWS_SESSION_TOKEN": "marker5aws5session",
    "DAGSTER_PG_PASSWORD": "marker6database6password",
}
# A program on a folder, with a key of its own and without Twitch's credentials, takes no notice of these.
UNUSED = {name: value for name, value in PLANTED.items() if name.startswith(("AWS_", "DAGSTER_"))}


def shown(text: str | bytes) -> list[str]:
    """The names of the planted secrets that are in a text."""
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    return [name for name, value in PLANTED.items() if value.removeprefix("oauth:") in text]


def command_lines() -> set[bytes]:
    """The command lines of all processes, as everybody on this machine can read them."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(path.read_bytes())
        except OSError:  # it has ended
            continue
    return found


@contextmanager
def watched_command_lines(seconds: float = 1.0) -> Iterator[set[bytes]]:
    """All command lines that there are at any look until the block ends; one look each so many seconds."""
    found: set[bytes] = set()
    done = threading.Event()

    def watch() -> None:
        while True:
            found.update(command_lines())
            if done.wait(seconds):
                return

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield found
    finally:
        done.set()
        watching.join()
