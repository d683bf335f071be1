"""A chat file as TwitchDownloaderCLI writes it."""

import json


def chat_json(vod_id, comments):
    """The bytes of a file with comments (offset in seconds, user id or None for a deleted account)."""
    return json.dumps(
        {
            "streamer": {"name": "Alpha", "login": "alpha", "id": 9},
            "video": {
                "title": "T", "id": vod_id, "created_at": "2026-01-02T23:58:00Z",
                "start": 0, "end": 600, "length": 600,
            },
            "comments": [
                {
                    "_id": f"c{n}",
                    "content_offset_seconds": at,
                    "commenter": user and {"_id": user, "name": f"marker_login_{user}"},
                    "message": {"body": "MARKER TEXT", "user_badges": []},
                }
                for n, (at, user) in enumerate(comments)
            ],
        }
    ).encode()  # fmt: skip
