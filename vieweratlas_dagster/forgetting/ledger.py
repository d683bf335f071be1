"""The ledger of forgetting, and its unfinished jobs.

An entry of the ledger (``state/forgotten/``) stays for good. It has the time, the kind, the counts, the
progress, and the days whose graphs must be made again; nothing in it depends on the subject. A job
(``state/forgetting/``) has the subject, so that a later run can finish it; it is removed, with its old
versions, at the end.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from pydantic import TypeAdapter

from collector_service.contract import STATE_PREFIX, format_utc
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts
from collector_service.support.state_object import StateObject, known_version, validated
from vieweratlas_dagster.forgetting.subject import Kind, Subject

LEDGER_PREFIX = f"{STATE_PREFIX}/forgotten/"
JOBS_PREFIX = f"{STATE_PREFIX}/forgetting/"
DONE = "done"
_ADVICE = "put an earlier version back, or remove it if `vieweratlas forget` has not made it"


class LedgerError(Exception):
    """An entry of the ledger or a job cannot be read; the text names it and the next step."""


@dataclass(frozen=True)
class Job:
    """A subject that is being forgotten.

    Attributes:
        number: random; names the job and its entry in the ledger.
        subject: the viewer or channel.
        begun: when it began.
        found: counts by day.
        maps: days whose finished maps are rewritten.
        elsewhere: counts outside all days.
    """

    number: str
    subject: Subject
    begun: str
    found: dict[str, dict[str, int]] = field(default_factory=dict)
    maps: tuple[str, ...] = ()
    elsewhere: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The job's object in the lake."""
        return f"{JOBS_PREFIX}{self.number}.json"

    @property
    def counts(self) -> dict[str, int]:
        """All counts together."""
        total: Counter[str] = Counter(self.elsewhere)
        for counts in self.found.values():
            total.update(counts)
        return dict(sorted(total.items()))

    def with_day(self, day: str, counts: Counter[str]) -> Job:
        """The job with the counts of a day; if the day was counted before, the larger ones."""
        known = Counter(self.found.get(day, {}))
        return replace(self, found={**self.found, day: dict(sorted((known | counts).items()))})

    def with_more(self, counts: Counter[str]) -> Job:
        """The job with counts outside all days; if there were counts before, the larger ones."""
        return replace(self, elsewhere=dict(sorted((Counter(self.elsewhere) | counts).items())))


def new_job(subject: Subject, now: datetime) -> Job:
    """A job that is not in the lake yet."""
    return Job(secrets.token_hex(8), subject, format_utc(now))


def keep_job(lake: Lake, job: Job) -> None:
    """Write a job."""
    JOB_FILES.at(job.key).write(lake, _JobFile.of(job))


def unfinished_jobs(lake: Lake) -> list[Job]:
    """The jobs that are not finished, oldest first.

    Raises:
        LedgerError: a job cannot be read.
    """
    jobs = [
        file.job(info.key)
        for info in lake.objects(JOBS_PREFIX)
        if (file := JOB_FILES.at(info.key).read(lake)) is not None
    ]
    return sorted(jobs, key=lambda job: (job.begun, job.number))


def drop_job(lake: Lake, job: Job) -> None:
    """Remove a job from a lake without old versions; otherwise ``s3_versions`` does."""
    lake.delete(job.key)


@dataclass(frozen=True)
class Entry:
    """The ledger's entry of one job.

    Attributes:
        number: that of the job.
        kind: viewer or channel.
        begun: when the job began.
        progress: in words; ``DONE`` at the end.
        counts: everything found.
        days: days whose graphs must be made again.
    """

    number: str
    kind: Kind
    begun: str
    progress: str
    counts: dict[str, int]
    days: tuple[str, ...]

    @property
    def key(self) -> str:
        """The entry's object in the lake."""
        return f"{LEDGER_PREFIX}{self.number}.json"

    @property
    def is_done(self) -> bool:
        """Whether the job is finished."""
        return self.progress == DONE


def write_entry(lake: Lake, job: Job, progress: str, days: Iterable[str] = ()) -> None:
    """Write the entry of a job, unless it is in the ledger already; a damaged one is replaced.

    Args:
        lake: the lake.
        job: the job.
        progress: in words; ``DONE`` when the job is finished.
        days: days whose graphs must be made again.
    """
    file = _EntryFile(job.subject.kind, job.begun, progress, job.counts, tuple(sorted(days)))
    entry = ENTRY_FILES.at(f"{LEDGER_PREFIX}{job.number}.json")
    try:
        is_written = entry.read(lake) == file
    except LedgerError:
        is_written = False
    if not is_written:
        entry.write(lake, file)


def entries(lake: Lake, but: Iterable[str] = ()) -> list[Entry]:
    """The entries in the order of time, except the numbers in ``but``.

    Raises:
        LedgerError: an entry cannot be read.
    """
    skipped = {f"{LEDGER_PREFIX}{number}.json" for number in but}
    keys = [info.key for info in lake.objects(LEDGER_PREFIX) if info.key not in skipped]
    found = [file.entry(key) for key in keys if (file := ENTRY_FILES.at(key).read(lake)) is not None]
    return sorted(found, key=lambda entry: (entry.begun, entry.number))


@dataclass(frozen=True)
class _JobFile:
    """A job in the lake; its number is in the key."""

    kind: Kind
    viewer_keys: frozenset[int]
    channel_ids: frozenset[int]
    channels: frozenset[str]
    begun: str
    found: dict[str, dict[str, int]]
    maps: tuple[str, ...]
    elsewhere: dict[str, int]
    out_of_reach: tuple[str, ...] = ()
    schema_version: Annotated[int, known_version(1)] = 1

    @classmethod
    def of(cls, job: Job) -> _JobFile:
        opt_outs = job.subject.opt_outs
        return cls(
            kind=job.subject.kind,
            viewer_keys=opt_outs.viewer_keys,
            channel_ids=opt_outs.channel_ids,
            channels=opt_outs.channels,
            begun=job.begun,
            found=job.found,
            maps=job.maps,
            elsewhere=job.elsewhere,
            out_of_reach=job.subject.out_of_reach,
        )

    def job(self, key: str) -> Job:
        opt_outs = OptOuts(self.viewer_keys, self.channel_ids, self.channels)
        subject = Subject(self.kind, opt_outs, self.out_of_reach)
        number = key.removeprefix(JOBS_PREFIX).removesuffix(".json")
        return Job(number, subject, self.begun, self.found, self.maps, self.elsewhere)

    def to_bytes(self) -> bytes:
        """Keys and ids become decimal text, which every JSON reader can hold."""
        lists = {
            "viewer_keys": [str(key) for key in sorted(self.viewer_keys)],
            "channel_ids": [str(number) for number in sorted(self.channel_ids)],
            "channels": sorted(self.channels),
        }
        return _json(asdict(self) | lists)


@dataclass(frozen=True)
class _EntryFile:
    """An entry in the lake; its number is in the key."""

    kind: Kind
    begun: str
    progress: str
    counts: dict[str, int]
    days_to_make_again: tuple[str, ...]
    schema_version: Annotated[int, known_version(1)] = 1

    def entry(self, key: str) -> Entry:
        number = key.removeprefix(LEDGER_PREFIX).removesuffix(".json")
        return Entry(number, self.kind, self.begun, self.progress, self.counts, self.days_to_make_again)

    def to_bytes(self) -> bytes:
        return _json(asdict(self))


def _json(fields: dict[str, Any]) -> bytes:
    return (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode()


JOB_FILES = StateObject(
    JOBS_PREFIX, partial(validated, TypeAdapter(_JobFile)), _JobFile.to_bytes, _ADVICE, LedgerError
)
ENTRY_FILES = StateObject(
    LEDGER_PREFIX, partial(validated, TypeAdapter(_EntryFile)), _EntryFile.to_bytes, _ADVICE, LedgerError
)
