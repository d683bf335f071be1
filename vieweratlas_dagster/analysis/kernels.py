"""The compiled loops: merging sorted days, and counting shared viewers.

Plain loops over arrays of numbers that no array library offers. Numba compiles them at their first call,
which takes some seconds, and they run without the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

_Loop = TypeVar("_Loop", bound=Callable[..., Any])
# viewer_key, channel_id, messages, windows, known_bot; all of one length, sorted by the first two.
Columns = tuple[
    NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.bool_]
]

_MOST = np.int64(2**32 - 1)


def compiled(loop: _Loop) -> _Loop:
    """The loop, compiled at its first call and cached beside the source where that is writable.

    It runs without the interpreter's lock. The first call takes some seconds.
    """
    try:
        made = numba.njit(nogil=True, cache=True)(loop)
    except RuntimeError:
        made = numba.njit(nogil=True)(loop)
    return cast("_Loop", made)


@compiled
def merged(first: Columns, second: Columns, out: Columns) -> int:
    """Merge two sorted sets of rows into ``out``; rows with the same key become one.

    Their messages and windows add up, at most to the largest number of 32 bits, and known_bot holds when
    it holds in either.

    Returns:
        How many rows of ``out`` are filled, at most the length of both.
    """
    viewer, channel, messages, windows, bot = first
    viewer_2, channel_2, messages_2, windows_2, bot_2 = second
    out_viewer, out_channel, out_messages, out_windows, out_bot = out
    i = j = n = 0
    # Which side is next is a toss-up, so it is computed rather than branched on.
    while i < len(viewer) and j < len(viewer_2):
        one, other, place, place_2 = viewer[i], viewer_2[j], channel[i], channel_2[j]
        mine = (one < other) | ((one == other) & (place <= place_2))
        theirs = (other < one) | ((one == other) & (place_2 <= place))
        out_viewer[n] = one if mine else other
        out_channel[n] = place if mine else place_2
        out_messages[n] = min(mine * np.int64(messages[i]) + theirs * np.int64(messages_2[j]), _MOST)
        out_windows[n] = min(mine * np.int64(windows[i]) + theirs * np.int64(windows_2[j]), _MOST)
        out_bot[n] = (mine & bot[i]) | (theirs & bot_2[j])
        i += mine
        j += theirs
        n += 1
    for index in range(i, len(viewer)):
        out_viewer[n], out_channel[n] = viewer[index], channel[index]
        out_messages[n], out_windows[n], out_bot[n] = messages[index], windows[index], bot[index]
        n += 1
    for index in range(j, len(viewer_2)):
        out_viewer[n], out_channel[n] = viewer_2[index], channel_2[index]
        out_messages[n], out_windows[n], out_bot[n] = messages_2[index], windows_2[index], bot_2[index]
        n += 1
    return n


@compiled
def arrange(
    channel: NDArray[np.int32],
    starts: NDArray[np.int64],
    weight: NDArray[np.uint8],
    rows: NDArray[np.int64],
    lists: NDArray[Any],
    list_weight: NDArray[np.uint8],
    place: NDArray[Any],
) -> None:
    """Arrange memberships both ways: each viewer's channels, and each channel's places in those lists.

    Args:
        channel: channel numbers grouped by viewer, shape (memberships,).
        starts: where each viewer's group begins, shape (viewers + 1,).
        weight: weights of the memberships, or empty.
        rows: filled with where each channel's places begin, shape (channels + 1,).
        lists: filled with each viewer's channels, ascending and followed by -1; shape
            (memberships + viewers,), signed integers that can number the channels.
        list_weight: filled with the weights beside ``lists``; as long, or empty as ``weight`` is.
        place: filled with the index in ``lists`` of every membership, grouped by channel; shape
            (memberships,), integers that can count the lists.
    """
    viewers = len(starts) - 1
    rows[:] = 0
    for number in channel:
        rows[number + 1] += 1
    for number in range(1, len(rows)):
        rows[number] += rows[number - 1]
    weighted = len(weight) > 0
    moved = np.empty(len(weight), np.uint8)
    fill = rows[:-1].copy()
    for viewer in range(viewers):
        for index in range(starts[viewer], starts[viewer + 1]):
            at = fill[channel[index]]
            fill[channel[index]] = at + 1
            place[at] = viewer
            if weighted:
                moved[at] = weight[index]
    # Taking the channels in order sorts every viewer's list.
    end = np.empty(viewers, np.int64)
    for viewer in range(viewers):
        end[viewer] = starts[viewer] + viewer
        lists[starts[viewer + 1] + viewer] = -1
    for number in range(len(rows) - 1):
        for at in range(rows[number], rows[number + 1]):
            viewer = place[at]
            index = end[viewer]
            end[viewer] = index + 1
            lists[index] = number
            place[at] = index
            if weighted:
                list_weight[index] = moved[at]


@compiled
def shared_in_rows(
    lists: NDArray[Any],
    list_weight: NDArray[np.uint8],
    rows: NDArray[np.int64],
    place: NDArray[Any],
    begin: int,
    end: int,
    threshold: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Count the shared viewers of channels ``begin`` to ``end`` - 1 with all channels after them.

    Args:
        lists: as `arrange` fills it.
        list_weight: as `arrange` fills it.
        rows: as `arrange` fills them.
        place: as `arrange` fills it.
        begin: first channel.
        end: the channel after the last one.
        threshold: fewest shared viewers of a pair, at least 1.

    Returns:
        Channel, later channel, shared viewers and the sum over them of the smaller of both weights
        (empty without weights), ordered by the first two.
    """
    channels = len(rows) - 1
    weighted = len(list_weight) > 0
    cells = 0
    for number in range(begin, end):
        cells += channels - 1 - number
    first, second = np.empty(cells, np.int32), np.empty(cells, np.int32)
    shared = np.empty(cells, np.int32)
    weight = np.empty(cells if weighted else 0, np.int64)
    count = np.zeros(channels, np.int32)
    total = np.zeros(channels if weighted else 0, np.int64)
    n = 0
    for number in range(begin, end):
        for at in range(rows[number], rows[number + 1]):
            index = np.int64(place[at])
            mine = list_weight[index] if weighted else np.uint8(0)
            index += 1
            while lists[index] >= 0:
                count[lists[index]] += 1
                if weighted:
                    total[lists[index]] += min(mine, list_weight[index])
                index += 1
        for later in range(number + 1, channels):
            if count[later] >= threshold:
                first[n], second[n], shared[n] = number, later, count[later]
                if weighted:
                    weight[n] = total[later]
                n += 1
            count[later] = 0
            if weighted:
                total[later] = 0
    return first[:n].copy(), second[:n].copy(), shared[:n].copy(), weight[: n if weighted else 0].copy()
