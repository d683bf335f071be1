"""The lake as a Dagster resource, so that its place shows in the UI."""

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import dagster as dg
from pydantic import Field

from collector_service.lake import Lake
from collector_service.settings import StorageSettings


class LakeResource(dg.ConfigurableResource):
    """The lake that all assets read and write."""

    type: Literal["file", "s3"] = Field(description="file: a local folder; s3: a bucket")
    dir: str = Field("", description="the folder, for type file")
    s3_bucket: str = Field("", description="the bucket, for type s3")
    s3_prefix: str = Field("", description="prefix of all keys, for type s3")
    region: str = Field("", description="AWS region of the bucket")
    endpoint_url: str = Field("", description="a different S3 endpoint, for tests")

    @classmethod
    def of(cls, storage: StorageSettings) -> Self:
        """The resource for the lake that the settings name."""
        return cls(**storage.model_dump(exclude={"dir"}), dir=str(storage.dir))

    @cached_property
    def lake(self) -> Lake:
        """The opened lake."""
        return Lake.open(
            StorageSettings(
                type=self.type,
                dir=Path(self.dir),
                s3_bucket=self.s3_bucket,
                s3_prefix=self.s3_prefix,
                region=self.region,
                endpoint_url=self.endpoint_url,
            )
        )
