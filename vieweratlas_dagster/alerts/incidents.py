"""What is broken, since when, and what people have been told about it: the rules, without any input.

Belongs here: the state in ``state/alerts.json`` and its transitions, as pure functions. Does not belong
here: reading Dagster's history, wording and sending.

An incident is a job's partition whose run failed, or a check (of a partition, where it judges one) that
did not pass. It remembers two things apart: whether it fails now, and whether people were told so. A
message is due when the two differ. What happens between two rounds therefore collapses into its outcome,
reading the same history twice changes nothing, and a thing that fails and passes all the time makes no
more than one pair of messages in every quiet period.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import AwareDatetime, ConfigDict, TypeAdapter

from collector_service.support.state_object import StateObject

STATE_KEY = "state/alerts.json"
# Bounds of the state: some 300 KB.
MAX_INCIDENTS = 300
_REMEMBER_CLOSED = timedelta(days=7)
# Whoever sends has so long; after that it is taken for dead and another round sends.
_SENDING_TIME = timedelta(minutes=5)
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Failure:
    """A failure in words for people.

    Attributes:
        name: the run or check that failed.
        what: how it failed, such as "did not pass".
        lines: details.
        path: the page of the UI about it.
        anchor: the section of the runbook about it.
        digest: failures with the same digest, unless it is empty, share one message.
    """

    __pydantic_config__ = _STRICT

    name: str
    what: str
    lines: tuple[str, ...]
    path: str
    anchor: str
    digest: str = ""


@dataclass(frozen=True)
class RunEnded:
    """A run that ended at ``at``.

    ``whole``: it ran all of its job. ``made`` and ``unmade`` name the materializations (see `made_name`)
    that happened, and those that were planned and did not. A run that did not succeed and has no
    ``failure`` is nothing to alert about: it will be retried, was cancelled, or a check tells of it.
    """

    job: str
    partition: str
    at: datetime
    whole: bool
    succeeded: bool
    made: frozenset[str] = frozenset()
    unmade: frozenset[str] = frozenset()
    failure: Failure | None = None

    @property
    def key(self) -> str:
        """Which incident a failure of this run belongs to."""
        return f"run {self.job} {self.partition}".strip()


@dataclass(frozen=True)
class CheckEvaluated:
    """A check's verdict at ``at``: passed when there is no ``failure``."""

    asset: str
    check: str
    partition: str
    at: datetime
    failure: Failure | None = None

    @property
    def key(self) -> str:
        """Which incident a failure of this check belongs to."""
        return f"check {self.check} {self.asset} {self.partition}".strip()


@dataclass(frozen=True)
class Incident:
    """One thing that failed.

    ``since`` is its first failure, ``at`` the newest event that it knows, ``failures`` how many there
    were since people were last told something (``told_at``); ``told`` is whether they believe it fails.
    """

    __pydantic_config__ = _STRICT

    key: str
    report: Failure
    since: AwareDatetime
    at: AwareDatetime
    failing: bool = True
    failures: int = 1
    unmade: frozenset[str] = frozenset()
    told: bool = False
    told_at: AwareDatetime | None = None


@dataclass(frozen=True)
class State:
    """All incidents, how far history was read, and who is sending messages until when."""

    __pydantic_config__ = _STRICT

    incidents: dict[str, Incident] = field(default_factory=dict)
    read_up_to: AwareDatetime | None = None
    sender: str = ""
    sending_until: AwareDatetime | None = None


STATE = StateObject.of_type(
    STATE_KEY,
    TypeAdapter(State),
    advice="watching starts from an empty state, so messages of the last day may come again",
)


def made_name(asset: str, partition: str) -> str:
    """How a materialization is named in `RunEnded`."""
    return f"{asset}@{partition}"


def observe(state: State, events: Iterable[RunEnded | CheckEvaluated]) -> State:
    """Take in what happened, in any order; events that are known already change nothing."""
    incidents = dict(state.incidents)
    # A run ends after its checks, so at one instant the check comes first.
    for event in sorted(events, key=lambda event: (event.at, isinstance(event, RunEnded))):
        for key, incident in incidents.items():
            incidents[key] = _apply(incident, event)
        if event.failure is not None and event.key not in incidents:
            unmade = event.unmade if isinstance(event, RunEnded) else frozenset()
            incidents[event.key] = Incident(event.key, event.failure, event.at, event.at, unmade=unmade)
    return replace(state, incidents=incidents)


def _apply(incident: Incident, event: RunEnded | CheckEvaluated) -> Incident:
    if event.at <= incident.at:
        return incident
    made = event.made if isinstance(event, RunEnded) else frozenset()
    unmade = incident.unmade - made
    if event.key == incident.key:
        if event.failure is not None:
            return _failed_again(incident, event, unmade)
        if isinstance(event, CheckEvaluated) or (event.succeeded and (event.whole or not incident.unmade)):
            ended = replace(incident, failing=False, at=event.at, unmade=frozenset())
            return ended if incident.failing else incident
    if unmade == incident.unmade:
        return incident
    # Other runs make up for the failed one, asset by asset.
    return replace(incident, failing=incident.failing and bool(unmade), at=event.at, unmade=unmade)


def _failed_again(incident: Incident, event: RunEnded | CheckEvaluated, unmade: frozenset[str]) -> Incident:
    if isinstance(event, RunEnded):
        unmade = unmade | event.unmade
    goes_on = incident.failing or incident.told
    return replace(
        incident,
        report=event.failure or incident.report,
        since=incident.since if goes_on else event.at,
        at=event.at,
        failing=True,
        failures=incident.failures + 1,
        unmade=unmade,
    )


def due(state: State, now: datetime, quiet: timedelta) -> list[Incident]:
    """The incidents whose news people do not know, oldest first.

    Nothing is told of an incident that comes back until ``quiet`` after the last message about it.
    """
    found = [
        incident
        for incident in state.incidents.values()
        if incident.failing != incident.told
        and (incident.told or incident.told_at is None or now >= incident.told_at + quiet)
    ]
    return sorted(found, key=lambda incident: (incident.since, incident.key))


def claim(state: State, sender: str, now: datetime) -> State | None:
    """The state in which ``sender`` alone may send for a while; None while another one may."""
    if state.sending_until is not None and now < state.sending_until and state.sender != sender:
        return None
    return replace(state, sender=sender, sending_until=now + _SENDING_TIME)


def release(state: State, sender: str) -> State:
    """``sender`` has ended."""
    return replace(state, sender="", sending_until=None) if state.sender == sender else state


def mark_reported(state: State, reported: Iterable[Incident], now: datetime) -> State:
    """The state after people have got the news of these incidents, as they were then."""
    incidents = dict(state.incidents)
    for incident in reported:
        if current := incidents.get(incident.key):
            news = current.failures - incident.failures
            incidents[incident.key] = replace(
                current, told=incident.failing, told_at=now, failures=max(news, 0)
            )
    return replace(state, incidents=incidents)


def forget(state: State, now: datetime) -> State:
    """The state without what nobody needs: old closed incidents, and those beyond `MAX_INCIDENTS`.

    Closed ones go first, then those people know of, each oldest first; what is due never goes.
    """
    kept = {
        key: incident
        for key, incident in state.incidents.items()
        if incident.failing
        or incident.told
        or (incident.told_at is not None and now - incident.at < _REMEMBER_CLOSED)
    }
    excess = max(len(kept) - MAX_INCIDENTS, 0)
    known = [incident for incident in kept.values() if incident.failing == incident.told]
    for incident in sorted(known, key=lambda incident: (incident.failing, incident.at))[:excess]:
        del kept[incident.key]
    return replace(state, incidents=kept)
