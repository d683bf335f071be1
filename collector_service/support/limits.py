"""Reading what others wrote within bounds: how many bytes, and how many elements of JSON.

Belongs here: reading whole files, and JSON, so that no input takes more memory or time than
its reader has allowed. Does not belong here: what the contents mean, and
answers over HTTP (``twitch.bounded_response``).

A list or an object costs Python twenty times the bytes that it takes in JSON, so it is their number that is
bounded. Texts and numbers cost a few times their bytes.
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
# Possessive, so that no input takes longer than its length.
_TEXT = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_TEXT_BYTES = re.compile(_TEXT.pattern.encode(), re.DOTALL)


class TooLargeError(ValueError):
    """There is more than the reader allows; the text says what, and how much is allowed."""


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
    """Refuse a JSON text of more than so many lists and objects, before anything is made of it.

    Raises:
        TooLargeError: see `read_json`.
    """
    # Texts may hold brackets as well; they are looked at only where that can matter.
    if _brackets(data) > elements and _brackets(_without_texts(data)) > elements:
        raise TooLargeError(f"more than {elements} lists and objects")


def _brackets(data: bytes | str) -> int:
    if isinstance(data, str):
        return data.count("[") + data.count("{")
    return data.count(b"[") + data.count(b"{")


def _without_texts(data: bytes | str) -> bytes | str:
    """JSON without its texts. One without an end goes on to the last byte, as it does for a parser."""
    return _TEXT.sub("", data) if isinstance(data, str) else _TEXT_BYTES.sub(b"", data)


def read_json(data: bytes | str, elements: int = MAX_JSON_ELEMENTS) -> Any:
    """The value that a JSON text stands for.

    Args:
        data: the text; its length is the caller's to bound.
        elements: how many lists and objects there may be.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
        TooLargeError: there are more elements.
    """
    text = data if isinstance(data, str) else data.decode(errors="surrogatepass")
    check_elements(text, elements)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
