"""Late raw objects: the days that have some, and the plan of runs that make days again, in order.

The sensor (``late_data``) keeps the plan from tick to tick.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Self

from pydantic import TypeAdapter

from collector_service.contract import LIVE_PREFIX, VOD_PREFIX
from collector_service.lake import Lake, ObjectInfo
from collector_service.support.state_object import validated
from vieweratlas_dagster.forgetting.ledger import Entry
from vieweratlas_dagster.lake.keys import manifest_key
from vieweratlas_dagster.lake.manifests import read_day_manifest

WHOLE_DAY = "analysis_daily"
GRAPH_ONLY = "graph_daily"
_MANIFESTS = manifest_key("").rpartition("/")[0] + "/"
_DIGEST_LENGTH = 16
# In place of a digest: a viewer or channel was removed, and nothing arrived late. The days follow while the
# entry may grow.
_FORGOTTEN = "forgotten"


@dataclass(frozen=True)
class LateDay:
    """A day that was made before some of its raw objects arrived.

    Attributes:
        day: YYYY-MM-DD.
        objects: the number of late objects.
        newest: when the last late object was written.
        digest: stands for all raw objects of the day as they are now.
        removed: the number of objects that the day was made from and that have been removed since.
    """

    day: str
    objects: int
    newest: datetime
    digest: str
    removed: int


@dataclass(frozen=True)
class Scan:
    """The late days, oldest first, and every past day that has a manifest."""

    late: tuple[LateDay, ...]
    made: frozenset[str]


@dataclass(frozen=True)
class Step:
    """One run to request: a job for a day, because of the raw objects that ``cause`` stands for."""

    day: str
    job: str
    cause: str

    @property
    def run_key(self) -> str:
        """The same for the same day, job and raw objects: Dagster never starts it twice."""
        return f"late-{self.job}-{self.day}-{self.cause}"


@dataclass(frozen=True)
class Plan:
    """The runs that make days again, in the order of days, and the late objects that are dealt with.

    Attributes:
        running: the step that was requested last.
        waiting: the steps after it.
        seen: by day, the digest of the raw objects for which a remake was planned; by number of an entry of
            the ledger, a word, followed by the days dealt with while the entry may grow.
    """

    running: Step | None = None
    waiting: tuple[Step, ...] = ()
    seen: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """The plan that `text` kept; an empty one for None.

        Raises:
            ValueError: the text is not a plan.
        """
        return validated(TypeAdapter(cls), text.encode()) if text else cls()

    @property
    def settled(self) -> frozenset[str]:
        """The numbers of the ledger's entries that need no further look."""
        return frozenset(number for number, word in self.seen.items() if word == _FORGOTTEN)

    def text(self) -> str:
        """The plan as the sensor's cursor."""
        body = {
            "running": vars(self.running) if self.running else None,
            "waiting": [vars(step) for step in self.waiting],
            "seen": dict(self.seen),
        }
        return json.dumps(body, sort_keys=True)

    def add(
        self, late: Iterable[LateDay], made: Iterable[str], *, window_days: int, first_day: str
    ) -> Self:
        """The plan with new late days: the whole of each, then the graphs of the made days after it.

        Args:
            late: days to make again; those whose digest is in ``seen`` change nothing.
            made: days that have been made before; other days are left to the schedule.
            window_days: days that a graph covers, and so the number of graphs that contain a late day.
            first_day: days before this are dropped from ``seen``; numbers of the ledger never are.
        """
        steps = {step.day: step for step in self.waiting}
        days = sorted(made)
        seen = {
            name: word
            for name, word in self.seen.items()
            if word.startswith(_FORGOTTEN) or name >= first_day
        }
        for item in sorted(late, key=lambda item: item.day):
            if seen.get(item.day) == item.digest:
                continue
            seen[item.day] = item.digest
            steps[item.day] = Step(item.day, WHOLE_DAY, item.digest)
            last = f"{date.fromisoformat(item.day) + timedelta(days=window_days - 1)}"
            for day in days:
                if item.day < day <= last:
                    job = steps[day].job if day in steps else GRAPH_ONLY
                    cause = steps[day].cause if job == WHOLE_DAY else item.digest
                    steps[day] = Step(day, job, cause)
        return replace(self, waiting=tuple(steps[day] for day in sorted(steps)), seen=seen)

    def add_forgotten(self, entries: Iterable[Entry], made: Iterable[str], *, window_days: int) -> Self:
        """The plan with the graphs whose windows contain a day from which a viewer or channel was removed.

        The curated tables of these days are already rewritten, so only their graphs are made again, unless
        the whole day is planned anyway.

        Args:
            entries: the ledger; only days that are new in an entry count, and no entry that is
                ``settled``.
            made: days that have been made before.
            window_days: days that a graph covers.
        """
        steps = {step.day: step for step in self.waiting}
        seen = dict(self.seen)
        days = sorted(made)
        for entry in entries:
            known = seen.get(entry.number, "").split()
            if known == [_FORGOTTEN]:
                continue
            new = [day for day in entry.days if day not in known]
            if entry.is_done:
                seen[entry.number] = _FORGOTTEN
            elif new:
                seen[entry.number] = " ".join([*(known or [_FORGOTTEN]), *new])
            spans = [(day, f"{date.fromisoformat(day) + timedelta(days=window_days - 1)}") for day in new]
            # The requests for earlier days of the entry must keep different causes.
            cause = f"{_FORGOTTEN}-{entry.number}-{_digest_of(new)}"
            for day in days:
                if day not in steps and any(first <= day <= last for first, last in spans):
                    steps[day] = Step(day, GRAPH_ONLY, cause)
        return replace(self, waiting=tuple(steps[day] for day in sorted(steps)), seen=seen)

    def is_replaced(self, step: Step) -> bool:
        """Whether the same day is waiting to be made again at least as far as ``step`` would."""
        return any(later.day == step.day and later.job in (WHOLE_DAY, step.job) for later in self.waiting)

    def take_back(self) -> Self:
        """The plan with its running step waiting again, unless the day's remake replaces it."""
        step = self.running
        if step is None or self.is_replaced(step):
            return replace(self, running=None)
        later = (waiting for waiting in self.waiting if waiting.day != step.day)
        waiting = tuple(sorted((step, *later), key=lambda step: step.day))
        return replace(self, running=None, waiting=waiting)

    def finish(self) -> Self:
        """The plan without its running step."""
        return replace(self, running=None)

    def advance(self) -> Self:
        """The plan with its first waiting step running; none runs when none waits."""
        return replace(self, running=next(iter(self.waiting), None), waiting=self.waiting[1:])


def scan(lake: Lake, *, first: date, today: date) -> Scan:
    """Look for late objects on the days from ``first`` up to the day before ``today``.

    Costs a listing of all raw objects, a thousand in each request, and one small read for each of those
    days that has raw objects and a manifest. A manifest that cannot be read counts as empty: then all of
    the day is late, and a new one is written.
    """
    manifests = {info.key: info.modified for info in lake.objects(_MANIFESTS)}
    # Not day by day: on S3, thirty days are ten requests then instead of sixty.
    found_on = defaultdict(list)
    for prefix in (LIVE_PREFIX, VOD_PREFIX):
        for info in lake.objects(f"{prefix}/"):
            found_on[info.key.split("/")[2].removeprefix("date=")].append(info)
    late = []
    for day, raw in sorted(found_on.items()):
        if f"{first}" <= day < f"{today}" and manifest_key(day) in manifests:
            found = late_day(day, raw, _made_from(lake, day), manifests[manifest_key(day)])
            if found is not None:
                late.append(found)
    made = (key.removeprefix(manifest_key("").removesuffix(".json"))[:10] for key in manifests)
    return Scan(tuple(late), frozenset(day for day in made if day < f"{today}"))


def _made_from(lake: Lake, day: str) -> dict[str, int]:
    try:
        return {entry.key: entry.bytes for entry in read_day_manifest(lake, day)}
    except ValueError:
        return {}


def late_day(
    day: str, raw: Sequence[ObjectInfo], listed: Mapping[str, int], made_at: datetime
) -> LateDay | None:
    """The late objects of a day; None without any.

    Args:
        day: YYYY-MM-DD.
        raw: all raw objects of the day.
        listed: key and size in bytes of the objects that the day was made from.
        made_at: when its manifest was written. S3 reports whole seconds, so an object of the same second
            counts as late: making a day again is harmless, missing an object is not.
    """
    late = [info for info in raw if listed.get(info.key) != info.size or info.modified >= made_at]
    if not late:
        return None
    return LateDay(
        day=day,
        objects=len(late),
        newest=max(info.modified for info in late),
        digest=_digest(raw),
        removed=len(listed.keys() - {info.key for info in raw}),
    )


def _digest(raw: Sequence[ObjectInfo]) -> str:
    lines = (f"{info.key} {info.size} {info.modified.astimezone(UTC).isoformat()}\n" for info in raw)
    return _digest_of(lines)


def _digest_of(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:_DIGEST_LENGTH]
