"""Secrets whose values people put in: Twitch's.

A value is read from standard input or a prompt, never from the command line, which every process can read.
"""

from __future__ import annotations

import getpass
import sys

from .platform_on_aws import OperatorError, Platform

TWITCH = ("client_id", "client_secret", "oauth_token")
_MAX_CHARACTERS = 200


def secret_name(platform: Platform, key: str) -> str:
    """The secret's name in Secrets Manager."""
    return f"{platform.name}/twitch/{key}"


def secrets_without_value(platform: Platform, keys: list[str]) -> list[str]:
    """Those of ``keys`` without a value, which no task could start with."""
    manager = platform.client("secretsmanager")
    missing = []
    for key in keys:
        try:
            versions = manager.describe_secret(SecretId=secret_name(platform, key)).get(
                "VersionIdsToStages", {}
            )
        except manager.exceptions.ResourceNotFoundException:
            versions = {}
        if not any("AWSCURRENT" in stages for stages in versions.values()):
            missing.append(key)
    return missing


def missing_secrets(platform: Platform) -> list[str]:
    """Those of Twitch's secrets that do not exist."""
    manager = platform.client("secretsmanager")
    missing = []
    for key in TWITCH:
        try:
            manager.describe_secret(SecretId=secret_name(platform, key))
        except manager.exceptions.ResourceNotFoundException:
            missing.append(key)
    return missing


def read_value(key: str) -> str:
    """The new value from the prompt, or from standard input when that is not a terminal.

    Raises:
        OperatorError: it is empty, or cannot be a credential of Twitch.
    """
    value = (getpass.getpass(f"New {key}: ") if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not value:
        raise OperatorError(f"Standard input has no value for {key}; nothing was changed.")
    if len(value) > _MAX_CHARACTERS or not value.isascii() or not value.isprintable() or " " in value:
        raise OperatorError(f"Not a {key} of Twitch: one word is expected; nothing was changed.")
    return value.removeprefix("oauth:") if key == "oauth_token" else value


def put_secret(platform: Platform, key: str, value: str) -> bool:
    """Store the value; whether it differs from the stored one.

    Raises:
        OperatorError: Terraform has not made the secret yet.
    """
    manager, name = platform.client("secretsmanager"), secret_name(platform, key)
    try:
        if manager.get_secret_value(SecretId=name)["SecretString"] == value:
            return False
    except manager.exceptions.ResourceNotFoundException:
        pass
    try:
        manager.put_secret_value(SecretId=name, SecretString=value)
    except manager.exceptions.ResourceNotFoundException:
        raise OperatorError(
            f"The secret {name} does not exist yet: run safe-deploy.sh, which makes it."
        ) from None
    return True
