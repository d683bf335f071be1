"""What Terraform made and did not note, because it was killed in between: AWS refuses to make it twice.

Belongs here: reading that from what a failed apply printed, and the ids of imports. Does not belong here:
the import itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable

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


# How the id of an import is found from the name. What is missing here is made again without an error.
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


def adoptable(platform: Platform, errors: str) -> dict[str, str]:
    """Address -> id for `terraform import`, of what exists and is this deployment's by its name.

    Args:
        platform: where.
        errors: what `terraform apply -no-color` printed to standard error.
    """
    found = {}
    for error in re.split(r"^Error: ", errors, flags=re.MULTILINE)[1:]:
        address, name = _ADDRESS.search(error), _CREATING.search(error)
        if not (address and name and _EXISTS.search(error)):
            continue
        kind = next((part for part in address[1].split(".") if part in _IDS), None)
        if kind is not None and name[1].lstrip("/").startswith(platform.name):
            found[address[1]] = _IDS[kind](platform, name[1])
    return found
