"""The queue's object in the lake: read, changed without lost updates, and recovered from damage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import ConfigDict, FailFast, TypeAdapter, ValidationError

from collector_service.lake import Lake
from collector_service.support.limits import TooLargeError, read_json
from collector_service.support.state_object import StateObject, known_version, validated
from vieweratlas_dagster.lake.keys import QUARANTINE_PREFIX
from vieweratlas_dagster.vod.queue import Items, VodItem

QUEUE_KEY = "state/vod/queue.json"
MARKER_KEY = "state/vod/queue_exists"
_MARKER = b"The VOD queue exists; without it, queue.json was lost.\n"
DAMAGED_PREFIX = f"{QUARANTINE_PREFIX}vod_queue/"
# About 700 bytes per VOD.
_MAX_BYTES = 64 * 1024 * 1024
_MAX_ITEMS = 90_000
# The items, their list, and the object around it.
_MAX_ELEMENTS = _MAX_ITEMS + 2

Result = TypeVar("Result")


class QueueError(Exception):
    """The queue in the lake is unusable; the text names the object and how to repair it."""


class QueueFullError(QueueError):
    """A change would make the queue too large to be read back; nothing was written."""


class QueueStore:
    """The queue's object in the lake, changed by conditional writes only.

    A marker beside it records that a queue was created: after that, a missing object is an error and not an
    empty queue.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._marked = False

    def load(self) -> dict[str, VodItem]:
        """The present queue.

        Raises:
            QueueError: it is unreadable, or missing though it was created before.
        """
        return self._or_empty(QUEUE.read(self._lake))

    def change(self, transition: Callable[[Items], tuple[dict[str, VodItem], Result]]) -> Result:
        """Apply a transition to the newest state; it may be called several times, its last result counts.

        Raises:
            QueueError: see `load`; nothing is written.
            QueueFullError: the new queue would be too large.
            RuntimeError: others kept changing the queue; nothing was written.
        """
        outcome: list[Result] = []

        def rewrite(before: dict[str, VodItem] | None) -> dict[str, VodItem]:
            items, result = transition(self._or_empty(before))
            outcome[:] = [result]
            return items

        QUEUE.update(self._lake, rewrite)
        if not self._marked:
            self._lake.create(MARKER_KEY, _MARKER)
            self._marked = True
        return outcome[0]

    def apply(self, transition: Callable[[Items], dict[str, VodItem]]) -> None:
        """Like `change`, for a transition without a result."""
        self.change(lambda items: (transition(items), None))

    def recover(self) -> Recovery:
        """Make the queue usable with every readable entry; an intact queue stays as it is.

        Damaged bytes are copied to ``quarantine/vod_queue/`` before they are replaced.

        Raises:
            QueueError: the queue is too large to be read; nothing was written.
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

        try:
            self._lake.update(QUEUE_KEY, rewrite, QUEUE.most)
        except TooLargeError as error:
            raise QueueError(f"{self._address} cannot be read ({error}): {QUEUE.advice}") from None
        self._lake.create(MARKER_KEY, _MARKER)
        return outcome[0]

    @property
    def _address(self) -> str:
        return self._lake.address(QUEUE_KEY)

    def _or_empty(self, items: dict[str, VodItem] | None) -> dict[str, VodItem]:
        if items is None and self._lake.exists(MARKER_KEY):
            raise QueueError(f"{self._address} is missing, but it existed before: {QUEUE.advice}")
        return items or {}


def encode(items: Items) -> bytes:
    """The queue as JSON, ordered by VOD id, one field per line; equal queues give equal bytes.

    Raises:
        QueueFullError: it would be too large to be read back.
    """
    data = _adapter.dump_json(_File(1, [items[vod_id] for vod_id in sorted(items)]), indent=1) + b"\n"
    if len(items) > _MAX_ITEMS or len(data) > QUEUE.most:
        raise QueueFullError(
            f"the VOD queue {QUEUE_KEY} is full: {len(items)} recordings in {len(data)} bytes are more "
            f"than the {_MAX_ITEMS} in {QUEUE.most} that can be read back. It gets shorter as recordings "
            "are read; raise vod.min_views or lower vod.max_age_hours to queue fewer"
        )
    return data


def decode(data: bytes) -> dict[str, VodItem]:
    """The queue from its JSON.

    Raises:
        ValueError: the JSON is not a queue.
    """
    rows = validated(_adapter, data, _MAX_ELEMENTS).items
    result = {item.vod_id: item for item in rows}
    if len(result) != len(rows):
        raise ValueError("a VOD appears twice")
    return result


def salvage(data: bytes) -> tuple[dict[str, VodItem], int | None]:
    """The readable entries of a damaged queue, and the number of unreadable ones (None: unknown)."""
    try:
        return decode(data), 0
    except ValueError:
        pass
    try:
        rows = [json.dumps(row) for row in read_json(data, _MAX_ELEMENTS)["items"]]
    except (ValueError, TypeError, KeyError):
        return _readable(_entries(data)), None
    kept = _readable(rows)
    return kept, len(rows) - len(kept)


def _entries(data: bytes) -> Iterator[bytes]:
    """The entries of bytes that are not valid JSON, from bracket to bracket as `encode` writes them."""
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
    """The outcome of a recovery.

    Attributes:
        kept: entries in the recovered queue.
        lost: unreadable entries; None when their number is unknown.
        copy: the address of the damaged bytes; None when the queue was intact or missing.
    """

    kept: int
    lost: int | None
    copy: str | None


@dataclass(frozen=True)
class _File:
    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    schema_version: Annotated[int, known_version(1)]
    items: Annotated[list[VodItem], FailFast()]


_adapter = TypeAdapter(_File)
_item_adapter = TypeAdapter(VodItem)

QUEUE = StateObject(
    QUEUE_KEY,
    decode,
    encode,
    advice="restore an earlier version of it, or run `vieweratlas vod recover`, which keeps every readable "
    "entry (remove a queue that is too large to be read first); quarters of vod_chat that are made again "
    "then find the rest",
    error=QueueError,
    most=_MAX_BYTES,
)
