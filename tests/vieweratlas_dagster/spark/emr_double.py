"""EMR Serverless for tests: really runs the Spark jobs that were started on moto's."""

import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import boto3
from moto.core import DEFAULT_ACCOUNT_ID
from moto.emrserverless import models

from vieweratlas_dagster.spark.launch import find_spark_submit

REGION = "us-east-1"
_DRIVER_ENV = "spark.emr-serverless.driverEnv."


class EmrDouble:
    """Starts spark-submit for every job run, and tells moto how it ended.

    The job's s3:// is a folder: objects are copied there before the job and back afterwards, since a
    plain Spark has no client for S3. It knows the driver's environment and no credentials.
    """

    def __init__(self, endpoint: str, folder: Path) -> None:
        """Job runs of moto at ``endpoint``; what they write stays in ``folder`` for the test to see."""
        where = {"endpoint_url": endpoint, "region_name": REGION}
        self._s3 = boto3.client("s3", **where)
        self._emr = boto3.client("emr-serverless", **where)
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.jobs: list[Any] = []

    def __enter__(self) -> "EmrDouble":
        self._status, models.JOB_STATUS = models.JOB_STATUS, "PENDING"
        self.application_id = self._emr.create_application(
            name="vieweratlas", releaseLabel="emr-7.12.0", type="SPARK"
        )["applicationId"]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        models.JOB_STATUS = self._status

    def _watch(self) -> None:
        runs = models.emrserverless_backends[DEFAULT_ACCOUNT_ID][REGION].job_runs
        while not self._over.wait(0.1):
            for job in list(runs.get(self.application_id, ())):
                if job.state == "PENDING":
                    self.jobs.append(job)
                    job.state = "SUCCESS" if self._run(job.job_driver["sparkSubmit"]) == 0 else "FAILED"

    def _run(self, submit: dict[str, Any]) -> int:
        bucket = submit["entryPoint"].split("/")[2]
        root = self._folder / bucket
        self._download(bucket, root)
        words = shlex.split(submit["sparkSubmitParameters"])
        pairs = (word.removeprefix(_DRIVER_ENV).split("=", 1) for word in words if _DRIVER_ENV in word)
        files = {
            "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
            "spark.hadoop.fs.viewfs.overload.scheme.target.s3.impl": "org.apache.hadoop.fs.LocalFileSystem",
            f"spark.hadoop.fs.viewfs.mounttable.{bucket}.linkFallback": root.as_uri(),
        }
        confs = [word for name, value in files.items() for word in ("--conf", f"{name}={value}")]
        python = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
        passed = {name: os.environ[name] for name in ("PATH", "JAVA_HOME") if name in os.environ}
        with (self._folder / "job.log").open("wb") as log:
            done = subprocess.run(
                [find_spark_submit(), *confs, *words, submit["entryPoint"]],
                env=passed | python | dict(pairs),
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        self._upload(bucket, root)
        return done.returncode

    def _download(self, bucket: str, root: Path) -> None:
        for found in self._s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
            file = root / found["Key"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())

    def _upload(self, bucket: str, root: Path) -> None:
        for file in root.rglob("*"):
            if file.is_file() and not file.name.startswith("."):
                self._s3.put_object(Bucket=bucket, Key=str(file.relative_to(root)), Body=file.read_bytes())
