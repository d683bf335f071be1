"""The map as a vector picture for slides and print: a picture's plan (``picture``) as SVG.

Names stay text, so that they can be found, copied and set in a different typeface; each carries its
measured length, so that names do not overlap in that typeface. There is no CSS, and nothing needs a version
after SVG 1.1: slide programs support little more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import polars as pl
from contourpy import contour_generator
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from vieweratlas_dagster.publish.exports import xml_text
from vieweratlas_dagster.publish.picture import (
    DPI,
    EDGE_OF_MAP,
    EXPLANATION,
    FAINT,
    GRID,
    INK,
    NIGHT,
    TALL,
    Areas,
    Name,
    Plan,
    Ties,
    counts_of,
    pixels_of,
    plan,
)

_WIDTH = 2000
_POINT = DPI / 72
_FONTS = "DejaVu Sans, Verdana, sans-serif"
# How many channels' own density (`Areas.single`) each step of an area begins at, and its opacity.
_STEPS = ((0.4, 0.13), (0.75, 0.1), (4.0, 0.09))
_OPACITIES = 4


def draw_svg(nodes: pl.DataFrame, edges: pl.DataFrame, communities: pl.DataFrame, *, title: str) -> bytes:
    """The whole map as SVG, 2000 units wide, a little taller than wide, on a dark ground.

    Args:
        nodes: rows of NODES.
        edges: rows of EDGES that may be published.
        communities: rows of COMMUNITIES.
        title: the heading.

    Returns:
        UTF-8; the same tables give the same bytes. Characters that XML cannot hold become U+FFFD.
    """
    drawn = plan(nodes, edges, communities, width=_WIDTH)
    high = round(_WIDTH * TALL)
    counts = counts_of(nodes, edges, communities)
    box = f'viewBox="0 0 {_WIDTH} {high}" width="{_WIDTH}" height="{high}"'
    low = f'x="{_WIDTH - 40}" y="{high - 40}" text-anchor="end"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="{_FONTS}" role="img">',
        f"<title>{_text(title)}</title><desc>{_text(counts)}; {EXPLANATION}</desc>",
        f'<rect width="{_WIDTH}" height="{high}" fill="{NIGHT}"/>',
        # As in the plan: up is up, and the map's lower left is the origin.
        f'<g transform="translate(0 {high}) scale(1 -1)">',
        *_areas(drawn.areas),
        *_ties(drawn.ties),
        *_dots(drawn),
        "</g>",
        *_names(drawn.names, high),
        f'<text x="40" y="62" font-size="33" font-weight="bold" fill="{INK}">{_text(title)}</text>',
        f'<text x="40" y="94" font-size="16" fill="{FAINT}">{_text(counts)}</text>',
        f'<text {low} font-size="16" fill="{FAINT}">{EXPLANATION}</text>',
        "</svg>\n",
    ]
    return "\n".join(parts).encode()


def _areas(areas: Areas) -> Iterator[str]:
    """Each region's ground in steps, up to where a different region leads."""
    middle = pixels_of((np.arange(GRID) + 0.5) / GRID * 2 * EDGE_OF_MAP - EDGE_OF_MAP, _WIDTH)
    for at, color in enumerate(areas.colors):
        own = areas.grids[at]
        others = np.delete(areas.grids, at, axis=0).max(axis=0, initial=0.0)
        for step, opacity in _STEPS:
            ground = np.minimum(own - step * areas.single, own - others).T
            rings = contour_generator(middle, middle, ground).lines(0.0)
            if path := "".join(_ring(np.asarray(ring)) for ring in rings):
                yield f'<path d="{path}" fill="{color}" fill-opacity="{opacity}" fill-rule="evenodd"/>'


def _ring(points: NDArray[Any]) -> str:
    """A closed line, relative from point to point, in whole units."""
    whole = np.rint(points).astype(int)
    steps = np.diff(whole, axis=0)
    steps = steps[np.any(steps, axis=1)]
    if len(steps) < 3:
        return ""
    return f"M{whole[0, 0]} {whole[0, 1]}l" + " ".join(f"{x} {y}" for x, y in steps[:-1].tolist()) + "z"


def _ties(ties: Ties) -> Iterator[str]:
    """Lines of one colour and about one opacity as one path."""
    lines: dict[tuple[str, int], list[str]] = defaultdict(list)
    strength = np.ceil(ties.alpha / 0.22 * _OPACITIES).astype(int).tolist()
    ends = np.rint(pixels_of(ties.lines, _WIDTH)).astype(int).tolist()
    for color, level, ((x, y), (to_x, to_y)) in zip(ties.colors, strength, ends, strict=True):
        if level:
            lines[color, level].append(f"M{x} {y}l{to_x - x} {to_y - y}")
    yield '<g fill="none" stroke-width="1">'
    for (color, level), paths in sorted(lines.items()):
        opacity = 0.22 * (level - 0.5) / _OPACITIES
        yield f'<path stroke="{color}" stroke-opacity="{opacity:.3f}" d="{"".join(paths)}"/>'
    yield "</g>"


def _dots(drawn: Plan) -> Iterator[str]:
    """The largest below, so that none hides a smaller one; each has its name as its title."""
    places = pixels_of(drawn.nodes.select("x", "y").to_numpy(), _WIDTH)
    rows = zip(
        drawn.nodes["color"], places.tolist(), (drawn.radii * _POINT).tolist(), drawn.nodes["channel"],
        strict=True,
    )  # fmt: skip
    yield f'<g fill-opacity="0.92" stroke="{NIGHT}" stroke-width="0.8">'
    for color, dots in groupby(rows, key=lambda row: row[0]):
        yield f'<g fill="{color}">'
        for _, (x, y), radius, name in dots:
            place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"'
            yield f"<circle {place}><title>{_text(name)}</title></circle>"
        yield "</g>"
    yield "</g>"


def _names(names: Iterable[Name], high: int) -> Iterator[str]:
    """Every name twice: its halo below, then itself."""
    written = [
        (
            f'<text x="{name.x:.1f}" y="{high - name.y + 0.36 * name.size * _POINT:.1f}"'
            f' font-size="{name.size * _POINT:.1f}" textLength="{name.wide:.1f}"'
            f' lengthAdjust="spacingAndGlyphs"' + (' font-weight="bold"' if name.bold else ""),
            name,
        )
        for name in names
    ]
    # The most important name comes first in the plan, and last here: on top.
    written.reverse()
    yield f'<g text-anchor="middle" fill="none" stroke="{NIGHT}" stroke-linejoin="round">'
    for start, name in written:
        yield f'{start} stroke-width="{name.halo * _POINT:.1f}">{_text(name.text)}</text>'
    yield '</g>\n<g text-anchor="middle">'
    for start, name in written:
        yield f'{start} fill="{to_hex(name.color)}">{_text(name.text)}</text>'
    yield "</g>"


def _text(text: str) -> str:
    return escape(xml_text(text))
