"""Deployments of the two services: begin one, wait for its end, and say why it failed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .platform_on_aws import SERVICES, OperatorError, Platform, say

_PAUSE_SECONDS = 5.0
_EVENTS = 5


def redeploy(platform: Platform, kinds: list[str]) -> None:
    """Start the tasks anew, so that they read their secrets again."""
    for kind in kinds:
        platform.ecs.update_service(
            cluster=platform.name, service=platform.full_name(kind), forceNewDeployment=True
        )


def wait_until_steady(platform: Platform, wanted: Mapping[str, str], minutes: float) -> None:
    """Wait until every service runs what it should, all of it and nothing else.

    Args:
        platform: where.
        wanted: revision (ARN) of the task definition by kind of service; others may run what they do.
        minutes: how long at most.

    Raises:
        OperatorError: a deployment failed, was taken back or did not end in time; with what ECS says.
    """
    deadline = time.monotonic() + 60 * minutes
    told: dict[str, str] = {}
    while True:
        states = {kind: _state(platform.service(kind), wanted.get(kind)) for kind in SERVICES}
        for kind, (state, text) in states.items():
            if told.get(kind) != text:
                say(f"  {kind}: {text}")
                told[kind] = text
            if state == "failed":
                raise OperatorError(_why(platform, kind, text))
        if all(state == "steady" for state, _ in states.values()):
            return
        if time.monotonic() > deadline:
            late = next(kind for kind, (state, _) in states.items() if state != "steady")
            raise OperatorError(_why(platform, late, f"not steady after {minutes:g} minutes"))
        time.sleep(_PAUSE_SECONDS)


def _state(service: dict[str, Any], wanted: str | None) -> tuple[str, str]:
    """What became of a service's deployment: steady, under way or failed; and a text."""
    primary = next(one for one in service["deployments"] if one["status"] == "PRIMARY")
    revision = _revision(primary["taskDefinition"])
    if wanted is not None and primary["taskDefinition"] != wanted:
        return "failed", f"the deployment of {_revision(wanted)} was taken back; {revision} runs instead"
    if any(one.get("rolloutState") == "FAILED" for one in service["deployments"]):
        return "failed", f"the deployment of {revision} failed"
    count = f"{service['runningCount']} of {service['desiredCount']} running, {revision}"
    steady = (
        len(service["deployments"]) == 1
        and primary.get("rolloutState") == "COMPLETED"
        and service["runningCount"] == service["desiredCount"]
        and service["pendingCount"] == 0
    )
    return ("steady", f"steady, {count}") if steady else ("under way", count)


def _revision(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]


def _why(platform: Platform, kind: str, text: str) -> str:
    service = platform.service(kind)
    lines = [f"{platform.full_name(kind)}: {text}."]
    lines += [f"  event: {event['message']}" for event in service.get("events", [])[:_EVENTS]]
    stopped = platform.ecs.list_tasks(
        cluster=platform.name, serviceName=platform.full_name(kind), desiredStatus="STOPPED"
    )["taskArns"][:_EVENTS]
    if stopped:
        for task in platform.ecs.describe_tasks(cluster=platform.name, tasks=stopped)["tasks"]:
            lines.append(f"  stopped task: {task.get('stoppedReason', 'no reason given')}")
            lines += [
                f"    {one['name']}: exit code {one.get('exitCode', '-')} {one.get('reason', '')}".rstrip()
                for one in task.get("containers", [])
            ]
    lines.append(
        f"Its last words are in the log group {platform.log_group(kind)}; docs/RUNBOOK.md, On AWS."
    )
    return "\n".join(lines)
