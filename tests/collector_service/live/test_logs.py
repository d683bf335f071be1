"""Logs: one JSON object a line."""

import json
import logging

from collector_service.live import logs
from collector_service.settings import LoggingSettings


def test_json_logs_are_one_object_a_line(capsys):
    logs.configure(LoggingSettings(format="json"))
    logger = logging.getLogger("collector_service.x")
    logger.info("two\nlines %d", 5, extra={"fields": {"joined": 3}})
    try:
        [].pop()
    except IndexError:
        logger.exception("failed")
    logging.getLogger("twitchio.http").warning("POST https://x/?client_secret=s")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["message"], first["level"], first["joined"]) == ("two\nlines 5", "info", 3)
    assert "pop from empty list" in second["exception"]
    logging.getLogger().handlers.clear()
