"""The journal: what a crash at any byte leaves, and a disk that refuses."""

import json
import os
import shutil
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector_service.clock import utc
from collector_service.live.journal import Flush, Journal
from collector_service.live.spool import ShareName
from collector_service.live.windows import StreamInfo, WindowShare
from collector_service.twitch.irc import MESSAGE, MIRRORED, PRESENCE

from .full_disk import full_disk
from .shares import START, a_share, fill


def content(share):
    return [record.to_json() for record in share.records("c")]


def test_a_journal_cut_at_any_byte_gives_the_last_whole_flush(tmp_path):
    journal = Journal(tmp_path, "c")
    share = a_share()
    states = [(0, None)]
    path = tmp_path / f"{ShareName.of(share, 'c')}.journal"
    for step in range(6):
        fill(share, step)
        share.until = START + step + 0.75
        journal.write(journal.take([share], START + step + 0.75))
        states.append((path.stat().st_size, content(share)))
    journal.sync()
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        size, expected = max(state for state in states if state[0] <= cut)
        recovered = list(Journal(tmp_path, "c").recover())
        if expected is None:
            assert recovered == []
            assert not path.exists()
        else:
            [found] = recovered
            assert content(found.share) == expected
            assert found.lost_bytes == cut - size
            assert found.name == ShareName(START, "c", 0)


def test_a_quiet_channel_counts_as_watched_until_it_was_last_heard(tmp_path):
    journal = Journal(tmp_path, "c")
    share = a_share()
    share.joined(7, "seven", START + 10.0)
    share.joined(8, "eight", START + 10.0)
    share.joined(9, "nine", START + 10.0)
    journal.write(journal.take([share], START + 20.0, {7: START + 15.0, 8: START + 15.0}))
    journal.write(journal.take([share], START + 30.0, {7: START + 25.0, 9: START + 5.0, 99: START + 1.0}))
    [found] = Journal(tmp_path, "c").recover()
    assert [(r.channel, r.observed_intervals) for r in found.share.records("c")] == [
        ("seven", [(10.0, 25.0)]),
        ("eight", [(10.0, 30.0)]),
    ]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_journal_gives_a_true_beginning(tmp_path_factory, position, flip):
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, "c")
    share = a_share()
    states = []
    for step in range(4):
        fill(share, step)
        share.until = START + step + 0.75
        journal.write(journal.take([share], START + step + 0.75))
        states.append(content(share))
    [path] = folder.glob("*.journal")
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= flip
    path.write_bytes(data)
    for found in Journal(folder, "c").recover():
        assert content(found.share) in states[:-1]
        assert found.lost_bytes > 0
    shutil.rmtree(folder)


OPERATIONS = st.one_of(
    st.tuples(st.just("message"), st.integers(1, 3), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("presence"), st.integers(1, 3), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("mirrored"), st.integers(1, 3)),
    st.tuples(st.just("joined"), st.integers(1, 3)),
    st.tuples(st.just("left"), st.integers(1, 3)),
    st.tuples(st.just("flush"), st.one_of(st.none(), st.integers(0, 600))),
)


def apply(share, operation, instant):
    kind, *given_values = operation
    room = given_values[0]
    if kind == "joined":
        share.joined(room, f"room{room}", instant)
    elif kind == "left":
        share.left(room, instant)
    else:
        share.tally(room, f"room{room}")
        code = {"message": MESSAGE, "presence": PRESENCE, "mirrored": MIRRORED}[kind]
        _, key, bot = given_values if kind != "mirrored" else (room, 0, False)
        share.count(room, code, key, bot)


@settings(max_examples=300, deadline=None)
@given(st.lists(OPERATIONS, max_size=40), st.sampled_from([0, 300, 1000, 10**6]), st.booleans())
def test_a_disk_that_refuses_now_and_then_ends_with_a_true_share(
    tmp_path_factory, operations, backlog_bytes, healed
):
    """The journal holds the share as it was at a flush: the last one, once the disk takes writes again."""
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, "c", backlog_bytes)
    share = WindowShare(START, 300, 4, partial=True)
    share.stream_infos = {
        1: StreamInfo(5, "33", "Chess", "en", "a title", utc(START - 60)),
        2: StreamInfo(),
    }
    states, held = [[]], 0
    for number, operation in enumerate([*operations, ("flush", None)] if healed else operations):
        if operation[0] != "flush":
            apply(share, operation, START + number + 0.25)
            continue
        flushes = journal.take([share], START + number + 0.5)
        share.until = START + number + 0.5
        states.append(content(share))
        share.until = float(share.end)
        assert [len(share.events), len(share.coverage), len(share.new_channels)] == [0, 0, 0]
        try:
            if operation[1] is None:
                journal.write(flushes)
            else:
                with full_disk(operation[1]):
                    journal.write(flushes)
            held = len(states) - 1
        except OSError:
            assert operation[1] is not None
        assert sum(len(flush.data) for flush in journal._backlog) <= backlog_bytes
    recovered = [(content(found.share), found.lost_bytes) for found in Journal(folder, "c").recover()]
    [(state, lost_bytes)] = recovered or [([], 0)]
    assert state in states[held:]
    assert lost_bytes == 0
    shutil.rmtree(folder)


def test_a_share_of_many_channels_gets_a_new_file(tmp_path):
    journal = Journal(tmp_path, "c", backlog_bytes=0)
    share = a_share()
    for room in range(350):
        share.joined(room, f"room{room}", START + room * 0.5)
        for key in range(room % 7):
            share.count(room, MESSAGE, 2**63 + key, key == 0)
    with full_disk(), pytest.raises(OSError, match="too large"):
        journal.write(journal.take([share], START + 199))
    journal.write(journal.take([share], START + 200))
    share.count(5, MESSAGE, 3, False)
    journal.write(journal.take([share], START + 201.0))
    journal.sync()
    [found] = Journal(tmp_path, "c").recover()
    share.until = START + 201.0
    assert content(found.share) == content(share)
    assert [path.suffix for path in tmp_path.iterdir()] == [".journal"]


def test_a_journal_whose_beginning_was_taken_away_does_not_stop_the_start(tmp_path):
    journal = Journal(tmp_path, "c")
    share = a_share()
    fill(share, 0)
    journal.write(journal.take([share], START + 1))
    [path] = tmp_path.iterdir()
    path.unlink()
    fill(share, 1)
    journal.write(journal.take([share], START + 2))
    [found] = Journal(tmp_path, "c").recover()
    assert found.share is None
    assert found.lost_bytes == path.stat().st_size


def test_the_journal_of_another_collector_is_read_and_a_half_made_file_is_not(tmp_path):
    share = a_share(3)
    fill(share, 0)
    other = Journal(tmp_path, "other")
    other.write(other.take([share], float("inf")))
    (tmp_path / f"{ShareName.of(share, 'c')}.journal.tmp").write_bytes(b"half")
    [found] = Journal(tmp_path, "c").recover()
    assert found.name == ShareName(START, "other", 3)
    assert content(found.share) == content(share)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_discarded_share_does_not_come_back(tmp_path):
    journal = Journal(tmp_path, "c")
    share = a_share()
    fill(share, 0)
    journal.write(journal.take([share], START + 1))
    journal.discard(ShareName.of(share, "c"))
    journal.sync()
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_the_disk_refuses_half_way_leaves_whole_frames(tmp_path):
    journal, path = Journal(tmp_path, "c1"), tmp_path / "frames"
    journal.write([Flush(path, b"a" * 600)])
    with full_disk(1000):
        for _ in range(2):
            with pytest.raises(OSError, match="too large"):
                journal.write([Flush(path, b"b" * 600)])
            assert path.read_bytes() == b"a" * 600
    journal.write([])
    assert path.read_bytes() == b"a" * 600 + b"b" * 1200


def test_a_torn_frame_that_the_disk_does_not_take_back_ends_with_a_whole_share(tmp_path, monkeypatch):
    """What comes behind a torn frame cannot be read, so the file has to be replaced."""

    def refuse(*_):
        raise OSError("Input/output error")

    journal = Journal(tmp_path, "c")
    share, other = a_share(0), a_share(1)
    for one in (share, other):
        fill(one, 0)
    journal.write(journal.take([share, other], START + 1.0))
    for one in (share, other):
        fill(one, 1)
    [path, _] = sorted(tmp_path.iterdir())
    with full_disk(path.stat().st_size + 10), monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(OSError, match="too large"):
            journal.write(journal.take([share, other], START + 2.0))
    for step in (2, 3):
        for one in (share, other):
            fill(one, step)
        journal.write(journal.take([share, other], START + 1.0 + step))
        for found, one in zip(Journal(tmp_path, "c").recover(), (share, other), strict=True):
            one.until = START + 1.0 + step
            assert content(found.share) == content(one)
            assert found.lost_bytes == 0
            one.until = float(one.end)


def sealed(state, numbers=b""):
    """A frame whose checksum is right."""
    text = state if isinstance(state, bytes) else json.dumps(state).encode()
    payload = struct.pack("<I", len(text)) + text + numbers
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


USABLE = {"now": START + 9.0, "window_seconds": 300, "rooms": [], "coverage": [], "quiet": []}


@pytest.mark.parametrize(
    "frame",
    [
        *(
            sealed({key: value for key, value in USABLE.items() if key != gone})
            for gone in ("now", "rooms")
        ),
        sealed(USABLE | {"coverage": [[7, START + 5.0, False]]}, b"12345"),
        sealed(USABLE | {"coverage": [[7, START + 5.0, False]]}, b"12345678"),
        sealed(USABLE | {"coverage": [[7, START + 5.0, False], [99, START, True]]}),
        sealed(USABLE | {"coverage": [[7, START + 5.0, "left", "why"]]}),
        sealed(USABLE | {"rooms": [[9, "nine", {"mood": "good"}]]}),
        sealed(USABLE | {"rooms": [[9, "nine", 5]]}),
        sealed(USABLE | {"quiet": {"7": START + 5.0}}),
        sealed(USABLE | {"quiet": [[[7], START + 5.0]]}),
        sealed(USABLE | {"now": None}),
        sealed({**USABLE, "channels": [[9, "nine", None, 0, [], None, 3, 0]]}, bytes(40)),
        sealed([1, 2]),
        sealed(b"\xff{"),
        sealed(b"{"),
    ],
)
def test_a_sound_frame_of_another_version_ends_what_is_read(tmp_path, frame):
    """Neither it nor what is behind it counts, not even the share of it that could be applied."""
    share = a_share()
    journal = Journal(tmp_path, "c")
    fill(share, 0)
    share.joined(7, "seven", START + 0.5)
    journal.write(journal.take([share], START + 3.0))
    share.until = START + 3.0
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    behind = sealed(USABLE | {"rooms": [[11, "eleven", None]], "coverage": [[11, START, True]]})
    path.write_bytes(whole + frame + behind)
    [found] = Journal(tmp_path, "c").recover()
    assert content(found.share) == content(share)
    assert found.lost_bytes == len(frame + behind)
    path.write_bytes(frame + behind)
    [found] = Journal(tmp_path, "c").recover()
    assert found.share is None or content(found.share) == []
    assert found.lost_bytes == len(frame + behind)


def test_a_usable_frame_is_used(tmp_path):
    """The frames of the test above differ from this one by their one fault."""
    frame = sealed(USABLE | {"rooms": [[9, "nine", None]], "coverage": [[9, START + 1.0, True]]})
    (tmp_path / f"{ShareName(START, 'c', 0)}.journal").write_bytes(frame)
    [found] = Journal(tmp_path, "c").recover()
    assert [record.observed_intervals for record in found.share.records("c")] == [[(1.0, 9.0)]]
    assert found.lost_bytes == 0
