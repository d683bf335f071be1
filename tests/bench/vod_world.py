"""One eight-hour broadcast with a long chat from a seed: the world, its comments, and its chat file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from collector_service.clock import utc
from collector_service.contract import viewer_key
from collector_service.simulator.lines import badges_of, color_of
from collector_service.simulator.oracle import Comment
from collector_service.simulator.planting import plant
from collector_service.simulator.world import Stream, World, WorldOptions

SECRET = "the-viewer-key-secret-of-the-bench"
WINDOW_SECONDS = 300
_HOURS = 8
_SEED = 1
# Comments for each viewer.
_COMMENTS_EACH = 12
# One of so many accounts no longer exists.
_DELETED = 200
_CREATED = "2019-03-04T05:06:07.000001Z"
_LOGO = "https://static-cdn.jtvnw.net/user-default-pictures-uv/{}-profile_image-300x300.png"


def long_world(comments: int) -> World:
    """A world whose one stream lasts eight hours; it has a twelfth as many viewers as comments."""
    world = plant(WorldOptions(seed=_SEED, channels=3, viewers=max(20, comments // _COMMENTS_EACH), days=1))
    stream = replace(world.streams[0], index=0, ended_at=world.streams[0].started_at + _HOURS * 3600)
    world.streams[:] = [stream]
    world.accounts[:] = [
        replace(one, deleted=number % _DELETED == 0) for number, one in enumerate(world.accounts)
    ]
    return world


def long_chat(world: World, comments: int) -> list[Comment]:
    """The stream's comments in the order of time; few viewers write most of them."""
    rng = np.random.default_rng(_SEED)
    stream = world.streams[0]
    moments = np.sort(rng.integers(0, _HOURS * 3_600_000, size=comments)) + stream.started_at * 1_000
    people = (len(world.accounts) * rng.random(comments) ** 2).astype(int)
    details = rng.integers(1_000_000, size=comments)
    spoken = zip(moments.tolist(), people.tolist(), details.tolist(), strict=True)
    return [Comment(f"{n:08x}-c0de-4000-a000-{n:012x}", *said) for n, said in enumerate(spoken)]


def truth(world: World, chat: list[Comment]) -> Counter[tuple[int, int]]:
    """Messages by window start and viewer key; accounts deleted since are in no VOD."""
    keys = {
        number: viewer_key(SECRET, str(one.user_id))
        for number, one in enumerate(world.accounts)
        if not one.deleted
    }
    return Counter(
        (said.ms // 1_000 // WINDOW_SECONDS * WINDOW_SECONDS, keys[said.account])
        for said in chat
        if said.account in keys
    )


def write_chat_file(world: World, chat: list[Comment], path: Path) -> None:
    """The chat as TwitchDownloaderCLI writes it: one line, every third comment with an emote."""
    stream = world.streams[0]
    channel = world.channels[stream.channel]
    length = stream.ended_at - stream.started_at
    head = {
        "FileInfo": {"Version": {"Major": 1, "Minor": 4, "Patch": 0}, "CreatedAt": _CREATED},
        "streamer": {"name": channel.display_name, "login": channel.login, "id": channel.channel_id},
        "video": {
            "title": stream.title, "description": None, "id": stream.video_id,
            "created_at": f"{utc(stream.started_at):%Y-%m-%dT%H:%M:%SZ}", "start": 0, "end": length,
            "length": length, "viewCount": 7, "game": channel.game.name, "chapters": [],
        },
    }  # fmt: skip
    with path.open("w", encoding="utf-8") as file:
        file.write(_json(head)[:-1] + ',"comments":[')
        for number, said in enumerate(chat):
            file.write("," * (number > 0) + _json(_entry(world, stream, said, number)))
        file.write('],"embeddedData":null}')


def _entry(world: World, stream: Stream, said: Comment, number: int) -> dict[str, object]:
    channel, person = world.channels[stream.channel], world.accounts[said.account]
    texts = world.texts(channel)
    text = texts[said.detail % len(texts)]
    fragments: list[dict[str, object]] = [{"text": text, "emoticon": None}]
    emoticons = []
    if number % 3 == 0:
        fragments.insert(0, {"text": "Kappa", "emoticon": {"emoticon_id": "25"}})
        emoticons = [{"_id": "25", "begin": 0, "end": 4}]
        text = f"Kappa {text}"
    badges = badges_of(world, said.account, channel).badges.split(",")
    return {
        "_id": said.id,
        "created_at": f"{utc(said.ms / 1_000):%Y-%m-%dT%H:%M:%S.%fZ}",
        "channel_id": str(channel.channel_id),
        "content_type": "video",
        "content_id": stream.video_id,
        "content_offset_seconds": said.ms // 1_000 - stream.started_at,
        "commenter": None if person.deleted else {
            "display_name": person.display_name, "_id": str(person.user_id), "name": person.login,
            "bio": "Just somebody who likes to watch." if number % 2 else None, "created_at": _CREATED,
            "updated_at": _CREATED, "logo": _LOGO.format(said.id),
        },
        "message": {
            "body": text,
            "bits_spent": 0,
            "fragments": fragments,
            "user_badges": [
                {"_id": badge.partition("/")[0], "version": badge.partition("/")[2]}
                for badge in badges if badge
            ],
            "user_color": color_of(said.account) or None,
            "emoticons": emoticons,
        },
    }  # fmt: skip


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
