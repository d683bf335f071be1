"""``vieweratlas retention``: a report on the stored data, with ages, sizes and retention rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from collector_service.contract import STATE_PREFIX
from collector_service.lake import Lake, ObjectInfo
from vieweratlas_dagster.automation.retention import days_kept, expires_at
from vieweratlas_dagster.forgetting.rewriting import CURATED_PREFIXES
from vieweratlas_dagster.lake.keys import ANALYSIS_PREFIX
from vieweratlas_dagster.settings import Settings

# Removal runs once a night; S3's lifecycle rules may take a day longer.
_GRACE = timedelta(days=2)
_NO_RULE = "as long as you decide"


@dataclass(frozen=True)
class Holding:
    """The data in one place.

    Attributes:
        place: a prefix of the lake, or a folder.
        rule: how long they are kept, in words.
        objects: how many.
        bytes: their size.
        oldest: when the oldest was written.
        overdue: how many should have been removed.
    """

    place: str
    rule: str
    objects: int
    bytes: int
    oldest: datetime | None
    overdue: int = 0


def holdings(settings: Settings, now: datetime) -> list[Holding]:
    """The data in every place at ``now`` (aware); an object's age counts from when it was written."""
    storage, found = settings.storage, []
    rules = days_kept(settings.retention)
    if storage.type == "s3" or storage.dir.is_dir():
        lake = Lake.open(storage)
        for prefix, days in rules.items():
            infos = lake.objects(prefix)
            overdue = sum(expires_at(info, days) + _GRACE < now for info in infos)
            found.append(_holding(prefix, f"{days} days", infos, overdue))
        found += [
            _holding(prefix, _NO_RULE, lake.objects(prefix))
            for prefix in (*CURATED_PREFIXES, ANALYSIS_PREFIX, f"{STATE_PREFIX}/")
        ]
    folder = settings.collection.state_dir
    local = [
        _holding(f"{folder / name}", "until uploaded", _files(folder / name))
        for name in ("journal", "spool")
    ]
    return [*found, *local]


def print_report(settings: Settings, console: Console) -> bool:
    """Print the holdings; returns whether nothing is overdue."""
    now = datetime.now(UTC)
    storage = settings.storage
    where = f"s3://{storage.s3_bucket}/{storage.s3_prefix}" if storage.type == "s3" else f"{storage.dir}"
    console.print(
        f"Stored in {where}, and by the collector on this machine:", soft_wrap=True, highlight=False
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("place", overflow="fold")
    table.add_column("rule", no_wrap=True)
    for column in ("objects", "MB", "oldest, days", "overdue"):
        table.add_column(column, justify="right")
    rows = holdings(settings, now)
    for row in rows:
        age = "-" if row.oldest is None else f"{(now - row.oldest) / timedelta(days=1):.1f}"
        table.add_row(
            row.place,
            row.rule,
            f"{row.objects:,}",
            f"{row.bytes / 1e6:,.1f}",
            age,
            f"{row.overdue:,}",
            style="red" if row.overdue else "",
        )
    console.print(table)
    overdue = sum(row.overdue for row in rows)
    if overdue:
        removes = (
            "the bucket's lifecycle rules (infrastructure/aws/lake.tf), or retention.expire_on_s3"
            if storage.type == "s3"
            else "the job maintenance, which runs every night while the Dagster daemon is up, or start it "
            "in the UI"
        )
        console.print(
            f"{overdue:,} objects should have been removed by now. Check {removes}.",
            style="red",
            soft_wrap=True,
            highlight=False,
        )
    return not overdue


def _holding(place: str, rule: str, infos: list[ObjectInfo], overdue: int = 0) -> Holding:
    oldest = min((info.modified for info in infos), default=None)
    return Holding(place, rule, len(infos), sum(info.size for info in infos), oldest, overdue)


def _files(folder: Path) -> list[ObjectInfo]:
    found = []
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.is_file():
            stat = path.stat()
            found.append(ObjectInfo(path.name, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC)))
    return found
