"""The queue's one object in the lake: read, changed without lost updates, recovered.

Belongs here: its bytes, the marker that it exists, and what to do when it is damaged. Does not belong
here: what the entries mean and how they change (``queue``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import ConfigDict, FailFast, TypeAdapter, ValidationError

from collector_service.lake import Lake
from collector_service.support.limits import TooLargeError, check_elements, read_json
from vieweratlas_dagster.lake.keys import QUARANTINE_PREFIX
from vieweratlas_dagster.vod.queue import Items, VodItem

QUEUE_KEY = "state/vod/queue.json"
MARKER_KEY = "state/vod/queue_exists"
_MARKER = b"The VOD queue exists; without it, queue.json was lost.\n"
DAMAGED_PREFIX = f"{QUARANTINE_PREFIX}vod_queue/"
# Some 700 a VOD.
_MAX_BYTES = 64 * 1024 * 1024
_MAX_ITEMS = 90_000
# Each is one object, and they are in a list, and that in an object.
_MAX_PARTS = _MAX_ITEMS + 2
_MANY_MISTAKES = 1000
_REPAIR = (
    "Restore an earlier version of it, or run `vieweratlas vod recover`, which keeps every entry "
    "that can be read; quarters of vod_chat that are made again then find the rest"
)

Result = TypeVar("Result")


class QueueError(Exception):
    """The queue in the lake is unusable; the text names the object and how to repair it."""


class QueueFullError(QueueError):
    """A change would make the queue larger than what can be read back; nothing was written."""


class QueueStore:
    """The queue's one object in the lake, changed by conditional writes only.

    A marker beside it remembers that a queue was created: from then on a missing object is an error
    and not an empty queue.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._marked = False

    def load(self) -> dict[str, VodItem]:
        """The queue, as it is now.

        Raises:
            QueueError: it is missing though it was created before, or not readable.
        """
        try:
            data: bytes | None = self._lake.get(QUEUE_KEY, _MAX_BYTES)
        except FileNotFoundError:
            data = None
        except TooLargeError as error:
            raise self._too_large(error) from None
        return self._decode(data)

    def change(self, transition: Callable[[Items], tuple[dict[str, VodItem], Result]]) -> Result:
        """Apply a transition to the newest state; it may be called several times, its last result counts.

        Raises:
            QueueError: see `load`; nothing is written then.
            QueueFullError: there would be too much in it.
            RuntimeError: others kept changing the queue; nothing was written.
        """
        outcome: list[Result] = []

        def rewrite(data: bytes | None) -> bytes:
            items, result = transition(self._decode(data))
            outcome[:] = [result]
            written = encode(items)
            if len(items) > _MAX_ITEMS or len(written) > _MAX_BYTES:
                raise QueueFullError(
                    f"the VOD queue {self._place} is full: {len(items)} recordings in {len(written)} bytes "
                    f"are more than the {_MAX_ITEMS} in {_MAX_BYTES} that can be read back. It gets "
                    "shorter as recordings are read; raise vod.min_views or lower "
                    "vod.max_age_hours to queue fewer"
                )
            return written

        self._update(rewrite)
        if not self._marked:
            self._lake.create(MARKER_KEY, _MARKER)
            self._marked = True
        return outcome[0]

    def apply(self, transition: Callable[[Items], dict[str, VodItem]]) -> None:
        """Like `change`, for a transition that only has a new state."""
        self.change(lambda items: (transition(items), None))

    def recover(self) -> Recovery:
        """Make the queue usable again with every entry that can be read; a usable one stays as it is.

        Unusable bytes are copied to ``quarantine/vod_queue/`` before they are replaced.

        Raises:
            QueueError: there is more than can be read; nothing was written.
        """
        outcome: list[Recovery] = []

        def rewrite(data: bytes | None) -> bytes:
            kept, lost = salvage(data or b"")
            copy = None
            if data is not None and lost != 0:
                key = f"{DAMAGED_PREFIX}{hashlib.sha256(data).hexdigest()[:16]}.json"
                self._lake.put(key, data)
                copy = self._lake.address(key)
            outcome[:] = [Recovery(len(kept), lost, copy)]
            return encode(kept)

        self._update(rewrite)
        self._lake.create(MARKER_KEY, _MARKER)
        return outcome[0]

    def _update(self, change: Callable[[bytes | None], bytes]) -> None:
        try:
            self._lake.update(QUEUE_KEY, change, _MAX_BYTES)
        except TooLargeError as error:
            raise self._too_large(error) from None

    def _too_large(self, error: TooLargeError) -> QueueError:
        return QueueError(
            f"The VOD queue {self._place} is not usable ({error}). Restore an earlier version of it; or "
            f"remove it and run `vieweratlas vod recover`, which begins anew."
        )

    @property
    def _place(self) -> str:
        return f"{self._lake.uri}/{QUEUE_KEY}"

    def _decode(self, data: bytes | None) -> dict[str, VodItem]:
        if data is None:
            if self._lake.exists(MARKER_KEY):
                raise QueueError(
                    f"The VOD queue {self._place} is missing, but it existed before. {_REPAIR}."
                )
            return {}
        try:
            return decode(data)
        except ValueError as error:
            raise QueueError(f"The VOD queue {self._place} is not usable ({error}). {_REPAIR}.") from None


def encode(items: Items) -> bytes:
    """The queue as JSON, ordered by VOD id, one field a line; the same queue gives the same bytes."""
    return _adapter.dump_json(_File(1, [items[vod_id] for vod_id in sorted(items)]), indent=1) + b"\n"


def decode(data: bytes) -> dict[str, VodItem]:
    """The queue from its JSON.

    Raises:
        ValueError: it is no such JSON.
    """
    try:
        check_elements(data, _MAX_PARTS)
        rows = _adapter.validate_json(data).items
    except ValidationError as error:
        if error.error_count() > _MANY_MISTAKES:  # to list them would take long
            raise ValueError(f"{error.error_count()} mistakes") from None
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
    result = {item.vod_id: item for item in rows}
    if len(result) != len(rows):
        raise ValueError("a VOD is in it twice")
    return result


def salvage(data: bytes) -> tuple[dict[str, VodItem], int | None]:
    """The entries of a damaged queue that can be read, and how many cannot (None: unknown)."""
    try:
        return decode(data), 0
    except ValueError:
        pass
    try:
        rows = [json.dumps(row) for row in read_json(data, _MAX_PARTS)["items"]]
    except (ValueError, TypeError, KeyError):
        return _readable(_entries(data)), None
    kept = _readable(rows)
    return kept, len(rows) - len(kept)


def _entries(data: bytes) -> Iterator[bytes]:
    """The entries as `encode` writes them, from bracket to bracket, of what is no JSON any more."""
    entry: list[bytes] | None = None
    for line in data.split(b"\n"):
        if line == b"  {":
            entry = []
        if entry is not None:
            entry.append(line)
            if line.startswith(b"  }"):
                yield b"\n".join([*entry[:-1], b"  }"])
                entry = None


def _readable(rows: Iterable[str | bytes]) -> dict[str, VodItem]:
    kept: dict[str, VodItem] = {}
    for row in rows:
        try:
            item = _item_adapter.validate_json(row)
        except ValidationError:
            continue
        kept[item.vod_id] = item
    return kept


@dataclass(frozen=True)
class Recovery:
    """What was saved: entries ``kept``, how many were ``lost`` (None: unknown), and where a copy is."""

    kept: int
    lost: int | None
    copy: str | None


@dataclass(frozen=True)
class _File:
    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    schema_version: Literal[1]
    items: Annotated[list[VodItem], FailFast()]


_adapter = TypeAdapter(_File)
_item_adapter = TypeAdapter(VodItem)
