"""Old versions of objects on S3, which rewriting leaves behind.

Belongs here: listing, judging and deleting versions and delete markers of a bucket with versioning. Does
not belong here: what an object becomes (``rewriting``); a folder keeps no old versions.
"""

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
_TOLD_BY_TEXT = (JOBS_PREFIX, QUEUE_KEY, MEMORY_KEY, "state/collectors/", DAMAGED_PREFIX)
_RIGHTS = (
    "This needs s3:ListBucketVersions, s3:GetObjectVersion and s3:DeleteObjectVersion; run the same "
    "command again with them"
)
# What one request can delete.
_BATCH = 1000


class VersionsError(Exception):
    """S3 refused to delete versions; the text says which and why."""


@contextmanager
def _told_what_to_do() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise VersionsError(f"old versions on S3 cannot be looked through: {error}. {_RIGHTS}") from None


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

    @_told_what_to_do()
    def held(self, subject: Subject, tell: Callable[[str], None] = lambda _: None) -> Counter[str]:
        """How many old versions (also of jobs) and delete markers are to go by now. Writes nothing."""
        counts: Counter[str] = Counter()
        for prefix in self._searched(subject):
            counts.update(kind for kind, _ in self._holding(prefix, subject, tell))
            counts.update(kind for kind, _ in self._lonely_markers(prefix))
        return counts

    @_told_what_to_do()
    def forget(self, subject: Subject, tell: Callable[[str], None] = lambda _: None) -> Counter[str]:
        """Delete old versions that hold the subject, and delete markers of which nothing else is left.

        Returns:
            How many of both went, those of jobs left out.

        Raises:
            VersionsError: S3 refuses to delete some.
        """
        gone: Counter[str] = Counter()
        for prefix in self._searched(subject):
            # Deleting versions may leave markers alone, so these come in a second round.
            for doomed in (self._holding(prefix, subject, tell), self._lonely_markers(prefix)):
                while batch := list(islice(doomed, _BATCH)):
                    self._delete([version for _, version in batch])
                    gone.update(kind for kind, _ in batch)
        del gone[_OF_JOBS]
        return gone

    @_told_what_to_do()
    def forget_job(self, key: str) -> None:
        """Delete every version of a job, the newest last: until then the job can be resumed."""
        newest: list[dict[str, str]] = []
        older: list[dict[str, str]] = []
        for _, one in self._versions(key):
            version = {"Key": str(one["Key"]), "VersionId": str(one["VersionId"])}
            (newest if one["IsLatest"] else older).append(version)
        self._delete(older)
        self._delete(newest)

    def _searched(self, subject: Subject) -> tuple[str, ...]:
        return (*_SEARCHED, MANIFESTS_PREFIX) if subject.kind == "channel" else _SEARCHED

    def _holding(
        self, prefix: str, subject: Subject, tell: Callable[[str], None]
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """The old versions that hold the subject."""
        for key, versions in self._by_key(prefix):
            tell(key)
            what = _OF_JOBS if key.startswith(self._root + JOBS_PREFIX) else "old_versions"
            for kind, one in versions:
                if kind == "Versions" and not one["IsLatest"]:
                    version = {"Key": key, "VersionId": str(one["VersionId"])}
                    if self._holds(key, version["VersionId"], subject):
                        yield what, version

    def _lonely_markers(self, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
        """The delete markers of objects without any version, which tell no more than a name."""
        for key, versions in self._by_key(prefix):
            if all(kind == "DeleteMarkers" for kind, _ in versions):
                for _, one in versions:
                    yield "delete_markers", {"Key": key, "VersionId": str(one["VersionId"])}

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
                (kind, one) for kind in ("Versions", "DeleteMarkers") for one in listed.get(kind, [])
            ]
            # A page may end among the versions of a key: those of the last one wait for the next page.
            last = max((str(one["Key"]) for _, one in found), default="")
            kept_back = [(kind, one) for kind, one in found if one["Key"] == last]
            yield from sorted(
                (one for one in found if one[1]["Key"] != last), key=lambda one: str(one[1]["Key"])
            )
        yield from kept_back

    def _holds(self, key: str, version: str, subject: Subject) -> bool:
        name = key.removeprefix(self._root)
        if name.startswith(SPARK_PREFIX):
            # Of no use to anybody.
            return True
        if name.startswith(MANIFESTS_PREFIX) or (
            name.startswith(ANALYSIS_PREFIX) and not name.endswith(".parquet")
        ):
            # Nobody can say whose the VODs are that a manifest lists, nor who is in a picture; and old
            # ones are of no use.
            return subject.kind == "channel"
        found = self._client.get_object(Bucket=self._bucket, Key=key, VersionId=version)
        if found["ContentLength"] > (most_bytes(name) or math.inf):
            return True
        data = found["Body"].read()
        if name.startswith(_TOLD_BY_TEXT):
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
                    f"S3 did not delete {len(errors)} old versions, the first of {first.get('Key')}: "
                    f"{first.get('Message')}. {_RIGHTS}"
                )
