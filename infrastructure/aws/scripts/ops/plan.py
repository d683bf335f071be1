"""A plan of Terraform, from the events of `terraform plan -json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

# Types that cannot be made again from the repository: data, keys, history, and images for rollbacks.
DATA = ("aws_s3_bucket", "aws_db_instance", "aws_secretsmanager_secret", "aws_ecr_repository")


@dataclass(frozen=True)
class Plan:
    """The number of resources per action (create, update ...), the data that would be lost, the errors."""

    changes: dict[str, int]
    lost: tuple[str, ...]
    errors: tuple[str, ...]


def read_plan(lines: Iterable[str]) -> Plan:
    """Read the events of `terraform plan -json`.

    A drawn secret's value counts as data: with a different viewer key no viewer is recognised again.
    """
    changes: dict[str, int] = {}
    lost, errors = [], []
    for line in lines:
        event = json.loads(line)
        if event["type"] == "planned_change":
            change = event["change"]
            action, resource = change["action"], change["resource"]
            if action != "read":
                changes[action] = changes.get(action, 0) + 1
            data = resource["resource_type"] in DATA or resource["module"] == "module.viewer_key"
            if data and action in ("delete", "replace"):
                lost.append(resource["addr"])
        elif event["type"] == "diagnostic" and event["diagnostic"]["severity"] == "error":
            errors.append(
                f"{event['diagnostic']['summary']}. {event['diagnostic'].get('detail', '')}".strip()
            )
    return Plan(changes, tuple(lost), tuple(errors))


def tainted_data(state: dict[str, object]) -> list[str]:
    """Addresses of data in a state (`terraform state pull`) whose creation was interrupted.

    Terraform would replace them, although AWS completes them and they are then as planned.
    """
    found = []
    for resource in state.get("resources", []):  # type: ignore[attr-defined]
        if resource["mode"] != "managed" or resource["type"] not in DATA:
            continue
        for instance in resource["instances"]:
            if instance.get("status") == "tainted":
                key = instance.get("index_key")
                index = "" if key is None else f"[{json.dumps(key)}]"
                module = f"{resource['module']}." if "module" in resource else ""
                found.append(f"{module}{resource['type']}.{resource['name']}{index}")
    return found
