"""The sources of every computed column, table by table, and their origins in other assets.

Columns that come straight from raw objects have none.
"""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from vieweratlas_dagster.tables import Table

# The asset whose main result is the table. The other tables are written beside one of these and are passed
# through: a column made from them is shown as made from their sources.
ASSET_OF = {
    "presence_snapshots": "presence_snapshots",
    "channels": "channels",
    "day_audiences": "day_audiences",
    "edges": "overlap_graph",
    "partition": "community_partitions",
    "communities": "community_labels",
    "nodes": "atlas",
}

# The viewers that count; this includes the bounds on a viewer's channels and windows.
_MEMBERSHIP = " ".join(
    f"day_audiences.{name}" for name in ("channel_id", "viewer_key", "known_bot", "windows")
)
_LOYALTY = f"{_MEMBERSHIP} day_audiences.messages"
_TIES = "edges.source edges.target edges.weight"
_LEVELS = "partition.community partition.region"
_NAMED_BY = f"{_LEVELS} audiences.channel audiences.viewers audiences.game_name audiences.language"

SOURCES = {
    "day_audiences": {
        "channel_id": "presence_snapshots.channel_id",
        "viewer_key": "presence_snapshots.viewer_key",
        "messages": "presence_snapshots.messages",
        "windows": "presence_snapshots.window_start presence_snapshots.window_seconds",
        "known_bot": "presence_snapshots.known_bot",
    },
    "audiences": {
        "channel_id": "channels.channel_id",
        "channel": "channels.channel",
        "viewers": _MEMBERSHIP,
        "messages": f"{_MEMBERSHIP} day_audiences.messages",
        "game_name": "channels.game_name",
        "language": "channels.language",
    },
    "edges": {
        "source": "audiences.channel",
        "target": "audiences.channel",
        "shared_viewers": _MEMBERSHIP,
        "weight": _LOYALTY,
        "jaccard": _MEMBERSHIP,
        "overlap": _MEMBERSHIP,
        "cosine": _MEMBERSHIP,
        "significance": _MEMBERSHIP,
    },
    "partition": {
        "channel": "audiences.channel",
        "community": _TIES,
        "region": _TIES,
    },
    "communities": {
        "id": _LEVELS,
        "level": _LEVELS,
        "label": _NAMED_BY,
        "reason": _NAMED_BY,
        "confidence": _NAMED_BY,
        "generic": _NAMED_BY,
        "size": _LEVELS,
        "viewers": f"{_LEVELS} audiences.viewers",
        "parent": _LEVELS,
        "color": _LEVELS,
        "newest_id": _LEVELS,
    },
    "nodes": {
        "channel": "audiences.channel",
        "channel_id": "audiences.channel_id",
        "viewers": "audiences.viewers",
        "game_name": "audiences.game_name",
        "language": "audiences.language",
        "community": "partition.community",
        "region": "partition.region",
        "label": "communities.label",
        "region_label": "communities.label",
        "x": f"{_LEVELS} edges.jaccard",
        "y": f"{_LEVELS} edges.jaccard",
        "degree": "edges.source edges.target",
        "color": "communities.color",
    },
}


def column_lineage(table: Table) -> dg.TableColumnLineage | None:
    """For each column of the table, the columns of other assets; None where all come from raw objects."""
    sources = SOURCES.get(table.name)
    if sources is None:
        return None
    return dg.TableColumnLineage(
        {
            column.name: [
                dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=name)
                for asset, name in dict.fromkeys(_origins(sources[column.name]))
            ]
            for column in table.columns
        }
    )


def _origins(sources: str) -> Iterator[tuple[str, str]]:
    """The (asset, column) pairs behind a list of ``table.column``."""
    for source in sources.split():
        table, _, name = source.partition(".")
        if table in ASSET_OF:
            yield ASSET_OF[table], name
        else:
            yield from _origins(SOURCES[table][name])
