"""The map as a picture: regions as soft areas, channels as dots, names where there is room.

Belongs here: drawing finished tables into PNG bytes. Does not belong here: computing anything that is
drawn, and the interactive page (``page``).
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field
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

_NIGHT, _INK, _FAINT = "#10131a", "#f3f4f6", "#8b93a1"
_EDGE_OF_MAP = 1.09
_GRID = 360
_DPI = 100
_TALL = 1.06
_MAIN_PART = 0.28
_STRONGEST_DRAWN = 3
_NAMED_CHANNELS = 400
_SMALLEST_NAMED_REGION = 8
_PREVIEW_WIDTH = 560
_PREVIEW_BYTES = 60_000


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
    figure = Figure(figsize=(width / _DPI, width / _DPI), dpi=_DPI, facecolor=_NIGHT)
    FigureCanvasAgg(figure)
    figure.set_figheight(width / _DPI * _TALL)
    axes = figure.add_axes((0, 0, 1, 1 / _TALL))
    axes.set_axis_off()
    axes.set_xlim(-_EDGE_OF_MAP, _EDGE_OF_MAP)
    axes.set_ylim(-_EDGE_OF_MAP, _EDGE_OF_MAP)
    drawn = nodes.sort("viewers", "degree", "channel", descending=[True, True, False], nulls_last=True)
    regions = communities.filter(pl.col("level") == "region").sort("viewers", "size", descending=True)
    scale = width / 2000
    areas = _Areas.of(drawn, regions)
    areas.draw(axes)
    _draw_ties(axes, drawn, edges, scale)
    radii = _draw_channels(axes, drawn, scale)
    _draw_names(axes, drawn, regions, communities, areas, radii, scale=scale, channels=channel_names)
    _draw_heading(figure, nodes, edges, communities, title, scale)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The font may lack a script; then the name is drawn as boxes, and the page still has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # Without this the file would carry the version of matplotlib.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


@dataclass(frozen=True)
class _Areas:
    """Density over a square grid, the region that leads there, and where each region's name goes."""

    density: NDArray[np.float64]
    leader: NDArray[np.int64]
    colors: list[str]
    tops: list[tuple[float, float]]

    @classmethod
    def of(cls, nodes: pl.DataFrame, regions: pl.DataFrame) -> _Areas:
        grids, tops = [], []
        for key in regions["id"]:
            members = nodes.filter(pl.col("region") == key)
            grid, _, _ = np.histogram2d(
                members["x"], members["y"], bins=_GRID, range=[[-_EDGE_OF_MAP, _EDGE_OF_MAP]] * 2
            )
            grids.append(gaussian_filter(grid, _GRID / 75))
            wide = gaussian_filter(grid, _GRID / 20)
            cell = np.array(np.unravel_index(int(wide.argmax()), wide.shape))
            peak = ((cell + 0.5) / _GRID * 2 - 1) * _EDGE_OF_MAP
            places = members.select("x", "y").to_numpy()
            # A part that lies elsewhere shall not pull the name away.
            main = places[np.linalg.norm(places - peak, axis=1) < _MAIN_PART]
            tops.append((float(np.median(main[:, 0])), float(np.quantile(main[:, 1], 0.97)) + 0.035))
        stack = np.stack(grids) if grids else np.zeros((1, _GRID, _GRID))
        return cls(stack.max(axis=0), stack.argmax(axis=0), regions["color"].to_list(), tops)

    def draw(self, axes: Axes) -> None:
        if not self.colors:
            return
        colors = np.array([to_rgb(color) for color in self.colors])[self.leader]
        # One channel alone makes a peak of about 1 / (2 pi sigma^2) in the grid.
        single = 1 / (2 * np.pi * (_GRID / 75) ** 2)
        strength = np.clip(self.density / single, 0, None)
        alpha = 0.22 * np.clip((strength - 0.25) / 0.5, 0, 1) + 0.12 * np.clip(strength / 8, 0, 1)
        picture = np.concatenate([colors, alpha[..., None]], axis=2).transpose(1, 0, 2)
        extent = (-_EDGE_OF_MAP, _EDGE_OF_MAP, -_EDGE_OF_MAP, _EDGE_OF_MAP)
        axes.imshow(
            picture, origin="lower", extent=extent, interpolation="bicubic", zorder=0, aspect="auto"
        )


def _draw_ties(axes: Axes, nodes: pl.DataFrame, edges: pl.DataFrame, scale: float) -> None:
    """Each channel's strongest ties, faintly, where they are short enough to say something."""
    value = "weight" if edges["jaccard"].null_count() else "jaccard"
    ends = pl.concat(
        [
            edges.select("source", "target", value, one="source"),
            edges.select("source", "target", value, one="target"),
        ]
    )
    strong = (
        ends.sort(value, "source", "target", descending=[True, False, False])
        .group_by("one", maintain_order=True)
        .head(_STRONGEST_DRAWN)
        .select("source", "target")
        .unique(maintain_order=True)
    )
    places = nodes.select("channel", "x", "y", "color")
    lines = strong.join(
        places, left_on="source", right_on="channel", how="inner", maintain_order="left"
    ).join(places, left_on="target", right_on="channel", how="inner", maintain_order="left", suffix="_to")
    if not lines.height:
        return
    start, end = lines.select("x", "y").to_numpy(), lines.select("x_to", "y_to").to_numpy()
    length = np.linalg.norm(end - start, axis=1)
    near = length < 0.5
    colors = np.array([(*to_rgb(color), 0.0) for color in lines["color"]])
    colors[:, 3] = 0.22 * np.clip(1 - length / 0.5, 0, 1)
    axes.add_collection(
        LineCollection(
            list(np.stack([start, end], axis=1)[near]),
            colors=colors[near],
            linewidths=0.7 * scale,
            zorder=1,
        )
    )


def _draw_channels(axes: Axes, nodes: pl.DataFrame, scale: float) -> NDArray[np.float64]:
    """Dots whose area grows with the audience; returns their radii in points."""
    known = nodes["viewers"].cast(pl.Float64).fill_null(0).to_numpy()
    amount = known if known.any() else nodes["degree"].cast(pl.Float64).to_numpy()
    crowd = np.clip(np.sqrt(1500 / max(nodes.height, 1)), 0.5, 1.6)
    share = np.sqrt(amount / max(amount.max(initial=0), 1))
    radii: NDArray[np.float64] = (1.6 + 11 * share) * crowd * scale
    axes.scatter(
        nodes["x"], nodes["y"], s=(2 * radii) ** 2, c=nodes["color"].to_list(), alpha=0.92,
        edgecolors=_NIGHT, linewidths=0.6 * scale, zorder=2,
    )  # fmt: skip
    return radii


@dataclass
class _Room:
    """Which rectangles of the picture are taken by names, in pixels."""

    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def take(self, box: tuple[float, float, float, float]) -> bool:
        left, bottom, right, top = box
        for other in self.taken:
            if left < other[2] and right > other[0] and bottom < other[3] and top > other[1]:
                return False
        self.taken.append(box)
        return True


def _draw_names(
    axes: Axes,
    nodes: pl.DataFrame,
    regions: pl.DataFrame,
    communities: pl.DataFrame,
    areas: _Areas,
    radii: NDArray[np.float64],
    *,
    scale: float,
    channels: bool,
) -> None:
    """Regions first, then communities, then channels; a name without room is left out."""
    room = _Room()
    to_pixels = axes.transData.transform
    points = to_pixels(nodes.select("x", "y").to_numpy()) if nodes.height else np.empty((0, 2))

    def write(text: str, at: Any, size: float, color: Any, weight: str, halo: float, shifts: Any) -> bool:
        font = FontProperties(weight=weight, size=size)
        # A dollar sign would be read as mathematics here, which a drawn name is not.
        outline = np.asarray(TextPath((0, 0), text.replace("$", "S"), prop=font).vertices).reshape(-1, 2)
        width = np.ptp(outline[:, 0]) if len(outline) else 0.0
        wide, high = width * _DPI / 72 + 4 * scale, size * 1.15 * _DPI / 72
        for dx, dy in shifts:
            x, y = at[0] + dx * wide / 2, at[1] + dy * high
            box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
            inside = box[0] > 0 and box[2] < axes.bbox.width and box[1] > 0 and box[3] < axes.bbox.height
            if inside and room.take(box):
                place = axes.transData.inverted().transform((x, y))
                axes.text(
                    place[0], place[1], text, fontproperties=font, color=color, ha="center",
                    va="center", parse_math=False, zorder=4,
                    path_effects=[withStroke(linewidth=halo, foreground=_NIGHT)],
                )  # fmt: skip
                return True
        return False

    apart = [(0.0, float(dy)) for dy in (0, 1, -1, 2, -2, 3, -3)]
    for row, top in zip(regions.iter_rows(named=True), areas.tops, strict=True):
        if row["size"] < min(_SMALLEST_NAMED_REGION, max(2, nodes.height // 10)):
            continue
        size = (15 + 16 * min(1.0, row["size"] / 300) ** 0.5) * (scale if channels else 2.6 * scale)
        write(_short(row), to_pixels(top), size, _INK, "bold", 5 * scale, apart)
    if not channels:
        return
    fine = communities.filter(pl.col("level") == "community").sort("viewers", "size", descending=True)
    by_region = set(regions["label"])
    for row in fine.iter_rows(named=True):
        members = nodes.filter(pl.col("community") == row["id"])
        if row["label"] not in by_region and members.height > 2:
            at = to_pixels(members.select(pl.col("x", "y").median()).to_numpy())[0]
            write(_short(row), at, 12.5 * scale, _lighter(row["color"]), "bold", 3.5 * scale, apart[:5])
    for at, row in enumerate(nodes.head(_NAMED_CHANNELS).iter_rows(named=True)):
        reach = radii[at] * _DPI / 72
        size = (7 + min(4.0, 0.35 * radii[at] / scale)) * scale
        high = size * 1.15 * _DPI / 72
        up = (reach + high / 2) / high
        write(row["channel"], points[at], size, _INK, "normal", 2.2 * scale, [(0, -up), (0, up)])


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
    level = communities["level"]
    isolated = nodes["community"].null_count()
    counts = (
        f"{nodes.height:,} channels · {edges.height:,} overlaps · {(level == 'community').sum():,}"
        f" communities in {(level == 'region').sum():,} regions"
        + (f" · {isolated:,} channels without an overlap on the outer ring" if isolated else "")
    )
    figure.text(
        0.02, 0.985, title, color=_INK, fontsize=24 * scale, weight="bold", va="top", parse_math=False
    )
    figure.text(0.02, 0.963, counts, color=_FAINT, fontsize=11.5 * scale, va="top", parse_math=False)
    explanation = "near = shared viewers · dot = audience · colour = community"
    figure.text(0.98, 0.018, explanation, color=_FAINT, fontsize=11.5 * scale, ha="right", va="bottom")


def _short(group: dict[str, Any]) -> str:
    """The name as it stands on the map, where being around something goes without saying."""
    return str(group["label"]).removeprefix("Around ") if group["generic"] else str(group["label"])


def _lighter(color: str) -> tuple[float, ...]:
    return tuple(0.45 + 0.55 * part for part in to_rgb(color))
