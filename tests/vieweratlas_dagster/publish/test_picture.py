"""The picture of real and of degenerate maps."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from vieweratlas_dagster.analysis.atlas import build
from vieweratlas_dagster.imports.overlap_list import read_overlap_list
from vieweratlas_dagster.publish.picture import DPI, draw_atlas, draw_preview, pixels_of, plan
from vieweratlas_dagster.tables import COMMUNITIES, EDGES, NODES

EXAMPLE = Path(__file__).parents[3] / "examples" / "twitch-atlas-2020-08"


@cache
def real():
    given = read_overlap_list(EXAMPLE / "edges.csv", EXAMPLE / "nodes.csv")
    atlas = build(given.audiences, given.edges)
    return atlas.nodes, atlas.edges, atlas.communities


def pixels(data):
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.slow
def test_the_picture_shows_channels_where_they_are_in_their_colours():
    nodes, edges, communities = real()
    shown = pixels(draw_atlas(nodes, edges, communities, title="Twitch, August 2020", width=900))
    height, width, _ = shown.shape
    assert width == 900
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 2000
    largest = nodes.drop_nulls("community").sort("viewers", descending=True).head(20)
    hits = 0
    for row in largest.iter_rows(named=True):
        column = (row["x"] + 1.09) / 2.18 * width
        line = height - (row["y"] + 1.09) / 2.18 * width
        around = shown[int(line) - 5 : int(line) + 6, int(column) - 5 : int(column) + 6].reshape(-1, 3)
        color = np.array([int(row["color"][at : at + 2], 16) for at in (1, 3, 5)])
        hits += np.abs(around - color).sum(axis=1).min() < 60
    # A name or a neighbour may cover one or the other.
    assert hits >= 15


def boxes(drawn):
    """Left, bottom, right and top of the ink of every name, in pixels, shape (n, 4)."""
    names = [(name.x, name.y, name.wide / 2, name.size * DPI / 72 / 2) for name in drawn.names]
    x, y, aside, up = np.array(names).T
    return np.stack([x - aside, y - up, x + aside, y + up], axis=1)


def test_names_hide_neither_each_other_nor_their_own_dots():
    drawn = plan(*real(), width=2000)
    ink = boxes(drawn)
    assert len(ink) > 150
    common = np.minimum(ink[:, None, 2:], ink[None, :, 2:]) - np.maximum(ink[:, None, :2], ink[None, :, :2])
    assert ((common > 0).all(axis=2) == np.eye(len(ink), dtype=bool)).all()
    places = dict(
        zip(drawn.nodes["channel"], pixels_of(drawn.nodes.select("x", "y").to_numpy(), 2000), strict=True)
    )
    for name, (left, bottom, right, top) in zip(drawn.names, ink, strict=True):
        if not name.bold:
            x, y = places[name.text]
            assert not (left < x < right and bottom < y < top)


def test_a_name_stands_beside_the_dots_it_would_hide():
    # Three in a row with a large one in the middle, where the group's name belongs; and the place for the
    # large one's own name is taken by a fourth.
    rows = [
        ("left", -0.3, 0.0, 10),
        ("great", 0.0, 0.0, 1000),
        ("right", 0.3, 0.0, 10),
        ("low", 0.0, -0.09, 300),
    ]
    nodes = pl.DataFrame(
        [
            {
                "channel": name,
                "x": x,
                "y": y,
                "viewers": viewers,
                "degree": 1,
                "color": "#4477aa",
                "community": 1,
                "region": 2,
            }
            for name, x, y, viewers in rows
        ],
        schema=NODES.schema,
    )
    group = {"label": "Chess", "generic": False, "color": "#4477aa", "size": 4, "viewers": 1320}
    communities = pl.DataFrame(
        [group | {"id": 1, "level": "community"}, group | {"id": 2, "level": "region", "label": "Games"}],
        schema=COMMUNITIES.schema,
    )
    drawn = plan(nodes, EDGES.empty(), communities, width=1000)
    dots = pixels_of(drawn.nodes.select("x", "y").to_numpy(), 1000)
    reach = drawn.radii[:, None] * DPI / 72
    ink = {name.text: box for name, box in zip(drawn.names, boxes(drawn), strict=True)}
    assert ink.keys() == {"Games", "Chess", "great", "low", "left", "right"}
    for text in ("Chess", "great", "low"):
        low, high = ink[text][:2], ink[text][2:]
        assert not ((dots + reach > low) & (dots - reach < high)).all(axis=1).any(), text


@pytest.mark.slow
def test_the_same_map_gives_the_same_bytes():
    assert draw_atlas(*real(), title="x", width=400) == draw_atlas(*real(), title="x", width=400)


def test_the_preview_is_small_and_colourful():
    data = draw_preview(*real())
    assert len(data) <= 60_000
    assert len(np.unique(pixels(data).reshape(-1, 3), axis=0)) >= 16


@pytest.mark.parametrize("count", [0, 1, 3])
def test_maps_with_hardly_anything_are_drawn(count):
    nodes = pl.DataFrame(
        [
            {"channel": f"$a_{i}$ 漢", "x": i / 3, "y": 0.0, "degree": 0, "color": "#9aa0a6"}
            for i in range(count)
        ],
        schema=NODES.schema,
    )
    data = draw_atlas(nodes, EDGES.empty(), COMMUNITIES.empty(), title="$\\frac$ & <b>", width=300)
    assert pixels(data).shape[1] == 300
    assert len(draw_preview(nodes, EDGES.empty(), COMMUNITIES.empty())) <= 60_000
