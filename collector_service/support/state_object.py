"""The small JSON objects in the lake that hold the state of the pipeline.

A `StateObject` says once per object where it is, how it reads and writes, how large it may be and what to
do when it cannot be read:

    @dataclass(frozen=True)
    class Progress:
        __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

        day: date
        schema_version: Annotated[int, known_version(1)] = 1

    PROGRESS = StateObject.of_type(
        "state/progress.json", TypeAdapter(Progress), advice="delete it; the next run begins again"
    )

    PROGRESS.read(lake)                                        # Progress, or None when there is none
    PROGRESS.update(lake, lambda before: Progress(today))      # without losing a concurrent update
    PROGRESS.at("state/progress-2.json").write(lake, Progress(today))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, Self, TypeVar

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from collector_service.support.limits import (
    MAX_JSON_ELEMENTS,
    MAX_STATE_BYTES,
    TooLargeError,
    check_elements,
)

T = TypeVar("T")
# A reader of JSON that is not of the expected shape may raise any of these.
_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# Listing more mistakes than this takes long.
_MANY_MISTAKES = 1000


class UnreadableStateError(ValueError):
    """An object cannot be read; the text says which one, why, and what to do."""


class Store(Protocol):
    """The part of the lake that a `StateObject` uses; see ``lake.Lake``."""

    def address(self, key: str) -> str:
        """Where people find an object."""
        ...

    def get(self, key: str, most: int | None = None) -> bytes:
        """An object's bytes, at most ``most``."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write an object that must not exist yet; False when it does."""
        ...

    def update(self, key: str, change: Callable[[bytes | None], bytes], most: int | None = None) -> bytes:
        """Change an object so that no concurrent update is lost."""
        ...


@dataclass(frozen=True)
class StateObject(Generic[T]):
    """One kind of JSON object in the lake, and the key of one of them.

    Attributes:
        key: its key.
        decode: the value of its bytes; a ValueError (or the like) means that they are unreadable.
        encode: its bytes; equal values give equal bytes.
        advice: the next step of people when it cannot be read.
        error: the error then, made from its text.
        most: how many bytes it may have. More are neither read nor written.
    """

    key: str
    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]
    advice: str
    error: Callable[[str], Exception] = UnreadableStateError
    most: int = MAX_STATE_BYTES

    @classmethod
    def of_type(
        cls,
        key: str,
        adapter: TypeAdapter[T],
        *,
        advice: str,
        error: Callable[[str], Exception] = UnreadableStateError,
        indent: int | None = 1,
        most: int = MAX_STATE_BYTES,
    ) -> Self:
        """An object whose JSON is the type's own; it ends in a newline."""
        return cls(
            key,
            decode=lambda data: validated(adapter, data),
            encode=lambda value: adapter.dump_json(value, indent=indent) + b"\n",
            advice=advice,
            error=error,
            most=most,
        )

    def at(self, key: str) -> Self:
        """The object of the same kind at a different key."""
        return replace(self, key=key)

    def parse(self, data: bytes, where: str) -> T:
        """The value of the bytes that were found at the address ``where``.

        Raises:
            Exception: ``error``; they are unreadable.
        """
        try:
            if len(data) > self.most:
                raise TooLargeError(f"{len(data)} bytes, more than the {self.most} allowed")
            return self.decode(data)
        except _FAULTS as fault:
            raise self._unreadable(where, fault) from None

    def read(self, lake: Store) -> T | None:
        """The value in the lake; None when the object does not exist.

        Raises:
            Exception: ``error``; the object is unreadable.
            FileNotFoundError: the lake's bucket does not exist.
        """
        try:
            data = lake.get(self.key, self.most)
        except TooLargeError as error:
            raise self._unreadable(lake.address(self.key), error) from None
        except FileNotFoundError as error:
            # Without its bucket the whole lake is missing, not this object alone.
            if "NoSuchBucket" in str(error):
                raise
            return None
        return self.parse(data, lake.address(self.key))

    def write(self, lake: Store, value: T) -> None:
        """Write the value, replacing the object as a whole.

        Raises:
            Exception: ``error``; the value needs more than ``most`` bytes.
        """
        lake.put(self.key, self._bytes(lake, value))

    def create(self, lake: Store, value: T) -> bool:
        """Write an object that must not exist yet; False when it does (nothing is written then).

        Raises:
            Exception: ``error``; the value needs more than ``most`` bytes.
        """
        return lake.create(self.key, self._bytes(lake, value))

    def update(self, lake: Store, change: Callable[[T | None], T]) -> T:
        """Read, change and write the object so that no concurrent update is lost.

        Args:
            lake: the lake.
            change: from the old value (None when there is none) to the new; may be called several times.

        Returns:
            The value written.

        Raises:
            Exception: ``error``; the object is unreadable, or the new value needs more than ``most`` bytes.
                Nothing was written.
            RuntimeError: others kept changing the object; nothing was written.
        """
        written: list[T] = []

        def rewrite(data: bytes | None) -> bytes:
            before = None if data is None else self.parse(data, lake.address(self.key))
            written[:] = [change(before)]
            return self._bytes(lake, written[0])

        try:
            lake.update(self.key, rewrite, self.most)
        except TooLargeError as error:
            raise self._unreadable(lake.address(self.key), error) from None
        return written[0]

    def _bytes(self, lake: Store, value: T) -> bytes:
        data = self.encode(value)
        if len(data) > self.most:
            raise self.error(
                f"{lake.address(self.key)} was not written: {len(data)} bytes, and at most {self.most} "
                "can be read back"
            )
        return data

    def _unreadable(self, where: str, fault: Exception) -> Exception:
        reason = " ".join(str(fault).split())[:200] or type(fault).__name__
        return self.error(f"{where} cannot be read ({reason}): {self.advice}")


def known_version(version: int) -> BeforeValidator:
    """The check of a field ``schema_version`` that must be this one."""

    def check(value: object) -> int:
        if value != version or isinstance(value, bool):
            raise ValueError(f"{value!r:.40} is not the version {version} that this reader knows")
        return version

    return BeforeValidator(check)


def validated(adapter: TypeAdapter[T], data: bytes, elements: int = MAX_JSON_ELEMENTS) -> T:
    """The value of a JSON text, with its first mistake in one line.

    Args:
        adapter: the type.
        data: the text.
        elements: how many lists and objects it may have.

    Raises:
        ValueError: it is not such a text.
        TooLargeError: it has more elements.
    """
    check_elements(data, elements)
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        raise ValueError(_first_mistake(error)) from None


def _first_mistake(error: ValidationError) -> str:
    if error.error_count() > _MANY_MISTAKES:
        return f"{error.error_count()} mistakes"
    mistakes: list[Any] = error.errors(include_url=False, include_input=False)
    # An object of a different version may have any number of other mistakes.
    first = next((mistake for mistake in mistakes if mistake["loc"] == ("schema_version",)), mistakes[0])
    place = ".".join(str(step) for step in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
