"""Files of logins, such as config/bots.txt: one login per line, ``#`` starts a comment."""

from __future__ import annotations

from pathlib import Path

from collector_service.contract import LOGIN
from collector_service.settings import CollectionSettings, SettingsError
from collector_service.support.limits import TooLargeError, read_file


def known_bots(collection: CollectionSettings) -> frozenset[str]:
    """The logins of collection.bots_file; none without such a file.

    Raises:
        SettingsError: see `read_logins`.
    """
    path = collection.bots_file
    return frozenset(read_logins(path, "collection.bots_file")) if path else frozenset()


def read_logins(path: Path, setting: str) -> list[str]:
    """The logins in a file, lower case, each once, in the file's order.

    Args:
        path: the file.
        setting: the setting that names it, for error messages.

    Raises:
        SettingsError: the file cannot be read, or a line is not a login.
    """
    try:
        lines = read_file(path).decode().splitlines()
    except TooLargeError as error:
        raise SettingsError(f"{setting}: {path}: {error}") from None
    except OSError as error:
        raise SettingsError(f"{setting}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{setting}: {path} is not UTF-8 text") from None
    logins: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        login = line.partition("#")[0].strip().lower()
        if login and not LOGIN.fullmatch(login):
            raise SettingsError(
                f"{setting}: {path}, line {number}: {login[:60]!r} is not a login (a-z, 0-9 and _)"
            )
        if login:
            logins[login] = None
    return list(logins)
