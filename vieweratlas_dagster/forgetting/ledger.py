"""The ledger of what was forgotten, and the jobs that are not done yet.

Belongs here: the two kinds of objects. An entry of the ledger (``state/forgotten/``) stays for good and
tells when something was forgotten, of which kind, how much, how far it has come, and which days' graphs are
to be made again; nothing in it depends on who it was. A job (``state/forgetting/``) tells who, so that a
run that was killed can be taken up by the next one; it is removed, with its old versions, when all is done.
Does not belong here: the work (``run``), and making graphs again (``automation.late_data``).
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from collector_service.contract import STATE_PREFIX, format_utc
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts
from collector_service.support.limits import MAX_STATE_BYTES, read_json
from vieweratlas_dagster.forgetting.subject import Kind, Subject

LEDGER_PREFIX = f"{STATE_PREFIX}/forgotten/"
JOBS_PREFIX = f"{STATE_PREFIX}/forgetting/"
DONE = "done"
_VERSION = 1
_T = TypeVar("_T")


class LedgerError(Exception):
    """An object of the ledger, or a job, cannot be read; the text says which one and what to do."""


@dataclass(frozen=True)
class Job:
    """A subject that is being forgotten.

    ``number`` is drawn at random and names the job and its entry in the ledger. ``found`` is what was found
    on each day, ``maps`` the days whose finished maps are rewritten, ``elsewhere`` what was found in no
    day.
    """

    number: str
    subject: Subject
    begun: str
    found: dict[str, dict[str, int]] = field(default_factory=dict)
    maps: tuple[str, ...] = ()
    elsewhere: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Where it is kept."""
        return f"{JOBS_PREFIX}{self.number}.json"

    @property
    def counts(self) -> dict[str, int]:
        """All that was found."""
        total: Counter[str] = Counter(self.elsewhere)
        for counts in self.found.values():
            total.update(counts)
        return dict(sorted(total.items()))

    def with_day(self, day: str, counts: Counter[str]) -> Job:
        """The job with what was found on a day: of two looks at it, the one that saw more."""
        known = Counter(self.found.get(day, {}))
        return replace(self, found={**self.found, day: dict(sorted((known | counts).items()))})

    def with_more(self, counts: Counter[str]) -> Job:
        """The job with what was found in no day; likewise."""
        return replace(self, elsewhere=dict(sorted((Counter(self.elsewhere) | counts).items())))


def new_job(subject: Subject, now: datetime) -> Job:
    """A job that is not kept anywhere yet."""
    return Job(secrets.token_hex(8), subject, format_utc(now))


def keep_job(lake: Lake, job: Job) -> None:
    """Write a job."""
    gone = job.subject.gone
    body = {
        "schema_version": _VERSION,
        "kind": job.subject.kind,
        "viewer_keys": [str(key) for key in sorted(gone.viewer_keys)],
        "channel_ids": [str(number) for number in sorted(gone.channel_ids)],
        "channels": sorted(gone.channels),
        "out_of_reach": job.subject.out_of_reach,
        "begun": job.begun,
        "found": job.found,
        "maps": job.maps,
        "elsewhere": job.elsewhere,
    }
    lake.put(job.key, _json(body))


def unfinished_jobs(lake: Lake) -> list[Job]:
    """The jobs that were begun and are not done, oldest first.

    Raises:
        LedgerError: one cannot be read.
    """
    jobs = [_read(lake, info.key, _job) for info in lake.objects(JOBS_PREFIX)]
    return sorted(jobs, key=lambda job: (job.begun, job.number))


def _job(key: str, body: dict[str, Any]) -> Job:
    gone = OptOuts(
        frozenset(map(int, body["viewer_keys"])),
        frozenset(map(int, body["channel_ids"])),
        frozenset(body["channels"]),
    )
    number = key.removeprefix(JOBS_PREFIX).removesuffix(".json")
    subject = Subject(body["kind"], gone, tuple(body.get("out_of_reach", ())))
    return Job(number, subject, body["begun"], body["found"], tuple(body["maps"]), body["elsewhere"])


def drop_job(lake: Lake, job: Job) -> None:
    """Remove a job from a lake that keeps no old versions; else ``versions`` does."""
    lake.delete(job.key)


@dataclass(frozen=True)
class Entry:
    """What the ledger says of one forgetting: ``days`` are those whose graphs have to be made again."""

    number: str
    kind: Kind
    begun: str
    progress: str
    counts: dict[str, int]
    days: tuple[str, ...]

    @property
    def key(self) -> str:
        """Where it is kept."""
        return f"{LEDGER_PREFIX}{self.number}.json"

    @property
    def is_done(self) -> bool:
        """Whether it stays as it is."""
        return self.progress == DONE


def write_entry(lake: Lake, job: Job, progress: str, days: Iterable[str] = ()) -> None:
    """Write how far a job has come, unless its entry says so already.

    Args:
        lake: the lake.
        job: the job.
        progress: in words; ``DONE`` when the entry is the last.
        days: whose graphs are to be made again from now on.
    """
    body: dict[str, Any] = {
        "schema_version": _VERSION,
        "kind": job.subject.kind,
        "begun": job.begun,
        "progress": progress,
        "counts": job.counts,
        "days_to_make_again": sorted(days),
    }
    data = _json(body)
    entry = f"{LEDGER_PREFIX}{job.number}.json"
    if not (lake.exists(entry) and lake.get(entry) == data):
        lake.put(entry, data)


def entries(lake: Lake, but: Iterable[str] = ()) -> list[Entry]:
    """The ledger in the order of time, without those whose numbers are in ``but``.

    Raises:
        LedgerError: one cannot be read.
    """
    known = {f"{LEDGER_PREFIX}{number}.json" for number in but}
    keys = [info.key for info in lake.objects(LEDGER_PREFIX) if info.key not in known]
    found = [_read(lake, key, _entry) for key in keys]
    return sorted(found, key=lambda entry: (entry.begun, entry.number))


def _entry(key: str, body: dict[str, Any]) -> Entry:
    number = key.removeprefix(LEDGER_PREFIX).removesuffix(".json")
    days = tuple(body["days_to_make_again"])
    return Entry(number, body["kind"], body["begun"], body["progress"], body["counts"], days)


def _read(lake: Lake, key: str, make: Callable[[str, dict[str, Any]], _T]) -> _T:
    try:
        return make(key, read_json(lake.get(key, MAX_STATE_BYTES)))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise LedgerError(
            f"{lake.address(key)} cannot be read ({str(error)[:200]}): put an earlier version back, or "
            "remove it if `vieweratlas forget` has not made it"
        ) from None


def _json(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()
