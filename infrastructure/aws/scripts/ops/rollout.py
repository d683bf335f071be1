"""Deployments of the two services: begin one, wait for its end, and say why it failed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .platform_on_aws import SERVICES, OperatorError, Platform, say

_PAUSE_SECONDS = 5.0
_EVENTS = 5


def redeploy(platform: Platform, kinds: list[str]) -> None:
    """Restart the tasks, so that they read their secrets again."""
    for kind in kinds:
        platform.ecs.update_service(
            cluster=platform.name, service=platform.full_name(kind), forceNewDeployment=True
        )


def wait_until_steady(platform: Platform, wanted: Mapping[str, str], minutes: float) -> None:
    """Wait until every service runs its wanted revision alone, at full count.

    Args:
        platform: the deployment.
        wanted: revision (ARN) of the task definition by kind of service; others may run any.
        minutes: the longest wait.

    Raises:
        OperatorError: a deployment failed, was rolled back or did not end in time; with ECS's reasons.
    """
    deadline = time.monotonic() + 60 * minutes
    reported: dict[str, str] = {}
    while True:
        states = {kind: _state(platform.service(kind), wanted.get(kind)) for kind in SERVICES}
        for kind, (state, text) in states.items():
            if reported.get(kind) != text:
                say(f"  {kind}: {text}")
                reported[kind] = text
            if state == "failed":
                raise OperatorError(_why(platform, kind, text))
        if all(state == "steady" for state, _ in states.values()):
            return
        if time.monotonic() > deadline:
            late = next(kind for kind, (state, _) in states.items() if state != "steady")
            raise OperatorError(_why(platform, late, f"not steady after {minutes:g} minutes"))
        time.sleep(_PAUSE_SECONDS)


def _state(service: dict[str, Any], wanted: str | None) -> tuple[str, str]:
    """The state of a service's deployment (steady, under way or failed), and a text."""
    primary = next(each for each in service["deployments"] if each["status"] == "PRIMARY")
    revision = _revision(primary["taskDefinition"])
    if wanted is not None and primary["taskDefinition"] != wanted:
        return "failed", f"the deployment of {_revision(wanted)} was rolled back; {revision} runs instead"
    if any(each.get("rolloutState") == "FAILED" for each in service["deployments"]):
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
                f"    {run['name']}: exit code {run.get('exitCode', '-')} {run.get('reason', '')}".rstrip()
                for run in task.get("containers", [])
            ]
    lines.append(
        f"Its last lines are in the log group {platform.log_group(kind)}; see docs/RUNBOOK.md, On AWS."
    )
    return "\n".join(lines)
