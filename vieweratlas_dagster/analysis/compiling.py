"""How plain loops over arrays become machine code.

Belongs here: the one way in which this package compiles. Does not belong here: any loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def compiled(loop: _Loop) -> _Loop:
    """The loop, compiled at its first call and kept beside the source, where that can be written to.

    It runs without the interpreter's lock. The first call takes some seconds.
    """
    try:
        made = numba.njit(nogil=True, cache=True)(loop)
    except RuntimeError:
        made = numba.njit(nogil=True)(loop)
    return cast("_Loop", made)
