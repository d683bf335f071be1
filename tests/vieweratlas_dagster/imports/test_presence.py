"""Importing membership rows: they become snapshots, or one error names file and line."""

import csv
import gzip
from collections import Counter
from datetime import UTC, date, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector_service.contract import decode_lines, parse_record, viewer_key
from vieweratlas_dagster.curation.imported_ids import derived_channel_id
from vieweratlas_dagster.imports.csv_rows import FileError
from vieweratlas_dagster.imports.presence import import_presence

DAY = date(2022, 1, 12)
SECRET = "s" * 32


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "presence.csv").write_text(
        "channel,viewer\nBeta,77\nalpha,abc\nbeta,77\nbeta,päul\nna,abc\n"
    )
    (tmp_path / "channels.csv").write_text(
        'channel,channel_id,game_name,language\nalpha,12,Chess,EN\nbeta,,"A, B",\nempty,,,\n'
    )
    return tmp_path


def read(lake, key):
    return {record.channel: record for record in map(parse_record, decode_lines(lake.get(key)))}


def test_rows_become_one_record_a_channel(lake, folder):
    report = import_presence(lake, SECRET, folder / "presence.csv", folder / "channels.csv", DAY)
    assert (report.channels, report.viewers, report.memberships, report.repeated_rows) == (4, 3, 4, 1)
    records = read(lake, report.key)
    assert sorted(records) == ["alpha", "beta", "empty", "na"]
    assert records["alpha"].channel_id == 12
    assert records["alpha"].language == "en"
    assert records["beta"].game_name == "A, B"
    assert records["beta"].channel_id == derived_channel_id("beta") >= 2**62
    assert viewer_key(SECRET, "77") in records["beta"].viewer_keys
    assert records["alpha"].viewer_keys == records["na"].viewer_keys
    assert records["empty"].viewer_keys == []
    assert {record.window_start for record in records.values()} == {datetime(2022, 1, 12, tzinfo=UTC)}
    assert all(record.observed_intervals == [(0, 86_400)] for record in records.values())
    assert "päul".encode() not in gzip.decompress(lake.get(report.key))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-zA-Z0-9_]{1,6}", fullmatch=True),
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).map(str.strip).filter(bool),
        ),
        min_size=1,
        max_size=15,
    )
)
def test_records_hold_the_rows_each_once(lake, tmp_path, rows):
    with (tmp_path / "any.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("channel", "viewer"), *rows])
    report = import_presence(lake, SECRET, tmp_path / "any.csv", None, DAY)
    expected = {(channel.lower(), viewer) for channel, viewer in rows}
    assert report.memberships == len(expected)
    assert report.repeated_rows == len(rows) - len(expected)
    assert report.viewers == len({viewer for _, viewer in expected})
    audiences = {name: len(record.viewer_keys) for name, record in read(lake, report.key).items()}
    assert audiences == Counter(channel for channel, _ in expected)


def test_the_same_import_again_changes_nothing(lake, folder):
    first = import_presence(lake, SECRET, folder / "presence.csv", None, DAY)
    before = lake.get(first.key)
    again = import_presence(lake, SECRET, folder / "presence.csv", None, DAY)
    assert again.already_there
    assert not first.already_there
    assert lake.get(again.key) == before
    assert len(lake.objects("raw/")) == 1


def test_known_bots_are_marked_and_numbers_are_nobodys_login(lake, tmp_path):
    (tmp_path / "p.csv").write_text("channel,viewer\na,Nightbot\nb,nightbot\na,person\nb,123\n")
    report = import_presence(
        lake, SECRET, tmp_path / "p.csv", None, DAY, frozenset({"nightbot", "streamelements"})
    )
    records = read(lake, report.key)
    for name, others in (("a", 1), ("b", 1)):
        assert len(records[name].known_bots) == 1
        assert len(set(records[name].viewer_keys) - set(records[name].known_bots)) == others


def test_gzipped_files_are_read_alike(lake, folder):
    packed = folder / "p.csv"  # known by the content, not the name
    packed.write_bytes(gzip.compress((folder / "presence.csv").read_bytes()))
    assert import_presence(lake, SECRET, packed, None, DAY).memberships == 4


@pytest.mark.parametrize(
    ("presence", "channels", "expected"),
    [
        ("chan,viewer\na,1\n", None, "presence.csv, row 1: no column channel; found chan, viewer"),
        (
            "channel;viewer\na;1\n",
            None,
            "presence.csv, row 1: no column channel, viewer; its fields are separated",
        ),
        ("", None, "presence.csv: empty; expected a header with channel, viewer"),
        ("channel,viewer\n", None, "presence.csv: no rows below the header line"),
        ("channel,viewer\na,1\na,\n", None, "presence.csv, row 3: viewer is empty"),
        ("channel,viewer\na,1\na\n", None, "presence.csv, row 3: 1 fields instead of 2"),
        ("channel,viewer\na b,1\n", None, "presence.csv, row 2: channel 'a b' is not a login"),
        ("channel,viewer\n漢字,1\n", None, "presence.csv, row 2: channel '漢字' is not a login"),
        ("channel,viewer\n../x,1\n", None, "row 2: channel '../x' is not a login"),
        ("channel,viewer\na,1,2\n", None, "row 2: 3 fields instead of 2"),
        ("channel,viewer\na," + "x" * 2000 + "\n", None, "row 2: viewer has 2000 characters; at most 1000"),
        ("channel,viewer\na,1\n", "channel\na\na\n", "channels.csv, row 3: channel a is already in row 2"),
        ("channel,viewer\na,1\n", "channel,channel_id\na,x\n", "row 2: channel_id 'x' is not a Twitch id"),
        ("channel,viewer\na,1\n", "channel,channel_id\na,-1\n", "row 2: channel_id '-1' is not"),
        ("channel,viewer\na,1\n", "channel,channel_id\na," + "9" * 19 + "\n", "row 2: channel_id '9999"),
        (
            "channel,viewer\na,1\n",
            "channel,channel_id\na,5\n\nb,5\n",
            "channels.csv, row 4: channel_id 5 is already in row 2",
        ),
    ],
)
def test_bad_files_are_named_and_nothing_is_written(lake, tmp_path, presence, channels, expected):
    (tmp_path / "presence.csv").write_text(presence)
    channels_path = None
    if channels is not None:
        channels_path = tmp_path / "channels.csv"
        channels_path.write_text(channels)
    with pytest.raises(FileError) as refused:
        import_presence(lake, SECRET, tmp_path / "presence.csv", channels_path, DAY)
    assert expected in str(refused.value)
    assert lake.objects("raw/") == []


def test_a_missing_file_and_bytes_that_are_no_text_are_named(lake, tmp_path):
    with pytest.raises(FileError, match=r"none\.csv: cannot be read"):
        import_presence(lake, SECRET, tmp_path / "none.csv", None, DAY)
    (tmp_path / "bin.csv").write_bytes(b"channel,viewer\n\xff\xfe,1\n")
    with pytest.raises(FileError, match=r"bin\.csv, row 2: not UTF-8"):
        import_presence(lake, SECRET, tmp_path / "bin.csv", None, DAY)
