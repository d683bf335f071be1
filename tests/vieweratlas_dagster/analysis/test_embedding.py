"""The descent: its forces against the sums over all pairs, for any points and any number of threads."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from vieweratlas_dagster.analysis import embedding
from vieweratlas_dagster.analysis.embedding import descend


def forces_of_all_pairs(points):
    apart = points[:, None] - points[None]
    close = 1 / (1 + (apart**2).sum(axis=2))
    return (apart * (close**2)[:, :, None]).sum(axis=1), close.sum() - len(points)


def repulsion(points, threads=1):
    with ThreadPoolExecutor(threads) as pool:
        return embedding._repulsion(points, pool, threads)


@pytest.fixture
def exact(monkeypatch):
    """No group of points counts as one."""
    monkeypatch.setattr(embedding, "_COARSENESS", 0.0)


@given(
    st.lists(
        st.tuples(*(st.one_of(st.floats(-100, 100), st.sampled_from([0.0, 1.0, 50.0])) for _ in range(2))),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=200, deadline=None)
def test_uncoarsened_forces_are_the_sums_over_all_pairs(places):
    points = np.array(places)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "_COARSENESS", 0.0)
        found, total = repulsion(points)
    expected, expected_total = forces_of_all_pairs(points)
    # Points nearer to each other than the finest cell count as one.
    finest = 2 * np.ptp(points, axis=0).max() / 2**16
    assert np.allclose(found, expected, atol=finest * len(points) + 1e-9)
    assert total == pytest.approx(expected_total, abs=finest * len(points) ** 2 + 1e-9)


def test_coarse_forces_are_close_to_the_exact_ones():
    points = np.random.default_rng(1).normal(0, 15, (2000, 2))
    found, total = repulsion(points)
    expected, expected_total = forces_of_all_pairs(points)
    assert np.linalg.norm(found - expected) < 0.08 * np.linalg.norm(expected)
    assert total == pytest.approx(expected_total, rel=0.04)


def test_one_spot_holds_any_number_of_points():
    found, total = repulsion(np.ones((300, 2)))
    assert np.allclose(found, 0)
    assert total == pytest.approx(300 * 299)


def ring(size):
    one = np.arange(size)
    ties = sparse.coo_array((np.ones(size), (one, (one + 1) % size)), shape=(size, size))
    both = ties + ties.T
    return sparse.csr_array(both / both.sum())


def test_one_step_goes_along_the_gradient(exact):
    points = np.random.default_rng(2).normal(0, 3, (50, 2))
    ties = ring(50)
    repelled, total = forces_of_all_pairs(points)
    apart = points[:, None] - points[None]
    pull = ties.toarray() / (1 + (apart**2).sum(axis=2))
    gradient = 2 * (apart * pull[:, :, None]).sum(axis=1) - repelled / total
    # The first gain is 1.2; the step length is n / exaggeration, for a gradient without its factor of 4.
    expected = points - 25 * 1.2 * gradient
    found = descend(ties, points, steps=1, exaggeration=2, momentum=0.5)
    assert np.allclose(found, expected - expected.mean(axis=0))


def test_any_number_of_threads_gives_the_same_bytes(monkeypatch):
    points = np.random.default_rng(3).normal(0, 1, (3000, 2))
    made = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        made.append(descend(ring(3000), points, steps=20, exaggeration=4, momentum=0.5).tobytes())
    assert len(set(made)) == 1


def test_a_ring_of_ties_is_unfolded():
    size = 200
    angle = 2 * np.pi * np.arange(size) / size
    start = np.column_stack([np.cos(angle), np.sin(angle)]) + np.random.default_rng(4).normal(
        0, 0.3, (size, 2)
    )
    places = descend(ring(size), 10 * start, steps=300, exaggeration=1, momentum=0.8)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    following = (np.arange(size) + 1) % size
    among_nearest = [after in np.argsort(row)[:3] for after, row in zip(following, apart, strict=True)]
    assert np.mean(among_nearest) > 0.9
