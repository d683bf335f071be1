"""Journal and spool: what a crash at any byte leaves, and that the lake gets everything once."""

import errno
import resource
import shutil
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector_service.clock import utc
from collector_service.contract import decode_lines, encode_object, live_key, parse_record
from collector_service.journal import Flush, Journal
from collector_service.lake import Lake
from collector_service.spool import PartName, Spool
from collector_service.twitch.irc import MESSAGE, MIRRORED, PRESENCE
from collector_service.windows import Part, StreamInfo

START = 1_700_000_100 // 300 * 300


def content(part):
    return [record.to_json() for record in part.records("c")]


def a_part(sequence=0):
    part = Part(START, 300, sequence, partial=True)
    part.stream_infos = {7: StreamInfo(5, "33", "Chess", "en", "a title", utc(START - 60))}
    return part


def fill(part, step):
    """One of several deterministic changes."""
    part.joined(7, "seven", START + step)
    part.tally(8, "eight")
    part.count(7, MESSAGE, 2**64 - 1 - step % 3, step % 2 == 0)
    part.count(8, PRESENCE, step, False)
    part.count(8, MIRRORED, 0, False)
    if step % 3 == 2:
        part.left(7, START + step + 0.5)


def test_a_journal_cut_at_any_byte_gives_the_last_whole_flush(tmp_path):
    journal = Journal(tmp_path, "c")
    part = a_part()
    states = [(0, None)]
    path = tmp_path / f"{PartName.of(part, 'c')}.journal"
    for step in range(6):
        fill(part, step)
        part.until = START + step + 0.75
        journal.write(journal.take([part], START + step + 0.75))
        states.append((path.stat().st_size, content(part)))
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
            assert content(found.part) == expected
            assert found.lost_bytes == cut - size
            assert found.name == PartName(START, "c", 0)


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_journal_gives_a_true_beginning(tmp_path_factory, position, flip):
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, "c")
    part = a_part()
    states = []
    for step in range(4):
        fill(part, step)
        part.until = START + step + 0.75
        journal.write(journal.take([part], START + step + 0.75))
        states.append(content(part))
    [path] = folder.glob("*.journal")
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= flip
    path.write_bytes(data)
    for found in Journal(folder, "c").recover():
        assert content(found.part) in states[:-1]
        assert found.lost_bytes > 0
    shutil.rmtree(folder)


def test_a_full_disk_delays_the_journal_but_does_not_tear_it(tmp_path, monkeypatch):
    journal = Journal(tmp_path, "c")
    part = a_part()
    fill(part, 0)
    journal.write(journal.take([part], START + 1))
    fill(part, 1)
    flushes = journal.take([part], START + 2)
    with monkeypatch.context() as patch:
        opened = type(tmp_path).open

        def refuse(path, mode="r", *rest, **options):
            file = opened(path, mode, *rest, **options)
            if mode == "ab":
                write = file.write

                class Full:
                    def __enter__(self):
                        return self

                    def __exit__(self, *_):
                        file.close()

                    def tell(self):
                        return file.tell()

                    def fileno(self):
                        return file.fileno()

                    def flush(self):
                        file.flush()

                    def write(self, data):
                        write(data[: len(data) // 2])
                        file.flush()
                        raise OSError(errno.ENOSPC, "No space left on device")

                return Full()
            return file

        patch.setattr(type(tmp_path), "open", refuse)
        with pytest.raises(OSError, match="No space"):
            journal.write(flushes)
    fill(part, 2)
    journal.write(journal.take([part], START + 3))
    [found] = Journal(tmp_path, "c").recover()
    part.until = START + 3.0
    assert content(found.part) == content(part)
    assert found.lost_bytes == 0


def test_a_discarded_part_does_not_come_back(tmp_path):
    journal = Journal(tmp_path, "c")
    part = a_part()
    fill(part, 0)
    journal.write(journal.take([part], START + 1))
    journal.discard(PartName.of(part, "c"))
    journal.sync()
    assert list(tmp_path.iterdir()) == []


def test_names_sort_by_window_and_survive_as_files(tmp_path):
    names = [
        PartName(START + 300, "a.b_c", 2),
        PartName(START, "a.b_c", 1_000_000),
        PartName(START, "a", 3),
    ]
    for name in names:
        (tmp_path / f"{name}.journal").touch()
    (tmp_path / "something-else.journal").touch()
    assert sorted(PartName.find(tmp_path, ".journal")) == sorted(names)


def spooled(folder, lake):
    return Spool(folder, lake)


def test_objects_reach_the_lake_with_their_exact_bytes(tmp_path):
    lake = Lake.in_memory()
    spool = Spool(tmp_path, lake)
    part = a_part()
    fill(part, 0)
    data = encode_object(part.records("c"))
    name = PartName.of(part, "c")
    spool.add(name, data)
    assert spool.names() == [name]
    files, size, oldest = spool.size()
    assert (files, size) == (1, len(data))
    assert oldest > 0
    key = spool.upload(name)
    assert key == live_key(utc(START), "c")
    assert lake.get(key) == data
    assert spool.names() == []
    assert [parse_record(line).channel for line in decode_lines(lake.get(key))] == ["seven", "eight"]


def test_a_second_object_of_a_window_takes_the_next_part_number(tmp_path):
    lake = Lake.in_memory()
    spool = Spool(tmp_path, lake)
    for sequence, data in enumerate([b"one", b"two", b"three"]):
        spool.add(PartName(START, "c", sequence), data)
    keys = [spool.upload(name) for name in spool.names()]
    assert keys == [live_key(utc(START), "c", part) for part in range(3)]
    assert [lake.get(key) for key in keys] == [b"one", b"two", b"three"]


def test_an_upload_whose_answer_got_lost_is_not_repeated(tmp_path):
    lake = Lake.in_memory()
    spool = Spool(tmp_path, lake)
    name = PartName(START, "c", 0)
    spool.add(name, b"data")
    assert lake.create(live_key(utc(START), "c"), b"other")
    assert lake.create(live_key(utc(START), "c", 1), b"data")
    assert spool.upload(name) == live_key(utc(START), "c", 1)
    assert len(lake.objects("raw/")) == 2


def test_a_half_written_object_is_gone_after_a_restart(tmp_path):
    (tmp_path / "20231114T221500Z-c-000000.ndjson.gz.tmp").write_bytes(b"half")
    assert Spool(tmp_path, Lake.in_memory()).names() == []
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_the_disk_refuses_half_way_leaves_whole_frames(tmp_path):
    """The limit on a file's size is the kernel's own, so nothing of the file is doubled here."""
    journal, path = Journal(tmp_path, "c1"), tmp_path / "frames"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    journal.write([Flush(path, b"a" * 600)])
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        for _ in range(2):
            with pytest.raises(OSError, match="too large"):
                journal.write([Flush(path, b"b" * 600)])
            assert path.read_bytes() == b"a" * 600
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    journal.write([])
    assert path.read_bytes() == b"a" * 600 + b"b" * 1200
