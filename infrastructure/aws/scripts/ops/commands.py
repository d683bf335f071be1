"""Commands inside the platform: a task of its own, with the network, the secrets and the instance of a run.

Neither a session nor an open port is needed, the exit code is known, and the log stays.
"""

from __future__ import annotations

import time
from typing import Any

from .platform_on_aws import OperatorError, Platform, environment, say

# The code location, for commands that need one: the service's own cannot be reached from outside.
WORKSPACE = (
    "load_from: [{python_module: {module_name: vieweratlas_dagster.definitions, "
    "location_name: vieweratlas}}]"
)
WORKSPACE_FILE = "/tmp/workspace.yaml"  # noqa: S108 - the task is alone on its disk
_PAUSE_SECONDS = 3.0
_CONTAINER = "run"


def override(command: list[str], control: dict[str, str]) -> dict[str, Any]:
    """The container override of a task that runs ``command`` with the daemon's variables ``control``."""
    script = f'printf %s "$WORKSPACE" >{WORKSPACE_FILE} && exec "$@"'
    variables = control | {"WORKSPACE": WORKSPACE}
    return {
        "name": _CONTAINER,
        "command": ["sh", "-c", script, "sh", *command],
        "environment": [{"name": name, "value": value} for name, value in sorted(variables.items())],
    }


def run_command(platform: Platform, command: list[str], minutes: float) -> int:
    """Run a command and print its log; its exit code.

    Raises:
        OperatorError: the task did not start, or did not end in time.
    """
    definition = platform.service("dagster")["taskDefinition"]
    control = environment(platform.containers(definition)["daemon"])
    started = platform.ecs.run_task(
        cluster=control["DAGSTER_RUN_CLUSTER"],
        taskDefinition=control["DAGSTER_RUN_TASK_DEFINITION"],
        # An operator waits for it, so it is not on Spot.
        capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": control["DAGSTER_RUN_SUBNETS"].split(","),
                "securityGroups": control["DAGSTER_RUN_SECURITY_GROUPS"].split(","),
                "assignPublicIp": "ENABLED",
            }
        },
        overrides={"containerOverrides": [override(command, control)]},
        startedBy="operator",
    )
    if started.get("failures") or not started["tasks"]:
        reasons = ", ".join(failure.get("reason", "?") for failure in started.get("failures", []))
        raise OperatorError(f"ECS started no task: {reasons or 'no reason given'}. Try again in a minute.")
    arn = started["tasks"][0]["taskArn"]
    say(f"Task {arn.rsplit('/', 1)[-1]} starts; that takes about a minute ...")
    deadline = time.monotonic() + 60 * minutes
    while (task := _task(platform, arn))["lastStatus"] != "STOPPED":
        if time.monotonic() > deadline:
            raise OperatorError(
                f"Task {arn} has not ended after {minutes:g} minutes and still runs. Its log: "
                f"{platform.log_group('run')}."
            )
        time.sleep(_PAUSE_SECONDS)
    _print_log(platform, arn)
    [container] = [each for each in task["containers"] if each["name"] == _CONTAINER]
    if "exitCode" not in container:
        raise OperatorError(
            f"The task did not run: {task.get('stoppedReason')}. {container.get('reason', '')}"
        )
    return int(container["exitCode"])


def _task(platform: Platform, arn: str) -> dict[str, Any]:
    [task] = platform.ecs.describe_tasks(cluster=platform.name, tasks=[arn])["tasks"]
    return dict(task)


def _print_log(platform: Platform, arn: str) -> None:
    logs = platform.client("logs")
    stream = f"run/{_CONTAINER}/{arn.rsplit('/', 1)[-1]}"
    try:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=platform.log_group("run"), logStreamNames=[stream]
        )
        for page in pages:
            for event in page["events"]:
                print(event["message"])
    except logs.exceptions.ResourceNotFoundException:
        say("It has printed nothing.")
