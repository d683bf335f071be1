"""The atlas of an overlap list from outside: its files, and nothing but whole results."""

import fcntl
import json
import os
import tempfile
from pathlib import Path

import networkx as nx
import polars as pl
import pytest

from vieweratlas_dagster import tables
from vieweratlas_dagster.analysis.communities import ClusteringOptions
from vieweratlas_dagster.commands import map_list
from vieweratlas_dagster.commands.map_list import map_overlap_list
from vieweratlas_dagster.imports.csv_rows import FileError

EXAMPLE = Path(__file__).parents[3] / "examples" / "twitch-atlas-2020-08"
FILES = {
    "nodes.parquet", "edges.parquet", "communities.parquet", "events.parquet", "nodes.csv", "edges.csv",
    "communities.csv", "graph.gexf", "atlas.png", "atlas.html", "atlas.json", "atlas.svg", "graph.graphml",
    "channels.zip", "published_edges.parquet",
}  # fmt: skip


@pytest.fixture(autouse=True)
def page_without_viewer(monkeypatch):
    """The page's viewer is built by another step; here only that it is called with matching tables."""

    def render(nodes, edges, communities, *, facts, history=None):
        known = set(nodes["channel"])
        assert set(edges["source"]) | set(edges["target"]) <= known
        assert set(nodes["community"].drop_nulls()) == set(communities.filter(level="community")["id"])
        return f"<html>{nodes.height} {edges.height} {facts['title']}</html>".encode()

    monkeypatch.setattr(map_list, "render_page", render)


HEAD = "source,target,shared_viewers\n"
ODD = {
    "one channel": (HEAD, "channel\na\n", (1, 0, 0)),
    "no pair": (HEAD, "channel,viewers\na,5\nb,\n", (2, 0, 0)),
    "only zeros": (HEAD + "a,b,0\n", None, (2, 0, 0)),
    "one pair": (HEAD + "a,b,1\n", None, (2, 1, 1)),
    "names of all kinds": (
        HEAD + '</script><b>,😀 ü,3\n\u202eabc,😀 ü,2\n"x,y","q""q",2\n=1+1,"q""q",1\n', None, (6, 4, 2)
    ),
    "the same audience in each": (
        HEAD + "".join(f"c{i},c{j},100\n" for i in range(12) for j in range(i)),
        "channel,viewers\n" + "".join(f"c{i},100\n" for i in range(12)),
        (12, 66, 1),
    ),
    "the largest numbers": (
        HEAD + "".join(f"c{i},c{j},{2**53}\n" for i in range(6) for j in range(i)),
        "channel,viewers\n" + "".join(f"c{i},{2**53}\n" for i in range(6)),
        (6, 15, 1),
    ),
    "the smallest and the largest weight": (
        f"source,target,weight\na,b,{2.0**-53}\nb,c,{2.0**53}\n", None, (3, 2, 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", ODD)
def test_odd_lists_become_a_whole_atlas(tmp_path, shape):
    edges, nodes, expected = ODD[shape]
    (tmp_path / "edges.csv").write_text(edges)
    (tmp_path / "nodes.csv").write_text(nodes or "channel\n")
    out = tmp_path / "out"
    facts = map_overlap_list(tmp_path / "edges.csv", tmp_path / "nodes.csv", out)
    assert (facts["channels"], facts["edges"], facts["communities"]) == expected
    assert {path.name for path in out.iterdir()} == FILES
    found = pl.read_parquet(out / "nodes.parquet")
    assert tables.NODES.problems(found) == []
    in_csv = pl.read_csv(out / "nodes.csv", schema=found.schema)["channel"]
    assert in_csv.str.replace("^'=", "=").equals(found["channel"])
    assert set(nx.read_gexf(out / "graph.gexf")) == set(found["channel"])


def test_one_giant_component_is_parted_into_connected_communities(tmp_path):
    path = tmp_path / "edges.csv"
    path.write_text(HEAD + "".join(f"c{i:03d},c{i + 1:03d},{5 + i % 3}\n" for i in range(200)))
    map_overlap_list(path, None, tmp_path / "out")
    nodes = pl.read_parquet(tmp_path / "out" / "nodes.parquet")
    assert nodes["community"].null_count() == 0
    graph = nx.path_graph(sorted(nodes["channel"]))
    for members in nodes.group_by("community").agg("channel")["channel"]:
        assert nx.is_connected(graph.subgraph(members.to_list()))


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    out = tmp_path_factory.mktemp("map") / "deep" / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_list, "render_page", lambda *tables, **known: b"<html></html>")
        facts = map_overlap_list(EXAMPLE / "edges.csv", EXAMPLE / "nodes.csv", out)
    return out, facts


def test_all_files_are_written_and_agree(mapped):
    out, facts = mapped
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert json.loads((out / "atlas.json").read_text()) == facts
    nodes = pl.read_parquet(out / "nodes.parquet")
    for name in ("nodes", "edges", "communities", "events"):
        table = getattr(tables, name.upper())
        assert table.problems(pl.read_parquet(out / f"{name}.parquet")) == []
    assert (facts["channels"], facts["edges"], facts["isolated"]) == (821, 9573, 84)
    assert facts["communities"] == nodes["community"].drop_nulls().n_unique()
    graph = nx.read_gexf(out / "graph.gexf")
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (821, 9573)
    assert pl.read_csv(out / "nodes.csv", schema=nodes.schema).equals(nodes)
    assert (out / "atlas.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """The 250 largest channels of the example: the list, and its map."""
    folder = tmp_path_factory.mktemp("part")
    nodes = pl.read_csv(EXAMPLE / "nodes.csv").top_k(250, by="viewers")
    ends = pl.col("source", "target").is_in(nodes["channel"].implode())
    pl.read_csv(EXAMPLE / "edges.csv").filter(pl.all_horizontal(ends)).write_csv(folder / "part.csv")
    nodes.write_csv(folder / "nodes.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_list, "render_page", lambda *tables, **known: b"<html></html>")
        facts = map_overlap_list(folder / "part.csv", folder / "nodes.csv", folder / "out")
    return folder, facts


def test_the_same_list_gives_the_same_bytes(part, tmp_path, monkeypatch):
    monkeypatch.setattr(map_list, "render_page", lambda *tables, **known: b"<html></html>")
    folder, facts = part
    assert map_overlap_list(folder / "part.csv", folder / "nodes.csv", tmp_path / "again") == facts
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / "out" / name).read_bytes(), name


def test_an_earlier_result_keeps_ids_and_places(part, tmp_path):
    folder, first = part
    out = tmp_path / "next"
    facts = map_overlap_list(
        folder / "part.csv",
        folder / "nodes.csv",
        out,
        options=ClusteringOptions(seed=5),
        previous_dir=folder / "out",
    )
    both = pl.read_parquet(folder / "out" / "nodes.parquet").join(
        pl.read_parquet(out / "nodes.parquet"), on="channel", suffix="_next"
    )
    both = both.drop_nulls("community")
    kept = (both["community"] == both["community_next"]).mean()
    assert kept > 0.95
    events = pl.read_parquet(out / "events.parquet")
    reported = (facts["shared_channels"], facts["kept_community"], facts["events"])
    assert reported == (both.height, kept, events.height)
    assert "kept_community" not in first
    moved = ((both["x"] - both["x_next"]) ** 2 + (both["y"] - both["y_next"]) ** 2).sqrt()
    assert moved.median() < 0.1


def test_published_files_respect_the_floor(tmp_path):
    edges = tmp_path / "edges.csv"
    edges.write_text("source,target,shared_viewers\na,b,50\nb,c,4\na,c,60\n")
    facts = map_overlap_list(edges, None, tmp_path / "out", min_shared_published=5)
    assert facts["withheld_pairs"] == 1
    assert pl.read_csv(tmp_path / "out" / "edges.csv").height == 2
    assert nx.read_gexf(tmp_path / "out" / "graph.gexf").number_of_edges() == 2
    assert pl.read_parquet(tmp_path / "out" / "edges.parquet").height == 3


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "a,b,1\n",
        "source,target,weight\na,b,0.5\nb,c,0.25\n",
        HEAD + "".join(f"hub,leaf{i},{i + 1}\n" for i in range(40)),
    ],
)
def test_small_lists_become_whole_atlases(tmp_path, text):
    (tmp_path / "edges.csv").write_text(text)
    facts = map_overlap_list(
        tmp_path / "edges.csv", None, tmp_path / "out", options=ClusteringOptions(resolution=1.0)
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert facts["isolated"] == 0


def test_nothing_changes_when_something_fails(mapped, tmp_path, monkeypatch):
    out = tmp_path / "out"
    (tmp_path / "edges.csv").write_text(HEAD + "a,b,1\n")
    map_overlap_list(tmp_path / "edges.csv", None, out)
    (out / "own.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def broken(*tables, **known):
        raise OSError("disk full")

    monkeypatch.setattr(map_list, "render_page", broken)
    (tmp_path / "edges.csv").write_text(HEAD + "a,b,1\nb,c,2\n")
    with pytest.raises(FileError, match="disk full"):
        map_overlap_list(tmp_path / "edges.csv", None, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"out", "edges.csv"}


def test_a_crash_while_moving_leaves_no_folder_that_looks_complete(tmp_path, monkeypatch):
    out = tmp_path / "out"
    (tmp_path / "edges.csv").write_text(HEAD + "a,b,1\n")
    map_overlap_list(tmp_path / "edges.csv", None, out)
    moved = []
    replace = Path.replace

    def interrupted(self, target):
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        map_overlap_list(tmp_path / "edges.csv", None, out)
    monkeypatch.undo()
    assert not (out / "atlas.json").exists()
    with pytest.raises(FileError, match=r"atlas\.json"):
        map_overlap_list(tmp_path / "edges.csv", None, tmp_path / "next", previous_dir=out)


def test_a_file_is_no_folder_for_the_result(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FileError, match=r"out: a file, not a folder"):
        map_overlap_list(EXAMPLE / "edges.csv", None, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_earlier_result_that_is_none_is_named(tmp_path):
    with pytest.raises(FileError, match="not an earlier result"):
        map_overlap_list(EXAMPLE / "edges.csv", None, tmp_path / "out", previous_dir=tmp_path)
    assert not (tmp_path / "out").exists()


def test_what_a_killed_run_left_goes_and_what_another_run_holds_stays(tmp_path):
    edges = tmp_path / "in" / "edges.csv"
    edges.parent.mkdir()
    edges.write_text("source,target,shared_viewers\na,b,1\n")
    out = tmp_path / "out"
    abandoned = tempfile.mkdtemp(prefix=".out.", dir=tmp_path)
    held = Path(tempfile.mkdtemp(prefix=".out.", dir=tmp_path))
    stranger = tmp_path / ".out.of.mine"
    stranger.mkdir()
    lock = os.open(held, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        map_overlap_list(edges, None, out)
        assert held.is_dir()
    finally:
        os.close(lock)
    assert not Path(abandoned).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [".out.of.mine", held.name, "in", "out"]
    )
