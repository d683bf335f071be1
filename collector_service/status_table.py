"""The status table: for every wanted channel, what the collector is doing about it and why it has no data.

Belongs here: the table's rows, its bytes in the lake, and its view for people. Does not belong here:
deciding about channels (``channels``, ``shards``).
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from collector_service.clock import utc
from collector_service.contract import STATUSES, format_utc

_SHOWN = 200


@dataclass(frozen=True, order=True)
class Row:
    """One wanted channel.

    ``status`` is one of `contract.STATUSES`, since the world time ``since``; ``channel_id`` is None while
    nobody knows it.
    """

    channel: str
    channel_id: int | None
    status: str
    since: float

    def to_json(self) -> dict[str, str | None]:
        """The row as JSON values, with what its status means."""
        return {
            "channel": self.channel,
            "channel_id": None if self.channel_id is None else str(self.channel_id),
            "status": self.status,
            "reason": STATUSES.get(self.status, ""),
            "since": format_utc(utc(self.since)),
        }


def encode(rows: Iterable[Row]) -> bytes:
    """Gzipped NDJSON, a line a row."""
    lines = [json.dumps(row.to_json(), separators=(",", ":")) for row in rows]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)


def describe(rows: Sequence[Mapping[str, str | None]]) -> str:
    """The table for people: how many channels have which status, and every one that is not joined.

    Args:
        rows: as `Row.to_json` makes them.
    """
    counts = Counter(str(row["status"]) for row in rows)
    lines = [f"{count:7,}  {status}: {STATUSES.get(status, '')}" for status, count in counts.most_common()]
    others = [row for row in rows if row["status"] != "joined"]
    if others:
        lines += ["", f"{'channel':<26}{'channel id':<14}{'status':<12}since"]
        lines += [
            f"{row['channel']:<26}{row['channel_id'] or '-':<14}{row['status']:<12}{row['since']}"
            for row in others[:_SHOWN]
        ]
    if len(others) > _SHOWN:
        lines.append(f"... and {len(others) - _SHOWN:,} more")
    return "\n".join(lines) or "no channel is wanted"
