"""``python -m collector_service``: the live collector from the command line.

Belongs here: the command line. Does not belong here: what it starts (``service``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from collector_service.service import EXIT_SETTINGS, run
from collector_service.settings import Settings, SettingsError


def main() -> int:
    """Read the settings and collect; returns the exit code (see ``service``)."""
    parser = argparse.ArgumentParser(
        prog="python -m collector_service",
        description="Collect who chats where on Twitch, until SIGTERM or Ctrl-C.",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: config/config.yaml, if it exists)"
    )
    arguments = parser.parse_args()
    try:
        settings = Settings.load(arguments.config)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_SETTINGS
    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
