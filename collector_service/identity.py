"""What is drawn once and kept: the secret behind viewer keys, and a collector's own id.

Belongs here: reading them, and their creation on first use. Does not belong here: the key's formula
(``contract.viewer_key``).
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path

from collector_service.contract import COLLECTOR_ID
from collector_service.settings import PrivacySettings, SettingsError


def given_viewer_key_secret(privacy: PrivacySettings) -> str | None:
    """The secret if there is one already, from the environment or its file; None before its first use.

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
        _create_once(path, secrets.token_hex(32))
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise SettingsError(
                f"privacy.viewer_key_file: {path} can be read by others; run: chmod 600 {path}"
            )
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"privacy.viewer_key_file: {path} is unusable: {error}") from None
    if not 16 <= len(secret) <= 64:
        raise SettingsError(
            f"privacy.viewer_key_file: {path} does not hold a key of 16 to 64 characters; restore it "
            "from a copy (a new key would make every viewer look new)"
        )
    return secret


def own_collector_id(folder: Path) -> str:
    """The id of the collector whose state is in ``folder``, drawn on first use.

    Two collectors with one id would pass for two parts of one, and everybody would count twice.

    Raises:
        SettingsError: the file is unusable.
    """
    path = folder / "collector_id"
    try:
        _create_once(path, f"c{secrets.token_hex(4)}")
        found = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"collection.state_dir: {path} is unusable: {error}") from None
    if not COLLECTOR_ID.fullmatch(found):
        raise SettingsError(f"collection.state_dir: {path} holds no collector id; remove it for a new one")
    return found


def _create_once(path: Path, text: str) -> None:
    """Write a new file (mkstemp makes it 0600) and link it into place: the first of several wins."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with open(descriptor, "w") as handle:
        handle.write(text + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        Path(temporary).unlink()
