"""Limits on untrusted files and JSON, so that no input takes more memory or time than its reader allows.

A list or an object costs Python twenty times the bytes that it takes in JSON, so their number is limited.
Texts and numbers cost a few times their bytes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

# A list of logins, or a file of settings.
MAX_TEXT_FILE_BYTES = 8 * 1024 * 1024
MAX_JSON_ELEMENTS = 200_000
# A JSON object of the lake's state.
MAX_STATE_BYTES = 64 * 1024 * 1024
# Possessive quantifiers: matching stays linear.
_TEXT = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_TEXT_BYTES = re.compile(_TEXT.pattern.encode(), re.DOTALL)


class TooLargeError(ValueError):
    """The input is larger than the reader allows; the text says by which limit."""


def read_file(path: Path, most: int = MAX_TEXT_FILE_BYTES) -> bytes:
    """A file's bytes.

    Raises:
        TooLargeError: there are more than ``most``.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise TooLargeError(f"more than the {most} bytes allowed")
    return data


def check_elements(data: bytes | str, elements: int = MAX_JSON_ELEMENTS) -> None:
    """Refuse a JSON text with more lists and objects than allowed, before it is parsed.

    Raises:
        TooLargeError: see `read_json`.
    """
    # Texts may contain brackets, too. They are removed only where that can matter.
    if _brackets(data) > elements and _brackets(_without_texts(data)) > elements:
        raise TooLargeError(f"more than {elements} lists and objects")


def _brackets(data: bytes | str) -> int:
    if isinstance(data, str):
        return data.count("[") + data.count("{")
    return data.count(b"[") + data.count(b"{")


def _without_texts(data: bytes | str) -> bytes | str:
    """JSON without its texts. A text without an end reaches to the last byte, as it does for a parser."""
    return _TEXT.sub("", data) if isinstance(data, str) else _TEXT_BYTES.sub(b"", data)


def read_json(data: bytes | str, elements: int = MAX_JSON_ELEMENTS) -> Any:
    """The value of a JSON text.

    Args:
        data: the text; the caller limits its length.
        elements: how many lists and objects there may be.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
        TooLargeError: there are more elements.
    """
    text = data if isinstance(data, str) else data.decode(errors="surrogatepass")
    check_elements(text, elements)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
