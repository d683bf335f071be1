"""Colours seen by normal and by colour-blind eyes, simulated another way than the code does it."""

import numpy as np
import pytest

from vieweratlas_dagster.analysis.colors import community_color, region_color

# Machado, Oliveira & Fernandes 2009, full severity, for linear RGB.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(color: str, sight: str) -> np.ndarray:
    """CIELAB of a colour as these eyes see it."""
    srgb = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    ratio = TO_XYZ @ np.clip(SIGHTS[sight] @ linear, 0, 1) / WHITE
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def closest(colors: list[str], sight: str) -> float:
    """The smallest distance (CIE 1976; about 2 is just seen) between any two of them."""
    seen = [lab(color, sight) for color in colors]
    return min(float(np.linalg.norm(one - other)) for at, one in enumerate(seen) for other in seen[:at])


def regions(count: int) -> list[str]:
    taken: list[str] = []
    for _ in range(count):
        taken.append(region_color(taken))
    return taken


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(("count", "least"), [(8, 15), (20, 8)])
def test_regions_differ_for_every_eye(sight, count, least):
    assert closest(regions(count), sight) > least


@pytest.mark.parametrize("sight", SIGHTS)
def test_communities_of_a_region_differ_for_every_eye(sight):
    for region in regions(6):
        taken: list[str] = []
        for _ in range(6):
            taken.append(community_color(region, taken))
        assert closest(taken, sight) > 7


def test_a_colour_depends_on_those_taken_alone():
    taken = regions(5)
    assert region_color(taken) == region_color(taken[::-1])
