"""Before and after `terraform destroy`: stopping tasks, and removing task definitions that it leaves."""

from __future__ import annotations

import time
from typing import Any

from .platform_on_aws import OperatorError, Platform, say

_KINDS = ("collector", "dagster", "run")
_PAUSE_SECONDS = 3.0


def stop_tasks(platform: Platform, minutes: float) -> None:
    """Stop the services, then the runs that are under way: a cluster with tasks cannot be removed.

    Raises:
        OperatorError: tasks still run after ``minutes``.
    """
    for kind, service in platform.services().items():
        if service["desiredCount"] > 0:
            platform.ecs.update_service(
                cluster=platform.name, service=platform.full_name(kind), desiredCount=0
            )
    deadline = time.monotonic() + 60 * minutes
    asked: set[str] = set()
    while tasks := _active_tasks(platform):
        for task in tasks:
            # A service stops its own tasks, and leaves them time for a last upload.
            if task["taskArn"] not in asked and not str(task.get("group", "")).startswith("service:"):
                reason = "the platform is being destroyed"
                platform.ecs.stop_task(cluster=platform.name, task=task["taskArn"], reason=reason)
                asked.add(task["taskArn"])
        if time.monotonic() > deadline:
            raise OperatorError(f"{len(tasks)} tasks still run after {minutes:g} minutes: run this again.")
        say(f"  {len(tasks)} tasks are stopping ...")
        time.sleep(_PAUSE_SECONDS)


def _active_tasks(platform: Platform) -> list[dict[str, Any]]:
    """The tasks that have not ended, whether or not they are stopping."""
    ecs, found = platform.ecs, []
    for wanted in ("RUNNING", "STOPPED"):
        pages = ecs.get_paginator("list_tasks").paginate(cluster=platform.name, desiredStatus=wanted)
        try:
            for page in pages:
                if arns := page["taskArns"]:
                    found += ecs.describe_tasks(cluster=platform.name, tasks=arns)["tasks"]
        except ecs.exceptions.ClusterNotFoundException:
            return []
    return [task for task in found if task["lastStatus"] != "STOPPED"]


def remove_definitions(platform: Platform) -> int:
    """Remove all revisions of task definitions, which Terraform leaves for queued runs; their number."""
    ecs, removed = platform.ecs, 0
    for kind in _KINDS:
        family = platform.full_name(kind)
        for status in ("ACTIVE", "INACTIVE"):
            pages = ecs.get_paginator("list_task_definitions").paginate(familyPrefix=family, status=status)
            for arn in [arn for page in pages for arn in page["taskDefinitionArns"]]:
                if arn.rsplit("/", 1)[-1].rsplit(":", 1)[0] != family:
                    continue  # a different deployment's, whose name begins alike
                if status == "ACTIVE":
                    ecs.deregister_task_definition(taskDefinition=arn)
                ecs.delete_task_definitions(taskDefinitions=[arn])
                removed += 1
    return removed
