"""A day's map as it may be shown: its stored tables without the channels that have opted out since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts, read_opt_outs
from vieweratlas_dagster.lake.keys import analysis_key
from vieweratlas_dagster.lake.manifests import previous_analysis_day
from vieweratlas_dagster.lake.parquet import parquet_bytes, read_parquet
from vieweratlas_dagster.lake.redaction import summed_over, without
from vieweratlas_dagster.lake.tables_io import read_table, read_table_if_there
from vieweratlas_dagster.tables import (
    AUDIENCES,
    COMMUNITIES,
    LEFT_OUT,
    NODES,
    PARTITION,
    Table,
)

if TYPE_CHECKING:
    from vieweratlas_dagster.analysis.stability import Previous


class ShownMap:
    """The tables of one day's map, without those who opted out.

    Opt-outs may list a channel by its id alone, and most tables name channels by their logins: the map's
    own tables have these logins.

    Args:
        lake: where the map is.
        day: YYYY-MM-DD.
        opt_outs: None for those that the lake lists now.

    Raises:
        BadOptOutsError: the lake's list is unusable.
    """

    def __init__(self, lake: Lake, day: str, opt_outs: OptOuts | None = None) -> None:
        self.lake = lake
        self.day = day
        self.opt_outs = read_opt_outs(lake) if opt_outs is None else opt_outs
        self._opted_out = self.opt_outs | OptOuts(channels=self._logins_of(self.opt_outs.channel_ids))

    def read(self, name: str, table: Table) -> pl.DataFrame:
        """One table of the map, by its file name; errors as of `read_table`."""
        return without(read_table(self.lake, analysis_key(self.day, name), table), self._opted_out)

    def communities(self, nodes: pl.DataFrame) -> pl.DataFrame:
        """The COMMUNITIES of these NODES; errors as of `read_table`."""
        return summed_over(self.read("communities.parquet", COMMUNITIES), nodes)

    def write_tables(self) -> bool:
        """Write the tables again without those who have opted out; whether that changed any."""
        changed = False
        for info in self.lake.objects(analysis_key(self.day, "")):
            if info.key.endswith(".parquet"):
                stored = read_parquet(self.lake.get(info.key))
                left = without(stored, self._opted_out)
                if not left.equals(stored):
                    self.lake.put(info.key, parquet_bytes(left))
                    changed = True
        return sum_again(self.lake, self.day) or changed

    def _logins_of(self, channel_ids: frozenset[int]) -> frozenset[str]:
        if not channel_ids:
            return frozenset()
        found: set[str] = set()
        for name, table in (("audiences.parquet", AUDIENCES), ("left_out.parquet", LEFT_OUT)):
            frame = read_table_if_there(self.lake, analysis_key(self.day, name), table)
            if frame is not None:
                found |= logins_of(frame, channel_ids)
        return frozenset(found)


def sum_again(lake: Lake, day: str) -> bool:
    """Write the day's communities again if they count removed channels; whether they did."""
    key = analysis_key(day, "communities.parquet")
    communities = read_table_if_there(lake, key, COMMUNITIES)
    nodes = read_table_if_there(lake, analysis_key(day, "nodes.parquet"), NODES)
    if communities is None or nodes is None:
        return False
    left = summed_over(communities, nodes)
    if left.equals(communities):
        return False
    lake.put(key, parquet_bytes(left))
    return True


def logins_of(channels: pl.DataFrame, channel_ids: frozenset[int]) -> frozenset[str]:
    """The logins that a table (of columns channel and channel_id) has for these ids."""
    ids = pl.Series(sorted(channel_ids), dtype=pl.Int64)
    return frozenset(channels.filter(pl.col("channel_id").is_in(ids.implode()))["channel"])


def previous_map(lake: Lake, day: str) -> Previous | None:
    """The newest complete map before ``day``, which ids, colours and places are carried over from."""
    from vieweratlas_dagster.analysis.stability import Previous

    earlier = previous_analysis_day(lake, day)
    if earlier is None:
        return None
    shown = ShownMap(lake, earlier)
    return Previous(
        partition=shown.read("partition.parquet", PARTITION),
        communities=shown.read("communities.parquet", COMMUNITIES),
        nodes=shown.read("nodes.parquet", NODES),
    )
