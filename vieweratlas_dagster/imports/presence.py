"""Membership rows of any origin into the lake, as raw snapshot objects.

Belongs here: reading presence.csv and channels.csv strictly and turning them into one snapshot object
that the daily job treats like the collector's. Does not belong here: overlap lists (``overlap_list``)
and VOD chat (``vod``).

A day's memberships become one window that lasts the whole day. Viewers that are Twitch ids (digits)
get the collector's viewer_key; any other text gets a key of its own kind. Channels without a Twitch id
get one derived from the login, far above the ids that Twitch gives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from collector_service.contract import (
    LOGIN,
    MAX_OBJECT_LINES,
    MAX_TEXT,
    SnapshotRecord,
    encode_object,
    live_day_prefix,
    live_key,
    viewer_key,
)
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import NOBODY, OptOuts
from collector_service.privacy.populations import counting_since
from vieweratlas_dagster.curation.imported_ids import derived_channel_id, imported_viewer_key
from vieweratlas_dagster.imports.csv_rows import FileError, rows

# How collector_id begins for what was imported.
IMPORT_ORIGIN = "import."
_DAY_SECONDS = 86_400
_LONGEST_VIEWER = 1_000
# Below DERIVED_ID_BASE, so that no two channels come to the same id.
_LONGEST_ID = 18


@dataclass(frozen=True)
class ChannelRow:
    """What channels.csv says of one channel; None means unknown."""

    channel_id: int | None = None
    game_name: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class ImportReport:
    """What an import brought in, and where."""

    key: str
    channels: int
    viewers: int
    memberships: int
    repeated_rows: int
    left_out: int
    already_there: bool
    other_imports: tuple[str, ...]


def import_presence(
    lake: Lake,
    secret: str,
    presence: Path,
    channels: Path | None,
    day: date,
    bots: Collection[str] = frozenset(),
    opt_outs: OptOuts = NOBODY,
) -> ImportReport:
    """Bring membership rows into the lake's raw snapshots of one day; the same files change nothing.

    Args:
        lake: where to write.
        secret: VIEWER_KEY_SECRET.
        presence: CSV (or .csv.gz) with the columns channel and viewer.
        channels: CSV (or .csv.gz) with channel and any of channel_id, game_name, language; or None.
        day: the UTC day that the rows belong to.
        bots: logins (lower case) to mark as known bots; a viewer that is a number is nobody's login.
        opt_outs: viewers and channels that are left out.

    Raises:
        FileError: a file or row cannot be read, or the day is of a population before the present viewer
            key; nothing is written then.
        WrongKeyError: ``secret`` is not the lake's.
    """
    first = counting_since(lake, secret)
    if first is not None and day < first:
        raise FileError(
            f"{presence}: viewers of {day} were counted with an earlier viewer key, and with the "
            f"present one everybody would be in that day twice; only days from {first} on can be imported"
        )
    attributes = _read_channels(channels) if channels else {}
    hidden = {name for name, row in attributes.items() if opt_outs.has_channel(name, row.channel_id)}
    attributes = {name: row for name, row in attributes.items() if name not in hidden}
    members: dict[str, set[int]] = {name: set() for name in attributes}
    repeated = left_out = 0
    flagged: set[int] = set()
    for name, viewer in _read_presence(presence):
        pseudonym = _key(secret, viewer)
        if name in hidden or opt_outs.has_channel(name, None) or pseudonym in opt_outs.viewer_keys:
            left_out += 1
            continue
        audience = members.setdefault(name, set())
        repeated += pseudonym in audience
        audience.add(pseudonym)
        if viewer.lower() in bots:
            flagged.add(pseudonym)
    if not any(members.values()):
        empty = (
            "all rows are of those who have asked to be left out"
            if left_out
            else "no rows below the header line"
        )
        raise FileError(f"{presence}: {empty}")

    if len(members) > MAX_OBJECT_LINES:
        raise FileError(
            f"{presence}: {len(members)} channels; at most {MAX_OBJECT_LINES}. Leave out the smallest"
        )
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    records = [
        _record(name, members[name], flagged, attributes.get(name, ChannelRow()), start)
        for name in sorted(members)
    ]
    content = "".join(record.to_json() + "\n" for record in records).encode()
    origin = f"{IMPORT_ORIGIN}{hashlib.sha256(content).hexdigest()[:12]}"
    for record in records:
        record.collector_id = origin
    key = live_key(start, origin)
    created = lake.create(key, encode_object(records))
    return ImportReport(
        key=key,
        channels=len(records),
        viewers=len(set().union(*members.values())),
        memberships=sum(len(audience) for audience in members.values()),
        repeated_rows=repeated,
        left_out=left_out,
        already_there=not created,
        other_imports=_imports_of(lake, day, but=key),
    )


def _imports_of(lake: Lake, day: date, but: str) -> tuple[str, ...]:
    """Where the day's other imports lie: a corrected file adds to them until somebody removes them."""
    keys = [info.key for info in lake.objects(live_day_prefix(day.isoformat()))]
    return tuple(f"{lake.uri}/{key}" for key in keys if f"-{IMPORT_ORIGIN}" in key and key != but)


def _key(secret: str, viewer: str) -> int:
    if viewer.isascii() and viewer.isdigit():
        return viewer_key(secret, viewer)
    return imported_viewer_key(secret, viewer)


def _record(
    name: str, audience: set[int], flagged: set[int], row: ChannelRow, start: datetime
) -> SnapshotRecord:
    keys = sorted(audience)
    return SnapshotRecord(
        source="live",
        channel=name,
        channel_id=derived_channel_id(name) if row.channel_id is None else row.channel_id,
        collector_id="import",
        window_start=start,
        window_seconds=_DAY_SECONDS,
        observed_seconds=_DAY_SECONDS,
        partial=False,
        game_name=row.game_name,
        language=row.language,
        viewer_keys=keys,
        viewer_messages=[0] * len(keys),
        known_bots=sorted(flagged & audience),
        observed_intervals=[(0.0, float(_DAY_SECONDS))],
    )


def _read_presence(path: Path) -> Iterator[tuple[str, str]]:
    for row, fields in rows(path, ("channel", "viewer")):
        viewer = fields["viewer"]
        if not viewer:
            raise FileError(f"{path}, row {row}: viewer is empty")
        if len(viewer) > _LONGEST_VIEWER:
            raise FileError(
                f"{path}, row {row}: viewer has {len(viewer)} characters; at most {_LONGEST_VIEWER}"
            )
        yield _login(fields["channel"], path, row), viewer


def _read_channels(path: Path) -> dict[str, ChannelRow]:
    channels: dict[str, ChannelRow] = {}
    row_of: dict[str | int, int] = {}
    for row, fields in rows(path, ("channel",)):
        name = _login(fields["channel"], path, row)
        number = fields.get("channel_id", "")
        if number and not (number.isascii() and number.isdigit() and len(number) <= _LONGEST_ID):
            raise FileError(f"{path}, row {row}: channel_id {number[:60]!r} is not a Twitch id")
        channel_id = int(number) if number else None
        for what, value in (("channel", name), ("channel_id", channel_id)):
            if value is not None and row_of.setdefault(value, row) != row:
                raise FileError(f"{path}, row {row}: {what} {value} is in row {row_of[value]} already")
        channels[name] = ChannelRow(
            channel_id,
            fields.get("game_name", "")[:MAX_TEXT] or None,
            fields.get("language", "").lower()[:MAX_TEXT] or None,
        )
    return channels


def _login(text: str, path: Path, row: int) -> str:
    name = text.lower()
    if not LOGIN.fullmatch(name):
        raise FileError(f"{path}, row {row}: channel {text[:60]!r} is not a login (a-z, 0-9 and _)")
    return name
