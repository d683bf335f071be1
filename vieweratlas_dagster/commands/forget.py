"""``vieweratlas forget``: find the subject, have it forgotten, and print the outcome."""

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
from collector_service.twitch.helix import Helix, HelixError, User
from vieweratlas_dagster.commands.terminal import console, errors
from vieweratlas_dagster.forgetting.erase import Forgetting, ForgettingReport, ReportProgress
from vieweratlas_dagster.forgetting.ledger import LedgerError, unfinished_jobs
from vieweratlas_dagster.forgetting.rewriting import UnreadableObjectError
from vieweratlas_dagster.forgetting.s3_versions import Versions, VersionsError
from vieweratlas_dagster.forgetting.subject import (
    Accounts,
    Subject,
    SubjectError,
    find_channel,
    find_viewer,
)
from vieweratlas_dagster.lake.manifests import BadMapManifestError
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.queue_store import QueueError

_WORDS = {
    "lines": "channel-windows or refused lines of raw data",
    "presences": "viewer entries in raw data",
    "rows": "rows of curated tables",
    "map_rows": "rows of published tables",
    "maps": "published maps",
    "tables": "tables",
    "objects": "whole objects",
    "objects_rewritten": "objects to rewrite or remove",
    "bytes_rewritten": "bytes of these",
    "unreadable_ends": "unreadable ends of objects",
    "queued_vods": "queued recordings",
    "memories": "discovery's memory of the channel",
    "status_tables": "status tables of collectors",
    "old_versions": "old versions on S3",
    "job_versions": "old versions of earlier runs on S3",
    "delete_markers": "delete markers on S3",
}
_RECENT_WINDOWS = 3


class OutOfReachError(Exception):
    """Days were not searched because their viewer key is missing; everything else is done."""


# Each text of these names the next step.
FORGET_ERRORS = (
    BadMapManifestError,
    HelixError,
    LedgerError,
    OutOfReachError,
    QueueError,
    SubjectError,
    UnreadableObjectError,
    VersionsError,
)


def forget_subject(
    settings: Settings,
    *,
    viewer: str | None,
    channel: str | None,
    dry_run: bool,
    old_key_files: Sequence[Path] = (),
) -> None:
    """Forget a viewer or a channel, or finish unfinished jobs when neither is given; prints the outcome.

    Raises:
        SubjectError, BadMapManifestError, LedgerError, QueueError, UnreadableObjectError, VersionsError,
            HelixError, SettingsError: see `Forgetting.run`.
        OutOfReachError: some days could not be searched for the viewer.
    """
    lake = Lake.open(settings.storage)
    empty = "" if lake.folders("") else ", which is empty: check --config"
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
        console.print("There is no unfinished job.")
    for report in reports:
        _print_report(report, settings, lake, dry_run=dry_run, is_channel="channel" in kinds)
    if out_of_reach := list(dict.fromkeys(days for report in reports for days in report.out_of_reach)):
        raise OutOfReachError(
            f"could not search days {', '.join(out_of_reach)}: they were counted with a different viewer "
            "key, which is missing. Put the file that `vieweratlas rotate-key` retired back beside "
            f"{settings.privacy.viewer_key_file}, or give a file with the old key by --old-key-file, and "
            "run `vieweratlas forget --viewer` again. Without that key, the pseudonyms of these days "
            "cannot be matched to anyone (docs/DATA_POLICY.md)"
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
    """Helix, if the settings have credentials for it."""
    if not twitch.has_credentials:
        return None

    async def ask(login: str | None, number: int | None) -> list[User]:
        async with Helix.open(twitch) as helix:
            return await helix.users([login] if login else [], [number] if number is not None else [])

    def account(*, login: str | None = None, number: int | None = None) -> User | None:
        return next(iter(asyncio.run(ask(login, number))), None)

    return account


@contextmanager
def _progress() -> Iterator[ReportProgress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(item: str, done: int, total: int) -> None:
            bar.update(task, description=item, completed=done, total=total or None)

        yield report


def _print_report(
    report: ForgettingReport, settings: Settings, lake: Lake, *, dry_run: bool, is_channel: bool
) -> None:
    head = "Would be removed:" if dry_run else "Removed:"
    if not report.counts:
        head = "The lake does not contain it."
    console.print(head, highlight=False)
    for name, count in report.counts.items():
        console.print(f"  {count:>14,}  {_WORDS.get(name, name)}", highlight=False)
    if report.newly_opted_out:
        done = "Would be put" if dry_run else "Put"
        console.print(
            f"{done} on the list of opt-outs: it will not be collected or imported any more.",
            highlight=False,
        )
    if report.days:
        console.print(
            f"Days whose graphs are made again: {len(report.days)}, {report.days[0]} to "
            f"{report.days[-1]}, by the sensor vieweratlas_late_data while the Dagster daemon runs.",
            soft_wrap=True,
            highlight=False,
        )
    if report.removed_maps:
        console.print(
            "Removed page, pictures and files, because their tables are missing or of an older version: "
            f"{', '.join(report.removed_maps)}. To restore them, materialize overlap_graph and everything "
            "downstream for these days.",
            soft_wrap=True,
            highlight=False,
        )
    for key in report.mentions:
        console.print(
            f"Still mentions it; check by hand: {lake.address(key)}", soft_wrap=True, highlight=False
        )
    if dry_run:
        return
    if is_channel:
        console.print(
            "Remove it from your own lists too: collection.channels_file, TWITCH_CHANNELS, "
            "analysis.labels_file. Copies of published pages elsewhere and previews in Dagster's records "
            "remain.",
            soft_wrap=True,
            highlight=False,
        )
    if is_being_collected(lake, settings):
        now = datetime.now(UTC)
        collection = settings.collection
        later = timedelta(seconds=collection.opt_outs_seconds + collection.window_seconds)
        soon = timedelta(seconds=collection.window_seconds)
        console.print(
            f"A collector is running. It reads the list of opt-outs every "
            f"{collection.opt_outs_seconds / 60:.0f} minutes, at its start, and on kill -HUP. Repeat this "
            f"command to remove the data that it writes until then: after {now + later:%H:%M} UTC, or "
            f"after {now + soon:%H:%M} UTC if you restart it or send the signal now.",
            soft_wrap=True,
            highlight=False,
        )


def is_being_collected(lake: Lake, settings: Settings) -> bool:
    """Whether the lake has a live window of the last minutes, by the names of objects."""
    now = datetime.fromtimestamp(settings.clock.now(), UTC)
    since = now - timedelta(seconds=_RECENT_WINDOWS * settings.collection.window_seconds)
    names = (
        info.key.rsplit("/", 1)[-1]
        for day in {f"{since:%Y-%m-%d}", f"{now:%Y-%m-%d}"}
        for info in lake.objects(live_day_prefix(day))
    )
    return any(name[:16] >= f"{since:%Y%m%dT%H%M%SZ}" for name in names if "-import." not in name)
