"""The user's own names for communities and regions (config/labels.yaml), read strictly.

The file has two sections, ``community`` and ``region``, each with lines of persistent id and name. A
section may be missing or empty.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from collector_service.support.safe_yaml import YamlError, compose_yaml

LEVELS = ("community", "region")

_ID = re.compile("[1-9][0-9]{0,17}")
_LONGEST = 80


class LabelsFileError(ValueError):
    """A file of names cannot be used; the text gives the file, the line, the key and the reason."""


def read_labels_file(path: Path) -> dict[str, dict[int, str]]:
    """The names in a file: level -> id -> name, with surrounding blanks removed.

    Raises:
        LabelsFileError: the file cannot be read, or an entry is not an id with a name.
    """
    try:
        root = compose_yaml(path)
    except OSError as error:
        raise LabelsFileError(f"{path}: cannot be read: {error.strerror}") from None
    except YamlError as error:
        line = f", line {error.line}" if error.line else ""
        raise LabelsFileError(f"{path}{line}: {error}") from None
    found: dict[str, dict[int, str]] = {}
    for key, section in _entries(path, root, "the file", "sections community and region"):
        level = _text(key)
        if level not in LEVELS:
            raise _wrong(path, key, f"unknown section {level[:40]!r}; use {' and '.join(LEVELS)}")
        if level in found:
            raise _wrong(path, key, f"section {level} appears twice")
        found[level] = _names(path, level, section)
    return found


def _names(path: Path, level: str, section: yaml.Node) -> dict[int, str]:
    names: dict[int, str] = {}
    lines: dict[str, int] = {}
    for key, value in _entries(path, section, level, "lines such as 12: Speedrunners"):
        text, name = _text(key), _text(value).strip()
        if not _ID.fullmatch(text):
            raise _wrong(path, key, f"{level} {text[:40]!r} is not an id (a whole number, at least 1)")
        if int(text) in names:
            raise _wrong(path, key, f"{level} {text} has a name already: {names[int(text)]!r}")
        if not isinstance(value, yaml.ScalarNode) or value.tag != "tag:yaml.org,2002:str":
            raise _wrong(path, value, f"the name of {level} {text} is not text; put it in quotes")
        if not (name.isprintable() and 0 < len(name) <= _LONGEST):
            raise _wrong(
                path, value, f"the name of {level} {text} is not one line of 1 to {_LONGEST} characters"
            )
        if name.casefold() in lines:
            where = lines[name.casefold()]
            raise _wrong(path, value, f"{level} {text} has the same name as line {where}: {name!r}")
        names[int(text)] = name
        lines[name.casefold()] = value.start_mark.line + 1
    return names


def _entries(
    path: Path, node: yaml.Node | None, what: str, expected: str
) -> list[tuple[yaml.Node, yaml.Node]]:
    """The entries of a mapping; none if the node is missing or null."""
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return []
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(path, node, f"{what} has no {expected}")
    return list(node.value)


def _text(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "<no text>"


def _wrong(path: Path, node: yaml.Node, why: str) -> LabelsFileError:
    return LabelsFileError(f"{path}, line {node.start_mark.line + 1}: {why}")
