"""The archive of channel files: names that lead nowhere else, and what the files say."""

import io
import json
import zipfile

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vieweratlas_dagster.publish.channel_files import channels_zip, file_name
from vieweratlas_dagster.tables import EDGES, NODES

HOSTILE = [
    "../../etc/passwd",
    "/root",
    "a/b",
    "..",
    ".",
    "con",
    "com1",
    "CON",
    "Ünï",
    "a" * 60,
    "x\x00y",
    "-rf",
    "~",
]


@given(st.lists(st.text(min_size=1, max_size=40), unique=True, max_size=10))
@settings(max_examples=30, deadline=None)
def test_every_name_has_a_file_of_its_own_in_the_folder(names):
    files = [file_name(name) for name in [*names, *HOSTILE]]
    assert len({file.lower() for file in files}) == len({*names, *HOSTILE})
    for file in files:
        folder, _, rest = file.partition("/")
        assert folder == "channels"
        assert rest.removesuffix(".json").lstrip("~").replace("_", "a").isalnum()
        assert rest.isascii()


def test_logins_are_their_own_file_but_for_device_names():
    assert file_name("streamer_001") == "channels/streamer_001.json"
    assert file_name("con").startswith("channels/~")
    assert all(file_name(name).startswith("channels/~") for name in HOSTILE)


@pytest.fixture
def tables():
    rows = [
        {
            "channel": "001",
            "viewers": 400,
            "game_name": "Chess",
            "language": "en",
            "community": 3,
            "label": "Chess",
        }
        | {
            "region": 1,
            "region_label": "English",
            "x": 0.123456,
            "y": -0.25,
            "degree": 1,
            "color": "#ff8000",
        },
        {"channel": "../x", "viewers": 100, "x": 0.0, "y": 0.1, "degree": 2, "color": "#0000ff"},
        {"channel": "lone", "x": 0.0, "y": 0.1, "degree": 1, "color": "#0000ff"},
    ]
    edges = [
        {"source": "../x", "target": "001", "shared_viewers": 50, "weight": 50.0},
        {"source": "../x", "target": "lone", "shared_viewers": 9, "weight": 9.0},
    ]
    nodes = NODES.conform(pl.DataFrame(rows, schema=NODES.schema))
    return nodes, EDGES.conform(pl.DataFrame(edges, schema=EDGES.schema))


def read(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def test_a_channels_file_says_what_is_known_of_it(tables):
    files = read(channels_zip(*tables, date="2026-01-10"))
    index = files.pop("index.json")
    assert index["date"] == "2026-01-10"
    assert set(index["channels"]) == {"001", "../x", "lone"}
    assert set(files) == set(index["channels"].values())
    assert files["channels/001.json"] == {
        "channel": "001", "date": "2026-01-10", "viewers": 400, "game": "Chess", "language": "en",
        "community": {"id": 3, "label": "Chess"}, "region": {"id": 1, "label": "English"},
        "color": "#ff8000", "x": 0.1235, "y": -0.25,
        "neighbours": [
            {
                "channel": "../x", "shared_viewers": 50, "weight": None,
                "share_of_own": 0.125, "share_of_theirs": 0.5,
            }
        ],
    }  # fmt: skip
    other = files[index["channels"]["../x"]]
    assert [row["channel"] for row in other["neighbours"]] == ["001", "lone"]
    assert other["neighbours"][1]["share_of_theirs"] is None
    assert (other["community"], other["game"]) == (None, None)


def test_lists_of_weights_tell_weights(tables):
    nodes, edges = tables
    weights = edges.with_columns(shared_viewers=pl.lit(None, pl.Int64), weight=pl.Series([0.2, 0.7]))
    files = read(channels_zip(nodes, weights, date=None))
    rows = files[files["index.json"]["channels"]["../x"]]["neighbours"]
    assert [(row["channel"], row["shared_viewers"], row["weight"]) for row in rows] == [
        ("lone", None, 0.7),
        ("001", None, 0.2),
    ]


def test_the_same_tables_give_the_same_bytes_in_any_order(tables):
    nodes, edges = tables
    assert channels_zip(nodes.reverse(), edges.reverse(), date=None) == channels_zip(
        nodes, edges, date=None
    )
