"""One round of watching: read the runs that ended, send the messages that are due, publish the heartbeat.

The order of the steps ensures that a death between any two of them loses no message.

1. The new state and the lease of the sender are written to the lake together, by a conditional write: of
   two rounds at the same time, one sends.
2. Each message that was delivered is recorded before the next one is sent. A round that dies in between has
   sent one message without a record: it is sent again when the lease of the dead round has run out. So each
   message arrives at least once, and almost always exactly once.
3. The heartbeat comes last: it stops if any step before it fails.
"""

from __future__ import annotations

import logging
import os
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import dagster as dg

from collector_service.lake import Lake
from collector_service.support.state_object import StateObject, UnreadableStateError
from vieweratlas_dagster.alerts import incidents, run_log
from vieweratlas_dagster.alerts.delivery import Backend
from vieweratlas_dagster.alerts.heartbeat import beat
from vieweratlas_dagster.alerts.incidents import STATE, Incident, State
from vieweratlas_dagster.alerts.messages import Message, compose, known_secrets
from vieweratlas_dagster.settings import Settings

# How far the stored place may fall behind while nothing happens: reading twice costs less than writing
# each minute.
_LAG = timedelta(minutes=15)


@dataclass(frozen=True)
class Round:
    """The counts of a round: runs read, messages sent, and incidents that are open now."""

    runs: int
    sent: int
    open: int


def watch(
    instance: dg.DagsterInstance,
    lake: Lake,
    settings: Settings,
    backend: Backend,
    now: datetime,
    log: logging.Logger,
) -> Round:
    """Do one round at ``now``.

    Raises:
        Exception: a message or the heartbeat was not delivered; the next round tries again.
    """
    rules = run_log.Rules(
        all_warnings=settings.alerts.min_severity == "WARN",
        secrets=known_secrets(settings, os.environ),
    )
    stored = _state(log)
    known = stored.read(lake) or State()
    reading = run_log.read(instance, known.read_up_to, now, rules)
    quiet = timedelta(minutes=settings.alerts.quiet_minutes)
    sender = uuid.uuid4().hex
    news: list[Incident] = []

    def take(old: State | None) -> State:
        state = incidents.observe(old or State(), reading.events)
        state = incidents.forget(replace(state, read_up_to=reading.read_up_to), now)
        news[:] = incidents.due(state, now, quiet)
        claimed = incidents.claim(state, sender, now) if news else None
        if claimed is None:
            news.clear()
        return claimed or state

    after = incidents.forget(incidents.observe(known, reading.events), now)
    behind = known.read_up_to is None or reading.read_up_to - known.read_up_to > _LAG
    if behind or reading.more or after != known or incidents.due(after, now, quiet):
        after = stored.update(lake, take)
    sent = _send(lake, stored, backend, compose(news, settings.alerts), sender, now) if news else 0
    beat(instance, lake, backend, settings.clock, now, timedelta(minutes=settings.alerts.heartbeat_minutes))
    return Round(reading.runs, sent, sum(incident.failing for incident in after.incidents.values()))


def _send(
    lake: Lake,
    stored: StateObject[State],
    backend: Backend,
    messages: list[Message],
    sender: str,
    now: datetime,
) -> int:
    refused: list[Exception] = []
    for message in messages:
        try:
            backend.send(message)
        except Exception as error:  # noqa: BLE001 - the other messages may still get through
            refused.append(error)
            continue
        stored.update(lake, partial(_mark_reported, reported=message.incidents, now=now))
    stored.update(lake, lambda old: incidents.release(old or State(), sender))
    if refused:
        raise refused[0]
    return len(messages)


def _mark_reported(old: State | None, reported: tuple[Incident, ...], now: datetime) -> State:
    return incidents.mark_reported(old or State(), reported, now)


def _state(log: logging.Logger) -> StateObject[State]:
    """The state in the lake, empty when it is unreadable: better repeat messages than never send one."""

    def decode(data: bytes) -> State:
        try:
            return STATE.parse(data, STATE.key)
        except UnreadableStateError as error:
            log.warning("%s", error)
            return State()

    return replace(STATE, decode=decode)
