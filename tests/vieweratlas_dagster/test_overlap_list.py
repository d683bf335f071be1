"""Somebody's own list: what is read, what is refused, what is written."""

import csv
import fcntl
import gzip
import json
import os
import tempfile
import unicodedata
from pathlib import Path

import networkx as nx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vieweratlas_dagster import tables
from vieweratlas_dagster.analysis.communities import ClusteringOptions
from vieweratlas_dagster.commands import map_list
from vieweratlas_dagster.commands.map_list import map_overlap_list
from vieweratlas_dagster.imports.csv_rows import FileError
from vieweratlas_dagster.imports.overlap_list import read_overlap_list

EXAMPLE = Path(__file__).parents[2] / "examples" / "twitch-atlas-2020-08"
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


@pytest.fixture
def read(tmp_path):
    def run(edges, nodes=None):
        paths = []
        for name, text in (("edges.csv", edges), ("nodes.csv", nodes)):
            if text is None:
                paths.append(None)
                continue
            path = tmp_path / name
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            paths.append(path)
        return read_overlap_list(*paths)

    return run


def pairs(found):
    return {
        (row["source"], row["target"]): row["shared_viewers"] for row in found.edges.iter_rows(named=True)
    }


def test_names_are_texts_and_pairs_are_unordered(read):
    found = read(
        "\ufefftarget,extra,source,shared_viewers\r\nNA,x,001,5\r\n\r\n 漢字 ,y,nan,7\n",
        "channel,viewers,language\n001,10,en\nNA,,\nnull,3,\n",
    )
    assert pairs(found) == {("001", "NA"): 5, ("nan", "漢字"): 7}
    known = {
        row["channel"]: (row["viewers"], row["language"]) for row in found.audiences.iter_rows(named=True)
    }
    assert known == {
        "001": (10, "en"),
        "NA": (None, None),
        "null": (3, None),
        "nan": (None, None),
        "漢字": (None, None),
    }
    assert found.added_channels == 2
    assert found.edges.filter(source="001")["jaccard"].item() is None


def test_measures_are_made_of_both_audiences(read):
    found = read("source,target,shared_viewers\nb,a,20\n", "channel,viewers\na,100\nb,50\n")
    edge = found.edges.row(0, named=True)
    assert (edge["source"], edge["target"], edge["weight"]) == ("a", "b", 20)
    assert edge["jaccard"] == pytest.approx(20 / 130)
    assert edge["overlap"] == pytest.approx(20 / 50)
    assert edge["cosine"] == pytest.approx(20 / 5000**0.5)
    assert edge["significance"] is None


def test_weights_without_counts(read):
    edges = read("source,target,weight\na,b,0.25\nb,c,1e-3\n").edges
    assert edges["weight"].to_list() == [0.25, 0.001]
    assert edges["shared_viewers"].null_count() == 2
    assert tables.EDGES.problems(edges) == []


def test_equal_repetitions_are_one_pair_and_zero_is_none(read):
    found = read("source,target,shared_viewers\na,b,5\nb,a,5\na,b,5\na,c,0\n")
    assert pairs(found) == {("a", "b"): 5}
    assert (found.repeated_rows, found.zero_rows) == (2, 1)
    assert found.audiences["channel"].to_list() == ["a", "b", "c"]


def test_gzip_is_known_by_its_content(read):
    assert pairs(read(gzip.compress(b"source,target,shared_viewers\na,b,5\n"))) == {("a", "b"): 5}


HEAD = "source,target,shared_viewers\n"
BAD = [
    (HEAD + "a,b,5\nx,x,3\n", None, r"edges\.csv, row 3: 'x' is paired with itself"),
    (HEAD + "a,b,5\nb,a,6\n", None, r"row 3: 'b' and 'a' have shared_viewers 6 here and 5 in row 2"),
    (HEAD + "a,b,-5\n", None, r"edges\.csv, row 2: shared_viewers '-5' is not a whole number"),
    (HEAD + "a,b,5.5\n", None, r"row 2: shared_viewers '5\.5' .* column weight"),
    (HEAD + "a,b,\n", None, r"row 2: shared_viewers '' is not"),
    (HEAD + "a,b,٣\n", None, r"row 2: shared_viewers '٣' is not"),
    (HEAD + "a,b,99999999999999999999\n", None, r"row 2: .* beyond 2\^53"),
    ("source,target,weight\na,b,nan\n", None, r"row 2: weight 'nan' is not a number"),
    ("source,target,weight\na,b,-0.1\n", None, r"row 2: weight '-0\.1' is not a number"),
    ("source,target,weight\na,b,inf\n", None, r"row 2: weight 'inf'"),
    (HEAD + "a,,5\n", None, r"row 2: target is empty"),
    (HEAD + "a,b\n", None, r"row 2: 2 fields instead of 3"),
    ("note," + HEAD + '"two\nlines",a,c,1\n,d,d,1\n', None, r"row 4: 'd' is paired"),
    (HEAD + '"a\nb",c,1\n', None, r"row 3: source 'a\\nb' contains a control character"),
    (HEAD + "a,b\x00,1\n", None, r"row 2: target 'b\\x00' contains a control character"),
    (HEAD + "a," + "b" * 201 + ",1\n", None, r"row 2: target has 201 characters; at most 200"),
    (HEAD + "a,b,5\n", "channel,game_name\na,\x1b[31m\n", r"nodes\.csv, row 2: game_name .* control"),
    ("source,target,weight\na,b,1e308\n", None, r"row 2: weight 1e308 is not between 2\^-53 and 2\^53"),
    ("source,target,weight\na,b,1e-320\n", None, r"row 2: weight 1e-320 is not between"),
    ("source;target;weight\na;b;1\n", None, r"edges\.csv, row 1: .* semicolons"),
    ("source,target\na,b\n", None, r"edges\.csv, row 1: no column shared_viewers or weight"),
    (HEAD + 'a,"b,5\n', None, r"edges\.csv, row 2: "),
    ("a,b,5\n", None, r"row 1: no column source, target, shared_viewers or weight; found a, b, 5"),
    ("source,target,weight,weight\n", None, r"row 1: column weight appears more than once"),
    ("", None, r"edges\.csv: empty; expected a header"),
    (HEAD, None, r"edges\.csv: contains no channel"),
    (b"source,target,shared_viewers\na,b,1\n\xff,b,2\n", None, r"edges\.csv, row 3: not UTF-8"),
    (b"\x1f\x8bnonsense", None, r"edges\.csv: damaged or cut off"),
    (HEAD + "a,b,5\n", "channel,viewers\na,9\nb,1\na,9\n", r"nodes\.csv, row 4: .* is already in row 2"),
    (HEAD + "a,b,5\n", "channel,viewers\na,many\n", r"nodes\.csv, row 2: viewers 'many' is not a"),
    (HEAD + "a,b,5\n", "channel,viewers\na,4\n", r"row 2: 5 shared viewers are more than 'a' has \(4\)"),
    (HEAD + "a,b,5\n", "name\na\n", r"nodes\.csv, row 1: no column channel; found name"),
]  # fmt: skip


@pytest.mark.parametrize(("edges", "nodes", "message"), BAD, ids=[message for _, _, message in BAD])
def test_what_is_wrong_is_said_with_file_and_row(read, edges, nodes, message):
    with pytest.raises(FileError, match=message):
        read(edges, nodes)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileError, match=r"none\.csv: cannot be read"):
        read_overlap_list(tmp_path / "none.csv", None)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='ab1,"\n\r -.x漢\x00', max_size=80), st.booleans())
def test_any_text_is_read_or_refused(tmp_path_factory, text, with_header):
    path = tmp_path_factory.mktemp("any") / "edges.csv"
    path.write_text((HEAD if with_header else "") + text, encoding="utf-8", newline="")
    try:
        found = read_overlap_list(path, None)
    except FileError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "edges.csv" in refusal
        return
    assert tables.EDGES.problems(found.edges) == []
    assert (found.edges["source"] < found.edges["target"]).all()


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Z")), min_size=1, max_size=5
).filter(lambda name: any(unicodedata.category(character)[0] != "C" for character in name))
COUNTS = st.dictionaries(
    st.tuples(NAMES, NAMES).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: tuple(sorted(pair))),
    st.integers(0, 2**53),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(COUNTS, st.randoms(use_true_random=False))
def test_order_direction_and_repetition_do_not_matter(tmp_path_factory, counts, random):
    path = tmp_path_factory.mktemp("same") / "edges.csv"
    rows = list(counts.items()) + random.choices(list(counts.items()), k=3)
    random.shuffle(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("source", "target", "shared_viewers"))
        writer.writerows((*(random.choice((pair, pair[::-1]))), count) for pair, count in rows)
    found = read_overlap_list(path, None)
    assert pairs(found) == {pair: count for pair, count in counts.items() if count}
    assert set(found.audiences["channel"]) == {name for pair in counts for name in pair}
    assert found.repeated_rows == 3


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


def test_the_same_list_gives_the_same_bytes(mapped, tmp_path, monkeypatch):
    monkeypatch.setattr(map_list, "render_page", lambda *tables, **known: b"<html></html>")
    map_overlap_list(EXAMPLE / "edges.csv", EXAMPLE / "nodes.csv", tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (mapped[0] / name).read_bytes(), name


def test_an_earlier_result_keeps_ids_and_places(mapped, tmp_path):
    out = tmp_path / "next"
    facts = map_overlap_list(
        EXAMPLE / "edges.csv",
        EXAMPLE / "nodes.csv",
        out,
        options=ClusteringOptions(seed=5),
        previous_dir=mapped[0],
    )
    both = pl.read_parquet(mapped[0] / "nodes.parquet").join(
        pl.read_parquet(out / "nodes.parquet"), on="channel", suffix="_next"
    )
    both = both.drop_nulls("community")
    kept = (both["community"] == both["community_next"]).mean()
    assert kept > 0.95
    events = pl.read_parquet(out / "events.parquet")
    told = (facts["shared_channels"], facts["kept_community"], facts["events"])
    assert told == (both.height, kept, events.height)
    assert "kept_community" not in mapped[1]
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


def test_names_of_which_nothing_can_be_seen_are_refused(read):
    for name in ("\u200b", "\u3000\u00a0", "\u202e"):
        with pytest.raises(FileError, match=r"edges\.csv, row 3: (nothing can be seen of )?source"):
            read(f"source,target,shared_viewers\na,b,1\n{name},b,9\n")


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
