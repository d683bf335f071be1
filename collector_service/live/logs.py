"""Logs: one line an event, for people or for machines.

A log never holds a viewer's name or id, message text or a secret; the modules that log see to it, and
chatty libraries are silenced here.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from collector_service.settings import LoggingSettings

# Their own levels would let URLs with secrets or protocol traffic through.
_SILENCED = ("aiohttp", "asyncio", "twitchio")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the record's ``fields``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure(settings: LoggingSettings) -> None:
    """Send logs to standard error in the wanted form."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=settings.level, handlers=[handler], force=True)
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.ERROR)
