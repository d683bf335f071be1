"""The steps of forgetting, in an order that allows a killed run to be repeated.

The opt-out comes first, so that no process writes more about the subject. Then one run at a time rewrites
the days, each noted in the job before it is changed, then maps, state, and the ledger's list of days to
make again, then old versions. The job, the only object that identifies the subject, is deleted last.
Every step skips finished work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime

from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OPT_OUTS_KEY, add_opt_outs, read_opt_outs
from vieweratlas_dagster.forgetting import days, ledger, maps, state
from vieweratlas_dagster.forgetting.ledger import Job
from vieweratlas_dagster.forgetting.lock import own_turn
from vieweratlas_dagster.forgetting.s3_versions import Versions
from vieweratlas_dagster.forgetting.subject import Subject
from vieweratlas_dagster.settings import Settings

# The progress in the ledger.
_REWRITING = "opted out; rewriting the lake"
_REWRITTEN = "rewritten; removing old versions"

# Longer than any write takes: an older unfinished one is a leftover.
_UNFINISHED_SECONDS = 3600.0

ReportProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ForgettingReport:
    """The findings of a run.

    Attributes:
        counts: everything found, by kind.
        days: the days whose graphs are made again.
        newly_opted_out: whether the subject was not yet on the list of opt-outs.
        mentions: keys of further state objects that mention the subject; they are not rewritten.
        removed_maps: days whose page and pictures were removed, because they could not be drawn again.
        out_of_reach: days that could not be searched, see `Subject`.
    """

    counts: dict[str, int]
    days: tuple[str, ...]
    newly_opted_out: bool
    mentions: tuple[str, ...]
    removed_maps: tuple[str, ...] = ()
    out_of_reach: tuple[str, ...] = ()


class Forgetting:
    """Forgetting in one lake.

    Args:
        lake: the lake.
        settings: for pages that are drawn again.
        versions: the old versions of the lake's objects; None for a lake without versioning.
        now: the time at which a new job begins.
        progress: called with the current item, how many are done, and how many there are.
    """

    def __init__(
        self,
        lake: Lake,
        settings: Settings,
        versions: Versions | None,
        now: datetime,
        progress: ReportProgress = lambda _item, _done, _all: None,
    ) -> None:
        self._lake = lake
        self._settings = settings
        self._versions = versions
        self._now = now
        self._progress = progress
        self._kept = False
        self._turn = ExitStack()
        self._has_turn = False

    def look(self, subject: Subject) -> ForgettingReport:
        """Count the subject's data; writes nothing.

        Raises:
            BadMapManifestError, BadOptOutsError, QueueError, UnreadableObjectError: an object cannot be
                read.
        """
        lake, listed = self._lake, read_opt_outs(self._lake)
        job = ledger.new_job(subject, self._now)
        for day in self._each("days", days.days_of(lake)):
            if counts := days.count_in(lake, day, subject):
                job = job.with_day(day, counts)
        if subject.kind == "channel":
            for day in self._each("maps", maps.days_with_maps(lake)):
                if counts := maps.count_in(lake, day, subject):
                    job = job.with_day(day, Counter(job.found.get(day, {})) + counts)
        job = job.with_more(state.count_in(lake, subject))
        if self._versions:
            job = job.with_more(Counter(job.elsewhere) + self._count_versions(subject))
        return ForgettingReport(
            job.counts,
            tuple(sorted(job.found)),
            listed | subject.opt_outs != listed,
            (),
            out_of_reach=subject.out_of_reach,
        )

    def run(self, subject: Subject) -> ForgettingReport:
        """Forget the subject, or resume an unfinished job of it.

        Raises:
            BadMapManifestError, BadOptOutsError, LedgerError, QueueError, UnreadableObjectError: an object
                cannot be read. Earlier steps are done; the same call resumes there after a repair.
            VersionsError: S3 refuses to delete old versions.
        """
        lake = self._lake
        begun = [job for job in ledger.unfinished_jobs(lake) if job.subject.kind == subject.kind]
        mine = [job for job in begun if _is_same(job.subject, subject)]
        job = mine[0] if mine else ledger.new_job(subject, self._now)
        # Since the job began, more logins of a channel or more keys of a viewer may be known.
        out_of_reach = tuple(days for days in subject.out_of_reach if days in job.subject.out_of_reach)
        known = Subject(subject.kind, job.subject.opt_outs | subject.opt_outs, out_of_reach)
        job = replace(job, subject=known)
        listed = read_opt_outs(lake)
        new = listed | job.subject.opt_outs != listed
        self._kept = bool(mine) and mine[0] == job
        if new:
            ledger.keep_job(lake, job)
            self._kept = True
            add_opt_outs(lake, job.subject.opt_outs, may_begin=not self._has_forgotten(job))
        with ExitStack() as self._turn:
            return self._run(job, new=new)

    def _run(self, job: Job, *, new: bool) -> ForgettingReport:
        lake, subject = self._lake, job.subject
        if self._kept:
            self._take_turn()
            ledger.write_entry(lake, job, _REWRITING)
        lake.remove_leftovers(_UNFINISHED_SECONDS)
        job = self._rewrite_days(job)
        removed: tuple[str, ...] = ()
        if subject.kind == "channel":
            job, removed = self._rewrite_maps(job)
        if found := state.count_in(lake, subject):
            job = self._keep(job.with_more(found))
            state.forget_in(lake, subject)
        if not self._kept and (old := self._count_versions(subject)):
            job = self._keep(job.with_more(old))
        if self._kept:
            job = self._finish(job)
        known = frozenset({OPT_OUTS_KEY})
        return ForgettingReport(
            job.counts,
            tuple(sorted(job.found)),
            new,
            tuple(state.others_that_mention(lake, subject, known)),
            removed,
            subject.out_of_reach,
        )

    def resume(self) -> list[ForgettingReport]:
        """Finish every unfinished job."""
        return [self.run(job.subject) for job in ledger.unfinished_jobs(self._lake)]

    def _rewrite_days(self, job: Job) -> Job:
        lake, subject = self._lake, job.subject
        for day in self._each("days", days.days_of(lake)):
            if counts := days.count_in(lake, day, subject):
                job = self._keep(job.with_day(day, counts))
                days.forget_in(lake, day, subject)
                ledger.write_entry(lake, job, _REWRITING)
        return job

    def _rewrite_maps(self, job: Job) -> tuple[Job, tuple[str, ...]]:
        """The job with what was found, and the days whose finished maps could not be drawn again."""
        lake, subject = self._lake, job.subject
        names = self._each("maps", maps.days_with_maps(lake))
        found = {day: counts for day in names if (counts := maps.count_in(lake, day, subject))}
        for day, counts in found.items():
            before = Counter(job.found.get(day, {}))
            job = job.with_day(day, before if before["maps"] else before + counts)
        if found:
            # A page shows earlier days, too.
            shown = maps.showing(lake, {*found, *job.maps}, self._settings.analysis.history_days)
            finished = {day for day in found if maps.is_finished(lake, day)}
            job = self._keep(replace(job, maps=tuple(sorted({*job.maps, *finished, *shown}))))
        # Oldest first, because later pages show earlier days.
        removed = []
        for day in self._each("pages", sorted({*found, *job.maps})):
            finish = day in job.maps
            if not maps.forget_in(lake, day, subject, self._settings, finish=finish) and finish:
                removed.append(day)
        maps.renew_latest(lake, set(job.maps), subject)
        return job, tuple(removed)

    def _finish(self, job: Job) -> Job:
        lake = self._lake
        ledger.write_entry(lake, job, _REWRITTEN, job.found)
        if self._versions:
            job = job.with_more(self._versions.forget(job.subject, self._report_version))
        ledger.write_entry(lake, job, ledger.DONE, job.found)
        if self._versions:
            self._versions.forget_job(job.key)
        else:
            ledger.drop_job(lake, job)
        return job

    def _count_versions(self, subject: Subject) -> Counter[str]:
        if self._versions is None:
            return Counter()
        return self._versions.count_in(subject, self._report_version)

    def _report_version(self, key: str) -> None:
        self._progress(f"old versions: {key}", 0, 0)

    def _has_forgotten(self, job: Job) -> bool:
        """Whether the ledger has other entries; then the lake must have a list of opt-outs."""
        return any(True for _ in ledger.entries(self._lake, but={job.number}))

    def _take_turn(self) -> None:
        """Wait until no other run rewrites the lake; objects are read only after that."""
        if not self._has_turn:
            self._turn.enter_context(own_turn(self._lake, lambda reason: self._progress(reason, 0, 0)))
            self._turn.callback(self._end_turn)
            self._has_turn = True

    def _end_turn(self) -> None:
        self._has_turn = False

    def _keep(self, job: Job) -> Job:
        self._take_turn()
        ledger.keep_job(self._lake, job)
        self._kept = True
        return job

    def _each(self, kind: str, names: list[str]) -> Iterator[str]:
        for number, name in enumerate(names):
            self._progress(f"{kind}: {name}", number, len(names))
            yield name


def _is_same(begun: Subject, subject: Subject) -> bool:
    """Whether one of two subjects has all keys, ids and logins of the other."""
    return begun.opt_outs | subject.opt_outs in (begun.opt_outs, subject.opt_outs)
