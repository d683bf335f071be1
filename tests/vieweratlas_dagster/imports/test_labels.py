"""Names given by people: what the file may say, what is refused and where, and that the names last."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vieweratlas_dagster.analysis.communities import ClusteringOptions
from vieweratlas_dagster.commands import map_list
from vieweratlas_dagster.commands.map_list import map_overlap_list
from vieweratlas_dagster.imports.labels import LabelsFileError, read_labels_file

REPOSITORY = Path(__file__).parents[3]
EXAMPLE = REPOSITORY / "examples" / "twitch-atlas-2020-08"


@pytest.fixture
def read(tmp_path):
    def run(content):
        path = tmp_path / "labels.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_labels_file(path)

    return run


def test_both_levels_are_read(read):
    text = "\ufeffregion:\n  3: Iberia\ncommunity:\n  12: Speedrunners\n  '31': \" 漢字 & co \"\n"
    assert read(text) == {"region": {3: "Iberia"}, "community": {12: "Speedrunners", 31: "漢字 & co"}}


@pytest.mark.parametrize("text", ["", "# nothing\n", "community:\nregion:\n", "community: {}\n", "---\n"])
def test_there_may_be_no_names(read, text):
    assert not any(read(text).values())


def test_the_file_that_comes_with_the_project_names_nothing_and_its_example_is_right(read):
    path = REPOSITORY / "config/labels.yaml"
    assert not any(read_labels_file(path).values())
    example = path.read_text().partition("For example:\n#\n")[2].partition("\n\n")[0]
    example = "".join(line.removeprefix("# ") for line in example.splitlines(keepends=True))
    assert read(example) == {"community": {12: "Speedrunners", 31: "2024"}, "region": {3: "Iberia"}}


BAD = [
    ("community:\n  1: A\n  x: B\n", "line 3: community 'x' is not an id (a whole number, at least 1)"),
    ("community:\n  0: A\n", "line 2: community '0' is not an id"),
    ("community:\n  -4: A\n", "line 2: community '-4' is not an id"),
    ("region:\n  1.5: A\n", "line 2: region '1.5' is not an id"),
    ("region:\n  [1]: A\n", "line 2: region '<no text>' is not an id"),
    ("community:\n  1: A\n\n  1: B\n", "line 4: community 1 has a name already: 'A'"),
    ("community:\n  1: 2024\n", "line 2: the name of community 1 is not text; put it in quotes"),
    ("community:\n  1: yes\n", "line 2: the name of community 1 is not text"),
    ("community:\n  1:\n", "line 2: the name of community 1 is not text"),
    ("community:\n  1: [a]\n", "line 2: the name of community 1 is not text"),
    ("community:\n  1: '  '\n", "line 2: the name of community 1 is not one line of 1 to 80"),
    ("community:\n  1: |\n    a\n    b\n", "line 2: the name of community 1 is not one line"),
    (f"community:\n  1: {'x' * 81}\n", "line 2: the name of community 1 is not one line"),
    ("community:\n  1: Ab\n  2: aB\n", "line 3: community 2 has the same name as line 2: 'aB'"),
    ("communities:\n  1: A\n", "line 1: unknown section 'communities'; use community and region"),
    ("region:\nregion:\n", "line 2: section region appears twice"),
    ("community: Speedrunners\n", "line 1: community has no lines such as 12: Speedrunners"),
    ("community:\n  - A\n", "line 2: community has no lines such as"),
    ("- A\n", "line 1: the file has no sections community and region"),
    ("community:\n  1: A\n 2: B\n", "line 3: not valid YAML: "),
    ("community: {1: A\n", "not valid YAML: "),
    ("community: *other\n", "line 1: not valid YAML: found undefined alias"),
    ("region:\n---\nregion:\n", "line 2: not valid YAML: "),
    ("\x00", "not valid YAML: special characters"),
    (b"community:\n  1: \xff\n", "not UTF-8"),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=[message for _, message in BAD])
def test_what_is_wrong_is_said_with_file_and_line(read, content, message):
    with pytest.raises(LabelsFileError) as caught:
        read(content)
    assert message in str(caught.value)
    assert "labels.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LabelsFileError, match=r"none\.yaml: cannot be read: No such file"):
        read_labels_file(tmp_path / "none.yaml")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="community:rgin 12\n-'\"[]{}&*!|>#\t\x00漢", max_size=60), st.booleans())
def test_any_text_is_read_or_refused(tmp_path_factory, text, with_section):
    path = tmp_path_factory.mktemp("any") / "labels.yaml"
    path.write_text(("community:\n  1: A\n" if with_section else "") + text, encoding="utf-8")
    try:
        found = read_labels_file(path)
    except LabelsFileError:
        return
    assert set(found) <= {"community", "region"}
    assert all(key > 0 and name.strip() for names in found.values() for key, name in names.items())


@pytest.mark.slow
def test_a_name_given_by_hand_wins_and_survives_clustering_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(map_list, "render_page", lambda *tables, **known: b"<html></html>")
    first, second = tmp_path / "first", tmp_path / "second"
    map_overlap_list(EXAMPLE / "edges.csv", EXAMPLE / "nodes.csv", first)
    before = pl.read_parquet(first / "nodes.parquet")
    largest = before["community"].drop_nulls().mode()[0]
    labels = tmp_path / "labels.yaml"
    labels.write_text(f"community:\n  {largest}: The given name\n  9999: Nobody\n")
    # Another graph: a tenth of the pairs is gone.
    edges = pl.read_csv(EXAMPLE / "edges.csv", infer_schema=False).sample(fraction=0.9, seed=1)
    edges.write_csv(tmp_path / "fewer.csv")
    facts = map_overlap_list(
        tmp_path / "fewer.csv",
        EXAMPLE / "nodes.csv",
        second,
        options=ClusteringOptions(seed=99),
        previous_dir=first,
        labels_path=labels,
    )
    assert facts["named_but_not_on_the_map"] == "community 9999 (Nobody)"
    after = pl.read_parquet(second / "nodes.parquet")
    assert not before.sort("channel")["community"].equals(after.sort("channel")["community"])
    members, named = (
        set(frame.filter(pl.col("community") == largest)["channel"]) for frame in (before, after)
    )
    assert len(members & named) / len(members | named) > 0.7
    assert set(after.filter(pl.col("community") == largest)["label"]) == {"The given name"}
    row = pl.read_parquet(second / "communities.parquet").filter(level="community", id=largest)
    assert row.select("label", "reason", "generic").row(0) == ("The given name", "named by hand", False)
