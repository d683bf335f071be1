"""Resources that a killed Terraform made but did not record: AWS refuses to make them twice.

The errors of a failed apply list them; the result are ids for imports.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .platform_on_aws import Platform

_EXISTS = re.compile(
    r"already ?exists|Duplicate|ResourceExists|not idempotent|AlreadyOwnedByYou", re.IGNORECASE
)
_CREATING = re.compile(r"creating [^()\n]* \(([^)\n]+)\)")
_ADDRESS = re.compile(r"^\s*with (\S+),$", re.MULTILINE)


def _by_name(_: Platform, name: str) -> str:
    return name


def _service(platform: Platform, name: str) -> str:
    return f"{platform.name}/{name}"


def _secret(platform: Platform, name: str) -> str:
    return str(platform.client("secretsmanager").describe_secret(SecretId=name)["ARN"])


def _security_group(platform: Platform, name: str) -> str:
    filters = [{"Name": "group-name", "Values": [name]}]
    [found] = platform.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    return str(found["GroupId"])


# From a resource's name to the id of its import. Terraform makes resources of other types again without an
# error.
_IDS: dict[str, Callable[[Platform, str], str]] = {
    "aws_cloudwatch_log_group": _by_name,
    "aws_db_instance": _by_name,
    "aws_db_subnet_group": _by_name,
    "aws_ecr_repository": _by_name,
    "aws_ecs_service": _service,
    "aws_iam_role": _by_name,
    "aws_s3_bucket": _by_name,
    "aws_secretsmanager_secret": _secret,
    "aws_security_group": _security_group,
}


def _rule(platform: Platform, wanted: dict[str, Any]) -> str | None:
    """Id of the security group's rule that matches the plan."""
    filters = [{"Name": "group-id", "Values": [wanted["security_group_id"]]}]
    for rule in platform.client("ec2").describe_security_group_rules(Filters=filters)["SecurityGroupRules"]:
        seen = {
            "ip_protocol": rule["IpProtocol"],
            "from_port": rule.get("FromPort"),
            "to_port": rule.get("ToPort"),
            "cidr_ipv4": rule.get("CidrIpv4"),
            "referenced_security_group_id": rule.get("ReferencedGroupInfo", {}).get("GroupId"),
        }
        if rule["IsEgress"] == wanted["egress"] and all(seen[key] == wanted.get(key) for key in seen):
            return str(rule["SecurityGroupRuleId"])
    return None


def planned_rules(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Address -> values of the rules of security groups in a plan (`terraform show -json`)."""
    return {
        change["address"]: change["change"]["after"] | {"egress": "_egress_" in change["type"]}
        for change in plan["resource_changes"]
        if re.fullmatch(r"aws_vpc_security_group_\w+_rule", change["type"]) and change["change"]["after"]
    }


def adoptable(platform: Platform, errors: str, rules: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Address -> id for an import, for existing resources of this deployment (by name or group).

    Args:
        platform: the deployment.
        errors: standard error of `terraform apply -no-color`.
        rules: the planned rules of security groups, which have no names.
    """
    found = {}
    for error in re.split(r"^Error: ", errors, flags=re.MULTILINE)[1:]:
        address, name = _ADDRESS.search(error), _CREATING.search(error)
        if address is None or not _EXISTS.search(error):
            continue
        if address[1] in rules and (rule := _rule(platform, rules[address[1]])):
            found[address[1]] = rule
        if name is None:
            continue
        kind = next((part for part in address[1].split(".") if part in _IDS), None)
        if kind is not None and name[1].lstrip("/").startswith(platform.name):
            found[address[1]] = _IDS[kind](platform, name[1])
    return found
