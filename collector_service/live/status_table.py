"""The status table: the status of every wanted channel, its bytes in the lake, and its view for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from collector_service.clock import utc
from collector_service.contract import ChannelStatus, format_utc

_SHOWN = 200


@dataclass(frozen=True)
class Row:
    """One wanted channel.

    ``status`` holds since the world time ``since``; ``channel_id`` is None while
    it is unknown; ``renamed_to`` is what a renamed channel is called now.
    """

    channel: str
    channel_id: int | None
    status: ChannelStatus
    since: float
    renamed_to: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """The row as JSON values, with what its status means."""
        return {
            "channel": self.channel,
            "channel_id": None if self.channel_id is None else str(self.channel_id),
            "status": self.status,
            "reason": self.status.meaning,
            "since": format_utc(utc(self.since)),
            "renamed_to": self.renamed_to,
        }


def encode(rows: Iterable[Row]) -> bytes:
    """A JSON array, a line a row."""
    return ("[\n" + ",\n".join(json.dumps(row.to_json()) for row in rows) + "\n]\n").encode()


def describe(rows: Sequence[Mapping[str, str | None]]) -> str:
    """The table for people: how many channels have which status, and every one that is not joined.

    Args:
        rows: as `Row.to_json` makes them.
    """
    counts = Counter(str(row["status"]) for row in rows)
    meanings = {row["status"]: row["reason"] for row in rows}
    lines = [f"{count:7,}  {status}: {meanings[status]}" for status, count in counts.most_common()]
    others = [row for row in rows if row["status"] != ChannelStatus.JOINED]
    if others:
        lines += ["", f"{'channel':<26}{'channel id':<14}{'status':<12}since"]
        lines += [
            f"{row['channel']:<26}{row['channel_id'] or '-':<14}{row['status']:<12}{row['since']}"
            + (f"  now {row['renamed_to']}" if row["renamed_to"] else "")
            for row in others[:_SHOWN]
        ]
    if len(others) > _SHOWN:
        lines.append(f"... and {len(others) - _SHOWN:,} more")
    return "\n".join(lines) or "no channel is wanted"
