"""The section ``analysis.spark``: where the Spark engine runs.

Belongs here: that section alone. Does not belong here: what is computed (the rest of ``analysis``).
"""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, model_validator

from collector_service.settings import Section

_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")


class SparkSettings(Section):
    """EMR Serverless when ``emr_application_id`` names an application, else spark-submit on this machine.

    Attributes:
        emr_application_id: the application that runs the job.
        execution_role_arn: the role with which the job reads and writes the lake.
        submit_args: arguments of spark-submit, such as ``--driver-memory 8g``, one item a word.
        timeout_minutes: when EMR Serverless cancels a job.
        poll_seconds: how often its state is asked for.
    """

    emr_application_id: str = ""
    execution_role_arn: str = ""
    submit_args: tuple[str, ...] = ()
    timeout_minutes: int = Field(120, ge=5)
    poll_seconds: float = Field(10.0, gt=0)

    @model_validator(mode="after")
    def _role_named(self) -> Self:
        if self.emr_application_id and not _ROLE_ARN.fullmatch(self.execution_role_arn):
            raise ValueError(
                "analysis.spark.emr_application_id is set, so analysis.spark.execution_role_arn must name "
                "the job's role, as arn:aws:iam::111122223333:role/vieweratlas-spark does; it is "
                f"{self.execution_role_arn!r}"
            )
        return self
