"""Comparing what was collected and found with what truly was, as pure functions.

Belongs here: loss, invention, coverage and agreement. Does not belong here: reading files, printing.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from sklearn.metrics import adjusted_mutual_info_score

from collector_service.contract import viewer_key

_PLACE = ("channel_id", "viewer_key", "window_start")


@dataclass(frozen=True)
class CollectionTruth:
    """How the collected presence compares with what truly happened, in presences and messages.

    ``lost``: delivered to the collector, but not in the lake. ``invented``: in the lake, but never
    happened. ``undeclared``: happened in a window that the collector says it saw whole, but not in the
    lake. ``restored``: missed live, brought in by VODs.
    """

    happened: int
    collected: int
    lost: int
    lost_messages: int
    invented: int
    undeclared: int
    restored: int

    @property
    def coverage(self) -> float:
        """Share of all true presences that were collected live."""
        return self.collected / self.happened if self.happened else 1.0


def true_presence(oracle: pl.DataFrame, secret: str) -> pl.DataFrame:
    """The oracle's presence rows with viewer keys in place of user ids.

    Args:
        oracle: channel_id, user_id, window_start (Unix seconds), messages, delivered, notices,
            notices_delivered.
        secret: the collector's VIEWER_KEY_SECRET.
    """
    users = oracle.select(pl.col("user_id").unique())
    keys = pl.Series("viewer_key", [viewer_key(secret, str(user)) for user in users["user_id"]], pl.UInt64)
    return (
        oracle.join(users.with_columns(keys), on="user_id")
        .with_columns(pl.from_epoch("window_start").dt.cast_time_unit("ms").dt.replace_time_zone("UTC"))
        .drop("user_id")
    )


def compare_collection(
    truth: pl.DataFrame, live: pl.DataFrame, vod: pl.DataFrame, windows: pl.DataFrame
) -> CollectionTruth:
    """Hold the lake against the truth.

    Args:
        truth: from `true_presence`.
        live: PRESENCE rows of the live source.
        vod: PRESENCE rows of the VODs.
        windows: channel_id, window_start, observed_seconds, window_seconds: what the collector says of
            each channel and window.
    """
    happened = truth.filter(pl.col("messages") + pl.col("notices") > 0)
    delivered = truth.filter(pl.col("delivered") + pl.col("notices_delivered") > 0)
    missed = happened.join(live, on=_PLACE, how="anti")
    whole = windows.filter(pl.col("observed_seconds") >= pl.col("window_seconds"))
    counted = delivered.join(live, on=_PLACE, how="left", suffix="_collected")
    lost_messages = counted.select(
        (pl.col("delivered").cast(pl.Int64) - pl.col("messages_collected").fill_null(0).cast(pl.Int64))
        .clip(lower_bound=0)
        .sum()
    ).item()
    return CollectionTruth(
        happened=happened.height,
        collected=live.join(happened, on=_PLACE, how="semi").height,
        lost=delivered.join(live, on=_PLACE, how="anti").height,
        lost_messages=int(lost_messages),
        invented=live.join(happened, on=_PLACE, how="anti").height
        + vod.join(happened, on=_PLACE, how="anti").height,
        undeclared=missed.join(whole, on=["channel_id", "window_start"], how="semi").height,
        restored=missed.join(vod, on=_PLACE, how="semi").height,
    )


def agreement(nodes: pl.DataFrame, planted: pl.DataFrame) -> tuple[float, float]:
    """Adjusted mutual information of found and planted communities, and of found and planted regions.

    Args:
        nodes: NODES frame; channels without a community are left out.
        planted: channel_id, community, region as planted.
    """
    both = nodes.filter(pl.col("community").is_not_null()).join(
        planted.rename({"community": "true_community", "region": "true_region"}), on="channel_id"
    )
    if both.is_empty():
        return 0.0, 0.0
    return (
        float(adjusted_mutual_info_score(both["true_community"].to_list(), both["community"].to_list())),
        float(adjusted_mutual_info_score(both["true_region"].to_list(), both["region"].to_list())),
    )
