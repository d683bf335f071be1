"""Every byte that a finished demo leaves, searched for viewers' names, ids and messages, and secrets."""

import csv
import gzip
import io
import re
import shutil
import sqlite3
import zlib
from contextlib import closing

import polars as pl
import pytest

from tests.security.planted import shown
from tests.worlds.full_lake import unpacked

from .conftest import MARK

# Whole numbers alone: a viewer key of twenty digits may hold anybody's nine.
NUMBER = re.compile(rb"(?<![\d.])\d{6,12}(?![\d.])")


def everything(path):
    """A file's bytes, packed and unpacked; of a database all values, too."""
    data = path.read_bytes()
    if data.startswith(b"SQLite format 3"):
        return data + b"\n".join(_values(path))
    return unpacked(path.name, data)


def _values(database):
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (table,) in tables:
            for row in connection.execute(f"select * from '{table}'"):
                for value in row:
                    # Dagster packs snapshots of its definitions.
                    packed = isinstance(value, bytes) and value.startswith(b"\x78")
                    yield zlib.decompress(value) if packed else str(value).encode()


def column(demo, name, of):
    data = (demo.oracle_folder / name).read_bytes()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    return {row[of].encode() for row in csv.DictReader(io.StringIO(text.decode()))}


@pytest.fixture(scope="module")
def left_behind(finished_demo):
    """Path -> all its bytes, of everything but the simulator's own record of the truth."""
    found = {
        path: everything(path)
        for path in finished_demo.folder.rglob("*")
        if path.is_file() and not path.is_relative_to(finished_demo.oracle_folder)
    }
    assert len(found) > 600
    return found


def test_no_viewers_name_and_no_message_is_left_behind(finished_demo, left_behind):
    assert [path for path, data in left_behind.items() if MARK.encode() in data.lower()] == []
    assert [path for path in finished_demo.folder.rglob("*") if MARK in path.name.lower()] == []
    assert MARK not in finished_demo.output.lower()


def test_no_user_id_is_left_behind(finished_demo, left_behind):
    owners = column(finished_demo, "channels.csv", "channel_id")
    wanted = column(finished_demo, "presence.csv.gz", "user_id") - owners
    assert len(wanted) > 1000
    for path, data in left_behind.items():
        # Dagster's own events and the page hold other numbers of nine digits; two could coincide.
        assert len(set(NUMBER.findall(data)) & wanted) <= 1, path


def test_no_secret_of_the_environment_is_left_behind_or_on_a_command_line(finished_demo, left_behind):
    assert [path for path, data in left_behind.items() if shown(data)] == []
    assert shown(finished_demo.output) == []
    # The demo itself, its simulator, and its collector.
    programs = b"\n".join(finished_demo.command_lines)
    for name in (b"vieweratlas\0demo", b"-m\0collector_service.simulator", b"-m\0collector_service\0"):
        assert name in programs
    assert shown(programs) == []


def test_the_search_sees_what_is_packed(finished_demo, left_behind, tmp_path):
    kinds = {path.suffix for path in left_behind}
    assert {".parquet", ".gz", ".html", ".zip", ".svg", ".json", ".log", ".db"} <= kinds
    nodes = pl.read_parquet(finished_demo.folder / "lake/curated/analysis/latest/nodes.parquet")
    channel = nodes.sort("viewers")["channel"][-1].encode()
    for kind in (".parquet", ".gz", ".html", ".zip"):
        assert any(channel in data for path, data in left_behind.items() if path.suffix == kind), kind
    shutil.copy(next(path for path in left_behind if path.name == "runs.db"), tmp_path)
    with closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
        packed = zlib.compress(MARK.encode())
        connection.execute(
            "insert into snapshots (snapshot_id, snapshot_body, snapshot_type) values ('x', ?, 'x')",
            (packed,),
        )
        connection.commit()
    assert MARK.encode() in everything(tmp_path / "runs.db")
