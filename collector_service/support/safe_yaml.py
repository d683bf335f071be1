"""YAML files of people, as plain data.

Belongs here: reading one within bounds. Does not belong here: what is in it (``settings``, and the code
location's file of names).

Nothing is ever constructed but texts, numbers, dates, lists and mappings. Aliases are refused: with a few
lines of them, a file can stand for more than memory holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import yaml

from collector_service.support.limits import TooLargeError, read_file

# Ten thousand channels with their names take some 400 KB.
MAX_BYTES = 1024 * 1024
_DEEPEST = 40
# What PyYAML raises beside its own errors, where a tag does not fit its value or nesting is too deep.
_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class PlainYamlError(ValueError):
    """A file cannot be used: ``problem`` says why, in ``line`` and ``column`` from 1 on where known.

    ``too_large`` says that it was not even read.

    What stands there is not quoted: it may be a secret.
    """

    def __init__(self, problem: str, mark: yaml.Mark | None = None, *, too_large: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.too_large = too_large
        self.line = mark.line + 1 if mark else None
        self.column = mark.column + 1 if mark else None


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.depth == _DEEPEST:
            raise self._wrong("nested too deeply")
        if self.check_event(yaml.AliasEvent):
            raise self._wrong("aliases (*name) are not allowed")
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _wrong(self, problem: str) -> yaml.MarkedYAMLError:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        return yaml.MarkedYAMLError(problem=problem, problem_mark=cast("yaml.error.Mark", event.start_mark))


def read_plain(path: Path) -> Any:
    """A file's contents.

    Raises:
        PlainYamlError: it is too large, no UTF-8 text, or no such YAML.
        OSError: it cannot be read.
    """
    return _read(path, lambda text: yaml.load(text, Loader=_Loader))  # noqa: S506 - a SafeLoader


def compose_plain(path: Path) -> yaml.Node | None:
    """A file's nodes, which know their lines. Errors: see `read_plain`."""
    node: yaml.Node | None = _read(path, lambda text: yaml.compose(text, Loader=_Loader))
    return node


def _read(path: Path, load: Any) -> Any:
    try:
        return load(read_file(path, MAX_BYTES).decode("utf-8-sig"))
    except TooLargeError as error:
        raise PlainYamlError(str(error), too_large=True) from None
    except UnicodeDecodeError:
        raise PlainYamlError("not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        problem = str(error.problem or error.context)
        mark = error.problem_mark or error.context_mark
        raise PlainYamlError(f"not valid YAML: {problem[:200]}", mark) from None
    except yaml.reader.ReaderError as error:
        raise PlainYamlError(f"not valid YAML: {error.reason}") from None
    except yaml.YAMLError:
        raise PlainYamlError("not valid YAML") from None
    except _FAULTS as error:
        raise PlainYamlError(f"not valid YAML ({type(error).__name__})") from None
