"""Parsing one chat file, in a process of its own: ``python -m tests.bench.vod_parse FILE ours|rival``.

The rival reads the whole file at once with the standard library, and then the same fields. Prints one line
of JSON; ``digest`` is of all comments, in order.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from collector_service.twitch.vod_chat import BOT_BADGE, VodComment
from collector_service.twitch.vod_json import open_chat_json

from .peak import peak_mb


def ours(path: Path) -> Iterator[VodComment]:
    """The comments as the collector reads them."""
    with open_chat_json(path) as chat:
        yield from chat.comments


def rival(path: Path) -> Iterator[VodComment]:
    """The comments as ``json.load`` has them, each once."""
    with path.open(encoding="utf-8") as file:
        data = json.load(file)
    channel_id = str(data["streamer"]["id"])
    seen = set()
    for one in data["comments"]:
        if one["_id"] in seen:
            continue
        seen.add(one["_id"])
        commenter = one["commenter"]
        if commenter is None:
            yield VodComment(one["_id"], float(one["content_offset_seconds"]), None, None, is_bot=False)
            continue
        yield VodComment(
            one["_id"],
            float(one["content_offset_seconds"]),
            commenter["_id"],
            commenter["name"],
            BOT_BADGE in [badge["_id"] for badge in one["message"]["user_badges"]],
            one["channel_id"] != channel_id,
        )


def main() -> None:
    """Parse the file twice: for the time, which the processor spent on it, and for the digest."""
    path, read = Path(sys.argv[1]), {"ours": ours, "rival": rival}[sys.argv[2]]
    began = time.process_time()
    comments = sum(1 for _ in read(path))
    seconds, peak = time.process_time() - began, peak_mb()
    digest = hashlib.sha256()
    for comment in read(path):
        digest.update(repr(tuple(comment)).encode())
    told = {
        "comments": comments,
        "seconds": seconds,
        "peak_mb": peak,
        "digest": digest.hexdigest(),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
