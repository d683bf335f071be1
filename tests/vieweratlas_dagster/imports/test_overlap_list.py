"""An overlap list from outside: what is read of it, and what is refused with file and row."""

import csv
import gzip
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vieweratlas_dagster import tables
from vieweratlas_dagster.imports.csv_rows import FileError
from vieweratlas_dagster.imports.overlap_list import read_overlap_list

HEAD = "source,target,shared_viewers\n"


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


def test_names_of_which_nothing_can_be_seen_are_refused(read):
    for name in ("\u200b", "\u3000\u00a0", "\u202e"):
        with pytest.raises(FileError, match=r"edges\.csv, row 3: (nothing can be seen of )?source"):
            read(f"source,target,shared_viewers\na,b,1\n{name},b,9\n")
