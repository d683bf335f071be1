"""The overlap engine over the days' audiences, in a process of its own, whose peak memory is its own too.

``python -m tests.bench.overlap_engine LAKE RESULT THRESHOLD filtered|whole`` prints one line of JSON.
"""

import json
import resource
import sys
import time
from pathlib import Path

import polars as pl


def main() -> None:
    """Count, tell how long it took with loading and compiling, and write the edges, ordered, with ids."""
    folder, result, threshold, filtered = sys.argv[1:]
    began = time.perf_counter()
    from collector_service.lake import Lake
    from collector_service.settings import StorageSettings
    from vieweratlas_dagster.analysis.audiences import window_audience
    from vieweratlas_dagster.analysis.overlap import overlap_graph
    from vieweratlas_dagster.lake.keys import channels_key, day_audience_key
    from vieweratlas_dagster.lake.tables_io import read_table
    from vieweratlas_dagster.tables import CHANNELS, DAY_AUDIENCES

    from .overlap_world import DAYS, MOST_CHANNELS, MOST_WINDOWS

    lake = Lake.open(StorageSettings(dir=Path(folder)))
    graph = overlap_graph(
        window_audience(read_table(lake, day_audience_key(day), DAY_AUDIENCES) for day in DAYS),
        read_table(lake, channels_key(DAYS[-1]), CHANNELS),
        min_channel_viewers=1,
        overlap_threshold=int(threshold),
        # Judged as on every day, but in so large a world nobody is left out, as in the rival's query.
        max_channels_per_viewer=MOST_CHANNELS,
        max_windows=MOST_WINDOWS,
        bot_filter=filtered == "filtered",
    )
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    ids = graph.audiences.select("channel", "channel_id")
    graph.edges.select(
        *(
            pl.col(end).replace_strict(ids["channel"], ids["channel_id"], return_dtype=pl.Int32)
            for end in ("source", "target")
        ),
        "shared_viewers",
    ).sort("source", "target").write_parquet(result)
    print(json.dumps({"seconds": seconds, "peak_gb": peak}))


if __name__ == "__main__":
    main()
