"""The ``vieweratlas vod`` commands: list, extend and repair the queue of recordings.

Twitch clients and the queue are imported only when needed.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from vieweratlas_dagster.commands.terminal import ConfigOption, console, errors, exit_codes
from vieweratlas_dagster.settings import Settings

if TYPE_CHECKING:
    from vieweratlas_dagster.vod.queue import Status, VodItem
    from vieweratlas_dagster.vod.queue_store import QueueStore

vod = typer.Typer(no_args_is_help=True, help="The queue of recordings whose chat will be read.")

_STATUSES: tuple[Status, ...] = ("pending", "leased", "incomplete", "done", "dead")
_ADDRESS = re.compile(r"(?:https?://)?(?:www\.|m\.)?twitch\.tv/videos/(\d+)(?:[/?].*)?")
_NEXT = "The next run of vod_6h reads them: every six hours, or at once from the UI."
_FIND_AGAIN = (
    "Every channel will be asked again. To find lost recordings, make the quarters of the last day again "
    "(UI: Catalog > vod_chat > Materialize)."
)


@vod.command("list")
def list_(
    status: Annotated[
        list[str] | None, typer.Option(help=f"Only these: {', '.join(_STATUSES)}.", metavar="STATUS")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Show the queue: one line for each recording, the newest first."""
    from vieweratlas_dagster.vod.queue_store import QueueError

    for name in status or ():
        if name not in _STATUSES:
            raise typer.BadParameter(
                f"{name!r} is not one of {', '.join(_STATUSES)}", param_hint="--status"
            )
    with exit_codes(QueueError):
        items = _store(Settings.load(config)).load().values()
        counts = Counter(item.status for item in items)
        console.print(", ".join(f"{counts[name]} {name}" for name in _STATUSES), highlight=False)
        shown = [item for item in items if not status or item.status in status]
        for item in sorted(shown, key=lambda item: item.ended_at, reverse=True):
            console.print(_line(item), soft_wrap=True, markup=False, highlight=False)


def _line(item: VodItem) -> str:
    length = item.duration_seconds
    share = min(1.0, item.coverage_seconds / length) if length else float(item.status == "done")
    words = [
        f"{item.vod_id:>12} {item.status:<10} {item.channel:<25}",
        f"ended {item.ended_at:%Y-%m-%d %H:%M} UTC, {length / 3600:4.1f} h, {share:4.0%} read,",
        f"{item.comments} comments, {item.attempts} attempt{'' if item.attempts == 1 else 's'}",
    ]
    text = " ".join(words)
    if item.lease_expires_at:
        text += f", leased until {item.lease_expires_at:%m-%d %H:%M}"
    if item.waits and item.next_attempt_at:
        text += f", next not before {item.next_attempt_at:%m-%d %H:%M}"
    return text + (f": {item.reason}" if item.reason else "")


@vod.command()
def add(
    vods: Annotated[list[str], typer.Argument(help="Ids, or addresses like twitch.tv/videos/ID.")],
    config: ConfigOption = None,
) -> None:
    """Queue recordings of your choice, whatever their age and views."""
    from collector_service.lake import Lake
    from collector_service.twitch.helix import HelixError
    from vieweratlas_dagster.vod.collecting import add_vods
    from vieweratlas_dagster.vod.queue_store import QueueError

    with exit_codes(HelixError, QueueError):
        settings = Settings.load(config)
        now = datetime.fromtimestamp(settings.clock.now(), UTC)
        wanted = [_vod_id(text) for text in vods]
        outcome = asyncio.run(add_vods(Lake.open(settings.storage), wanted, settings, now=now))
        for item in outcome.queued:
            console.print(f"{item.vod_id} of {item.channel}: queued", highlight=False)
        for item in outcome.known:
            console.print(
                f"{item.vod_id} of {item.channel}: already known; "
                f"run `vieweratlas vod retry {item.vod_id}` to read it",
                soft_wrap=True,
                highlight=False,
            )
        for vod_id in outcome.running:
            errors.print(
                f"{vod_id}: the broadcast is still running; add it when it has ended", highlight=False
            )
        for vod_id in outcome.missing:
            errors.print(
                f"{vod_id}: Twitch has no such past broadcast (deleted, expired, a highlight or an upload)",
                soft_wrap=True,
                highlight=False,
            )
        for vod_id in outcome.opted_out:
            errors.print(f"{vod_id}: its channel has opted out", highlight=False)
        if outcome.queued:
            _print_next(settings)
        if outcome.running or outcome.missing or outcome.opted_out:
            raise typer.Exit(1)


@vod.command()
def retry(
    vods: Annotated[list[str] | None, typer.Argument(help="Ids, or addresses.")] = None,
    dead: Annotated[
        bool, typer.Option("--dead", help="All dead recordings except those that Twitch has deleted.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Make recordings due at once, with all their attempts."""
    from vieweratlas_dagster.vod import queue
    from vieweratlas_dagster.vod.queue_store import QueueError

    if bool(vods) == dead:
        raise typer.BadParameter("give either ids or --dead")
    with exit_codes(QueueError):
        settings = Settings.load(config)
        wanted = [_vod_id(text) for text in vods or ()]

        def again(items: queue.Items) -> tuple[dict[str, VodItem], tuple[list[str], list[str]]]:
            chosen: Iterable[str] = wanted
            if dead:
                chosen = [key for key, item in items.items() if item.status == "dead" and not item.gone]
            known = [key for key in chosen if key in items]
            return queue.retry(items, known), (known, [key for key in chosen if key not in items])

        found, unknown = _store(settings).change(again)
        console.print(f"{len(found)} made due", highlight=False)
        for vod_id in unknown:
            errors.print(
                f"{vod_id} is not in the queue; run `vieweratlas vod add {vod_id}` to add it",
                highlight=False,
            )
        if found:
            _print_next(settings)
        if unknown:
            raise typer.Exit(1)


@vod.command()
def recover(config: ConfigOption = None) -> None:
    """Repair a damaged or lost queue, keeping every readable entry."""
    from collector_service.lake import Lake
    from vieweratlas_dagster.vod.discovery import forget
    from vieweratlas_dagster.vod.queue_store import QueueError

    with exit_codes(QueueError):
        settings = Settings.load(config)
        found = _store(settings).recover()
        # Even if the queue is intact: it may be a restored earlier version.
        forget(Lake.open(settings.storage))
        lost = "an unknown number" if found.lost is None else found.lost
        console.print(f"{found.kept} entries kept, {lost} lost", highlight=False)
        if found.copy:
            console.print(f"A copy of the damaged queue: {found.copy}", soft_wrap=True)
        console.print(_FIND_AGAIN, highlight=False)


def _vod_id(text: str) -> str:
    found = _ADDRESS.fullmatch(text)
    vod_id = found.group(1) if found else text
    if not (vod_id.isascii() and vod_id.isdigit() and len(vod_id) <= 20):
        raise typer.BadParameter(f"{text!r} is neither the id nor the address of a VOD")
    return vod_id


def _store(settings: Settings) -> QueueStore:
    from collector_service.lake import Lake
    from vieweratlas_dagster.vod.queue_store import QueueStore

    return QueueStore(Lake.open(settings.storage))


def _print_next(settings: Settings) -> None:
    console.print(_NEXT, highlight=False)
    if not settings.vod.enabled:
        errors.print("But vod.enabled is false: recordings are read only when it is true.", highlight=False)
