"""Faults of Twitch's HTTP endpoints: the answers of Helix and GraphQL that go wrong, in their order."""

from __future__ import annotations

from collections import deque
from typing import Literal

HelixFault = Literal["unauthorized", "rate_limited", "server_error", "invalid_cursor", "empty", "hang"]
GqlFault = Literal["integrity", "persisted_query", "rate_limited", "server_error", "null_comments", "hang"]


# A hanging answer takes longer than clients wait.
HANG_SECONDS = 60.0


class HttpFaults:
    """Turns faults of HTTP on."""

    def __init__(self) -> None:
        self._helix: deque[HelixFault] = deque()
        self._gql: dict[GqlFault, float] = {}
        self._pages_left: dict[str, int] = {}

    def helix(self, kind: HelixFault, calls: int = 1) -> None:
        """Answer the next calls of Helix with a fault, after those already ordered."""
        self._helix.extend([kind] * calls)

    def next_helix(self) -> HelixFault | None:
        """The fault for this call of Helix."""
        return self._helix.popleft() if self._helix else None

    def gql(self, kind: GqlFault, calls: int | None = None) -> None:
        """Answer calls of GraphQL with a fault: the next ``calls`` it applies to, or all (None)."""
        self._gql[kind] = float("inf") if calls is None else calls

    def hits_gql(self, kind: GqlFault) -> bool:
        """Whether this GraphQL call meets the fault."""
        left = self._gql.get(kind, 0)
        self._gql[kind] = max(0, left - 1)
        return left > 0

    def delete_vod(self, video_id: str, pages: int = 0) -> None:
        """Delete a VOD after some more pages of its comments."""
        self._pages_left[video_id] = pages

    def is_deleted(self, video_id: str) -> bool:
        """Whether the VOD no longer exists."""
        return self._pages_left.get(video_id) == 0

    def served_page(self, video_id: str) -> None:
        """A page of the VOD's comments was served."""
        if video_id in self._pages_left:
            self._pages_left[video_id] -= 1

    def clear_http(self) -> None:
        """No more faults of HTTP; deleted VODs exist again."""
        self._helix.clear()
        self._gql.clear()
        self._pages_left.clear()
