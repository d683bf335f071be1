"""The graph as files for other tools: GEXF for Gephi and networkx, CSV for everything else.

Belongs here: tables to bytes of exchange formats. Does not belong here: which pairs may be published,
and where the bytes are kept.
"""

from __future__ import annotations

import io

import networkx as nx
import polars as pl

_MAP_UNITS = 1000
_SMALLEST_DOT, _LARGEST_DOT = 4.0, 60.0
_NODE_FACTS = ("viewers", "game_name", "language", "community", "region", "region_label")
_EDGE_FACTS = ("shared_viewers", "jaccard", "overlap", "cosine", "significance")


def csv_bytes(frame: pl.DataFrame) -> bytes:
    """UTF-8 CSV with a header; null is an empty field, an empty text a pair of quotes."""
    return frame.write_csv().encode()


def gexf_bytes(nodes: pl.DataFrame, edges: pl.DataFrame) -> bytes:
    """GEXF 1.2 with the map's colours, sizes and places (viz), and every known fact as an attribute.

    Args:
        nodes: rows of NODES.
        edges: rows of EDGES between them; ``weight`` is the edge's weight.

    Returns:
        UTF-8 XML; the same tables give the same bytes. Characters that XML cannot hold become U+FFFD.
    """
    graph: nx.Graph[str] = nx.Graph()
    largest = max(nodes["viewers"].drop_nulls().to_list(), default=0)
    for node in nodes.iter_rows(named=True):
        share = (node["viewers"] or 0) / largest if largest else 0.0
        color = node["color"]
        graph.add_node(
            _xml_text(node["channel"]),
            viz={
                "color": {
                    "r": int(color[1:3], 16),
                    "g": int(color[3:5], 16),
                    "b": int(color[5:7], 16),
                    "a": 1.0,
                },
                "size": _SMALLEST_DOT + (_LARGEST_DOT - _SMALLEST_DOT) * share**0.5,
                "position": {"x": node["x"] * _MAP_UNITS, "y": node["y"] * _MAP_UNITS, "z": 0.0},
            },
            # "label" is the text that Gephi shows at a node; networkx puts the channel's name there.
            **_known({**node, "community_label": node["label"]}, (*_NODE_FACTS, "community_label")),
        )
    for edge in edges.iter_rows(named=True):
        graph.add_edge(
            _xml_text(edge["source"]),
            _xml_text(edge["target"]),
            weight=edge["weight"],
            **_known(edge, _EDGE_FACTS),
        )
    writer = nx.readwrite.gexf.GEXFWriter(encoding="utf-8", version="1.2draft")
    writer.add_graph(graph)
    # networkx writes today's date, which would make every file different.
    for meta in writer.xml.iter("meta"):
        meta.attrib.pop("lastmodifieddate", None)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def _known(row: dict[str, object], names: tuple[str, ...]) -> dict[str, object]:
    return {
        name: _xml_text(value) if isinstance(value, str) else value
        for name in names
        if (value := row[name]) is not None
    }


def _xml_text(text: str) -> str:
    return "".join(character if _in_xml(ord(character)) else "\ufffd" for character in text)


def _in_xml(code: int) -> bool:
    """Whether XML 1.0 can hold the character."""
    return code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
