"""The graph as files for other tools: GEXF for Gephi, GraphML, Parquet, and CSV for everything else."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple

import networkx as nx
import polars as pl

from vieweratlas_dagster.lake.parquet import parquet_bytes
from vieweratlas_dagster.publish.channel_files import channels_zip

_MAP_UNITS = 1000
_SMALLEST_DOT, _LARGEST_DOT = 4.0, 60.0
_NODE_FACTS = ("viewers", "game_name", "language", "community", "region", "region_label")
# Texts that a spreadsheet would run (OWASP, CSV injection), also behind marks that make them texts.
_FORMULA = "^('*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])"
_EDGE_FACTS = ("shared_viewers", "jaccard", "overlap", "cosine", "significance")


def graph_files(
    nodes: pl.DataFrame, edges: pl.DataFrame, communities: pl.DataFrame, *, date: str | None
) -> dict[str, bytes]:
    """Every exchange file of a map by its name; docs/ATLAS.md explains each.

    Args:
        nodes: rows of NODES.
        edges: rows of EDGES that may be published.
        communities: rows of COMMUNITIES.
        date: the last day of the data, None for data without a date.
    """
    return {
        "graph.gexf": gexf_bytes(nodes, edges),
        "graph.graphml": graphml_bytes(nodes, edges),
        "nodes.csv": csv_bytes(nodes),
        "edges.csv": csv_bytes(edges),
        "communities.csv": csv_bytes(communities),
        # edges.parquet is the analysis's own table, with the pairs below the floor.
        "published_edges.parquet": parquet_bytes(edges),
        "channels.zip": channels_zip(nodes, edges, date=date),
    }


def csv_bytes(frame: pl.DataFrame) -> bytes:
    """UTF-8 CSV with a header; null is an empty field, an empty text a pair of quotes.

    A text that a spreadsheet would take for a formula gets ``'`` in front, and so does such a text that
    already begins with ``'``: removing one ``'`` from texts of this kind restores the originals.
    """
    return frame.with_columns(pl.col(pl.String).str.replace(_FORMULA, "'$1")).write_csv().encode()


def gexf_bytes(nodes: pl.DataFrame, edges: pl.DataFrame) -> bytes:
    """GEXF 1.2 with the map's colours, sizes and places (viz), and every known fact as an attribute.

    Args:
        nodes: rows of NODES.
        edges: rows of EDGES between them; ``weight`` is the edge's weight.

    Returns:
        UTF-8 XML; the same tables give the same bytes. Characters that XML cannot hold become U+FFFD.
    """

    def look(dot: _Dot) -> dict[str, object]:
        red, green, blue = dot.color
        return {
            "viz": {
                "color": {"r": red, "g": green, "b": blue, "a": 1.0},
                "size": dot.size,
                "position": {"x": dot.x, "y": dot.y, "z": 0.0},
            }
        }

    graph = _graph(nodes, edges, look)
    writer = nx.readwrite.gexf.GEXFWriter(encoding="utf-8", version="1.2draft")
    writer.add_graph(graph)
    # networkx writes today's date, which would make every file different.
    for meta in writer.xml.iter("meta"):
        meta.attrib.pop("lastmodifieddate", None)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def graphml_bytes(nodes: pl.DataFrame, edges: pl.DataFrame) -> bytes:
    """GraphML with x, y, size and r, g, b (0 to 255) of each channel, and every known fact.

    Arguments and result as of `gexf_bytes`.
    """

    def look(dot: _Dot) -> dict[str, object]:
        red, green, blue = dot.color
        return {"x": dot.x, "y": dot.y, "size": dot.size, "r": red, "g": green, "b": blue}

    buffer = io.BytesIO()
    nx.write_graphml(_graph(nodes, edges, look), buffer, encoding="utf-8")
    return buffer.getvalue()


class _Dot(NamedTuple):
    """How a channel is drawn: place and size in the units of drawing tools, colour as 0 to 255."""

    x: float
    y: float
    size: float
    color: tuple[int, int, int]


def _graph(
    nodes: pl.DataFrame, edges: pl.DataFrame, look: Callable[[_Dot], dict[str, object]]
) -> nx.Graph[str]:
    """The tables as a graph whose nodes have the attributes of ``look`` and every known fact."""
    graph: nx.Graph[str] = nx.Graph()
    largest = max(nodes["viewers"].drop_nulls().to_list(), default=0)
    for node in nodes.iter_rows(named=True):
        share = (node["viewers"] or 0) / largest if largest else 0.0
        red, green, blue = (int(node["color"][at : at + 2], 16) for at in (1, 3, 5))
        dot = _Dot(
            node["x"] * _MAP_UNITS,
            node["y"] * _MAP_UNITS,
            _SMALLEST_DOT + (_LARGEST_DOT - _SMALLEST_DOT) * share**0.5,
            (red, green, blue),
        )
        graph.add_node(
            xml_text(node["channel"]),
            **look(dot),
            # "label" is the text that Gephi shows at a node; networkx puts the channel's name there.
            **_known({**node, "community_label": node["label"]}, (*_NODE_FACTS, "community_label")),
        )
    for edge in edges.iter_rows(named=True):
        graph.add_edge(
            xml_text(edge["source"]),
            xml_text(edge["target"]),
            weight=edge["weight"],
            **_known(edge, _EDGE_FACTS),
        )
    return graph


def _known(row: dict[str, object], names: tuple[str, ...]) -> dict[str, object]:
    return {
        name: xml_text(value) if isinstance(value, str) else value
        for name in names
        if (value := row[name]) is not None
    }


def xml_text(text: str) -> str:
    """The text with U+FFFD for what XML 1.0 cannot hold."""
    return "".join(character if _in_xml(ord(character)) else "\ufffd" for character in text)


def _in_xml(code: int) -> bool:
    """Whether XML 1.0 can hold the character."""
    return code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
