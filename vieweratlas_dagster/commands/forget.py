"""``vieweratlas forget``: for people.

Belongs here: what the command prints, and asking Twitch who is meant. Does not belong here: the work
(``run``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from collector_service.contract import live_day_prefix
from collector_service.lake import Lake
from collector_service.privacy.populations import checked_secret, match_keys
from collector_service.privacy.viewer_secret import older_viewer_key_secrets
from collector_service.settings import TwitchSettings
from collector_service.twitch.helix import Helix, User
from vieweratlas_dagster.commands.terminal import console, errors
from vieweratlas_dagster.forgetting.erase import Forgetting, Report
from vieweratlas_dagster.forgetting.erase import Progress as Told
from vieweratlas_dagster.forgetting.ledger import unfinished_jobs
from vieweratlas_dagster.forgetting.s3_versions import Versions
from vieweratlas_dagster.forgetting.subject import Accounts, Subject, find_channel, find_viewer
from vieweratlas_dagster.settings import Settings

_WORDS = {
    "lines": "channel-windows or refused lines of raw data",
    "presences": "viewer entries in raw data",
    "rows": "rows of curated tables",
    "map_rows": "rows of published tables",
    "maps": "published maps",
    "tables": "tables",
    "objects": "whole objects",
    "objects_rewritten": "objects to write again or remove",
    "bytes_rewritten": "bytes of these",
    "unreadable_ends": "ends of objects that nobody can read",
    "queued_vods": "queued recordings",
    "memories": "memory of recordings asked for",
    "status_tables": "status tables of collectors",
    "old_versions": "old versions on S3",
    "job_versions": "old versions of earlier runs on S3",
    "delete_markers": "delete markers on S3",
}
_RECENT_WINDOWS = 3


class OutOfReachError(Exception):
    """Days of earlier populations whose key is not there were not searched; all else is done."""


def forget_somebody(
    settings: Settings,
    *,
    viewer: str | None,
    channel: str | None,
    dry_run: bool,
    old_key_files: Sequence[Path] = (),
) -> None:
    """Forget a viewer or a channel, or what was begun when neither is given; tells what was found and done.

    Raises:
        SubjectError, BadMapManifestError, LedgerError, QueueError, UnreadableObjectError, VersionsError,
            HelixError, SettingsError: see `Forgetting.run`.
        OutOfReachError: a viewer was looked for, and the keys of some days are not there.
    """
    lake = Lake.open(settings.storage)
    empty = "" if lake.folders("") else ", which is empty: is it the one you mean? See --config"
    console.print(f"The lake is {lake.uri}{empty}.", soft_wrap=True)
    versions = Versions(settings.storage) if settings.storage.type == "s3" else None
    with _progress() as progress:
        forgetting = Forgetting(lake, settings, versions, datetime.now(UTC), progress)
        if viewer is None and channel is None:
            kinds = {job.subject.kind for job in unfinished_jobs(lake)}
            reports = forgetting.resume()
        else:
            kinds = {"channel" if viewer is None else "viewer"}
            subject = _subject(settings, lake, viewer, channel, old_key_files)
            reports = [forgetting.look(subject) if dry_run else forgetting.run(subject)]
    if not reports:
        console.print("Nothing was begun and left unfinished.")
    for report in reports:
        _tell(report, settings, lake, dry_run=dry_run, is_channel="channel" in kinds)
    if out_of_reach := list(dict.fromkeys(days for report in reports for days in report.out_of_reach)):
        raise OutOfReachError(
            f"the viewer was not looked for in days {', '.join(out_of_reach)}: they were counted with "
            "another viewer key, which is not here. Put the file that `vieweratlas rotate-key` put away "
            f"back beside {settings.privacy.viewer_key_file}, or name a file that holds the old key with "
            "--old-key-file, and run `vieweratlas forget --viewer` again. If that key is destroyed, "
            "nobody can tell which pseudonym in these days is whose (docs/DATA_POLICY.md)"
        )


def _subject(
    settings: Settings, lake: Lake, viewer: str | None, channel: str | None, old_key_files: Sequence[Path]
) -> Subject:
    accounts = _accounts(settings.twitch)
    if viewer is None:
        return find_channel(channel or "", lake, accounts)
    secret = checked_secret(settings.privacy, lake, settings.today)
    keys = match_keys(lake, older_viewer_key_secrets(settings.privacy, old_key_files))
    return replace(find_viewer(viewer, secret, accounts, keys.older), out_of_reach=keys.out_of_reach)


def _accounts(twitch: TwitchSettings) -> Accounts | None:
    """Helix, if there are credentials for it."""
    if not twitch.has_credentials:
        return None

    async def ask(login: str | None, number: int | None) -> list[User]:
        async with Helix.open(twitch) as helix:
            return await helix.users([login] if login else [], [number] if number is not None else [])

    def account(*, login: str | None = None, number: int | None = None) -> User | None:
        return next(iter(asyncio.run(ask(login, number))), None)

    return account


@contextmanager
def _progress() -> Iterator[Told]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("", total=None)

        def told(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield told


def _tell(report: Report, settings: Settings, lake: Lake, *, dry_run: bool, is_channel: bool) -> None:
    head = "Would be removed:" if dry_run else "Removed:"
    if not report.counts:
        head = "Nothing of it is in the lake."
    console.print(head, highlight=False)
    for name, count in report.counts.items():
        console.print(f"  {count:>14,}  {_WORDS.get(name, name)}", highlight=False)
    if report.newly_left_out:
        done = "Would be left out" if dry_run else "Left out"
        console.print(f"{done} of everything that is collected or imported from now on.", highlight=False)
    if report.days:
        console.print(
            f"Days whose graphs are made again: {len(report.days)}, {report.days[0]} to "
            f"{report.days[-1]}, by the sensor vieweratlas_late_data while the Dagster daemon runs.",
            soft_wrap=True,
            highlight=False,
        )
    if report.removed_maps:
        console.print(
            f"Removed, since their tables are missing or of an older version: page, pictures and files of "
            f"{', '.join(report.removed_maps)}. Materialize overlap_graph and what follows for these days "
            "to have them again.",
            soft_wrap=True,
            highlight=False,
        )
    for key in report.mentions:
        console.print(
            f"Still mentions it, please look: {lake.address(key)}", soft_wrap=True, highlight=False
        )
    if dry_run:
        return
    if is_channel:
        console.print(
            "Take it off your own lists too: collection.channels_file, TWITCH_CHANNELS, "
            "analysis.labels_file. Copies of published pages that others keep, and previews in Dagster's "
            "own records, are not reached.",
            soft_wrap=True,
            highlight=False,
        )
    if is_being_collected(lake, settings):
        now = datetime.now(UTC)
        collection = settings.collection
        later = timedelta(seconds=collection.opt_outs_seconds + collection.window_seconds)
        soon = timedelta(seconds=collection.window_seconds)
        console.print(
            f"A collector is writing, and reads the list of opt-outs every "
            f"{collection.opt_outs_seconds / 60:.0f} minutes, at its start and at once after kill -HUP. "
            f"Repeat this command for what it wrote meanwhile: after {now + later:%H:%M} UTC, or "
            f"after {now + soon:%H:%M} UTC when you restart it or send the signal now.",
            soft_wrap=True,
            highlight=False,
        )


def is_being_collected(lake: Lake, settings: Settings) -> bool:
    """Whether a live window that began in the last minutes is in the lake, by the names of objects."""
    now = datetime.fromtimestamp(settings.clock.now(), UTC)
    since = now - timedelta(seconds=_RECENT_WINDOWS * settings.collection.window_seconds)
    names = (
        info.key.rsplit("/", 1)[-1]
        for day in {f"{since:%Y-%m-%d}", f"{now:%Y-%m-%d}"}
        for info in lake.objects(live_day_prefix(day))
    )
    return any(name[:16] >= f"{since:%Y%m%dT%H%M%SZ}" for name in names if "-import." not in name)
