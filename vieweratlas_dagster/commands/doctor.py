"""`vieweratlas doctor`: examine every part of the installation, and print the next step for each fault."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from collector_service.lake import Lake
from collector_service.live.channel_list import given_logins, needs_helix
from collector_service.privacy.populations import check_if_at_hand, checked_secret, populations
from collector_service.privacy.viewer_secret import load_viewer_key_secret
from vieweratlas_dagster.forgetting.ledger import entries, unfinished_jobs
from vieweratlas_dagster.settings import Settings

_CONNECT_SECONDS = 5.0
_ONLY_TO_COLLECT = " (only `vieweratlas collect` and `make live` need it)"
# After this many missed heartbeats the daemon is presumed dead.
_LATE_HEARTBEATS = 3


@dataclass(frozen=True)
class Finding:
    """One result.

    Attributes:
        subject: the part.
        ok: whether it is in order.
        text: its state, or the fault with the next step.
        required: whether every installation needs it.
    """

    subject: str
    ok: bool
    text: str
    required: bool = True


def examine(settings: Settings) -> list[Finding]:
    """Examine every part; never raises, and leaves nothing changed."""
    parts: dict[str, Callable[[Settings], str]] = {
        "lake": _lake,
        "viewer key": _viewer_key,
        "forgetting": _forgetting,
        "atlas page": _atlas_page,
        "Dagster": _dagster,
        "heartbeat": _heartbeat,
        "channels": _channels,
        "Twitch chat": _twitch_chat,
    }
    # Parts that not every installation needs.
    optional = {"channels": _ONLY_TO_COLLECT, "Twitch chat": _ONLY_TO_COLLECT}
    if settings.alerts.backend == "log":
        optional["heartbeat"] = " (ignore this without schedules and alerts)"
    findings = [_try(name, part, settings, optional.get(name)) for name, part in parts.items()]
    return [Finding("settings", True, "all allowed"), *findings]


def print_findings(settings: Settings, console: Console) -> bool:
    """Examine every part and print the findings; returns whether all required parts are in order."""
    findings = examine(settings)
    for finding in findings:
        mark, style = ("ok  ", "green")
        if not finding.ok:
            mark, style = ("FAIL", "red") if finding.required else ("note", "yellow")
        console.print(mark, style=style, end=" ")
        console.print(f"{finding.subject}: {finding.text}", soft_wrap=True, highlight=False, markup=False)
    return all(finding.ok or not finding.required for finding in findings)


def _try(
    subject: str, part: Callable[[Settings], str], settings: Settings, optional: str | None
) -> Finding:
    required = optional is None
    try:
        return Finding(subject, True, part(settings), required)
    except Exception as error:  # noqa: BLE001 - every fault belongs in the output
        return Finding(subject, False, f"{error}{optional or ''}", required)


def _lake(settings: Settings) -> str:
    storage = settings.storage
    if storage.type == "file" and not storage.dir.exists():
        return f"{storage.dir} will be created on first use"
    lake = Lake.open(settings.storage)
    key = f"state/doctor/{uuid.uuid4().hex}"
    lake.put(key, b"probe")
    try:
        if lake.get(key) != b"probe":
            raise RuntimeError(f"{lake.uri} returned different bytes than were written")
    finally:
        lake.delete(key)
    return f"{lake.uri} can be written, read and deleted from"


def _viewer_key(settings: Settings) -> str:
    path = settings.privacy.viewer_key_file
    given = settings.privacy.viewer_key_secret.get_secret_value()
    storage = settings.storage
    if storage.type == "s3" or storage.dir.exists():
        lake = Lake.open(storage)
        if not given and not path.exists() and populations(lake):
            checked_secret(
                settings.privacy, lake, settings.today
            )  # raises with the next step; creates no key
        check_if_at_hand(settings.privacy, lake)
    if given:
        return "from VIEWER_KEY_SECRET, and matches the lake"
    if not path.exists():
        return f"will be created in {path} on first use"
    load_viewer_key_secret(settings.privacy)
    return f"from {path}, mode 0600, and matches the lake"


def _forgetting(settings: Settings) -> str:
    storage = settings.storage
    if storage.type == "file" and not storage.dir.exists():
        return "the ledger is empty"
    lake = Lake.open(storage)
    if begun := unfinished_jobs(lake):
        raise RuntimeError(
            f"{len(begun)} unfinished since {begun[0].begun}; run: vieweratlas forget --resume"
        )
    return f"{len(entries(lake))} in the ledger, all finished"


def _channels(settings: Settings) -> str:
    collection = settings.collection
    with_helix = needs_helix(settings.twitch, collection)
    given = given_logins(collection)
    if given is None:
        return f"the top {collection.top_channels_limit} by viewers, from Helix"
    return f"{len(given)} given" + (", their games and languages from Helix" if with_helix else "")


def _twitch_chat(settings: Settings) -> str:
    url = urlsplit(settings.twitch.irc_url)
    port = url.port or (6697 if url.scheme == "ircs" else 6667)

    async def connect() -> None:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(url.hostname, port)
            writer.close()

    try:
        asyncio.run(connect())
    except (OSError, TimeoutError) as error:
        raise RuntimeError(
            f"{url.hostname}:{port} cannot be reached ({error}); check the network"
        ) from error
    return f"{url.hostname}:{port} answers"


def _atlas_page(_settings: Settings) -> str:
    from vieweratlas_dagster.publish.page import load_template

    return f"built, {len(load_template()) // 1024} KiB"


def _dagster(settings: Settings) -> str:
    from vieweratlas_dagster.definitions import build_definitions

    repository = build_definitions(settings).get_repository_def()
    home = os.environ.get("DAGSTER_HOME")
    if home and not Path(home).is_dir():
        raise RuntimeError(f"DAGSTER_HOME is {home}, which does not exist; run: mkdir -p {home}")
    count = len(list(repository.asset_graph.get_all_asset_keys()))
    return f"{count} assets load; DAGSTER_HOME is {home or 'not set (make ui sets it)'}"


def _heartbeat(settings: Settings) -> str:
    from vieweratlas_dagster.alerts.heartbeat import HEARTBEAT_KEY, last_heartbeat

    storage = settings.storage
    advice = "is the Dagster daemon running, and the sensor vieweratlas_alerts on? See docs/RUNBOOK.md"
    missing = storage.type == "file" and not storage.dir.exists()
    last = None if missing else last_heartbeat(Lake.open(storage))
    if last is None:
        raise RuntimeError(f"the lake has no {HEARTBEAT_KEY}: {advice}")
    minutes = (datetime.now(UTC) - last.at).total_seconds() / 60
    if minutes > _LATE_HEARTBEATS * settings.alerts.heartbeat_minutes:
        raise RuntimeError(f"the last one is {minutes:.0f} minutes old: {advice}")
    return f"{minutes:.0f} minutes old; alerts go to {settings.alerts.backend}"
