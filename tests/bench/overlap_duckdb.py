"""DuckDB's self-join over the days' audiences, run by the Python of its own environment.

``python overlap_duckdb.py FILES RESULT THRESHOLD MEMORY FOLDER`` prints one line of JSON. It imports
nothing of this project.
"""

import json
import resource
import sys
import time

import duckdb

# The ids are narrowed once, so that the join and the counters are as small as they can be.
_QUERY = """
create table edges as
with members as materialized (
    select distinct viewer_key, channel_id::integer as channel_id from read_parquet('{files}')
)
select one.channel_id as source, other.channel_id as target, count(*) as shared_viewers
from members one join members other
    on one.viewer_key = other.viewer_key and one.channel_id < other.channel_id
group by all
having count(*) >= {threshold}
"""


def main() -> None:
    """Join, tell how long it took, and write the edges, ordered."""
    files, result, threshold, memory, folder = sys.argv[1:]
    database = duckdb.connect()
    database.execute(f"set memory_limit = '{memory}'")
    database.execute(f"set temp_directory = '{folder}'")
    began = time.perf_counter()
    database.execute(_QUERY.format(files=files, threshold=int(threshold)))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    database.execute(f"copy (from edges order by source, target) to '{result}' (format parquet)")
    print(json.dumps({"seconds": seconds, "peak_gb": peak}))


if __name__ == "__main__":
    main()
