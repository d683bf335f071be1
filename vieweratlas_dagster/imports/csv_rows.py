"""The rows of a CSV file from the user, checked strictly; every error names the file and the row.

Files are UTF-8 with or without a byte order mark, plain or gzipped (detected by content, not by name),
separated by commas, with a header in the first row that is not blank. Columns may be in any order. Blanks
around fields and blank rows are ignored.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

_GZIP = b"\x1f\x8b"
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
# A quote that is never closed would swallow the whole file.
_FIELD_LIMIT = 1_000_000
_LONGEST_ROW = 1_200_000
_MOST_COLUMNS = 1_000
# Real lists compress 10 to 30 times; a file that unpacks to far more was made to exhaust memory.
_MOST_UNPACKED = 100
_FREE_CHARACTERS = 4 * 1024 * 1024
_PIECE = 1024 * 1024
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class FileError(ValueError):
    """A given file or folder cannot be used; the text names it, the row if any, and the reason."""


def rows(
    path: Path, needed: tuple[str, ...], one_of: tuple[str, ...] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row: the 1-based number of the line in which it ends, and its fields by column.

    Args:
        path: the file.
        needed: required columns.
        one_of: columns of which at least one is required.

    Raises:
        FileError: while iterating, at the first wrong row.
    """
    csv.field_size_limit(_FIELD_LIMIT)
    header: list[str] = []
    row = 0
    try:
        with _open(path) as text:
            pieces = _Lines(text, path)
            lines = csv.reader(pieces, strict=True)
            for found in lines:
                row = lines.line_num
                fields = [field.strip() for field in found]
                if not any(fields):
                    continue
                pieces.begin_row()
                if not header:
                    header = fields
                    _check_header(header, needed, one_of, path, row)
                elif len(fields) != len(header):
                    hint = "; put a field that contains a comma in double quotes"
                    raise FileError(
                        f"{path}, row {row}: {len(fields)} fields instead of {len(header)}"
                        f"{hint if len(fields) > len(header) else ''}"
                    )
                else:
                    yield row, dict(zip(header, fields, strict=True))
    except UnicodeDecodeError:
        raise _not_text(path) from None
    except csv.Error as error:
        raise FileError(f"{path}, row {lines.line_num}: {error}") from None
    except _DAMAGED as error:
        raise FileError(f"{path}: damaged or cut off after row {row}: {error}") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not header:
        raise FileError(f"{path}: empty; expected a header with {', '.join(needed)}")


class _Lines:
    """The lines of a text, with limits on the length of a row and of the whole text."""

    def __init__(self, text: io.TextIOBase, path: Path) -> None:
        self._text = text
        self._path = path
        self._most = max(_FREE_CHARACTERS, _MOST_UNPACKED * path.stat().st_size)
        self._taken = 0
        self._row_began = 0
        self._number = 0

    def begin_row(self) -> None:
        """Count the following lines towards a new row."""
        self._row_began = self._taken

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(_LONGEST_ROW + 1):
            self._number += 1
            self._taken += len(line)
            if self._taken - self._row_began > _LONGEST_ROW:
                raise FileError(
                    f"{self._path}, row {self._number}: more than {_LONGEST_ROW} characters in one row "
                    "or in successive blank rows; check for an unclosed quote"
                )
            if self._taken > self._most:
                raise FileError(
                    f"{self._path}, row {self._number}: the file unpacks to more than {_MOST_UNPACKED} "
                    "times its size; if it is a real list, unpack it first"
                )
            yield line


def _open(path: Path) -> io.TextIOBase:
    if _packed(path):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def _not_text(path: Path) -> FileError:
    try:
        row = _undecodable_row(path)
    except _DAMAGED as error:
        return FileError(f"{path}: damaged or cut off: {error}")
    except OSError as error:
        return FileError(f"{path}: cannot be read: {error.strerror or error}")
    return FileError(f"{path}, row {row}: not UTF-8 text; save the file as UTF-8")


def _undecodable_row(path: Path) -> int:
    """The first line that is not UTF-8; a text reader decodes ahead, so its own position is too late."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    row = 1
    with gzip.open(path) if _packed(path) else path.open("rb") as file:
        while piece := file.read(_PIECE):
            try:
                row += decoder.decode(piece).count("\n")
            except UnicodeDecodeError as error:
                return row + error.object.count(b"\n", 0, error.start)
    return row  # it ends in the middle of a character


def _check_header(
    header: list[str], needed: tuple[str, ...], one_of: tuple[str, ...], path: Path, row: int
) -> None:
    if len(header) > _MOST_COLUMNS:
        raise FileError(f"{path}, row {row}: {len(header)} columns; at most {_MOST_COLUMNS}")
    missing = [name for name in needed if name not in header]
    if one_of and not set(one_of) & set(header):
        missing.append(" or ".join(one_of))
    if missing:
        found = ", ".join(header)
        hint = f"found {found[:100]}"
        for separator, name in _OTHER_SEPARATORS.items():
            if separator in found:
                hint = f"its fields are separated by {name}; save the file with commas"
        raise FileError(f"{path}, row {row}: no column {', '.join(missing)}; {hint}")
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    if doubled:
        raise FileError(f"{path}, row {row}: column {', '.join(doubled)[:100]} appears more than once")
