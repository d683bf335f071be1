"""The collector's state folder: locked for a single process, with the collector's own id."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collector_service.contract import COLLECTOR_ID
from collector_service.settings import SettingsError
from collector_service.support.durable_files import create_once


def own_collector_id(folder: Path) -> str:
    """The id of the collector whose state is in ``folder``, drawn on first use.

    Two collectors with one id would look like one, and every viewer would count twice.

    Raises:
        SettingsError: the file is unusable.
    """
    path = folder / "collector_id"
    try:
        create_once(path, f"c{secrets.token_hex(4)}")
        found = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"collection.state_dir: {path} is unusable: {error}") from None
    if not COLLECTOR_ID.fullmatch(found):
        raise SettingsError(
            f"collection.state_dir: {path} does not contain a collector id; remove it for a new one"
        )
    return found


@contextmanager
def own_state_dir(folder: Path) -> Iterator[Path]:
    """The state directory, for this process alone.

    Raises:
        SettingsError: it cannot be used, or a different collector is using it.
    """
    name = "collection.state_dir (COLLECTOR_STATE_DIR)"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise SettingsError(f"{name}: {folder}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SettingsError(f"{name}: {folder} is in use by a different collector") from None
        yield folder
