"""The PySpark job: audiences, exclusions and shared viewers of all pairs of channels, counted on a cluster.

``analysis.overlap`` adds names, measures and reasons to the counts of any engine. The cluster needs Spark
3.5 or newer and Python 3.10 or newer, and nothing else: ``launch`` ships dagster_pipes and the one module
of this project that is imported below. No Python runs on the executors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from dagster_pipes import (
    PipesBlobStoreMessageWriter,
    PipesBlobStoreMessageWriterChannel,
    PipesContext,
    PipesContextData,
    PipesContextLoader,
    PipesEnvVarParamsLoader,
    PipesParams,
    open_dagster_pipes,
)
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as fn

from vieweratlas_dagster.analysis.plausible import plausible_channels

_REASONS = ("known bot", "too many channels", "too many hours")
# The largest number of messages or windows of one membership, as in DAY_AUDIENCES.
_MOST = 2**32 - 1
# A 32-bit count has a weight of at most 32.
_WEIGHT_BITS = 6
_MEMBERSHIPS_PER_TASK = 500_000
_INCREMENTS_PER_TASK = 10_000_000


@dataclass(frozen=True)
class SparkCounts:
    """The counts.

    Attributes:
        channels: one row per channel with a viewer: channel_id, seen (all viewers), viewers and messages
            (without excluded viewers), number (of a channel in the graph, else null).
        pairs: first, second (numbers of channels), shared (at least the threshold), weight.
        figures: population, and excluded: rows of EXCLUSIONS.
    """

    channels: DataFrame
    pairs: DataFrame
    figures: dict[str, Any]


def count_overlaps(
    days: DataFrame,
    *,
    min_channel_viewers: int,
    overlap_threshold: int,
    bot_filter: bool,
    max_channels_per_viewer: int,
    max_windows: int | None,
    loyalty: str = "none",
) -> SparkCounts:
    """Count as ``analysis.overlap.overlap_graph`` does.

    Memberships are shuffled once, to their viewer. From there each channel of a viewer is shuffled together
    with those of the viewer's channels that have a larger audience. So a pair is counted at its smaller
    channel, no channel is too large for one task, and the shuffle carries four bytes per pair and shared
    viewer, whatever the number of pairs.

    Args:
        days: rows of DAY_AUDIENCES of all days.
        min_channel_viewers: smallest audience of a channel in the graph.
        overlap_threshold: fewest shared viewers of a pair.
        bot_filter: whether such viewers are excluded.
        max_channels_per_viewer: upper bound of the plausible number of channels.
        max_windows: most windows of one viewer in one channel; None for no limit.
        loyalty: source of a pair's weight: none, messages or windows.
    """
    session = days.sparkSession
    _size_tasks(session, days.count(), _MEMBERSHIPS_PER_TASK)
    limit = plausible_channels(days.select("channel_id").distinct().count(), max_channels_per_viewer)
    reason = _reason(limit, max_windows) if bot_filter else fn.lit(None).cast("string")
    judged = _viewers(_memberships(days, loyalty)).withColumn("reason", reason)
    channels = _channels(judged)
    inside = _numbered(channels, min_channel_viewers)
    lists = _lists(judged, inside)
    size = fn.size("places").cast("long")
    [(population, ordered_pairs)] = lists.agg(fn.count(fn.lit(1)), fn.sum(size * (size - 1))).collect()
    figures = {
        "population": population,
        "excluded": _excluded(judged, channels, (None, limit, max_windows)),
    }
    _size_tasks(session, (ordered_pairs or 0) // 2, _INCREMENTS_PER_TASK)
    numbered = channels.drop(*_REASONS).join(fn.broadcast(inside), "channel_id", "left")
    return SparkCounts(numbered, _pairs(lists, overlap_threshold), figures)


def _memberships(days: DataFrame, loyalty: str) -> DataFrame:
    """One row per viewer and channel over all days: messages, windows, known_bot, weight."""
    # Spark reads unsigned integers as decimals; this shifts them into the range of long.
    key = (fn.col("viewer_key").cast("decimal(20,0)") - fn.lit(str(2**63)).cast("decimal(20,0)")).cast(
        "long"
    )
    return (
        days.select(key.alias("viewer"), "channel_id", "messages", "windows", "known_bot")
        .repartition("viewer")
        .groupBy("viewer", "channel_id")
        .agg(
            *(fn.least(fn.sum(name), fn.lit(_MOST)).alias(name) for name in ("messages", "windows")),
            fn.max("known_bot").alias("known_bot"),
        )
        .withColumn("weight", fn.lit(1) if loyalty == "none" else _loyalty_weight(fn.col(loyalty)))
    )


def _viewers(memberships: DataFrame) -> DataFrame:
    """One row per viewer: seen (a list of channel_id, messages, weight), known_bot, most windows."""
    return (
        memberships.groupBy("viewer")
        .agg(
            fn.collect_list(fn.struct("channel_id", "messages", "weight")).alias("seen"),
            fn.max("known_bot").alias("known_bot"),
            fn.max("windows").alias("windows"),
        )
        .persist(StorageLevel.MEMORY_AND_DISK)
    )


def _channels(judged: DataFrame) -> DataFrame:
    """One row per channel: seen, viewers, messages, and for each reason whether it excludes a viewer."""
    kept = fn.col("reason").isNull()
    return (
        judged.select("reason", fn.inline("seen"))
        .groupBy("channel_id")
        .agg(
            fn.count(fn.lit(1)).alias("seen"),
            fn.count_if(kept).alias("viewers"),
            fn.sum(fn.when(kept, fn.col("messages"))).alias("messages"),
            *(fn.max(fn.col("reason") == reason).alias(reason) for reason in _REASONS),
        )
        .persist()
    )


def _numbered(channels: DataFrame, min_channel_viewers: int) -> DataFrame:
    """The channels of the graph with their numbers, 0-based, the smallest audience first."""
    return (
        channels.where(fn.col("viewers") >= min_channel_viewers)
        .coalesce(1)
        .sortWithinPartitions("viewers", "channel_id")
        .select("channel_id", fn.monotonically_increasing_id().cast("int").alias("number"))
    )


def _lists(judged: DataFrame, inside: DataFrame) -> DataFrame:
    """The channels of each viewer who counts, packed with their weights and in order of their numbers."""
    return (
        judged.where(fn.col("reason").isNull())
        .select("viewer", fn.inline("seen"))
        .join(fn.broadcast(inside), "channel_id")
        .groupBy("viewer")
        .agg(fn.sort_array(fn.collect_list(_packed(fn.col("number"), fn.col("weight")))).alias("places"))
        .persist(StorageLevel.MEMORY_AND_DISK)
    )


def _size_tasks(session: SparkSession, rows: int, per_task: int) -> None:
    """Set the number of tasks of the next shuffles by their rows; a fixed number fits one size of world."""
    session.conf.set("spark.sql.shuffle.partitions", str(rows // per_task + 1))


def _loyalty_weight(count: Column) -> Column:
    """``analysis.overlap.loyalty_weights``: the number of binary digits."""
    return fn.length(fn.bin(count))


def _packed(number: Column, weight: Column) -> Column:
    """A channel's number and a weight in one integer, ordered by the number: lists of them are small."""
    return (fn.shiftleft(number, _WEIGHT_BITS).bitwiseOR(weight)).cast("int")


def _number(packed: Column) -> Column:
    return fn.shiftright(packed, _WEIGHT_BITS)


def _weight(packed: Column) -> Column:
    return packed.bitwiseAND(2**_WEIGHT_BITS - 1)


def _reason(limit: int, max_windows: int | None) -> Column:
    known_bot, too_many, too_long = _REASONS
    reason = fn.when(fn.col("known_bot"), known_bot).when(fn.size("seen") > limit, too_many)
    return reason if max_windows is None else reason.when(fn.col("windows") > max_windows, too_long)


def _excluded(
    judged: DataFrame, channels: DataFrame, limits: tuple[int | None, ...]
) -> list[tuple[Any, ...]]:
    """Rows of EXCLUSIONS, one for each of the reasons with its limit."""
    degree = fn.size("seen").cast("long")
    sums = {
        row["reason"]: row
        for row in judged.where(fn.col("reason").isNotNull())
        .groupBy("reason")
        .agg(
            fn.count(fn.lit(1)).alias("viewers"),
            fn.sum(degree).alias("memberships"),
            fn.sum(degree * (degree - 1)).alias("ordered_pairs"),
        )
        .collect()
    }
    [among] = channels.agg(*(fn.count_if(reason).alias(reason) for reason in _REASONS)).collect()
    rows = []
    for reason, threshold in zip(_REASONS, limits, strict=True):
        row = sums.get(reason) or {"viewers": 0, "memberships": 0, "ordered_pairs": 0}
        avoided = row["ordered_pairs"] // 2
        rows.append((reason, row["viewers"], row["memberships"], avoided, threshold, among[reason]))
    return rows


def _pairs(lists: DataFrame, threshold: int) -> DataFrame:
    mine, theirs = fn.col("mine"), fn.col("theirs")
    larger = fn.slice("places", fn.col("pos") + 2, fn.size("places"))
    return (
        lists.where(fn.size("places") > 1)
        .select("places", fn.posexplode("places").alias("pos", "mine"))
        .where(fn.col("pos") < fn.size("places") - 1)
        .select(_number(mine).alias("first"), _weight(mine).alias("mine"), larger.alias("larger"))
        .repartition("first")
        .select("first", "mine", fn.explode("larger").alias("theirs"))
        .groupBy("first", _number(theirs).alias("second"))
        .agg(
            fn.count(fn.lit(1)).alias("shared"),
            fn.sum(fn.least(mine, _weight(theirs))).alias("weight"),
        )
        .where(fn.col("shared") >= threshold)
    )


class _HadoopContextLoader(PipesContextLoader):
    """Reads Dagster's context from S3 through Spark, so that the cluster can do without boto3."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    @contextmanager
    def load_context(self, params: PipesParams) -> Iterator[PipesContextData]:
        uri = f"s3://{params['bucket']}/{params['key']}"
        [(text,)] = self._spark.read.text(uri, wholetext=True).collect()
        yield json.loads(text)


class _HadoopMessageWriter(PipesBlobStoreMessageWriter["_HadoopChannel"]):
    """Writes messages for Dagster's S3 message reader through Spark."""

    def __init__(self, spark: SparkSession) -> None:
        super().__init__()
        self._spark = spark

    def make_channel(self, params: PipesParams) -> _HadoopChannel:
        return _HadoopChannel(self._spark, f"s3://{params['bucket']}/{params['key_prefix']}")


class _HadoopChannel(PipesBlobStoreMessageWriterChannel):
    def __init__(self, spark: SparkSession, folder: str) -> None:
        super().__init__()
        self._spark, self._folder = spark, folder

    def upload_messages_chunk(self, payload: IO[str], index: int) -> None:
        # PySpark reaches Hadoop's file systems only through the JVM.
        context: Any = self._spark.sparkContext
        path = context._jvm.org.apache.hadoop.fs.Path(f"{self._folder}/{index}.json")  # noqa: SLF001
        stream = path.getFileSystem(context._jsc.hadoopConfiguration()).create(path)  # noqa: SLF001
        stream.write(bytearray(payload.read().encode()))
        stream.close()


def _open_pipes(spark: SparkSession) -> PipesContext:
    params = PipesEnvVarParamsLoader()  # type: ignore[no-untyped-call]
    if "bucket" in params.load_context_params():
        return open_dagster_pipes(
            context_loader=_HadoopContextLoader(spark), message_writer=_HadoopMessageWriter(spark)
        )
    return open_dagster_pipes()


def main() -> None:
    """Count as Dagster's order says, write the tables, and report the figures."""
    spark = SparkSession.builder.appName("vieweratlas overlap").getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    with _open_pipes(spark) as pipes:
        order = pipes.extras
        counts = count_overlaps(spark.read.parquet(*order["days"]), **order["options"])
        counts.channels.write.parquet(f"{order['out']}/channels")
        counts.pairs.write.parquet(f"{order['out']}/pairs")
        pipes.report_custom_message(counts.figures)
        pipes.log.info(
            f"Spark {spark.version} counted the overlaps of {counts.figures['population']} viewers"
        )
    spark.stop()


if __name__ == "__main__":
    main()
