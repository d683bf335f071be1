"""Ids for imported channels and viewers that have no Twitch id."""

from __future__ import annotations

import hashlib

# The collector_id of imported records begins with this.
IMPORT_ORIGIN = "import."
DERIVED_ID_BASE = 2**62


def derived_channel_id(login: str) -> int:
    """A stable id for a channel whose Twitch id is unknown, in [2**62, 2**63)."""
    digest = hashlib.blake2b(b"channel:" + login.encode(), digest_size=8).digest()
    return DERIVED_ID_BASE + int.from_bytes(digest, "big") % DERIVED_ID_BASE


def imported_viewer_key(secret: str, viewer: str) -> int:
    """The pseudonym of a viewer whom a list names by a text that is not a Twitch id."""
    digest = hashlib.blake2b(b"import:" + viewer.encode(), digest_size=8, key=secret.encode()).digest()
    return int.from_bytes(digest, "big")
