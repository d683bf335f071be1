"""The picture of real and of degenerate maps."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from vieweratlas_dagster.analysis.atlas import build
from vieweratlas_dagster.overlap_list import read_overlap_list
from vieweratlas_dagster.publish.picture import draw_atlas, draw_preview
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
