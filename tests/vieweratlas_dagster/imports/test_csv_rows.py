"""CSV files of people: read whatever form they have, or refused with file and row."""

import csv
import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vieweratlas_dagster.imports.csv_rows import FileError, rows


@pytest.fixture
def read(tmp_path):
    def run(data, needed=("a", "b"), one_of=()):
        path = tmp_path / "list.csv"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return list(rows(path, needed, one_of))

    return run


PLAIN = "a,b\n1,2\n3,4\n"
FORMS = {
    "plain": PLAIN.encode(),
    "byte order mark": PLAIN.encode("utf-8-sig"),
    "lines of Windows": PLAIN.replace("\n", "\r\n").encode(),
    "lines of old Macs": PLAIN.replace("\n", "\r").encode(),
    "no line end": PLAIN.removesuffix("\n").encode(),
    "gzip": gzip.compress(PLAIN.encode()),
    "gzip in two pieces": gzip.compress(b"a,b\n1,") + gzip.compress(b"2\n3,4\n"),
    "gzip with byte order mark": gzip.compress(PLAIN.encode("utf-8-sig")),
    "blanks": b" a ,b\t\n 1 , 2\n\t3,4\n",
    "quotes": b'"a","b"\n"1","2"\n"3",4\n',
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_rows(read, form):
    assert read(FORMS[form]) == [(2, {"a": "1", "b": "2"}), (3, {"a": "3", "b": "4"})]


def test_rows_are_counted_as_an_editor_counts_lines(read):
    assert read('\n\na,b\n\n , \n"1\n1",2\n,,\n3,4\n'.replace(",,", ",")) == [
        (7, {"a": "1\n1", "b": "2"}),
        (9, {"a": "3", "b": "4"}),
    ]


def test_columns_in_any_order_and_others_too(read):
    assert read("x,b,a\n1,2,3\n") == [(2, {"x": "1", "b": "2", "a": "3"})]
    assert read("c,a\n1,2\n", ("a",), ("b", "c")) == [(2, {"c": "1", "a": "2"})]


def packed(text):
    return gzip.compress(text, mtime=0)


BAD = [
    (b"", r"list\.csv: empty; expected a header with a, b"),
    (b"\n \n", r"list\.csv: empty"),
    (b"a;b\n1;2\n", r"row 1: no column a, b; its fields are separated by semicolons"),
    (b"a\tb\n1\t2\n", r"row 1: no column a, b; its fields are separated by tabs"),
    (b"\na,c\n", r"row 2: no column b; found a, c"),
    (b"A,B\n", r"row 1: no column a, b; found A, B"),
    (b"a,b,a\n", r"row 1: column a appears more than once"),
    (b"a,b\n1,2\n1\n", r"row 3: 1 fields instead of 2"),
    (b"a,b\n\n1,2,3\n", r"row 3: 3 fields instead of 2; put a field that contains a comma in"),
    (b'a,b\n1,"2\n3,4\n', r"list\.csv, row 3: unexpected end of data"),
    (b'a,b\n1,"2"2\n', r"list\.csv, row 2: "),
    (b"a,b\n1," + b"x" * 1_000_001 + b"\n", r"list\.csv, row 2: field larger"),
    (b"a,b\n1,2\n\xe4,2\n", r"list\.csv, row 3: not UTF-8 text; save the file as UTF-8"),
    ("a,b\n1,2\n".encode("utf-16"), r"list\.csv, row 1: not UTF-8"),
    (b"a,b\n" + b"1,2\n" * 100_000 + b"\xff,2\n", r"list\.csv, row 100002: not UTF-8"),
    (packed(b"a,b\n1,2\n\xff,2\n"), r"list\.csv, row 3: not UTF-8"),
    (packed(b"a,b\n1,2\n")[:-4], r"list\.csv: damaged or cut off after row \d: Compressed file"),
    (packed(b"a,b\n1,2\n" * 50)[:20], r"list\.csv: damaged or cut off after row"),
    (packed(b"a,b\n1,\xff\n")[:-4], r"list\.csv: damaged or cut off: Compressed file"),
    (packed(b"a,b\n1,\xff\n") + b"nonsense", r"list\.csv: damaged or cut off: Not a gzipped file"),
    (b"\x1f\x8bnonsense", r"list\.csv: damaged or cut off after row 0"),
    (packed(b"a,b\n")[:10] + b"\xff" * 30, r"list\.csv: damaged or cut off after row 0"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_said_with_file_and_row(read, data, message):
    with pytest.raises(FileError, match=message):
        read(data)


def test_rows_before_a_damage_do_not_make_it_pass(read):
    text = "a,b\n" + "".join(f"{number},{number * 7919 % 10007}\n" for number in range(50_000))
    whole = gzip.compress(text.encode())
    assert len(read(whole)) == 50_000
    with pytest.raises(FileError, match=r"cut off after row [1-9]\d+"):
        read(whole[: len(whole) // 2])


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path, why in ((tmp_path / "none.csv", "No such file"), (tmp_path, "directory")):
        with pytest.raises(FileError, match=why) as refused:
            list(rows(path, ("a",)))
        assert str(refused.value).startswith(f"{path}: cannot be read: ")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(*(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),) * 2), max_size=8
    ).map(lambda found: [row for row in found if all(field.strip() for field in row)]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_what_a_writer_writes_is_read(tmp_path_factory, table, line_end, gzipped):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *table])
    data = text.getvalue().encode()
    path = tmp_path_factory.mktemp("any") / "list.csv"
    path.write_bytes(gzip.compress(data) if gzipped else data)
    found = [(fields["a"], fields["b"]) for _, fields in rows(path, ("a", "b"))]
    assert found == [(a.strip(), b.strip()) for a, b in table]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_read_or_refused(tmp_path_factory, data, with_header):
    path = tmp_path_factory.mktemp("any") / "list.csv"
    path.write_bytes(b"a,b\n" + data if with_header else data)
    refusal, found = "list.csv", []
    try:
        found = list(rows(path, ("a", "b")))
    except FileError as error:
        refusal = str(error)
    assert "list.csv" in refusal
    assert all({"a", "b"} <= set(fields) for _, fields in found)
