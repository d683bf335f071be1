"""All settings of the platform: those of the collector, and the sections that the code location adds.

``collector_service.settings`` reads and explains them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from collector_service.settings import Section
from collector_service.settings import Settings as CollectorSettings

# No .fifo: messages carry no group.
_TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+")
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")


class SparkSettings(Section):
    """EMR Serverless when ``emr_application_id`` names an application, else spark-submit on this machine.

    Attributes:
        emr_application_id: the application that runs the job.
        execution_role_arn: the role with which the job reads and writes the lake.
        submit_args: arguments of spark-submit, such as ``--driver-memory 8g``, one item per word.
        timeout_minutes: when EMR Serverless cancels a job.
        poll_seconds: the pause between two queries of its state.
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


class AnalysisSettings(Section):
    """The steps from presence to communities; docs/METHOD.md explains each setting."""

    first_day: date = date(2020, 1, 1)
    window_days: int = Field(7, ge=1, le=90)
    history_days: int = Field(14, ge=1, le=90)
    min_channel_viewers: int = Field(10, ge=1)
    overlap_threshold: int = Field(5, ge=1)
    resolution: float | None = Field(None, gt=0, allow_inf_nan=False)
    region_resolution: float | None = Field(None, gt=0, allow_inf_nan=False)
    min_community_size: int = Field(3, ge=1)
    algorithm: Literal["leiden", "louvain"] = "leiden"
    engine: Literal["local", "spark"] = "local"
    spark: SparkSettings = SparkSettings()
    bot_filter: bool = True
    max_channels_per_viewer: int = Field(100, ge=2)
    max_hours_per_day: int = Field(18, ge=1)
    loyalty: Literal["none", "messages", "windows"] = "none"
    seed: int = Field(7, ge=0, le=2**31 - 1)
    labels_file: Path | None = None

    @model_validator(mode="after")
    def _levels_in_order(self) -> Self:
        if self.resolution and self.region_resolution and self.region_resolution > self.resolution:
            raise ValueError(
                f"analysis.region_resolution {self.region_resolution} is above analysis.resolution "
                f"{self.resolution}: regions are the coarser level"
            )
        return self


Severity = Literal["WARN", "ERROR"]
# Every asset check. ERROR only where bad data must not reach the published atlas: such a check blocks what
# depends on the asset. ``checks.severities`` overrides.
SEVERITIES: Mapping[str, Severity] = {
    # Checks of the present, on a schedule of their own.
    "live_chat_is_fresh": "WARN",
    "live_hours_are_complete": "WARN",
    "vod_queue_moves": "WARN",
    "vods_can_be_read": "WARN",
    "atlas_of_yesterday_exists": "WARN",
    # Checks of a day, in the run that makes it.
    "quarantine_is_small": "WARN",
    "day_has_data": "WARN",
    "presence_follows_contract": "ERROR",
    "presence_refers_to_channels": "ERROR",
    "volume_is_usual": "WARN",
    "channels_follow_contract": "ERROR",
    "channels_were_observed": "WARN",
    "audiences_follow_contract": "ERROR",
    "graph_follows_contract": "ERROR",
    "overlap_is_possible": "ERROR",
    "exclusions_are_bounded": "WARN",
    "partition_follows_contract": "ERROR",
    "partition_refers_to_audiences": "ERROR",
    "communities_hold_together": "WARN",
    "community_sizes_are_plausible": "WARN",
    "communities_are_stable": "WARN",
    "communities_follow_contract": "ERROR",
    "communities_refer_to_partition": "ERROR",
    "communities_have_names": "WARN",
    "nodes_follow_contract": "ERROR",
    "nodes_refer_to_communities": "ERROR",
    "atlas_is_complete": "ERROR",
}


class CheckSettings(Section):
    """Thresholds of the asset checks, and the severities that differ from the defaults."""

    max_snapshot_age_minutes: float = Field(30.0, gt=0)
    min_live_hours: int = Field(24, ge=0, le=24)
    max_vods_waiting: int = Field(400, ge=0)
    max_vod_wait_hours: float = Field(48.0, gt=0)
    max_vod_expired_hours: float = Field(12.0, gt=0)
    max_vod_failed_share: float = Field(0.2, ge=0, le=1)
    min_judged_vods: int = Field(10, ge=1)
    max_quarantined_share: float = Field(0.01, ge=0, le=1)
    min_observed_share: float = Field(0.5, ge=0, le=1)
    min_times_usual: float = Field(0.5, ge=0)
    max_times_usual: float = Field(2.0, gt=0)
    max_bot_share: float = Field(0.3, ge=0, le=1)
    max_many_channels_share: float = Field(0.2, ge=0, le=1)
    max_many_hours_share: float = Field(0.05, ge=0, le=1)
    min_modularity: float = Field(0.2, ge=-1, le=1)
    max_largest_community_share: float = Field(0.6, ge=0, le=1)
    max_isolated_share: float = Field(0.5, ge=0, le=1)
    min_stable_share: float = Field(0.7, ge=0, le=1)
    min_judged_channels: int = Field(20, ge=1)
    max_generic_label_share: float = Field(0.2, ge=0, le=1)
    severities: Mapping[str, Severity] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.min_times_usual > self.max_times_usual:
            raise ValueError(
                f"checks.min_times_usual {self.min_times_usual:g} is above checks.max_times_usual "
                f"{self.max_times_usual:g}: no day could pass"
            )
        if unknown := sorted(self.severities.keys() - SEVERITIES.keys()):
            raise ValueError(
                f"checks.severities names unknown checks: {', '.join(unknown)}; checks are "
                f"{', '.join(sorted(SEVERITIES))}"
            )
        return self


class LateDataSettings(Section):
    """When a day is made again because of raw objects that arrived after it was made."""

    quiet_minutes: float = Field(30.0, ge=0)


class RetentionSettings(Section):
    """The days for which raw data and Dagster's runs are kept; curated data are never removed."""

    raw_snapshots_days: int = Field(30, ge=1)
    raw_vod_chat_days: int = Field(7, ge=1)
    quarantine_days: int = Field(30, ge=1)
    expire_on_s3: bool = False
    check_runs_days: int = Field(14, ge=1)
    runs_days: int = Field(90, ge=1)


class AlertSettings(Section):
    """The recipients of alerts and heartbeats; docs/RUNBOOK.md explains each message."""

    backend: Literal["log", "sns"] = "log"
    topic_arn: str = ""
    min_severity: Literal["WARN", "ERROR"] = "WARN"
    quiet_minutes: float = Field(60.0, ge=0)
    ui_url: Annotated[str, Field(pattern="^https?://[^/]"), AfterValidator(lambda url: url.rstrip("/"))] = (
        "http://127.0.0.1:3000"
    )
    runbook: str = "docs/RUNBOOK.md"
    namespace: str = Field("ViewerAtlas", pattern="^[A-Za-z0-9._/#:-]{1,255}$")
    heartbeat_minutes: float = Field(5.0, gt=0)
    endpoint_url: str = ""

    @model_validator(mode="after")
    def _topic_named(self) -> Self:
        if self.backend == "sns" and not _TOPIC_ARN.fullmatch(self.topic_arn):
            raise ValueError(
                "alerts.backend is sns, so ALERTS_TOPIC_ARN (alerts.topic_arn) must name a standard topic, "
                f"as arn:aws:sns:us-east-1:111122223333:alerts does; it is {self.topic_arn!r}"
            )
        return self


class SourceSettings(Section):
    """Where the code is hosted, for the links from assets to their source in the UI."""

    git_url: str = Field("", pattern=r"^(https://(github|gitlab)\.[^/]+/.+[^/])?$")
    git_branch: str = Field("main", min_length=1)


class Settings(CollectorSettings):
    """Every section of config.yaml."""

    foreign_sections: ClassVar[frozenset[str]] = frozenset()

    analysis: AnalysisSettings = AnalysisSettings()
    checks: CheckSettings = CheckSettings()
    late_data: LateDataSettings = LateDataSettings()
    retention: RetentionSettings = RetentionSettings()
    alerts: AlertSettings = AlertSettings()
    source: SourceSettings = SourceSettings()

    @model_validator(mode="after")
    def _one_window_length(self) -> Self:
        if self.vod.bucket_len_s != self.collection.window_seconds:
            raise ValueError(
                f"vod.bucket_len_s {self.vod.bucket_len_s} differs from collection.window_seconds "
                f"{self.collection.window_seconds}: live and VOD presence would not share windows"
            )
        return self

    @model_validator(mode="after")
    def _lake_that_emr_reads(self) -> Self:
        if self.analysis.spark.emr_application_id and self.storage.type != "s3":
            raise ValueError(
                "analysis.spark.emr_application_id is set, so storage.type must be s3: EMR Serverless "
                f"cannot read a lake of type {self.storage.type}"
            )
        return self
