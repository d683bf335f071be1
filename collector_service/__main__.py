"""``python -m collector_service``: the live collector from the command line."""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from collector_service.settings import Settings, SettingsError

_ANSWER_SECONDS = 5.0


def main() -> int:
    """Read the settings and do what the command says; returns the exit code (see ``service``)."""
    parser = argparse.ArgumentParser(
        prog="python -m collector_service",
        description="Collect the presence of Twitch's chatters, until SIGTERM or Ctrl-C.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("collect", "health", "status"),
        default="collect",
        help="collect (the default); health: exit with 0 if the collector on this machine is well, with 1 "
        "if a restart would help; status: show why channels have no data",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings (default: the file that "
        "VIEWERATLAS_CONFIG names, else config/config.yaml, if it exists)",
    )
    arguments = parser.parse_args()
    try:
        settings = Settings.load(arguments.config)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.command == "collect":
        # A late import: a health check runs every half minute and needs nothing of it.
        from collector_service.live.service import run

        return run(settings)
    port = settings.collection.http_port
    if port == 0:
        print(
            "collection.http_port (COLLECTOR_HTTP_PORT) is 0, so the collector serves no page; set a port",
            file=sys.stderr,
        )
        return 2
    try:
        return _show_health(port) if arguments.command == "health" else _show_status(port)
    except OSError as error:
        print(f"no answer from a collector on port {port} of this machine: {error}", file=sys.stderr)
        return 1


def _show_health(port: int) -> int:
    verdict = _ask(port, "healthz")
    print("; ".join([str(verdict["status"]), *verdict["problems"]]))
    return int(verdict["status"] == "failing")


def _show_status(port: int) -> int:
    from collector_service.live.status_table import describe

    print(describe(_ask(port, "channels")))
    return 0


def _ask(port: int, page: str) -> Any:
    """The page's JSON, also when its status is an error.

    Raises:
        OSError: no answer.
    """
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=_ANSWER_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)


if __name__ == "__main__":
    sys.exit(main())
