"""One deployment of the platform: its names and task definitions, and clients for its account."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3

SERVICES = ("collector", "dagster")


class OperatorError(Exception):
    """The text says what failed, where, and what to do next: the last line that an operator reads."""


def say(text: str) -> None:
    """Print to the operator; standard output is for other programs."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Platform:
    """The deployment called ``name`` in ``region``."""

    name: str
    region: str

    def client(self, service: str) -> Any:
        """A client of boto3."""
        return boto3.client(service, region_name=self.region)

    @cached_property
    def ecs(self) -> Any:
        """The client of ECS."""
        return self.client("ecs")

    def services(self, *kinds: str) -> dict[str, dict[str, Any]]:
        """ECS's descriptions of the existing services, by kind; of all unless some are named."""
        wanted = {self.full_name(kind): kind for kind in kinds or SERVICES}
        try:
            found = self.ecs.describe_services(cluster=self.name, services=list(wanted))["services"]
        except self.ecs.exceptions.ClusterNotFoundException:
            return {}
        return {wanted[each["serviceName"]]: each for each in found if each["status"] == "ACTIVE"}

    def service(self, kind: str) -> dict[str, Any]:
        """ECS's description of one service.

        Raises:
            OperatorError: it does not exist.
        """
        try:
            return self.services(kind)[kind]
        except KeyError:
            raise OperatorError(
                f"The service {self.full_name(kind)} does not exist in {self.region}: run safe-deploy.sh."
            ) from None

    def containers(self, definition: str) -> dict[str, dict[str, Any]]:
        """The containers of a task definition, by name."""
        found = self.ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
        return {container["name"]: container for container in found["containerDefinitions"]}

    def full_name(self, kind: str) -> str:
        """Name of a service, a repository or a family of task definitions."""
        return f"{self.name}-{kind}"

    def log_group(self, kind: str) -> str:
        """The log group of tasks of a kind."""
        return f"/{self.name}/{kind}"


def environment(container: dict[str, Any]) -> dict[str, str]:
    """The variables that a container definition sets."""
    return {pair["name"]: pair["value"] for pair in container.get("environment", [])}
