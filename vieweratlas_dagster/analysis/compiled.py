"""Compiling plain loops over arrays.

Belongs here: how a loop is compiled. Does not belong here: any loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def compiled(loop: _Loop) -> _Loop:
    """The loop, compiled at its first call, which takes seconds; it runs without the interpreter's lock.

    What was compiled is kept beside the source, where that can be written to.
    """
    try:
        made = numba.njit(nogil=True, cache=True)(loop)
    except RuntimeError:
        made = numba.njit(nogil=True)(loop)
    return cast("_Loop", made)
