"""All settings of the platform: the collector's, plus what the code location adds.

Belongs here: the sections ``analysis`` and ``checks``. Does not belong here: how settings are read
and explained (``collector_service.settings``).
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from collector_service.settings import Section
from collector_service.settings import Settings as CollectorSettings


class AnalysisSettings(Section):
    """From presence to communities; docs/METHOD.md explains each of them."""

    first_day: date = date(2020, 1, 1)
    window_days: int = Field(7, ge=1, le=90)
    min_channel_viewers: int = Field(10, ge=1)
    overlap_threshold: int = Field(5, ge=1)
    resolution: float | None = Field(None, gt=0)
    region_resolution: float | None = Field(None, gt=0)
    min_community_size: int = Field(3, ge=1)
    algorithm: Literal["leiden", "louvain"] = "leiden"
    engine: Literal["local"] = "local"
    bot_filter: bool = True
    max_channels_per_viewer: int = Field(100, ge=2)
    seed: int = Field(7, ge=0, le=2**31 - 1)

    @model_validator(mode="after")
    def _levels_in_order(self) -> Self:
        if self.resolution and self.region_resolution and self.region_resolution > self.resolution:
            raise ValueError(
                f"analysis.region_resolution {self.region_resolution} is above analysis.resolution "
                f"{self.resolution}: regions are the coarser level"
            )
        return self


class CheckSettings(Section):
    """Thresholds of the asset checks."""

    max_snapshot_age_minutes: float = Field(30.0, gt=0)
    min_observed_share: float = Field(0.5, ge=0, le=1)
    max_quarantined_share: float = Field(0.01, ge=0, le=1)
    max_generic_label_share: float = Field(0.2, ge=0, le=1)
    min_modularity: float = Field(0.2, ge=-1, le=1)


class Settings(CollectorSettings):
    """Every section of config.yaml."""

    foreign_sections: ClassVar[frozenset[str]] = frozenset()

    analysis: AnalysisSettings = AnalysisSettings()
    checks: CheckSettings = CheckSettings()

    @model_validator(mode="after")
    def _one_window_length(self) -> Self:
        if self.vod.bucket_len_s != self.collection.window_seconds:
            raise ValueError(
                f"vod.bucket_len_s {self.vod.bucket_len_s} differs from collection.window_seconds "
                f"{self.collection.window_seconds}: live and VOD presence would not share windows"
            )
        return self
