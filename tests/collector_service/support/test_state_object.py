"""The small JSON objects in the lake: their bytes, their faults and their changes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import pytest
from pydantic import ConfigDict, TypeAdapter

from collector_service.lake import Lake
from collector_service.support.state_object import StateObject, UnreadableStateError, known_version


@dataclass(frozen=True)
class Count:
    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    number: int
    schema_version: Annotated[int, known_version(1)] = 1


COUNT = StateObject.of_type("state/count.json", TypeAdapter(Count), advice="delete it", most=60)


def test_what_is_written_is_read_again(any_lake):
    assert COUNT.read(any_lake) is None
    assert COUNT.create(any_lake, Count(1))
    assert not COUNT.create(any_lake, Count(2))
    assert COUNT.read(any_lake) == Count(1)
    COUNT.write(any_lake, Count(3))
    assert any_lake.get(COUNT.key) == b'{\n "number": 3,\n "schema_version": 1\n}\n'
    assert COUNT.at("state/second.json").read(any_lake) is None


def test_no_concurrent_update_is_lost(any_lake):
    def add(before):
        return Count(before.number + 1 if before else 1)

    with ThreadPoolExecutor(4) as threads:
        written = list(threads.map(lambda _: COUNT.update(any_lake, add), range(12)))
    assert sorted(value.number for value in written) == list(range(1, 13))
    assert COUNT.read(any_lake) == Count(12)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "Invalid JSON"),
        (b"[" * 60, "Invalid JSON"),
        (b"[]", "Input should be an object"),
        (b'{"number": 1, "schema_version": 2}', "schema_version: 2 is not the version 1"),
        (b'{"number": "1"}', "number: Input should be a valid integer"),
        (b'{"number": 1, "more": 2}', "more: Unexpected keyword argument"),
        (b" " * 61, "61 bytes, more than the 60 allowed"),
    ],
)
def test_an_unreadable_object_says_where_it_is_and_what_to_do(data, reason):
    lake = Lake.in_memory()
    lake.put(COUNT.key, data)
    text = rf"^memory:///state/count\.json cannot be read \({reason}[^\n]*\): delete it$"
    with pytest.raises(UnreadableStateError, match=text):
        COUNT.read(lake)
    with pytest.raises(UnreadableStateError, match=text):
        COUNT.update(lake, lambda before: Count(1))
    assert lake.get(COUNT.key) == data


def test_nothing_is_written_that_could_not_be_read_back():
    lake = Lake.in_memory()
    COUNT.write(lake, Count(1))
    for change in (COUNT.write, COUNT.create, lambda lake, value: COUNT.update(lake, lambda _: value)):
        with pytest.raises(UnreadableStateError, match=r"was not written: .* at most 60 can be read back"):
            change(lake, Count(10**40))
    assert COUNT.read(lake) == Count(1)


def test_a_missing_bucket_is_not_a_missing_object():
    class NoBucket:
        def get(self, key, most=None):
            raise FileNotFoundError("404: <Code>NoSuchBucket</Code>")

    with pytest.raises(FileNotFoundError):
        COUNT.read(NoBucket())
