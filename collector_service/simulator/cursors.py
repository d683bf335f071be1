"""The opaque cursors of Helix and of the comments query."""

from __future__ import annotations

import base64
import binascii
import json


def encode_cursor(offset: int) -> str:
    """The cursor of the item with this number."""
    return base64.urlsafe_b64encode(json.dumps({"o": offset}).encode()).decode().rstrip("=")


def decode_cursor(cursor: object) -> int | None:
    """The number that a cursor stands for; None when it was never given out."""
    try:
        data = json.loads(base64.urlsafe_b64decode(str(cursor) + "=" * (-len(str(cursor)) % 4)))
        offset = data["o"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
    return offset if isinstance(offset, int) and offset >= 0 else None
