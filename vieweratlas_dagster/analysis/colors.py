"""Colours of regions and communities: distinct for most eyes, related within a region.

Distances are Euclidean in OKLab (Ottosson 2020): the smallest of those with normal sight, protanopia and
deuteranopia (Viénot, Brettel & Mollon 1999). Sight that has lost a kind of cone sees fewer hues, so its
distances count for more, and lightness varies so that colours differ in more than their hue.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GREY = "#9aa0a6"
_IMPAIRED_WEIGHT = 1.8

_Colors = NDArray[np.float64]
_LMS = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
_PROTANOPIA = np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]])
_DEUTERANOPIA = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])
_SIGHTS = (np.eye(3), *(np.linalg.inv(_LMS) @ loss @ _LMS for loss in (_PROTANOPIA, _DEUTERANOPIA)))
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def region_color(taken: Sequence[str]) -> str:
    """The clear colour farthest from those taken; #rrggbb."""
    return _farthest(_palette(range(0, 360, 10), (0.54, 0.64, 0.74, 0.84), (0.1, 0.13, 0.16)), taken)


def community_color(region: str, taken: Sequence[str]) -> str:
    """The colour near its region's hue that is farthest from the siblings' taken; #rrggbb."""
    _, a, b = _oklab(_linear([region]))[0]
    hue = float(np.degrees(np.arctan2(b, a)))
    return _farthest(
        _palette(
            [hue + turn for turn in range(-24, 25, 6)], (0.56, 0.64, 0.72, 0.8, 0.87), (0.08, 0.12, 0.16)
        ),
        taken,
    )


def _palette(hues: Sequence[float], lightness: Sequence[float], chroma: Sequence[float]) -> list[str]:
    """All combinations that a screen can show, the middle ones first."""
    grid = [(L, c, np.radians(h)) for c in chroma for L in lightness for h in hues]
    lab = np.array([(L, c * np.cos(h), c * np.sin(h)) for L, c, h in grid])
    linear = (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_CONES).T
    shown = ((linear >= 0) & (linear <= 1)).all(axis=1)
    srgb = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.clip(linear, 0, None) ** (1 / 2.4) - 0.055
    )
    values = np.rint(np.clip(srgb[shown], 0, 1) * 255).astype(int)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in values]


def _farthest(candidates: list[str], taken: Sequence[str]) -> str:
    if not taken:
        return candidates[len(candidates) // 2]
    distances = []
    for sight in _SIGHTS:
        ours, theirs = (_oklab(_linear(colors) @ sight.T) for colors in (candidates, sorted(set(taken))))
        distances.append(np.linalg.norm(ours[:, None] - theirs[None], axis=2))
    normal, *impaired = distances
    apart = np.minimum(normal, _IMPAIRED_WEIGHT * np.minimum(*impaired)).min(axis=1)
    return candidates[int(np.argmax(apart))]


def _linear(colors: Sequence[str]) -> _Colors:
    srgb = np.array([[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in colors]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _oklab(linear: _Colors) -> _Colors:
    lab: _Colors = np.cbrt(np.clip(linear, 0, 1) @ _TO_CONES.T) @ _TO_LAB.T
    return lab
