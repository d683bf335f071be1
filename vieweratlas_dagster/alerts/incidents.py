"""The rules of alerts as pure functions: which incidents are open, and which messages are due.

An incident is a partition of a job whose run failed, or a check (of one partition, where it judges one)
that did not pass. Its state in ``state/alerts.json`` has two separate facts: whether it fails, and whether
people believe that it fails. A message is due when the two differ. Events between two rounds therefore
collapse into their outcome, reading the same events twice changes nothing, and an incident that fails and
passes all the time causes at most one pair of messages in each quiet period.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import AwareDatetime, ConfigDict, TypeAdapter

from collector_service.support.state_object import StateObject

STATE_KEY = "state/alerts.json"
# Bounds the state to about 300 KB.
MAX_INCIDENTS = 300
_REMEMBER_CLOSED = timedelta(days=7)
# A sender's lease. When it runs out, the sender is presumed dead and the next round takes over.
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

    Attributes:
        whole: whether it ran all of its job.
        made: the materializations that happened, by `made_name`.
        unmade: the materializations that were planned and did not happen.
        failure: None for a success, and for a run without an alert of its own: it will be retried, it was
            cancelled, or a check that failed causes the alert.
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
        """The key of the incident to which a failure of this run belongs."""
        return f"run {self.job} {self.partition}".strip()


@dataclass(frozen=True)
class CheckEvaluated:
    """The verdict of a check at ``at``; without a ``failure`` it passed."""

    asset: str
    check: str
    partition: str
    at: datetime
    failure: Failure | None = None

    @property
    def key(self) -> str:
        """The key of the incident to which a failure of this check belongs."""
        return f"check {self.check} {self.asset} {self.partition}".strip()


@dataclass(frozen=True)
class Incident:
    """One run or check that failed.

    Attributes:
        since: its first failure.
        at: its newest known event.
        failing: whether it fails now.
        failures: the number of failures since the last message about it.
        unmade: the materializations that it still lacks.
        told: whether the last message said that it fails.
        told_at: the time of the last message about it.
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
    """All incidents, the place up to which runs were read, and the lease of the present sender."""

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
    """The name of a materialization in `RunEnded`."""
    return f"{asset}@{partition}"


def observe(state: State, events: Iterable[RunEnded | CheckEvaluated]) -> State:
    """The state after these events, in any order; events that are already known change nothing."""
    incidents = dict(state.incidents)
    # A run ends after its checks, so at the same instant the check comes first.
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
    """The incidents about which a message is due, oldest first.

    An incident that returns waits until ``quiet`` after the last message about it.
    """
    found = [
        incident
        for incident in state.incidents.values()
        if incident.failing != incident.told
        and (incident.told or incident.told_at is None or now >= incident.told_at + quiet)
    ]
    return sorted(found, key=lambda incident: (incident.since, incident.key))


def claim(state: State, sender: str, now: datetime) -> State | None:
    """The state in which only ``sender`` may send for a while; None while a different sender may."""
    if state.sending_until is not None and now < state.sending_until and state.sender != sender:
        return None
    return replace(state, sender=sender, sending_until=now + _SENDING_TIME)


def release(state: State, sender: str) -> State:
    """The state after ``sender`` has finished."""
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
    """The state without old closed incidents, and without those beyond `MAX_INCIDENTS`.

    Closed incidents are removed first, then those that people know of, the oldest of each first. Incidents
    about which a message is due are never removed.
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
