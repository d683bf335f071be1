"""The counts of the Spark job, on awkward worlds, in one Spark session."""

import os
import sys

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.worlds.memberships import (
    NO_SPARK,
    OPTIONS,
    assert_same_graph,
    channel_frame,
    day_frame,
    local_graph,
    planted_days,
)
from vieweratlas_dagster.spark.finish import graph_of_counts

pytest.importorskip("pyspark", reason=NO_SPARK)
from pyspark.sql import SparkSession

from vieweratlas_dagster.spark.overlap_job import count_overlaps

IDS = (-5, 1, 2, 3, 2**40, 2**62)
KEYS = (0, 1, 7, 2**63 - 1, 2**63, 2**64 - 1)
COUNTS = (0, 1, 3, 4, 2**31, 2**32 - 1)
days = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from(IDS), st.sampled_from(KEYS)),
        st.tuples(st.sampled_from(COUNTS), st.sampled_from(COUNTS), st.booleans()),
        max_size=25,
    ),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def session():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "PYSPARK_PYTHON", sys.executable)
        spark = (
            SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.adaptive.enabled", "false")
            .getOrCreate()
        )
        yield spark
        spark.stop()


def spark_graph(session, folder, frames, channels, **options):
    options = OPTIONS | options
    files = [str(folder / f"{number}.parquet") for number in range(len(frames))]
    for file, frame in zip(files, frames, strict=True):
        frame.write_parquet(file)
    made = count_overlaps(session.read.parquet(*files), **options)
    made.channels.write.parquet(f"{folder}/channels", mode="overwrite")
    made.pairs.write.parquet(f"{folder}/pairs", mode="overwrite")
    counts, pairs = (pl.read_parquet(f"{folder}/{name}/*.parquet") for name in ("channels", "pairs"))
    session.catalog.clearCache()
    smallest = options["min_channel_viewers"]
    return graph_of_counts(counts, pairs, made.figures, channels, min_channel_viewers=smallest)


# A try takes seconds, so that shrinking would take hours.
@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    days,
    st.sampled_from(
        [
            {"max_windows": 3},
            {"bot_filter": False, "max_windows": 3},
            {"max_channels_per_viewer": 2, "max_windows": 6},
            {"max_channels_per_viewer": 2},
        ]
    ),
    st.sampled_from(["none", "messages", "windows"]),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_any_small_world_gives_the_local_engines_graph(
    session, tmp_path, made, options, loyalty, smallest, threshold
):
    options = options | {
        "loyalty": loyalty,
        "min_channel_viewers": smallest,
        "overlap_threshold": threshold,
    }
    frames = [day_frame([(*where, *what) for where, what in day.items()]) for day in made]
    channels = channel_frame(IDS)
    found = spark_graph(session, tmp_path, frames, channels, **options)
    assert_same_graph(found, local_graph(frames, channels, **options))


def test_a_planted_world_in_several_tasks_gives_the_local_engines_graph(session, tmp_path, monkeypatch):
    monkeypatch.setattr("vieweratlas_dagster.spark.overlap_job._MEMBERSHIPS_PER_TASK", 1000)
    monkeypatch.setattr("vieweratlas_dagster.spark.overlap_job._INCREMENTS_PER_TASK", 2000)
    frames, channels = planted_days(seed=2, viewers=1500)
    options = {"loyalty": "messages", "max_windows": 648}
    expected = local_graph(frames, channels, **options)
    assert expected.edges.height > 200
    assert expected.exclusions.select("reason", "viewers", "limit", "channels").rows() == [
        ("known bot", 1, None, 40),
        ("too many channels", 1, 10, 37),
        ("too many hours", 1, 648, 2),
    ]
    assert_same_graph(spark_graph(session, tmp_path, frames, channels, **options), expected)


def test_a_world_without_viewers_gives_the_local_engines_graph(session, tmp_path):
    frames, channels = [day_frame([])], channel_frame([1, 2])
    assert_same_graph(spark_graph(session, tmp_path, frames, channels), local_graph(frames, channels))


def test_a_channel_nobody_knows_is_refused_as_the_local_engine_does(session, tmp_path):
    frames, channels = [day_frame([(1, 7, 1, 1, False), (9, 7, 1, 1, False)])], channel_frame([1])
    with pytest.raises(ValueError, match="1 channel_ids are not in channels, such as 9"):
        local_graph(frames, channels)
    with pytest.raises(ValueError, match="1 channel_ids are not in channels, such as 9"):
        spark_graph(session, tmp_path, frames, channels)
