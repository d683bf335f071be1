"""``vieweratlas import``: write presence rows or chat files to the lake, and print the figures."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

from collector_service.lake import Lake
from collector_service.logins import known_bots
from collector_service.privacy.opt_outs import read_opt_outs
from collector_service.privacy.populations import checked_secret
from vieweratlas_dagster.commands.terminal import console, errors
from vieweratlas_dagster.imports.presence import import_presence
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.downloader_files import ChatImport


def import_rows(settings: Settings, day: date, presence: Path, channels: Path | None) -> None:
    """Import presence rows of a day.

    Raises:
        FileError, SettingsError: see `import_presence`.
    """
    lake = Lake.open(settings.storage)
    with console.status("reading the rows"):
        imported = import_presence(
            lake,
            checked_secret(settings.privacy, lake, settings.today),
            presence,
            channels,
            day,
            _bots(settings),
            read_opt_outs(lake),
        )
    console.print(
        f"{imported.channels} channels, {imported.viewers} viewers, {imported.memberships} memberships"
        f" ({imported.repeated_rows} repeated rows, {imported.opted_out} opted out)"
        + (" were imported already" if imported.already_there else f" written to {imported.key}"),
        soft_wrap=True,
    )
    for address in imported.other_imports:
        console.print(f"An earlier import of {day} stays and counts too: {address}", soft_wrap=True)
    console.print(f"Next: vieweratlas analyze --day {day}", highlight=False)


def import_chats(settings: Settings, places: Iterable[str]) -> bool:
    """Import chat files; returns whether none was refused.

    Raises:
        ChatJsonError, SettingsError: see `ChatImport`.
    """
    lake = Lake.open(settings.storage)
    with console.status("reading") as status:
        chats = ChatImport(
            lake,
            secret=checked_secret(settings.privacy, lake, settings.today),
            window_seconds=settings.vod.bucket_len_s,
            first_day=settings.analysis.first_day,
            now=datetime.fromtimestamp(settings.clock.now(), UTC),
            bots=_bots(settings),
            opt_outs=read_opt_outs(lake),
        )
        imported = chats.run(places, lambda name: status.update(f"reading {name}"))
    for name in imported.already_there:
        console.print(f"{name}: the lake has more of this VOD already", soft_wrap=True, markup=False)
    for problem in imported.refused:
        errors.print(f"refused: {problem}", soft_wrap=True, markup=False, highlight=False)
    console.print(
        f"{imported.files} VODs, {imported.comments} comments of {imported.viewers} viewers "
        f"({imported.null_commenters} of deleted accounts, {imported.mirrored} mirrored, "
        f"{imported.opted_out} opted out, {imported.outside} outside the VOD) in "
        f"{imported.objects} objects",
        soft_wrap=True,
        highlight=False,
    )
    if imported.days:
        span = f"--from {imported.days[0]} --to {imported.days[-1]}"
        console.print(f"Next: vieweratlas analyze {span}", highlight=False)
    return not imported.refused


def _bots(settings: Settings) -> frozenset[str]:
    """The known bots; none, with a warning, if the default list does not exist."""
    collection = settings.collection
    path = collection.bots_file
    if path and not path.exists() and "bots_file" not in collection.model_fields_set:
        errors.print(f"{path} does not exist, so no viewer is marked as a known bot.", highlight=False)
        return frozenset()
    return known_bots(collection)
