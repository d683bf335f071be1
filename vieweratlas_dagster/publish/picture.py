"""The map as a picture: regions as soft areas, channels as dots, names where there is room.

`plan` places everything; this module draws it as PNG, ``vector`` as SVG.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from vieweratlas_dagster.publish.map_names import with_short_names

NIGHT, INK, FAINT = "#10131a", "#f3f4f6", "#8b93a1"
EDGE_OF_MAP = 1.09
GRID = 360
DPI = 100
TALL = 1.06
EXPLANATION = "near = shared viewers · dot = audience · colour = community"
_MAIN_PART = 0.28
_STRONGEST_DRAWN = 3
_NAMED_CHANNELS = 400
_SMALLEST_NAMED_REGION = 8
_PREVIEW_WIDTH = 560
_PREVIEW_BYTES = 60_000
# A name that is a line away from its place costs as much as one with this share of its area on dots.
_FAR = 0.1
_HALF_LINES = (0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.0, -2.0, 2.5, -2.5)

# Left, bottom, right and top, in pixels.
_Box = tuple[float, float, float, float]
# Distance from a name's place, in pixels to the right and upwards, and the cost of it.
_Spot = tuple[float, float, float]
# Spots to try for a name of this width and height.
_Spots = Callable[[float, float], Iterator[_Spot]]


def draw_atlas(
    nodes: pl.DataFrame, edges: pl.DataFrame, communities: pl.DataFrame, *, title: str, width: int = 2000
) -> bytes:
    """The whole map as a PNG, a little taller than wide, on a dark ground, with its counts.

    Args:
        nodes: rows of NODES.
        edges: rows of EDGES.
        communities: rows of COMMUNITIES.
        title: the heading.
        width: pixels.

    Returns:
        PNG; the same tables give the same bytes with the same matplotlib.
    """
    return _png(_figure(nodes, edges, communities, title=title, width=width, channel_names=True))


def draw_preview(nodes: pl.DataFrame, edges: pl.DataFrame, communities: pl.DataFrame) -> bytes:
    """A small PNG of at most 60 kB: areas, dots and the names of the regions."""
    figure = _figure(nodes, edges, communities, title="", width=_PREVIEW_WIDTH, channel_names=False)
    whole = Image.open(io.BytesIO(_png(figure))).convert("RGB")
    for colors in (256, 128, 64, 32, 16):
        buffer = io.BytesIO()
        whole.quantize(colors, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= _PREVIEW_BYTES:
            break
    return buffer.getvalue()


def _figure(
    nodes: pl.DataFrame,
    edges: pl.DataFrame,
    communities: pl.DataFrame,
    *,
    title: str,
    width: int,
    channel_names: bool,
) -> Figure:
    figure = Figure(figsize=(width / DPI, width / DPI), dpi=DPI, facecolor=NIGHT)
    FigureCanvasAgg(figure)
    figure.set_figheight(width / DPI * TALL)
    axes = figure.add_axes((0, 0, 1, 1 / TALL))
    axes.set_axis_off()
    axes.set_xlim(-EDGE_OF_MAP, EDGE_OF_MAP)
    axes.set_ylim(-EDGE_OF_MAP, EDGE_OF_MAP)
    scale = width / 2000
    drawn = plan(nodes, edges, communities, width=width, channel_names=channel_names)
    _draw_areas(axes, drawn.areas)
    _draw_ties(axes, drawn.ties, scale)
    axes.scatter(
        drawn.nodes["x"], drawn.nodes["y"], s=(2 * drawn.radii) ** 2, c=drawn.nodes["color"].to_list(),
        alpha=0.92, edgecolors=NIGHT, linewidths=0.6 * scale, zorder=2,
    )  # fmt: skip
    _draw_names(axes, drawn.names)
    _draw_heading(figure, nodes, edges, communities, title, scale)
    return figure


@dataclass(frozen=True)
class Areas:
    """Density over a square grid for each region, and the approximate place of its name (map units)."""

    grids: NDArray[np.float64]
    colors: list[str]
    tops: list[tuple[float, float]]

    @property
    def single(self) -> float:
        """About the peak that one channel alone makes, 1 / (2 pi sigma^2)."""
        return float(1 / (2 * np.pi * (GRID / 75) ** 2))


@dataclass(frozen=True)
class Ties:
    """Straight lines in map units, shape (n, 2, 2), with the colour and opacity of each."""

    lines: NDArray[np.float64]
    colors: list[str]
    alpha: NDArray[np.float64]


@dataclass(frozen=True)
class Name:
    """A name that found room: its middle in pixels from the lower left, its size in points."""

    text: str
    x: float
    y: float
    wide: float
    size: float
    color: tuple[float, float, float]
    bold: bool
    halo: float


@dataclass(frozen=True)
class Plan:
    """The places of everything; channels by audience, largest first, with their radii in points."""

    nodes: pl.DataFrame
    radii: NDArray[np.float64]
    areas: Areas
    ties: Ties
    names: list[Name]


def plan(
    nodes: pl.DataFrame,
    edges: pl.DataFrame,
    communities: pl.DataFrame,
    *,
    width: int,
    channel_names: bool = True,
) -> Plan:
    """The places of everything in a picture ``width`` pixels wide; arguments as of `draw_atlas`."""
    scale = width / 2000
    drawn = nodes.sort("viewers", "degree", "channel", descending=[True, True, False], nulls_last=True)
    # Opt-outs and the privacy floor may have taken all channels of a region.
    there = pl.col("id").is_in(drawn["region"].unique().implode())
    communities = with_short_names(communities)
    regions = communities.filter(pl.col("level") == "region", there).sort(
        "viewers", "size", descending=True
    )
    areas = _areas(drawn, regions)
    radii = _radii(drawn, scale)
    names = _place_names(drawn, regions, communities, areas, radii, width=width, channels=channel_names)
    return Plan(drawn, radii, areas, _ties(drawn, edges), names)


def pixels_of(places: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Map units as pixels from the lower left of the map, shape (n, 2)."""
    pixels: NDArray[np.float64] = (places / EDGE_OF_MAP + 1) / 2 * width
    return pixels


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The font may lack a script; then the name is drawn as boxes, and the page still has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # Without this the file would carry the version of matplotlib.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _areas(nodes: pl.DataFrame, regions: pl.DataFrame) -> Areas:
    grids, tops = [], []
    for key in regions["id"]:
        members = nodes.filter(pl.col("region") == key)
        grid, _, _ = np.histogram2d(
            members["x"], members["y"], bins=GRID, range=[[-EDGE_OF_MAP, EDGE_OF_MAP]] * 2
        )
        grids.append(gaussian_filter(grid, GRID / 75))
        wide = gaussian_filter(grid, GRID / 20)
        cell = np.array(np.unravel_index(int(wide.argmax()), wide.shape))
        peak = ((cell + 0.5) / GRID * 2 - 1) * EDGE_OF_MAP
        places = members.select("x", "y").to_numpy()
        # A part that lies elsewhere must not pull the name away.
        main = places[np.linalg.norm(places - peak, axis=1) < _MAIN_PART]
        tops.append((float(np.median(main[:, 0])), float(np.quantile(main[:, 1], 0.97)) + 0.035))
    stack = np.stack(grids) if grids else np.zeros((0, GRID, GRID))
    return Areas(stack, regions["color"].to_list(), tops)


def _draw_areas(axes: Axes, areas: Areas) -> None:
    if not areas.colors:
        return
    colors = np.array([to_rgb(color) for color in areas.colors])[areas.grids.argmax(axis=0)]
    strength = np.clip(areas.grids.max(axis=0) / areas.single, 0, None)
    alpha = 0.22 * np.clip((strength - 0.25) / 0.5, 0, 1) + 0.12 * np.clip(strength / 8, 0, 1)
    picture = np.concatenate([colors, alpha[..., None]], axis=2).transpose(1, 0, 2)
    extent = (-EDGE_OF_MAP, EDGE_OF_MAP, -EDGE_OF_MAP, EDGE_OF_MAP)
    axes.imshow(picture, origin="lower", extent=extent, interpolation="bicubic", zorder=0, aspect="auto")


def _ties(nodes: pl.DataFrame, edges: pl.DataFrame) -> Ties:
    """Each channel's strongest ties, faintly, where they are short enough to say something."""
    value = "weight" if edges["jaccard"].null_count() else "jaccard"
    ends = pl.concat(
        [
            edges.select("source", "target", value, one="source"),
            edges.select("source", "target", value, one="target"),
        ]
    )
    strong = (
        ends.sort(value, "source", "target", "one", descending=[True, False, False, False])
        .group_by("one", maintain_order=True)
        .head(_STRONGEST_DRAWN)
        .select("source", "target")
        .unique(maintain_order=True)
    )
    places = nodes.select("channel", "x", "y", "color")
    lines = strong.join(
        places, left_on="source", right_on="channel", how="inner", maintain_order="left"
    ).join(places, left_on="target", right_on="channel", how="inner", maintain_order="left", suffix="_to")
    start, end = lines.select("x", "y").to_numpy(), lines.select("x_to", "y_to").to_numpy()
    length = np.linalg.norm(end - start, axis=1)
    near = length < 0.5
    return Ties(
        np.stack([start, end], axis=1)[near],
        lines.filter(pl.Series(near))["color"].to_list(),
        0.22 * np.clip(1 - length[near] / 0.5, 0, 1),
    )


def _draw_ties(axes: Axes, ties: Ties, scale: float) -> None:
    if not ties.colors:
        return
    colors = [(*to_rgb(color), alpha) for color, alpha in zip(ties.colors, ties.alpha, strict=True)]
    axes.add_collection(LineCollection(list(ties.lines), colors=colors, linewidths=0.7 * scale, zorder=1))


def _radii(nodes: pl.DataFrame, scale: float) -> NDArray[np.float64]:
    """Radii of dots whose area grows with the audience, in points."""
    known = nodes["viewers"].cast(pl.Float64).fill_null(0).to_numpy()
    amount = known if known.any() else nodes["degree"].cast(pl.Float64).to_numpy()
    crowd = np.clip(np.sqrt(1500 / max(nodes.height, 1)), 0.5, 1.6)
    share = np.sqrt(amount / max(amount.max(initial=0), 1))
    radii: NDArray[np.float64] = (1.6 + 11 * share) * crowd * scale
    return radii


class _Room:
    """The occupied parts of the picture, in pixels: dots, and the rectangles of names."""

    def __init__(self, width: int, points: NDArray[np.float64], radii: NDArray[np.float64]) -> None:
        self.taken: list[_Box] = []
        self._width = width
        self._low, self._high = points - radii[:, None], points + radii[:, None]

    def free(self, box: _Box) -> bool:
        left, bottom, right, top = box
        if not (left > 0 and right < self._width and bottom > 0 and top < self._width):
            return False
        return not any(
            left < box[2] and right > box[0] and bottom < box[3] and top > box[1] for box in self.taken
        )

    def covered(self, box: _Box) -> float:
        """About the share of a rectangle that lies on dots: dots that it touches count as squares."""
        common = np.minimum(self._high, box[2:]) - np.maximum(self._low, box[:2])
        area = (box[2] - box[0]) * (box[3] - box[1])
        return float(np.prod(np.clip(common, 0, None), axis=1).sum() / area)


def _place_names(
    nodes: pl.DataFrame,
    regions: pl.DataFrame,
    communities: pl.DataFrame,
    areas: Areas,
    radii: NDArray[np.float64],
    *,
    width: int,
    channels: bool,
) -> list[Name]:
    """Regions first, then communities, then channels, each where it hides least.

    A name without room is left out.
    """
    scale = width / 2000
    names: list[Name] = []
    points = pixels_of(nodes.select("x", "y").to_numpy(), width)
    reach = radii * DPI / 72
    room = _Room(width, points, reach)

    def write(text: str, at: Any, size: float, color: Any, weight: str, halo: float, spots: _Spots) -> None:
        inked = _ink_width(text, FontProperties(weight=weight, size=size))
        wide, high = inked + 4 * scale, size * 1.15 * DPI / 72
        best: tuple[float, _Box] | None = None
        for dx, dy, reluctance in spots(wide, high):
            x, y = float(at[0] + dx), float(at[1] + dy)
            box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
            if (best is None or reluctance < best[0]) and room.free(box):
                cost = room.covered(box) + reluctance
                if best is None or cost < best[0]:
                    best = cost, box
        if best is None:
            return
        left, bottom, right, top = best[1]
        room.taken.append(best[1])
        middle = (left + right) / 2, (bottom + top) / 2
        names.append(Name(text, *middle, inked, size, to_rgb(color), weight == "bold", halo))

    for row, top in zip(regions.iter_rows(named=True), areas.tops, strict=True):
        if row["size"] < min(_SMALLEST_NAMED_REGION, max(2, nodes.height // 10)):
            continue
        size = (15 + 16 * min(1.0, row["size"] / 300) ** 0.5) * (scale if channels else 2.6 * scale)
        at = pixels_of(np.array(top), width)
        write(row["short"], at, size, INK, "bold", 5 * scale, _above_or_below)
    if not channels:
        return names
    fine = communities.filter(pl.col("level") == "community").sort("viewers", "size", descending=True)
    by_region = set(regions["label"])
    for row in fine.iter_rows(named=True):
        members = nodes.filter(pl.col("community") == row["id"])
        if row["label"] not in by_region and members.height > 2:
            at = pixels_of(members.select(pl.col("x", "y").median()).to_numpy(), width)[0]
            color = _lighter(row["color"])
            write(row["short"], at, 12.5 * scale, color, "bold", 3.5 * scale, _around)
    for rank, row in enumerate(nodes.head(_NAMED_CHANNELS).iter_rows(named=True)):
        size = (7 + min(4.0, 0.35 * radii[rank] / scale)) * scale
        spots = partial(_beside, float(reach[rank]))
        write(row["channel"], points[rank], size, INK, "normal", 2.2 * scale, spots)
    return names


def _ink_width(text: str, font: FontProperties) -> float:
    """The width of a drawn text, in pixels."""
    # A text of separators alone does not even get an empty outline.
    if not text.strip():
        return 0.0
    # TextPath would read a dollar sign as mathematics; the drawn name is plain text.
    outline = np.asarray(TextPath((0, 0), text.replace("$", "S"), prop=font).vertices).reshape(-1, 2)
    return float(np.ptp(outline[:, 0])) * DPI / 72 if len(outline) else 0.0


def _above_or_below(_wide: float, high: float) -> Iterator[_Spot]:
    for lines in _HALF_LINES:
        yield 0.0, lines * high, _FAR * abs(lines)


def _around(wide: float, high: float) -> Iterator[_Spot]:
    for lines in _HALF_LINES:
        for aside in (0.0, -0.25, 0.25, -0.5, 0.5):
            yield aside * wide, lines * high, _FAR * (abs(lines) + 4 * abs(aside))


def _beside(reach: float, wide: float, high: float) -> Iterator[_Spot]:
    """Next to a dot of radius ``reach``, preferably below it."""
    yield 0.0, -(reach + high / 2), 0.0
    yield 0.0, reach + high / 2, _FAR
    yield reach + wide / 2, 0.0, 2 * _FAR
    yield -(reach + wide / 2), 0.0, 2 * _FAR


def _draw_names(axes: Axes, names: list[Name]) -> None:
    for name in names:
        place = axes.transData.inverted().transform((name.x, name.y))
        font = FontProperties(weight="bold" if name.bold else "normal", size=name.size)
        axes.text(
            place[0], place[1], name.text, fontproperties=font, color=name.color, ha="center",
            va="center", parse_math=False, zorder=4,
            path_effects=[withStroke(linewidth=name.halo, foreground=NIGHT)],
        )  # fmt: skip


def _draw_heading(
    figure: Figure,
    nodes: pl.DataFrame,
    edges: pl.DataFrame,
    communities: pl.DataFrame,
    title: str,
    scale: float,
) -> None:
    if not title:
        return
    figure.text(
        0.02, 0.985, title, color=INK, fontsize=24 * scale, weight="bold", va="top", parse_math=False
    )
    figure.text(
        0.02,
        0.963,
        counts_of(nodes, edges, communities),
        color=FAINT,
        fontsize=11.5 * scale,
        va="top",
        parse_math=False,
    )
    figure.text(0.98, 0.018, EXPLANATION, color=FAINT, fontsize=11.5 * scale, ha="right", va="bottom")


def counts_of(nodes: pl.DataFrame, edges: pl.DataFrame, communities: pl.DataFrame) -> str:
    """The line under the heading."""
    level = communities["level"]
    isolated = nodes["community"].null_count()
    return (
        f"{nodes.height:,} channels · {edges.height:,} overlaps · {(level == 'community').sum():,}"
        f" communities in {(level == 'region').sum():,} regions"
        + (f" · {isolated:,} channels without an overlap on the outer ring" if isolated else "")
    )


def _lighter(color: str) -> tuple[float, ...]:
    return tuple(0.45 + 0.55 * part for part in to_rgb(color))
