"""The report of a benchmark: one table of values, bars and ratios from one run."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_HEADER = ("part", "what", "value", "bar", "ratio", "")
_RIGHT = (2, 3, 4)


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes:
        part: the part of the benchmark that measured it.
        what: what the number is, in words.
        value: the number; None when it could not be measured, which misses any bar.
        unit: its unit, for people.
        least: the smallest allowed value, if there is one.
        most: the largest allowed value, if there is one.
        note: what else to know, below the table.
    """

    part: str
    what: str
    value: float | None
    unit: str = ""
    least: float | None = None
    most: float | None = None
    note: str = ""

    @property
    def missed(self) -> bool:
        """Whether the row has a bar and does not meet it."""
        if self.least is None and self.most is None:
            return False
        if self.value is None:
            return True
        return (self.least is not None and self.value < self.least) or (
            self.most is not None and self.value > self.most
        )

    @property
    def ratio(self) -> float | None:
        """How many times better than the bar the value is; None without a value or a bar above 0."""
        if self.value is None:
            return None
        if self.least:
            return self.value / self.least
        if self.most and self.value > 0:
            return self.most / self.value
        return None

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of the header."""
        bar = ""
        if self.least is not None:
            bar = f">= {number(self.least)} {self.unit}".rstrip()
        elif self.most is not None:
            bar = f"<= {number(self.most)} {self.unit}".rstrip()
        verdict = "" if not bar else "MISSED" if self.missed else "ok"
        value = "not measured" if self.value is None else f"{number(self.value)} {self.unit}".rstrip()
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        return self.part, self.what, value, bar, ratio, verdict


def number(value: float) -> str:
    """A number for people: thousands apart, and no more digits than mean something."""
    if math.isfinite(value) and (value == int(value) or abs(value) >= 1000):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def render(rows: Sequence[Row]) -> str:
    """The table, and the notes below it."""
    lines = [_HEADER, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
    rule = tuple("-" * width for width in widths)
    text = [_line(line, widths) for line in (_HEADER, rule, *lines[1:])]
    notes = list(dict.fromkeys(f"{row.part}: {row.note}" for row in rows if row.note))
    return "\n".join(text + (["", *notes] if notes else []))


def exit_code(rows: Sequence[Row]) -> int:
    """0 when every bar is met, else 1."""
    return int(any(row.missed for row in rows))


def progress(text: str) -> None:
    """Tell the person who waits what goes on."""
    print(text, file=sys.stderr, flush=True)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column in _RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
