"""The benchmark of the page: that both pages hold the same points, and that it measures. Never how fast."""

import json
import re

import pytest

from tests.worlds.map_history import planted_days

from . import page
from .report import render

pytest.importorskip("plotly", reason="plotly is not installed: make .venv/page-bench")
pytestmark = pytest.mark.browser


def test_plotlys_page_has_the_same_points():
    [day] = planted_days(50, 1)
    text = page.plotly_page(day.nodes)
    points = json.loads(re.search(r"const points = (.*);\n", text)[1])
    assert points["name"] == day.nodes["channel"].to_list()
    assert (points["x"], points["color"]) == (day.nodes["x"].to_list(), day.nodes["color"].to_list())
    assert max(points["size"]) == 24


@pytest.mark.slow
def test_both_pages_of_a_tiny_map_are_measured(monkeypatch):
    monkeypatch.setattr(page, "_QUICK_SIZES", (40,))
    monkeypatch.setattr(page, "_STEPS", 4)
    rows = page.measure(quick=True)
    assert {row.part for row in rows} == {"40 channels"}
    assert len(rows) == 8
    assert all(row.value > 0 for row in rows)


@pytest.fixture(scope="module")
def rows():
    return {row.what: row for row in page.measure(quick=True)}


@pytest.mark.long
def test_both_pages_are_measured_and_the_table_shows_both(rows):
    for of in ("", " of Plotly"):
        assert 0 < rows[f"first paint{of}"].value < 120_000
        assert 0 < rows[f"frame{of}, p50"].value <= rows[f"frame{of}, p95"].value
    assert rows["first paint"].most == rows["first paint of Plotly"].value
    table = render(list(rows.values()))
    assert all(what in table for what in rows)
    assert {line.split("  ")[0] for line in table.splitlines()[2:] if line} == {"300 channels"}


@pytest.mark.long
def test_the_size_has_the_bar_that_was_set(rows):
    size = rows["page with its days"]
    assert size.most == 3
    assert not size.missed
    assert rows["page of Plotly"].value > 4
