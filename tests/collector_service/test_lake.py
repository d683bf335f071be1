"""The lake behaves the same on a folder, on S3 and in memory."""

import gzip
import io
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from collector_service.lake import Lake
from collector_service.settings import StorageSettings


def test_objects_come_back_as_they_were_put(any_lake: Lake):
    any_lake.put("raw/a=1/x.bin", b"\x00one")
    any_lake.put("raw/a=1/x.bin", b"two")
    assert any_lake.get("raw/a=1/x.bin") == b"two"
    assert any_lake.exists("raw/a=1/x.bin")
    any_lake.delete("raw/a=1/x.bin")
    any_lake.delete("raw/a=1/x.bin")
    assert not any_lake.exists("raw/a=1/x.bin")
    with pytest.raises(FileNotFoundError):
        any_lake.get("raw/a=1/x.bin")


def test_a_large_object_is_read_as_a_stream(any_lake: Lake):
    data = random.Random(1).randbytes(3_000_000)
    any_lake.put("big.bin", data)
    with any_lake.reader("big.bin") as stream:
        assert stream.read(5) == data[:5]
        assert stream.seek(0) == 0
        assert b"".join(iter(lambda: stream.read(700_001), b"")) == data
        stream.seek(-10, io.SEEK_END)
        assert (stream.tell(), stream.read()) == (len(data) - 10, data[-10:])
    any_lake.put("big.bin.gz", gzip.compress(data))
    with any_lake.reader("big.bin.gz") as stream, gzip.open(stream) as unpacked:
        assert unpacked.read() == data
    with pytest.raises(FileNotFoundError):
        any_lake.reader("none.bin")


def test_create_never_replaces(any_lake: Lake):
    assert any_lake.create("k", b"first")
    assert not any_lake.create("k", b"second")
    assert any_lake.get("k") == b"first"


def test_listing_is_ordered_and_stays_below_its_prefix(any_lake: Lake):
    for key in ("a/2", "a/1/z", "ab/3", "a/1/y"):
        any_lake.put(key, b"1234")
    assert [(info.key, info.size) for info in any_lake.objects("a/")] == [
        ("a/1/y", 4),
        ("a/1/z", 4),
        ("a/2", 4),
    ]
    assert any_lake.objects("nothing/") == []
    assert any_lake.folders("a/") == ["1"]


def test_concurrent_updates_lose_nothing(any_lake: Lake):
    def add_one(old: bytes | None) -> bytes:
        return str(int(old or b"0") + 1).encode()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: any_lake.update("state/counter", add_one), range(40)))
    assert any_lake.get("state/counter") == b"40"
    assert [info.key for info in any_lake.objects("state/")] == ["state/counter"]


def test_an_address_on_a_disk_is_a_path_whatever_the_folder_is_called(tmp_path):
    lake = Lake.open(StorageSettings(dir=tmp_path / "my lake"))
    lake.put("a/b.html", b"page")
    assert Path(lake.address("a/b.html")).read_bytes() == b"page"


def test_a_failing_change_leaves_the_object(any_lake: Lake):
    any_lake.put("state/x", b"kept")

    def fail(old: bytes | None) -> bytes:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        any_lake.update("state/x", fail)
    assert any_lake.get("state/x") == b"kept"


def test_s3_keys_are_below_the_prefix(s3_storage):
    lake = Lake.open(s3_storage)
    lake.put("raw/x", b"1")
    client = boto3.client("s3", endpoint_url=s3_storage.endpoint_url, region_name="us-east-1")
    listed = client.list_objects_v2(Bucket=s3_storage.s3_bucket)["Contents"]
    assert [entry["Key"] for entry in listed] == ["vieweratlas/raw/x"]
    assert lake.uri == f"s3://{s3_storage.s3_bucket}/vieweratlas"
