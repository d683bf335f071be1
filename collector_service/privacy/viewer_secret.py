"""The secret behind viewer keys: read, or generated on first use."""

from __future__ import annotations

import glob
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from collector_service.settings import PrivacySettings, SettingsError
from collector_service.support.durable_files import create_once

# Suffix of a key file that `rotate-key` has retired.
RETIRED = "retired-"


def given_viewer_key_secret(privacy: PrivacySettings) -> str | None:
    """The secret from the environment or its file; None before its first use.

    Raises:
        SettingsError: the file is unusable, or readable by others.
    """
    if not (privacy.viewer_key_secret.get_secret_value() or privacy.viewer_key_file.exists()):
        return None
    return load_viewer_key_secret(privacy)


def load_viewer_key_secret(privacy: PrivacySettings) -> str:
    """The secret from the environment, else from its file, which is created (mode 0600) on first use.

    Raises:
        SettingsError: the file is unusable, or readable by others.
    """
    if given := privacy.viewer_key_secret.get_secret_value():
        return given
    path = privacy.viewer_key_file
    try:
        create_once(path, secrets.token_hex(32))
    except OSError as error:
        raise SettingsError(f"privacy.viewer_key_file: {path} is unusable: {error}") from None
    return _read_secret(path, "privacy.viewer_key_file")


def older_viewer_key_secrets(privacy: PrivacySettings, more: Iterable[Path] = ()) -> list[str]:
    """The secrets that rotations retired beside the present one's file, and those in the files ``more``.

    Raises:
        SettingsError: a file is unusable, or readable by others.
    """
    present = privacy.viewer_key_file
    retired = sorted(present.parent.glob(f"{glob.escape(present.name)}.{RETIRED}*"))
    return [
        *(_read_secret(path, "a retired key") for path in retired),
        *(_read_secret(path, "--old-key-file") for path in more),
    ]


def _read_secret(path: Path, what: str) -> str:
    """The secret in a file, which is called ``what`` in errors."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise SettingsError(f"{what}: {path} can be read by others; run: chmod 600 {path}")
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{what}: {path} is unusable: {error}") from None
    if not 16 <= len(secret) <= 64:
        raise SettingsError(
            f"{what}: {path} does not hold a key of 16 to 64 characters; restore it "
            "from a copy (a new key would make every viewer look new)"
        )
    return secret
