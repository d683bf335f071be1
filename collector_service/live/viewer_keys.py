"""Viewer keys: from Twitch's user ids to the keys that may be stored, with the known bots among them.

The module is the bounded cache in front of ``contract.viewer_key``, and gives opted-out viewers `NO_KEY`.
A login never leaves it, and an id only by `ViewerKeys.user_ids`, for raw objects of an operator who decided
to keep ids there.
"""

from __future__ import annotations

from collections.abc import Iterable

from collector_service.contract import viewer_key
from collector_service.twitch.irc import Chat

# Stands for the key of an opted-out viewer. Keys are never negative.
NO_KEY = -1

_GENERATION = 250_000


class ViewerKeys:
    """Viewer keys, computed once per viewer while the viewer stays in sight.

    The cache keeps two generations of at most ``generation`` ids each: when the younger one is full the
    older one is dropped, so a key in use is never recomputed and memory is bounded.

    Args:
        secret: VIEWER_KEY_SECRET.
        bots: logins on the bot list.
        generation: ids in one generation.
    """

    def __init__(self, secret: str, bots: Iterable[str], generation: int = _GENERATION) -> None:
        self._secret = secret
        self._bot_logins = frozenset(login.encode() for login in bots)
        self._generation = generation
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}
        self._opted_out: frozenset[int] = frozenset()
        self.bots: set[int] = set()

    def obey(self, keys: frozenset[int]) -> None:
        """Give these viewers, and only these, `NO_KEY`."""
        if keys != self._opted_out:
            self._opted_out = keys
            self._young, self._old = {}, {}
            self.bots -= keys

    def key(self, chat: Chat) -> int:
        """The key of the viewer who sent ``chat``, or `NO_KEY`.

        If the login is listed, the key is added to `bots`.
        """
        key = self._young.get(chat.user_id)
        if key is None:
            key = self._young[chat.user_id] = self._find(chat)
            if len(self._young) >= self._generation:
                self._old, self._young = self._young, {}
        return key

    def user_ids(self) -> dict[int, bytes]:
        """Twitch's ids by key, of the viewers in sight."""
        return {key: user_id for seen in (self._old, self._young) for user_id, key in seen.items()}

    def _find(self, chat: Chat) -> int:
        key = self._old.get(chat.user_id)
        if key is None:
            key = viewer_key(self._secret, chat.user_id.decode("ascii"))
            if key in self._opted_out:
                return NO_KEY
            if chat.login in self._bot_logins:
                self.bots.add(key)
        return key
