"""Starting the Spark job through Dagster Pipes, and removing its files from the lake.

The job reads the days' objects in place and writes below state/spark/date=D/, into a folder of its
attempt: a job that outlives its run cannot mix with a later one. The folder is removed when the attempt
ends; that of a killed attempt when the day's next attempt begins.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import dagster_pipes
import polars as pl

import vieweratlas_dagster
from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from vieweratlas_dagster.analysis.overlap import OverlapGraph
from vieweratlas_dagster.lake.keys import SPARK_PREFIX, day_audience_key
from vieweratlas_dagster.lake.parquet import read_parquet
from vieweratlas_dagster.lake.tables_io import write_table
from vieweratlas_dagster.settings import SparkSettings
from vieweratlas_dagster.spark.finish import graph_of_counts
from vieweratlas_dagster.tables import DAY_AUDIENCES

JOB = Path(__file__).with_name("overlap_job.py")
_PACKAGE = Path(vieweratlas_dagster.__file__).parent
_SHIPPED = ("__init__.py", "analysis/__init__.py", "analysis/plausible.py")
_OLDEST_JAVA = 17
_ELSE = "or set analysis.engine to local"


def overlap_graph_on_spark(
    context: dg.AssetExecutionContext,
    lake: Lake,
    days: Iterable[str],
    channels: pl.DataFrame,
    *,
    derive: Callable[[str], pl.DataFrame | None],
    spark: SparkSettings,
    storage: StorageSettings,
    **options: Any,
) -> OverlapGraph:
    """The graph of ``analysis.overlap.overlap_graph`` for the days' memberships, row for row.

    Args:
        context: of the asset; its partition is the day.
        lake: where the days' audiences are.
        days: the days of the window, YYYY-MM-DD.
        channels: one row per channel: channel_id, channel, game_name, language.
        derive: DAY_AUDIENCES of a day without such an object; None for a day without data.
        spark: where the job runs.
        storage: the lake's settings.
        options: ``min_channel_viewers`` and the other options of ``overlap_graph``.

    Raises:
        RuntimeError: Spark or Java is missing, or the job failed; the message has the next step.
    """
    if lake.uri.startswith("memory:"):
        raise RuntimeError(f"Spark cannot read a lake in memory: use a lake of type file or s3, {_ELSE}")
    folder = f"{SPARK_PREFIX}date={context.partition_key}/"
    _clear(lake, folder)
    work = f"{folder}{context.run.run_id}-{context.retry_number}/"
    try:
        order = {
            "days": [f"{lake.uri}/{key}" for key in _inputs(lake, days, derive, work)],
            "out": f"{lake.uri}/{work}out",
            "options": options,
        }
        if spark.emr_application_id:
            done = _run_on_emr(context, lake, work, order, spark, storage)
        else:
            done = _run_here(context, order, spark)
        figures = done.get_custom_messages()
        if not figures:
            raise RuntimeError(
                "the Spark job ended without reporting its figures: see its log, and materialize again"
            )
        return graph_of_counts(
            _read(lake, f"{work}out/channels/"),
            _read(lake, f"{work}out/pairs/"),
            figures[-1],
            channels,
            min_channel_viewers=options["min_channel_viewers"],
        )
    finally:
        _clear(lake, work)


def find_spark_submit() -> str:
    """The spark-submit of this machine, after checking its Java.

    Raises:
        RuntimeError: spark-submit or Java is missing, or Java is too old; the message has the next step.
    """
    places = (Path(os.environ.get("SPARK_HOME", "")) / "bin", Path(sys.executable).parent)
    path = os.pathsep.join([*map(str, places), os.environ.get("PATH", "")])
    submit = shutil.which("spark-submit", path=path)
    if submit is None:
        raise RuntimeError(
            "analysis.engine is spark, but spark-submit is missing: install the extra "
            f"(pip install 'vieweratlas[spark]'), set SPARK_HOME, {_ELSE}"
        )
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    version = _java_version(java) if java else None
    if version is None or version < _OLDEST_JAVA:
        found = f"{java} is version {version}" if version else f"{home or 'the PATH'} has none"
        raise RuntimeError(
            f"analysis.engine is spark, which needs Java {_OLDEST_JAVA} or newer, but {found}: install it "
            f"(Debian, Ubuntu: apt install default-jre-headless), set JAVA_HOME, {_ELSE}"
        )
    return submit


def _java_version(java: str) -> int | None:
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603 - the one found above
    found = re.search(r'version "(?:1\.)?(\d+)', output)
    return int(found[1]) if found else None


def _run_here(
    context: dg.AssetExecutionContext, order: Mapping[str, Any], spark: SparkSettings
) -> dg.PipesClientCompletedInvocation:
    submit = find_spark_submit()
    with tempfile.TemporaryDirectory(prefix="vieweratlas-spark-") as folder:
        modules = Path(folder) / "modules.zip"
        modules.write_bytes(_modules())
        command = [submit, *spark.submit_args, "--py-files", str(modules), str(JOB)]
        python = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
        return dg.PipesSubprocessClient(env=python).run(context=context, command=command, extras=order)


def _run_on_emr(
    context: dg.AssetExecutionContext,
    lake: Lake,
    work: str,
    order: Mapping[str, Any],
    spark: SparkSettings,
    storage: StorageSettings,
) -> dg.PipesClientCompletedInvocation:
    # These take a second to import, and only EMR needs them.
    import boto3
    from dagster_aws.pipes import (
        PipesEMRServerlessClient,
        PipesS3ContextInjector,
        PipesS3MessageReader,
    )

    class Messages(PipesS3MessageReader):
        """Puts messages below the attempt's folder, so that they are removed with it."""

        @contextmanager
        def get_params(self) -> Iterator[Mapping[str, Any]]:
            with super().get_params() as params:
                yield {**params, "key_prefix": f"{prefix}messages/{params['key_prefix']}"}

    lake.put(f"{work}overlap_job.py", JOB.read_bytes())
    lake.put(f"{work}modules.zip", _modules())
    prefix = f"{storage.s3_prefix.strip('/')}/{work}".lstrip("/")
    region, endpoint = storage.region, storage.endpoint_url or None
    s3 = boto3.client("s3", region_name=region, endpoint_url=endpoint)
    emr = boto3.client("emr-serverless", region_name=region, endpoint_url=endpoint)
    client = PipesEMRServerlessClient(
        client=emr,
        context_injector=PipesS3ContextInjector(bucket=storage.s3_bucket, client=s3, key_prefix=prefix),
        message_reader=Messages(bucket=storage.s3_bucket, client=s3, interval=spark.poll_seconds),
        poll_interval=spark.poll_seconds,
    )
    return client.run(
        context=context,
        extras=dict(order),
        start_job_run_params={
            "applicationId": spark.emr_application_id,
            "executionRoleArn": spark.execution_role_arn,
            "name": f"vieweratlas overlap {context.partition_key}",
            "executionTimeoutMinutes": spark.timeout_minutes,
            "jobDriver": {
                "sparkSubmit": {
                    "entryPoint": f"{lake.uri}/{work}overlap_job.py",
                    "sparkSubmitParameters": " ".join(
                        [*spark.submit_args, "--py-files", f"{lake.uri}/{work}modules.zip"]
                    ),
                }
            },
        },
    )


def _inputs(
    lake: Lake, days: Iterable[str], derive: Callable[[str], pl.DataFrame | None], work: str
) -> list[str]:
    keys = []
    for day in days:
        key = day_audience_key(day)
        if not lake.exists(key):
            frame = derive(day)
            if frame is None:
                continue
            key = f"{work}days/{day}.parquet"
            write_table(lake, key, frame, DAY_AUDIENCES)
        keys.append(key)
    if not keys:
        keys = [f"{work}days/none.parquet"]
        write_table(lake, keys[0], DAY_AUDIENCES.empty(), DAY_AUDIENCES)
    return keys


def _modules() -> bytes:
    """The job's imports beyond pyspark, as a zip file for ``--py-files``."""
    pipes = Path(dagster_pipes.__file__).parent
    files = {f"vieweratlas_dagster/{name}": _PACKAGE / name for name in _SHIPPED}
    files |= {f"dagster_pipes/{file.name}": file for file in sorted(pipes.glob("*.py"))}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            archive.writestr(name, file.read_bytes())
    return buffer.getvalue()


def _read(lake: Lake, prefix: str) -> pl.DataFrame:
    keys = [info.key for info in lake.objects(prefix) if info.key.endswith(".parquet")]
    return pl.concat(read_parquet(lake.get(key)) for key in keys)


def _clear(lake: Lake, prefix: str) -> None:
    for info in lake.objects(prefix):
        lake.delete(info.key)
