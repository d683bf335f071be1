"""YAML files of the operator, as plain data: ``yaml.safe_load`` with the line of every mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
# PyYAML's errors beside its own: a value that does not fit its tag, or deep nesting.
_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class YamlError(ValueError):
    """A file is not valid YAML; the text says why, and in which line and column where known.

    The text does not quote the file: it may contain secrets.

    Attributes:
        line: 1-based; None when unknown.
        column: 1-based; None when unknown.
    """

    def __init__(self, problem: str, mark: yaml.Mark | None = None) -> None:
        super().__init__(problem)
        self.line = mark.line + 1 if mark else None
        self.column = mark.column + 1 if mark else None


def load_yaml(path: Path) -> Any:
    """A file's contents.

    Raises:
        YamlError: it is not UTF-8 text or not valid YAML.
        OSError: it cannot be read.
    """
    return _read(path, yaml.safe_load)


def compose_yaml(path: Path) -> yaml.Node | None:
    """A file's nodes, which know their lines. Errors: see `load_yaml`."""
    return _read(path, lambda text: yaml.compose(text, Loader=yaml.SafeLoader))


def _read(path: Path, load: Callable[[str], T]) -> T:
    try:
        return load(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise YamlError("not UTF-8 text; save the file as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        problem = str(error.problem or error.context)
        mark = error.problem_mark or error.context_mark
        raise YamlError(f"not valid YAML: {problem[:200]}", mark) from None
    except yaml.reader.ReaderError as error:
        raise YamlError(f"not valid YAML: {error.reason}") from None
    except _FAULTS as error:
        raise YamlError(f"not valid YAML ({type(error).__name__})") from None
