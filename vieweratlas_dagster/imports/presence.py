"""The user's own presence rows, read strictly and written as a raw snapshot object like the collector's.

A day's rows become one window that lasts the whole day. A viewer given as a Twitch id (digits) gets the
collector's viewer_key; any other text gets a key from a separate range. A channel without a Twitch id gets
an id derived from the login, far above the ids that Twitch assigns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
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
from vieweratlas_dagster.curation.imported_ids import IMPORT_ORIGIN, derived_channel_id, imported_viewer_key
from vieweratlas_dagster.imports.csv_rows import FileError, rows

_DAY_SECONDS = 86_400
_LONGEST_VIEWER = 1_000
# Digits: all below DERIVED_ID_BASE, so that given and derived ids cannot collide.
_LONGEST_ID = 18


@dataclass(frozen=True)
class ChannelRow:
    """One channel of channels.csv; None means unknown."""

    channel_id: int | None = None
    game_name: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class ImportedPresence:
    """The figures of an import.

    Attributes:
        key: the raw object.
        channels: channels in it.
        viewers: distinct viewers.
        memberships: distinct pairs of viewer and channel.
        repeated_rows: rows with a pair that had appeared before.
        opted_out: rows of viewers and channels that have opted out.
        already_there: the same object existed before.
        other_imports: addresses of the day's other imports.
    """

    key: str
    channels: int
    viewers: int
    memberships: int
    repeated_rows: int
    opted_out: int
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
) -> ImportedPresence:
    """Write presence rows to one day's raw snapshots; importing the same files again changes nothing.

    Args:
        lake: for the raw object.
        secret: VIEWER_KEY_SECRET.
        presence: CSV (or .csv.gz) with the columns channel and viewer.
        channels: CSV (or .csv.gz) with channel and any of channel_id, game_name, language; or None.
        day: the UTC day that the rows belong to.
        bots: logins (lower case) to mark as known bots; a viewer given by number is never one.
        opt_outs: viewers and channels that have opted out.

    Raises:
        FileError: a file or row cannot be read, or the day was counted with an earlier viewer key;
            nothing is written.
        WrongKeyError: ``secret`` is not the lake's.
    """
    first = counting_since(lake, secret)
    if first is not None and day < first:
        raise FileError(
            f"{presence}: viewers of {day} were counted with an earlier viewer key; with the present one "
            f"every viewer would be counted twice. Only days since {first} can be imported"
        )
    attributes = _read_channels(channels) if channels else {}
    memberships = _read_memberships(presence, attributes, secret, bots, opt_outs)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    records = memberships.records(attributes, start)
    content = "".join(record.to_json() + "\n" for record in records).encode()
    origin = f"{IMPORT_ORIGIN}{hashlib.sha256(content).hexdigest()[:12]}"
    for record in records:
        record.collector_id = origin
    key = live_key(start, origin)
    created = lake.create(key, encode_object(records))
    audiences = memberships.audiences.values()
    return ImportedPresence(
        key=key,
        channels=len(records),
        viewers=len(set[int]().union(*audiences)),
        memberships=sum(len(audience) for audience in audiences),
        repeated_rows=memberships.repeated_rows,
        opted_out=memberships.opted_out,
        already_there=not created,
        other_imports=_imports_of(lake, day, but=key),
    )


@dataclass
class _Memberships:
    """The viewer keys of each channel, the known bots among them, and how many rows were dropped."""

    audiences: dict[str, set[int]]
    known_bots: set[int] = field(default_factory=set)
    repeated_rows: int = 0
    opted_out: int = 0

    def records(self, attributes: Mapping[str, ChannelRow], start: datetime) -> list[SnapshotRecord]:
        """One record for each channel, ordered by login."""
        return [
            _record(name, self.audiences[name], self.known_bots, attributes.get(name, ChannelRow()), start)
            for name in sorted(self.audiences)
        ]


def _read_memberships(
    path: Path,
    attributes: Mapping[str, ChannelRow],
    secret: str,
    bots: Collection[str],
    opt_outs: OptOuts,
) -> _Memberships:
    opted_out = {name for name, row in attributes.items() if opt_outs.has_channel(name, row.channel_id)}
    found = _Memberships({name: set() for name in attributes if name not in opted_out})
    for name, viewer in _read_presence(path):
        key = _key(secret, viewer)
        if name in opted_out or opt_outs.has_channel(name, None) or key in opt_outs.viewer_keys:
            found.opted_out += 1
            continue
        audience = found.audiences.setdefault(name, set())
        found.repeated_rows += key in audience
        audience.add(key)
        if viewer.lower() in bots:
            found.known_bots.add(key)
    if not any(found.audiences.values()):
        reason = (
            "every row is of a viewer or channel that has opted out"
            if found.opted_out
            else "no rows below the header line"
        )
        raise FileError(f"{path}: {reason}")
    if len(found.audiences) > MAX_OBJECT_LINES:
        raise FileError(
            f"{path}: {len(found.audiences)} channels; at most {MAX_OBJECT_LINES}. Remove the smallest"
        )
    return found


def _imports_of(lake: Lake, day: date, but: str) -> tuple[str, ...]:
    """The addresses of the day's other imports: a corrected file adds to them until they are removed."""
    keys = [info.key for info in lake.objects(live_day_prefix(day.isoformat()))]
    return tuple(f"{lake.uri}/{key}" for key in keys if f"-{IMPORT_ORIGIN}" in key and key != but)


def _key(secret: str, viewer: str) -> int:
    if viewer.isascii() and viewer.isdigit():
        return viewer_key(secret, viewer)
    return imported_viewer_key(secret, viewer)


def _record(
    name: str, audience: set[int], known_bots: set[int], row: ChannelRow, start: datetime
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
        known_bots=sorted(known_bots & audience),
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
                raise FileError(f"{path}, row {row}: {what} {value} is already in row {row_of[value]}")
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
