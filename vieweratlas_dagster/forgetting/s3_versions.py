"""Deleting old versions of rewritten objects in a bucket with versioning, and lonely delete markers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, cast

from collector_service.settings import StorageSettings
from vieweratlas_dagster.forgetting.ledger import JOBS_PREFIX
from vieweratlas_dagster.forgetting.rewriting import (
    RAW_PREFIXES,
    UnreadableObjectError,
    most_bytes,
    rewritten,
)
from vieweratlas_dagster.forgetting.subject import Subject
from vieweratlas_dagster.lake.keys import ANALYSIS_PREFIX, MANIFESTS_PREFIX, QUARANTINE_PREFIX, SPARK_PREFIX
from vieweratlas_dagster.vod.discovery import MEMORY_KEY
from vieweratlas_dagster.vod.queue_store import DAMAGED_PREFIX, QUEUE_KEY

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SEARCHED = (
    *RAW_PREFIXES,
    "curated/",
    QUARANTINE_PREFIX,
    "state/vod/",
    "state/collectors/",
    SPARK_PREFIX,
    JOBS_PREFIX,
)
_OF_JOBS = "job_versions"
# Searched as text; other objects are judged by rewriting them.
_SEARCHED_AS_TEXT = (JOBS_PREFIX, QUEUE_KEY, MEMORY_KEY, "state/collectors/", DAMAGED_PREFIX)
_RIGHTS = (
    "This needs s3:ListBucketVersions, s3:GetObjectVersion and s3:DeleteObjectVersion; run the same "
    "command again with them"
)
# The most versions that one request can delete.
_BATCH = 1000


class VersionsError(Exception):
    """S3 refused to list or delete versions; the text has the reason and the next step."""


@contextmanager
def _s3_errors_explained() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise VersionsError(f"old versions on S3 cannot be searched: {error}. {_RIGHTS}") from None


class Versions:
    """The versions of the lake's objects, for a lake on S3.

    Args:
        storage: where the lake is.
    """

    def __init__(self, storage: StorageSettings) -> None:
        import boto3

        prefix = storage.s3_prefix.strip("/")
        self._root = f"{prefix}/" if prefix else ""
        self._bucket = storage.s3_bucket
        self._client: S3Client = boto3.client(
            "s3", region_name=storage.region, endpoint_url=storage.endpoint_url or None
        )

    @_s3_errors_explained()
    def count_in(self, subject: Subject, progress: Callable[[str], None] = lambda _: None) -> Counter[str]:
        """Count the old versions (also of jobs) and delete markers to delete. Writes nothing."""
        counts: Counter[str] = Counter()
        for prefix in self._searched(subject):
            counts.update(kind for kind, _ in self._containing(prefix, subject, progress))
            counts.update(kind for kind, _ in self._lonely_markers(prefix))
        return counts

    @_s3_errors_explained()
    def forget(self, subject: Subject, progress: Callable[[str], None] = lambda _: None) -> Counter[str]:
        """Delete old versions that contain the subject, and delete markers of objects without a version.

        Returns:
            How many of both were deleted, without those of jobs.

        Raises:
            VersionsError: S3 refused to list or delete some.
        """
        deleted: Counter[str] = Counter()
        for prefix in self._searched(subject):
            # Deleting versions may leave delete markers alone, so these come second.
            for doomed in (self._containing(prefix, subject, progress), self._lonely_markers(prefix)):
                while batch := list(islice(doomed, _BATCH)):
                    self._delete([version for _, version in batch])
                    deleted.update(kind for kind, _ in batch)
        del deleted[_OF_JOBS]
        return deleted

    @_s3_errors_explained()
    def forget_job(self, key: str) -> None:
        """Delete every version of a job, the newest last: until then the job can be resumed."""
        newest: list[dict[str, str]] = []
        older: list[dict[str, str]] = []
        for _, listed in self._versions(key):
            version = {"Key": str(listed["Key"]), "VersionId": str(listed["VersionId"])}
            (newest if listed["IsLatest"] else older).append(version)
        self._delete(older)
        self._delete(newest)

    def _searched(self, subject: Subject) -> tuple[str, ...]:
        return (*_SEARCHED, MANIFESTS_PREFIX) if subject.kind == "channel" else _SEARCHED

    def _containing(
        self, prefix: str, subject: Subject, progress: Callable[[str], None]
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """The old versions that contain the subject."""
        for key, versions in self._by_key(prefix):
            progress(key)
            counted_as = _OF_JOBS if key.startswith(self._root + JOBS_PREFIX) else "old_versions"
            for kind, listed in versions:
                if kind == "Versions" and not listed["IsLatest"]:
                    version = {"Key": key, "VersionId": str(listed["VersionId"])}
                    if self._contains(key, version["VersionId"], subject):
                        yield counted_as, version

    def _lonely_markers(self, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
        """The delete markers of objects without any version: only the name is left of these."""
        for key, versions in self._by_key(prefix):
            if all(kind == "DeleteMarkers" for kind, _ in versions):
                for _, marker in versions:
                    yield "delete_markers", {"Key": key, "VersionId": str(marker["VersionId"])}

    def _by_key(self, prefix: str) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
        for key, versions in groupby(self._versions(prefix), key=lambda found: str(found[1]["Key"])):
            yield key, list(versions)

    def _versions(self, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every version and delete marker below a prefix; those of one key come together."""
        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=self._root + prefix
        )
        kept_back: list[tuple[str, dict[str, Any]]] = []
        for page in pages:
            listed = cast("dict[str, Any]", page)
            found = kept_back + [
                (kind, version)
                for kind in ("Versions", "DeleteMarkers")
                for version in listed.get(kind, [])
            ]
            # A page may end among the versions of one key: the last key waits for the next page.
            last = max((str(version["Key"]) for _, version in found), default="")
            kept_back = [(kind, version) for kind, version in found if version["Key"] == last]
            complete = [(kind, version) for kind, version in found if version["Key"] != last]
            yield from sorted(complete, key=lambda found: str(found[1]["Key"]))
        yield from kept_back

    def _contains(self, key: str, version: str, subject: Subject) -> bool:
        name = key.removeprefix(self._root)
        if name.startswith(SPARK_PREFIX):
            # Never needed again.
            return True
        if name.startswith(MANIFESTS_PREFIX) or (
            name.startswith(ANALYSIS_PREFIX) and not name.endswith(".parquet")
        ):
            # A manifest does not name the channels of its VODs, and a picture cannot be searched; old ones
            # are never needed again.
            return subject.kind == "channel"
        found = self._client.get_object(Bucket=self._bucket, Key=key, VersionId=version)
        if found["ContentLength"] > (most_bytes(name) or math.inf):
            return True
        data = found["Body"].read()
        if name.startswith(_SEARCHED_AS_TEXT):
            return subject.mentions(data)
        try:
            return rewritten(name, data, subject).data != data
        except UnreadableObjectError:
            return True

    def _delete(self, versions: list[dict[str, str]]) -> None:
        for start in range(0, len(versions), _BATCH):
            objects: Any = versions[start : start + _BATCH]
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
            )
            if errors := answer.get("Errors"):
                first = errors[0]
                raise VersionsError(
                    f"S3 did not delete {len(errors)} old versions; the first is of {first.get('Key')}: "
                    f"{first.get('Message')}. {_RIGHTS}"
                )
