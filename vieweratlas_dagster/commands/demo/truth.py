"""The demo's result compared with the planted truth, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from sklearn.metrics import adjusted_mutual_info_score

from collector_service.contract import viewer_key

_WINDOW = ("channel_id", "window_start")
_PLACE = (*_WINDOW, "viewer_key")


@dataclass(frozen=True)
class Outage:
    """A kill of the collector and its return, in Unix seconds.

    Attributes:
        unsaved_since: later messages may not have been on disk when it was killed.
        killed_at: when it was killed.
        back_at: when the first channel was joined again.
        window_seconds: length of a window.
    """

    unsaved_since: float
    killed_at: float
    back_at: float
    window_seconds: int

    def during(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of windows that lie wholly between the kill and the return."""
        return self._until_back(frame).filter(_start() >= self.killed_at)

    def unsaved(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of windows, up to the return, that may contain unsaved messages."""
        return self._until_back(frame).filter(_start() + self.window_seconds > self.unsaved_since)

    def _until_back(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(_start() + self.window_seconds <= self.back_at)


def _start() -> pl.Expr:
    return pl.col("window_start").dt.timestamp("ms") / 1000


@dataclass(frozen=True)
class Restored:
    """Presences that live collection missed, and how many of them VODs restored."""

    missed: int
    restored: int


@dataclass(frozen=True)
class CollectionTruth:
    """The collected presence compared with the truth, in presences and messages.

    Attributes:
        happened: all true presences.
        collected: those collected live.
        lost: delivered to the collector, but not in the lake.
        lost_messages: the same in messages.
        cut_off: delivered just before the collector was killed, not in the lake, in windows that it does
            not declare complete; they do not count as lost.
        invented: in the lake, but never happened.
        undeclared: not in the lake, in a window that the collector declares complete.
        restored: missed live, restored by VODs.
    """

    happened: int
    collected: int
    lost: int
    lost_messages: int
    cut_off: int
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


def first_join(joined: pl.DataFrame, after: float) -> float | None:
    """When the first channel was joined after an instant, in Unix seconds; None without a join.

    Args:
        joined: the oracle's joined stretches: channel_id, from, to.
        after: Unix seconds.
    """
    return min((begin for begin in joined["from"] if begin > after), default=None)


def compare_collection(
    truth: pl.DataFrame,
    live: pl.DataFrame,
    vod: pl.DataFrame,
    windows: pl.DataFrame,
    outage: Outage | None = None,
) -> CollectionTruth:
    """Compare the lake with the truth.

    Args:
        truth: from `true_presence`.
        live: PRESENCE rows of the live source.
        vod: PRESENCE rows of the VODs.
        windows: channel_id, window_start, observed_seconds, window_seconds: the collector's own record of
            each channel and window.
        outage: the kill of the collector; None without one.
    """
    happened = _happened(truth)
    delivered = truth.filter(pl.col("delivered") + pl.col("notices_delivered") > 0)
    missed = happened.join(live, on=_PLACE, how="anti")
    whole = windows.filter(pl.col("observed_seconds") >= pl.col("window_seconds"))
    excused = delivered.clear()
    if outage:
        excused = outage.unsaved(delivered).join(whole, on=_WINDOW, how="anti")
    due = delivered.join(excused, on=_PLACE, how="anti")
    counted = due.join(live, on=_PLACE, how="left", suffix="_collected")
    lost_messages = counted.select(
        (pl.col("delivered").cast(pl.Int64) - pl.col("messages_collected").fill_null(0).cast(pl.Int64))
        .clip(lower_bound=0)
        .sum()
    ).item()
    return CollectionTruth(
        happened=happened.height,
        collected=live.join(happened, on=_PLACE, how="semi").height,
        lost=due.join(live, on=_PLACE, how="anti").height,
        lost_messages=int(lost_messages),
        cut_off=excused.join(live, on=_PLACE, how="anti").height,
        invented=live.join(happened, on=_PLACE, how="anti").height
        + vod.join(happened, on=_PLACE, how="anti").height,
        undeclared=missed.join(whole, on=_WINDOW, how="semi").height,
        restored=missed.join(vod, on=_PLACE, how="semi").height,
    )


def compare_outage(truth: pl.DataFrame, live: pl.DataFrame, vod: pl.DataFrame, outage: Outage) -> Restored:
    """The presences missed in the hours without a collector, and how many VODs restored.

    Args:
        truth: from `true_presence`.
        live: PRESENCE rows of the live source.
        vod: PRESENCE rows of the VODs.
        outage: only windows wholly within it count.
    """
    missed = outage.during(_happened(truth)).join(live, on=_PLACE, how="anti")
    return Restored(missed=missed.height, restored=missed.join(vod, on=_PLACE, how="semi").height)


def _happened(truth: pl.DataFrame) -> pl.DataFrame:
    return truth.filter(pl.col("messages") + pl.col("notices") > 0)


def agreement(nodes: pl.DataFrame, planted: pl.DataFrame) -> tuple[float, float]:
    """Adjusted mutual information of found and planted communities, and of found and planted regions.

    Args:
        nodes: NODES frame; channels without a community are ignored.
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
