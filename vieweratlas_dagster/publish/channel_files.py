"""Every channel as a small JSON file for other sites, all in one archive.

One archive and not one object per channel: a day of 5,000 channels would be 5,000 PUTs, and readers could
meet a day that is half written. A site that serves the files unpacks the archive.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable
from typing import Any

import polars as pl

NEIGHBOURS_LISTED = 25
_PLAIN = re.compile("[a-z0-9_]{1,25}")
# Names that Windows keeps for devices, with any ending.
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{at}" for port in ("com", "lpt") for at in range(10)}


def file_name(channel: str) -> str:
    """The channel's file in the archive; no name can lead elsewhere, and no two share a file.

    A login (a-z, 0-9, _; at most 25) is ``channels/LOGIN.json``. Any other name is
    ``channels/~DIGEST.json`` by the first 16 hexadecimal digits of its SHA-256.
    """
    if _PLAIN.fullmatch(channel) and channel not in _DEVICES:
        return f"channels/{channel}.json"
    return f"channels/~{hashlib.sha256(channel.encode()).hexdigest()[:16]}.json"


def channels_zip(nodes: pl.DataFrame, edges: pl.DataFrame, *, date: str | None) -> bytes:
    """The archive: index.json with every channel's file, and the files; the same tables, the same bytes.

    Args:
        nodes: rows of NODES.
        edges: rows of EDGES that may be published.
        date: the last day of the data, None for data without a date.
    """
    nodes = nodes.sort("channel")
    neighbours = _neighbours(nodes, edges)
    index = {}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for node in nodes.iter_rows(named=True):
            name = index[node["channel"]] = file_name(node["channel"])
            known = neighbours.get(node["channel"], [])
            _add(archive, name, _channel(node, known, date))
        _add(archive, "index.json", {"date": date, "channels": index})
    return buffer.getvalue()


def _channel(
    node: dict[str, Any], neighbours: Iterable[dict[str, Any]], date: str | None
) -> dict[str, Any]:
    def group(level: str, label: str) -> dict[str, Any] | None:
        return None if node[level] is None else {"id": node[level], "label": node[label]}

    return {
        "channel": node["channel"],
        "date": date,
        "viewers": node["viewers"],
        "game": node["game_name"],
        "language": node["language"],
        "community": group("community", "label"),
        "region": group("region", "region_label"),
        "color": node["color"],
        "x": round(node["x"], 4),
        "y": round(node["y"], 4),
        "neighbours": list(neighbours),
    }


def _neighbours(nodes: pl.DataFrame, edges: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The strongest neighbours of each channel, strongest first."""
    both = pl.concat(
        [
            edges.select("shared_viewers", "weight", one="source", channel="target"),
            edges.select("shared_viewers", "weight", one="target", channel="source"),
        ]
    )
    audience = nodes.select("channel", "viewers")
    share = pl.col("shared_viewers") / pl.col("viewers")
    strongest = (
        both.sort(
            pl.coalesce("shared_viewers", "weight"),
            "channel",
            descending=[True, False],
            maintain_order=True,
        )
        .group_by("one", maintain_order=True)
        .head(NEIGHBOURS_LISTED)
        .join(audience, on="channel", how="left", maintain_order="left")
        .join(audience, left_on="one", right_on="channel", how="left", maintain_order="left", suffix="_one")
        .select(
            "one",
            "channel",
            "shared_viewers",
            weight=pl.when(pl.col("shared_viewers").is_null()).then("weight"),
            share_of_own=(pl.col("shared_viewers") / pl.col("viewers_one")).round(4),
            share_of_theirs=share.round(4),
        )
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in strongest.iter_rows(named=True):
        found.setdefault(row.pop("one"), []).append(row)
    return found


def _add(archive: zipfile.ZipFile, name: str, content: dict[str, Any]) -> None:
    # The time of writing would make every archive different.
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    archive.writestr(entry, text.encode())
