"""Forgetting somebody from beginning to end, so that it can be killed anywhere and begun again.

Belongs here: the order of the steps. Does not belong here: any of them.

First the opt-out, so that nobody writes more. Then, one run at a time, day by day, each noted in the job
before it is touched; then maps, state, and the ledger's list of days to make again; then old versions. The
job, which alone knows who it was, goes last. Every step does nothing where there is nothing left to do, so
a run that was killed is simply repeated.
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

_OPTED_OUT = "left out of what is collected; rewriting what was written"
_REWRITTEN = "rewritten; removing old versions"

# No write takes so long.
_UNFINISHED_SECONDS = 3600.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Report:
    """What a run found and did.

    ``counts`` is what was found in all; ``days`` those whose graphs are made again; ``newly_left_out``
    whether the subject was not on the list of opt-outs before; ``mentions`` names objects of the state that
    still mention it, which nobody here rewrites; ``removed_maps`` are days whose page and pictures had to
    go, since tables that only a run can make are missing; ``out_of_reach`` is the subject's.
    """

    counts: dict[str, int]
    days: tuple[str, ...]
    newly_left_out: bool
    mentions: tuple[str, ...]
    removed_maps: tuple[str, ...] = ()
    out_of_reach: tuple[str, ...] = ()


class Forgetting:
    """Forgetting in one lake.

    Args:
        lake: the lake.
        settings: for pages that are drawn again.
        versions: of the lake's objects; None for a lake that keeps none.
        now: when a job begins.
        progress: called with what is being looked at, and how many of how many are done.
    """

    def __init__(
        self,
        lake: Lake,
        settings: Settings,
        versions: Versions | None,
        now: datetime,
        progress: Progress = lambda _what, _done, _all: None,
    ) -> None:
        self._lake = lake
        self._settings = settings
        self._versions = versions
        self._now = now
        self._progress = progress
        self._kept = False
        self._turn = ExitStack()
        self._has_turn = False

    def look(self, subject: Subject) -> Report:
        """What a run would find; writes nothing.

        Raises:
            BadMapManifestError, BadOptOutsError, QueueError, UnreadableObjectError: an object cannot be
                read.
        """
        gone, lake = subject.gone, self._lake
        listed = read_opt_outs(lake)
        job = ledger.new_job(subject, self._now)
        for day in self._each("days", days.days_of(lake)):
            if counts := days.held(lake, day, subject):
                job = job.with_day(day, counts)
        if subject.kind == "channel":
            for day in self._each("maps", maps.days_with_maps(lake)):
                if counts := maps.held(lake, day, subject):
                    job = job.with_day(day, Counter(job.found.get(day, {})) + counts)
        job = job.with_more(state.held(lake, subject))
        if self._versions:
            old = self._versions.held(subject, lambda key: self._progress(f"old versions: {key}", 0, 0))
            job = job.with_more(Counter(job.elsewhere) + old)
        return Report(
            job.counts,
            tuple(sorted(job.found)),
            listed | gone != listed,
            (),
            out_of_reach=subject.out_of_reach,
        )

    def run(self, subject: Subject) -> Report:
        """Forget the subject, or go on with it where an earlier run was killed.

        Raises:
            BadMapManifestError, BadOptOutsError, LedgerError, QueueError, UnreadableObjectError: an object
                cannot be read; what comes before it is done, and the same run goes on there once it is
                repaired.
            VersionsError: S3 refuses to delete old versions.
        """
        lake = self._lake
        begun = [job for job in ledger.unfinished_jobs(lake) if job.subject.kind == subject.kind]
        mine = [job for job in begun if job.subject.gone | subject.gone in (job.subject.gone, subject.gone)]
        job = mine[0] if mine else ledger.new_job(subject, self._now)
        # More may be known of a channel than then: another login, for example; of a viewer, other keys.
        out_of_reach = tuple(days for days in subject.out_of_reach if days in job.subject.out_of_reach)
        known = Subject(subject.kind, job.subject.gone | subject.gone, out_of_reach)
        job = replace(job, subject=known)
        listed = read_opt_outs(lake)
        new = listed | job.subject.gone != listed
        self._kept = bool(mine) and mine[0] == job
        if new:
            ledger.keep_job(lake, job)
            self._kept = True
            add_opt_outs(lake, job.subject.gone, may_begin=not self._has_forgotten(job))
        with ExitStack() as self._turn:
            return self._run(job, new=new)

    def _run(self, job: Job, *, new: bool) -> Report:
        lake, subject = self._lake, job.subject
        if self._kept:
            self._take_turn()
            ledger.write_entry(lake, job, _OPTED_OUT)
        lake.remove_leftovers(_UNFINISHED_SECONDS)
        job = self._rewrite_days(job)
        removed: tuple[str, ...] = ()
        if subject.kind == "channel":
            job, removed = self._rewrite_maps(job)
        if found := state.held(lake, subject):
            job = self._keep(job.with_more(found))
            state.forget_in(lake, subject)
        if not self._kept and (old := self._held_versions(subject)):
            job = self._keep(job.with_more(old))
        if self._kept:
            job = self._finish(job)
        known = frozenset({OPT_OUTS_KEY})
        return Report(
            job.counts,
            tuple(sorted(job.found)),
            new,
            tuple(state.others_that_mention(lake, subject, known)),
            removed,
            subject.out_of_reach,
        )

    def resume(self) -> list[Report]:
        """Go on with every job that was begun."""
        return [self.run(job.subject) for job in ledger.unfinished_jobs(self._lake)]

    def _rewrite_days(self, job: Job) -> Job:
        lake, subject = self._lake, job.subject
        for day in self._each("days", days.days_of(lake)):
            if counts := days.held(lake, day, subject):
                job = self._keep(job.with_day(day, counts))
                days.forget_in(lake, day, subject)
                ledger.write_entry(lake, job, _OPTED_OUT)
        return job

    def _rewrite_maps(self, job: Job) -> tuple[Job, tuple[str, ...]]:
        """The job with what was found, and the days whose finished maps could not be drawn again."""
        lake, subject = self._lake, job.subject
        names = self._each("maps", maps.days_with_maps(lake))
        found = {day: counts for day in names if (counts := maps.held(lake, day, subject))}
        for day, counts in found.items():
            before = Counter(job.found.get(day, {}))
            job = job.with_day(day, before if before["maps"] else before + counts)
        if found:
            # A page shows the days before it, too.
            shown = maps.showing(lake, {*found, *job.maps}, self._settings.analysis.history_days)
            finished = {day for day in found if maps.is_finished(lake, day)}
            job = self._keep(replace(job, maps=tuple(sorted({*job.maps, *finished, *shown}))))
        # Oldest first, since later pages show those before.
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
            removed = self._versions.forget(
                job.subject, lambda key: self._progress(f"old versions: {key}", 0, 0)
            )
            job = job.with_more(removed)
        ledger.write_entry(lake, job, ledger.DONE, job.found)
        if self._versions:
            self._versions.forget_job(job.key)
        else:
            ledger.drop_job(lake, job)
        return job

    def _held_versions(self, subject: Subject) -> Counter[str]:
        if self._versions is None:
            return Counter()
        return self._versions.held(subject, lambda key: self._progress(f"old versions: {key}", 0, 0))

    def _has_forgotten(self, job: Job) -> bool:
        """Whether others were forgotten here before, so that there must be a list of opt-outs."""
        return any(True for _ in ledger.entries(self._lake, but={job.number}))

    def _take_turn(self) -> None:
        """Wait until no other run rewrites anything; what this one rewrites is read after that."""
        if not self._has_turn:
            self._turn.enter_context(own_turn(self._lake, lambda what: self._progress(what, 0, 0)))
            self._turn.callback(self._end_turn)
            self._has_turn = True

    def _end_turn(self) -> None:
        self._has_turn = False

    def _keep(self, job: Job) -> Job:
        self._take_turn()
        ledger.keep_job(self._lake, job)
        self._kept = True
        return job

    def _each(self, what: str, names: list[str]) -> Iterator[str]:
        for number, name in enumerate(names):
            self._progress(f"{what}: {name}", number, len(names))
            yield name
