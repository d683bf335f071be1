"""Places: neighbours near, regions together, any graph, the same every time."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial import KDTree

from tests.worlds.communities import communities_of, example, tables_of
from vieweratlas_dagster.analysis.atlas import build
from vieweratlas_dagster.analysis.layout import neighbour_preservation, place, strongest
from vieweratlas_dagster.analysis.stability import Previous
from vieweratlas_dagster.tables import EDGES, NODES, PARTITION


@pytest.fixture(scope="module")
def real():
    audiences, edges = example()
    return audiences, edges, build(audiences, edges)


def test_the_real_map_keeps_neighbours_far_better_than_chance(real):
    audiences, edges, atlas = real
    kept = atlas.quality["neighbour_preservation"]
    assert kept == pytest.approx(by_hand(audiences, edges, atlas.nodes))
    assert kept > 0.55
    shuffled = atlas.nodes.select("channel", "x", pl.col("y").shuffle(seed=1))
    assert neighbour_preservation(audiences, edges, shuffled) < 0.2


def by_hand(audiences, edges, positions):
    """The definition, channel by channel."""
    near = {name: [] for name in audiences["channel"]}
    for row in edges.iter_rows(named=True):
        near[row["source"]].append((-row["jaccard"], row["target"]))
        near[row["target"]].append((-row["jaccard"], row["source"]))
    place_of = {row["channel"]: np.array([row["x"], row["y"]]) for row in positions.iter_rows(named=True)}
    shares = []
    for name, neighbours in near.items():
        if len(neighbours) >= 10:
            strongest = {other for _, other in sorted(neighbours)[:10]}
            others = sorted(
                (other for other in place_of if other != name),
                key=lambda other: np.linalg.norm(place_of[other] - place_of[name]),
            )
            shares.append(len(strongest & set(others[:10])) / 10)
    return np.mean(shares)


def test_regions_read_as_countries(real):
    nodes = real[2].nodes.drop_nulls("region")
    points = nodes.select("x", "y").to_numpy()
    near = KDTree(points).query(points, k=11)[1][:, 1:]
    region = nodes["region"].to_numpy()
    assert (region[near] == region[:, None]).mean() > 0.9


def test_every_two_channels_can_be_told_apart(real):
    points = real[2].nodes.drop_nulls("community").select("x", "y").to_numpy()
    evenly = 0.93 * np.sqrt(np.pi / len(points))
    assert KDTree(points).query(points, k=2)[0][:, 1].min() > 0.09 * evenly


def test_isolated_channels_lie_around_the_others(real):
    nodes = real[2].nodes.with_columns(distance=(pl.col("x") ** 2 + pl.col("y") ** 2).sqrt())
    alone = pl.col("community").is_null()
    assert nodes.filter(alone)["distance"].min() > nodes.filter(~alone)["distance"].max()
    assert NODES.problems(real[2].nodes) == []


@pytest.mark.parametrize("alone", [1, 401, 5000])
def test_any_number_of_isolated_channels_fits_around_the_others(alone):
    """Beyond 1.09 the picture ends."""
    triangle = {("a", "b"): 5, ("b", "c"): 5, ("a", "c"): 5}
    audiences, edges = tables_of(triangle, [f"z{at:04d}" for at in range(alone)])
    partition = communities_of(audiences, edges).partition
    found = place(audiences, edges, partition, seed=1).join(partition, on="channel")
    points = found.filter(pl.col("community").is_null()).select("x", "y").to_numpy()
    distance = np.hypot(*points.T)
    assert len(points) == alone
    assert distance.min() > 0.99
    assert distance.max() < 1.09
    assert len(np.unique(points.round(6), axis=0)) == alone


def test_the_same_input_gives_the_same_places(real):
    audiences, edges, atlas = real
    again = place(audiences, edges, atlas.partition, seed=7)
    assert again.sort("channel").equals(atlas.nodes.select("channel", "x", "y"))


@pytest.mark.parametrize("with_earlier_map", [False, True])
def test_the_last_digits_of_linear_algebra_do_not_matter(real, monkeypatch, with_earlier_map):
    """They differ from one kind of processor to the next."""
    audiences, edges, atlas = real
    previous = Previous(atlas.partition, atlas.communities, atlas.nodes) if with_earlier_map else None
    eigh, svd = np.linalg.eigh, np.linalg.svd
    rng = np.random.default_rng(1)

    def inexact(found):
        return tuple(part * (1 + 1e-14 * rng.standard_normal(part.shape)) for part in found)

    plain = place(audiences, edges, atlas.partition, seed=3, previous=previous)
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: inexact(eigh(matrix)))
    monkeypatch.setattr(np.linalg, "svd", lambda matrix: inexact(svd(matrix)))
    assert place(audiences, edges, atlas.partition, seed=3, previous=previous).equals(plain)


def test_the_next_map_lies_on_the_earlier_one(real):
    audiences, edges, atlas = real
    fewer = edges.filter(pl.int_range(pl.len()) % 10 != 0)
    before = Previous(atlas.partition, atlas.communities, atlas.nodes)
    moved = {}
    for name, previous in (("aligned", before), ("free", None)):
        partition = communities_of(audiences, fewer, previous=previous).partition
        after = place(audiences, fewer, partition, seed=3, previous=previous)
        both = atlas.nodes.drop_nulls("community").join(after, on="channel", suffix="_after")
        moved[name] = np.median(np.hypot(both["x"] - both["x_after"], both["y"] - both["y_after"]))
    assert moved["aligned"] < 0.12
    assert moved["aligned"] < moved["free"] / 2


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 7), st.integers(0, 7)), st.sampled_from([0.1, 0.2, 0.3]), max_size=40
    ),
    st.integers(1, 4),
)
@settings(max_examples=100, deadline=None)
def test_the_strongest_of_each_row(cells, count):
    matrix = sparse.coo_array(
        (list(cells.values()), ([row for row, _ in cells], [column for _, column in cells])), shape=(8, 8)
    ).tocsr()
    expected = {}
    for row in range(8):
        values = sorted((-value, column) for (at, column), value in cells.items() if at == row)
        expected |= {(row, column): -value for value, column in values[:count]}
    found = strongest(matrix, count).tocoo()
    assert dict(zip(zip(*found.coords, strict=True), found.data, strict=True)) == expected


GRAPHS = {
    "nothing": ({}, []),
    "one channel": ({}, ["a"]),
    "two apart": ({}, ["a", "b"]),
    "a pair": ({("a", "b"): 5}, []),
    "a path of three": ({("a", "b"): 5, ("b", "c"): 1}, []),
    "five": ({("a", "b"): 5, ("b", "c"): 1, ("c", "d"): 2, ("d", "e"): 4}, []),
    "two pairs and one": ({("a", "b"): 5, ("c", "d"): 1}, ["e"]),
    "twenty pairs": ({(f"a{i}", f"b{i}"): 5 for i in range(20)}, ["z"]),
    "a star": ({("hub", f"leaf{i:02d}"): i + 1 for i in range(30)}, []),
    "identical channels": ({(f"{i}", f"{j}"): 1000 for i in range(12) for j in range(i)}, []),
}


@pytest.mark.parametrize("shape", GRAPHS)
@pytest.mark.parametrize("audiences_known", [True, False])
def test_any_graph_gets_finite_different_places(shape, audiences_known):
    audiences, edges = tables_of(*GRAPHS[shape])
    if not audiences_known:
        audiences = audiences.with_columns(viewers=pl.lit(None, dtype=pl.Int64))
    else:
        edges = edges.with_columns(jaccard=pl.col("weight") / 2000, cosine=pl.col("weight") / 1000)
    atlas = build(audiences, edges)
    assert NODES.problems(atlas.nodes) == []
    assert atlas.nodes["channel"].to_list() == sorted(audiences["channel"])
    points = atlas.nodes.select("x", "y").to_numpy()
    assert np.isfinite(points).all()
    assert (np.abs(points) <= 1.1).all()
    assert len(np.unique(points.round(9), axis=0)) == len(points)
    again = build(audiences, edges, previous=Previous(atlas.partition, atlas.communities, atlas.nodes))
    assert again.partition.equals(atlas.partition)
    assert again.events.is_empty()
    assert np.isfinite(again.nodes.select("x", "y").to_numpy()).all()


def test_without_any_edge_nothing_is_preserved():
    audiences, _ = tables_of({}, ["a", "b"])
    positions = place(audiences, EDGES.empty(), PARTITION.conform(
        pl.DataFrame({"channel": ["a", "b"], "community": None, "region": None})
    ), seed=1)  # fmt: skip
    assert neighbour_preservation(audiences, EDGES.empty(), positions) == 0
