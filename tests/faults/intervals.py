"""Sets of moments, as lists of (from, until)."""

from collections.abc import Iterable

Interval = tuple[float, float]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same moments in order, without overlaps."""
    merged: list[Interval] = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > begin:
            merged.append((begin, end))
    return merged


def minus(left: Iterable[Interval], right: Iterable[Interval]) -> list[Interval]:
    """The moments of ``left`` that are not in ``right``."""
    rest = union(left)
    for begin, end in union(right):
        pieces = [piece for low, high in rest for piece in ((low, min(high, begin)), (max(low, end), high))]
        rest = [(low, high) for low, high in pieces if high > low]
    return rest


def length(intervals: Iterable[Interval]) -> float:
    """How long they last together."""
    return sum(end - begin for begin, end in union(intervals))
