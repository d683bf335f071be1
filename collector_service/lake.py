"""Bytes in and out of the lake, on a local folder or on S3.

    lake = Lake.open(settings.storage)
    lake.put("raw/example.json", b"{}")
    lake.get("raw/example.json", most=1024)        # b"{}"; FileNotFoundError when there is none
    [info.key for info in lake.objects("raw/")]    # ["raw/example.json"]
    lake.update("state/count", lambda old: b"%d" % (int(old or 0) + 1))     # no concurrent update is lost

`support.state_object` reads and changes small JSON objects on top of this.

obstore serves both back ends with one API: puts are atomic (a temporary file and a rename locally),
``create`` fails when the key exists, and it depends on nothing, so the collector's image stays small.
"""

from __future__ import annotations

import fcntl
import io
import re
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import LocalStore, MemoryStore, S3Store

from collector_service.settings import StorageSettings
from collector_service.support.limits import TooLargeError
from collector_service.support.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer
    from obstore import GetResult, ReadableFile

# Any call may raise these while the lake is away or refuses.
LAKE_ERRORS = (BaseError, OSError, RuntimeError)

# S3's answer to a request that it refuses, as obstore's errors quote it.
_ANSWER = re.compile(r"(?:<\?xml|<Error>).*?(?:</Error>|\Z)", re.DOTALL)
_CODE_AND_MESSAGE = re.compile(r"<(?:Code|Message)>([^<]*)")
# The end of a name that obstore gives to an unfinished file.
_LEFTOVER = re.compile(r"#\d+$")
_READ_BYTES = 1024 * 1024
# After a concurrent update of the same object: at any time within the next fifth of a second.
_CONFLICT = RetryPolicy(first_seconds=0.2, longest_seconds=0.2, factor=1.0, jitter=1.0, attempts=50)


@contextmanager
def _without_credentials() -> Iterator[None]:
    """Remove credentials from S3's errors: S3 echoes the access key id and the request.

    Only the code and the message of its answer stay.
    """
    try:
        yield
    except BaseError as error:
        text = _ANSWER.sub(lambda answer: ": ".join(_CODE_AND_MESSAGE.findall(answer[0])), str(error))
        raise type(error)(text) from None


@dataclass(frozen=True)
class LakeTimings:
    """How long to wait for S3, in real seconds. A request that hangs has failed after both together.

    Attributes:
        request_seconds: one attempt that takes longer has failed.
        retry_seconds: no new attempt begins later than this.
    """

    request_seconds: float = 30.0
    retry_seconds: float = 25.0


_TIMINGS = LakeTimings()


@dataclass(frozen=True)
class ObjectInfo:
    """An object's key below the lake's root, its size in bytes, and when it was last written."""

    key: str
    size: int
    modified: datetime


class Lake:
    """The lake's objects under one root. Safe to share between threads."""

    def __init__(self, store: Any, uri: str, local_root: Path | None = None) -> None:
        self._store = store
        self._local_root = local_root
        self.uri = uri

    @classmethod
    def open(cls, storage: StorageSettings, timings: LakeTimings = _TIMINGS) -> Lake:
        """The lake that the settings name; a local root is created when missing.

        Raises:
            OSError: the local root cannot be created.
        """
        if storage.type == "file":
            root = storage.dir.resolve()
            root.mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(root), root.as_uri(), root)
        options: dict[str, Any] = {"endpoint": storage.endpoint_url} if storage.endpoint_url else {}
        prefix = storage.s3_prefix.strip("/")
        store = S3Store(
            storage.s3_bucket,
            region=storage.region,
            prefix=prefix or None,
            client_options={
                "allow_http": storage.endpoint_url.startswith("http://"),
                "timeout": timedelta(seconds=timings.request_seconds),
            },
            retry_config={"retry_timeout": timedelta(seconds=timings.retry_seconds)},
            **options,
        )
        return cls(store, f"s3://{storage.s3_bucket}/{prefix}".rstrip("/"))

    @classmethod
    def in_memory(cls) -> Lake:
        """An empty lake in this process's memory, for tests."""
        return cls(MemoryStore(), "memory://")

    def address(self, key: str) -> str:
        """Where people find an object: its path on this machine, or its URI."""
        return str(self._local_root / key) if self._local_root else f"{self.uri}/{key}"

    @_without_credentials()
    def put(self, key: str, data: bytes) -> None:
        """Write an object, replacing it as a whole if it exists."""
        obstore.put(self._store, key, data)

    @_without_credentials()
    def create(self, key: str, data: bytes) -> bool:
        """Write an object that must not exist yet; False when it does (nothing is written then)."""
        try:
            obstore.put(self._store, key, data, mode="create")
        except AlreadyExistsError:
            return False
        return True

    @_without_credentials()
    def get(self, key: str, most: int | None = None) -> bytes:
        """An object's bytes.

        Raises:
            FileNotFoundError: the object does not exist.
            TooLargeError: there are more than ``most`` bytes; none of them was read.
        """
        return _content(obstore.get(self._store, key), most)

    @_without_credentials()
    def reader(self, key: str) -> BinaryIO:
        """An object's bytes as a stream that can be read and sought, for objects larger than memory.

        Raises:
            FileNotFoundError: the object does not exist.
        """
        stream = _ObjectStream(obstore.open_reader(self._store, key))
        return cast("BinaryIO", io.BufferedReader(stream, _READ_BYTES))

    @_without_credentials()
    def exists(self, key: str) -> bool:
        """Whether the object exists."""
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    @_without_credentials()
    def modified(self, key: str) -> datetime | None:
        """When an object was last written; None when it does not exist."""
        try:
            return obstore.head(self._store, key)["last_modified"]
        except FileNotFoundError:
            return None

    @_without_credentials()
    def objects(self, prefix: str) -> list[ObjectInfo]:
        """All objects below ``prefix`` (which ends in ``/``), ordered by key."""
        found = [
            ObjectInfo(meta["path"], meta["size"], meta["last_modified"])
            for batch in obstore.list(self._store, prefix)
            for meta in batch
        ]
        return sorted(found, key=lambda info: info.key)

    @_without_credentials()
    def folders(self, prefix: str) -> list[str]:
        """The names directly below ``prefix`` that hold objects, ordered."""
        result = obstore.list_with_delimiter(self._store, prefix)
        return sorted(str(path).rsplit("/", 1)[-1] for path in result["common_prefixes"])

    @_without_credentials()
    def delete(self, key: str) -> None:
        """Remove an object; a missing one is fine."""
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return

    def remove_leftovers(self, seconds: float) -> int:
        """Remove the leftovers of killed writers from a local disk, where no listing shows them.

        Args:
            seconds: only files older than this are removed; younger ones may be in use.

        Returns:
            How many files were removed; 0 on S3, which keeps nothing readable of an unfinished write.
        """
        found = 0
        for path in self._local_root.rglob("*#*") if self._local_root else ():
            if _LEFTOVER.search(path.name) and path.stat().st_mtime < time.time() - seconds:
                path.unlink(missing_ok=True)
                found += 1
        return found

    @property
    def is_folder(self) -> bool:
        """Whether the lake is a folder on this machine."""
        return self._local_root is not None

    @contextmanager
    def file_lock(self, name: str) -> Iterator[None]:
        """Keep other processes that ask for the same name waiting; a killed one's lock ends with it.

        Raises:
            ValueError: the lake is not a folder.
        """
        if self._local_root is None:
            raise ValueError(f"{self.uri} is not a folder, and only folders can lock files")
        with _file_lock(self._local_root / ".locks" / name.replace("/", "__")):
            yield

    @_without_credentials()
    def update(self, key: str, change: Callable[[bytes | None], bytes], most: int | None = None) -> bytes:
        """Read, change and write one object so that no concurrent update is lost.

        Args:
            key: the object.
            change: from the old bytes (None when missing) to the new; may be called several times.
            most: how many old bytes are read; None for any number.

        Returns:
            The bytes written.

        Raises:
            TooLargeError: there are more than ``most``; none was read, and nothing was written.
            RuntimeError: other programs kept changing the object; nothing was written.
        """
        if self._local_root is not None:
            with self.file_lock(key):
                return self._write_changed(key, change, most, conditional=False)
        failures = 0
        while not _CONFLICT.is_over(failures):
            try:
                return self._write_changed(key, change, most, conditional=True)
            except (AlreadyExistsError, PreconditionError):
                failures += 1
                time.sleep(_CONFLICT.wait_seconds(failures))
        raise RuntimeError(f"{self.uri}/{key} is changed by other programs all the time; try again")

    def _write_changed(
        self, key: str, change: Callable[[bytes | None], bytes], most: int | None, *, conditional: bool
    ) -> bytes:
        try:
            result = obstore.get(self._store, key)
            old: bytes | None = _content(result, most)
            seen = {name: result.meta[name] for name in ("e_tag", "version")}
            mode: Any = {name: value for name, value in seen.items() if value is not None}
        except FileNotFoundError:
            old, mode = None, "create"
        new = change(old)
        obstore.put(self._store, key, new, mode=mode if conditional else "overwrite")
        return new


def _content(result: GetResult, most: int | None) -> bytes:
    if most is not None and result.meta["size"] > most:
        raise TooLargeError(f"{result.meta['size']} bytes, more than the {most} allowed")
    return result.bytes().to_bytes()


class _ObjectStream(io.RawIOBase):
    """Adapts obstore's file to the interface of Python's readers."""

    def __init__(self, file: ReadableFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    @_without_credentials()
    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = self._file.read(len(view)).to_bytes()
        view[: len(data)] = data
        return len(data)


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
