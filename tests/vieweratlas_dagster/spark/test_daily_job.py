"""The daily job with the Spark engine: the same map as with the local one."""

import dagster as dg
import pytest

from collector_service.lake import Lake
from tests.worlds.days import FIRST, planted_day, put_day, run_day, settings_for
from tests.worlds.memberships import ROLE, SMALL, needs_spark
from vieweratlas_dagster.lake.keys import analysis_key
from vieweratlas_dagster.settings import Settings

TABLES = ("audiences", "edges", "exclusions", "left_out", "nodes", "communities")


@pytest.mark.long
@needs_spark
def test_the_daily_job_makes_the_same_tables_with_either_engine(tmp_path):
    day = FIRST.isoformat()
    made = []
    for engine in ("local", "spark"):
        settings = settings_for(tmp_path, engine=engine, spark={"submit_args": SMALL})
        lake = Lake.open(settings.storage)
        put_day(lake, FIRST, planted_day(FIRST))
        with dg.instance_for_test() as instance:
            assert run_day(settings, FIRST, instance).success
        made.append([lake.get(analysis_key(day, f"{table}.parquet")) for table in TABLES])
    assert made[1] == made[0]


def test_emr_serverless_with_a_lake_on_a_folder_is_refused():
    spark = {"emr_application_id": "00f1abc", "execution_role_arn": ROLE}
    with pytest.raises(ValueError, match=r"storage.type must be s3: EMR Serverless"):
        Settings(analysis={"spark": spark})
