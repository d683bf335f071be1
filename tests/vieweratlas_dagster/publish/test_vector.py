"""The vector picture, read as XML."""

import xml.etree.ElementTree as ET

import polars as pl
import pytest

from tests.worlds.map_history import planted_days
from vieweratlas_dagster.publish.picture import EDGE_OF_MAP
from vieweratlas_dagster.publish.vector import draw_svg
from vieweratlas_dagster.tables import COMMUNITIES, EDGES, NODES

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert("x")</script> & \x00 \u202e'


def elements(data, tag):
    return list(ET.fromstring(data).iter(f"{SVG}{tag}"))


def test_every_channel_is_a_dot_in_its_place_with_its_name():
    [day] = planted_days(300, 1)
    data = draw_svg(day.nodes, day.edges, day.communities, title="Planted")
    dots = {dot.find(f"{SVG}title").text: dot for dot in elements(data, "circle")}
    assert set(dots) == set(day.nodes["channel"])
    for node in day.nodes.iter_rows(named=True):
        dot = dots[node["channel"]]
        assert float(dot.get("cx")) == pytest.approx((node["x"] / EDGE_OF_MAP + 1) * 1000, abs=0.051)
        assert float(dot.get("cy")) == pytest.approx((node["y"] / EDGE_OF_MAP + 1) * 1000, abs=0.051)
    radius = {name: float(dot.get("r")) for name, dot in dots.items()}
    largest = day.nodes.sort("viewers")["channel"][-1]
    assert radius[largest] == max(radius.values())
    colors = {group.get("fill") for group in elements(data, "g")}
    assert set(day.nodes["color"]) <= colors


def test_no_name_lies_over_another_and_all_stay_text():
    [day] = planted_days(300, 1)
    data = draw_svg(day.nodes, day.edges, day.communities, title="Planted")
    names = [text for text in elements(data, "text") if text.get("textLength") and text.get("fill")]
    assert len(names) > 50
    boxes = []
    for name in names:
        x, y, wide, high = (float(name.get(key)) for key in ("x", "y", "textLength", "font-size"))
        boxes.append((x - wide / 2, y - 0.8 * high, x + wide / 2, y + 0.2 * high))
    for at, one in enumerate(boxes):
        for other in boxes[:at]:
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart, (one, other)
    assert not elements(data, "image")


def test_hostile_names_stay_text():
    [day] = planted_days(60, 1)
    first = day.nodes.sort("viewers")["channel"][-1]
    named = day.nodes.with_columns(channel=pl.col("channel").replace({first: HOSTILE}))
    edges = day.edges.with_columns(pl.col("source", "target").replace({first: HOSTILE}))
    data = draw_svg(named, edges, day.communities, title=HOSTILE)
    shown = HOSTILE.replace("\x00", "\ufffd")
    assert shown in {text.text for text in elements(data, "text")}
    assert not elements(data, "script")


def test_an_empty_map_is_a_picture():
    data = draw_svg(NODES.empty(), EDGES.empty(), COMMUNITIES.empty(), title="Nothing")
    assert "Nothing" in {text.text for text in elements(data, "text")}
    assert not elements(data, "circle")


@pytest.mark.slow
def test_five_thousand_channels_stay_below_three_megabytes_and_are_the_same_again():
    [day] = planted_days(5000, 1)
    data = draw_svg(day.nodes, day.edges, day.communities, title="Large")
    assert len(elements(data, "circle")) == 5000
    assert len(data) <= 3_000_000
    assert draw_svg(day.nodes.reverse(), day.edges.reverse(), day.communities, title="Large") == data
