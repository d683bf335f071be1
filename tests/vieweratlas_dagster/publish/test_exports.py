"""Exchange files, read back by the tools they are for."""

import csv
import io
import re
import xml.etree.ElementTree as ET

import networkx as nx
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vieweratlas_dagster.publish.exports import csv_bytes, gexf_bytes, graph_files, graphml_bytes
from vieweratlas_dagster.tables import COMMUNITIES, EDGES, NODES

ODD = 'naïve "漢字", <&>\x00'
SHARED = {"community": 3, "region": 1, "label": "Chess", "region_label": "English", "degree": 1}
NODE_ROWS = [
    SHARED
    | {"channel": "001", "channel_id": 7, "viewers": 400, "game_name": "Chess", "language": "en"}
    | {"x": 0.5, "y": -0.25, "color": "#ff8000"},
    SHARED | {"channel": ODD, "viewers": 100, "x": 0.0, "y": 0.1, "color": "#0000ff"},
    {"channel": "null", "x": 1.0, "y": 0.0, "degree": 0, "color": "#9aa0a6"},
]


@pytest.fixture
def tables():
    nodes = NODES.conform(pl.DataFrame(NODE_ROWS, schema=NODES.schema))
    edges = [{"source": "001", "target": ODD, "shared_viewers": 50, "weight": 50.0, "jaccard": 1 / 9}]
    return nodes, EDGES.conform(pl.DataFrame(edges, schema=EDGES.schema))


def test_gexf_reads_back_with_colours_sizes_places_and_facts(tables):
    graph = nx.read_gexf(io.BytesIO(gexf_bytes(*tables)), version="1.2draft")
    shown = ODD.replace("\x00", "\ufffd")
    assert set(graph) == {"001", shown, "null"}
    first = graph.nodes["001"]
    assert first["viz"]["color"] == {"r": 255, "g": 128, "b": 0, "a": 1.0}
    assert first["viz"]["position"] == {"x": 500.0, "y": -250.0, "z": 0.0}
    assert first["viz"]["size"] == pytest.approx(60)
    assert graph.nodes[shown]["viz"]["size"] == pytest.approx(4 + 56 / 2)
    assert (first["viewers"], first["game_name"], first["community_label"]) == (400, "Chess", "Chess")
    assert first["label"] == "001"
    assert "viewers" not in graph.nodes["null"]
    edge = graph.edges["001", shown]
    assert (edge["weight"], edge["shared_viewers"], edge["jaccard"]) == (50, 50, pytest.approx(1 / 9))
    assert "significance" not in edge


def test_gexf_is_the_same_on_every_day(tables, monkeypatch):
    first = gexf_bytes(*tables)
    monkeypatch.setattr("time.strftime", lambda _: "1999-12-31")
    assert gexf_bytes(*tables) == first
    assert b"1999" not in first


def test_gexf_of_nothing():
    graph = nx.read_gexf(io.BytesIO(gexf_bytes(NODES.empty(), EDGES.empty())))
    assert graph.number_of_nodes() == 0


def test_csv_reads_back_equal(tables):
    for frame in tables:
        data = csv_bytes(frame)
        assert pl.read_csv(data, schema=frame.schema).equals(frame)


STARTERS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"


@given(st.lists(st.text("'\"=+-@\t\r\n\uff1d,; a1é", max_size=6), min_size=1))
@example(
    ['=HYPERLINK("http://a/?"&A1,"x")', "+1", "-rf", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1", "'=1", "'a"]
)
def test_no_text_in_csv_is_a_formula_and_every_text_can_be_had_back(names):
    data = csv_bytes(pl.DataFrame({"channel": names, "x": [-1.5] * len(names)}))
    fields, numbers = zip(*list(csv.reader(io.StringIO(data.decode(), newline="")))[1:], strict=True)
    assert not [field for field in fields if field.startswith(tuple(STARTERS))]
    assert [re.sub(f"^'(?='*[{re.escape(STARTERS)}])", "", field) for field in fields] == names
    assert set(numbers) == {"-1.5"}


def test_texts_that_are_no_formulas_stay_as_they_are_in_every_csv(tables):
    nodes, edges = tables
    for frame in (nodes, edges):
        assert csv_bytes(frame) == frame.write_csv().encode()
    hostile = nodes.head(1).with_columns(channel=pl.lit("=1"), game_name=pl.lit("@x"), label=pl.lit("-y"))
    files = graph_files(hostile, edges.clear(), COMMUNITIES.empty(), date=None)
    row = next(csv.DictReader(io.StringIO(files["nodes.csv"].decode())))
    assert (row["channel"], row["game_name"], row["label"]) == ("'=1", "'@x", "'-y")


def test_graphml_reads_back_with_colours_sizes_places_and_facts(tables):
    data = graphml_bytes(*tables)
    graph = nx.read_graphml(io.BytesIO(data))
    shown = ODD.replace("\x00", "\ufffd")
    assert set(graph) == {"001", shown, "null"}
    first = graph.nodes["001"]
    assert [first[name] for name in ("r", "g", "b", "x", "y", "size")] == [255, 128, 0, 500, -250, 60]
    assert (first["viewers"], first["community_label"], first["region"]) == (400, "Chess", 1)
    assert "viewers" not in graph.nodes["null"]
    assert graph.edges["001", shown]["shared_viewers"] == 50
    assert graphml_bytes(*tables) == data


def test_every_file_of_a_map_can_be_made_of_nothing():
    files = graph_files(NODES.empty(), EDGES.empty(), COMMUNITIES.empty(), date=None)
    assert nx.read_graphml(io.BytesIO(files["graph.graphml"])).number_of_nodes() == 0
    assert pl.read_parquet(files["published_edges.parquet"]).height == 0


def test_gexf_has_the_colours_sizes_and_places_where_gephi_looks_for_them(tables):
    root = ET.fromstring(gexf_bytes(*tables))
    gexf, viz = "{http://www.gexf.net/1.2draft}", "{http://www.gexf.net/1.2draft/viz}"
    nodes = {node.get("id"): node for node in root.iter(f"{gexf}node")}
    assert nodes["001"].find(f"{viz}color").attrib == {"r": "255", "g": "128", "b": "0", "a": "1.0"}
    for node in nodes.values():
        assert float(node.find(f"{viz}size").get("value")) >= 4
        assert {"x", "y"} <= set(node.find(f"{viz}position").attrib)
