"""Garbage with a structure: what valid samples become when they are damaged, and the classic bombs.

The bytes follow from a seed; ``parsers`` has the parsers that get them.
"""

import copy
import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

MB = 1024 * 1024

# What has broken parsers before: numbers at the edges, paths, markup, code, directions, half characters.
WORDS = [
    b"", b"0", b"-1", b"1e999", b"-1e999", b"NaN", b"Infinity", b"9" * 25, b"9" * 5000, b"0x7f", b"2**64",
    b"18446744073709551616", b"9223372036854775808", b"1970-01-01T00:00:00Z", b"9999-12-31T23:59:59Z",
    b"0000-00-00", b"null", b"true", b"[]", b"{}", b'"', b"'", b"\\", b"\\u0000", b"\\ud800", b"\x00",
    b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"../../x", b"..\\..\\x", b"/etc/passwd", b"%2e%2e%2f",
    b"<script>alert(1)</script>", b"]]>", b"<!ENTITY a 'b'>", b"${jndi:x}", b"{{7*7}}", b"=1+1", b"\r\n",
    b"\n", b"\t", b",", b";", b":", b" ", b"@", b"#", b"!!python/object/apply:os.abort []", b"&a [*a, *a]",
    "\u202eabc".encode(), "\u2028".encode(), "\ufeff".encode(), b"__proto__", b"a" * 300, b"\x1f\x8b",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 0.5, -0.0, 2**31, 2**53, 2**63, 2**64, 10**400, -(10**400), 1e308,
    float("inf"), float("nan"), "", "0", "x", "../../x", "\ud800", "\u0000", "a" * 5000, "9" * 5000, [], {},
    [[]], [None], {"": None}, [1, 2], "2026-01-01T00:00:00Z", "<b>",
]  # fmt: skip
_NUMBER = re.compile(rb"-?\d+")


def inputs(seed: str, kind: str, samples: Sequence[bytes]) -> Iterator[bytes]:
    """Inputs for a parser without end: its samples, then bombs of its kind, then damaged samples.

    Args:
        seed: the same seed gives the same inputs.
        kind: what the bytes are: lines, json, csv, yaml or binary; a leading ``gzip of`` packs most.
        samples: valid inputs, as they are before packing.
    """
    rng = random.Random(seed)
    packed, kind = kind.startswith("gzip of "), kind.removeprefix("gzip of ")
    pack = (lambda data: gzip.compress(data, 1, mtime=0)) if packed else bytes
    for sample in samples:
        yield pack(sample)
    for bomb in _bombs(kind, samples):
        yield pack(bomb)
    if packed:
        yield from _damaged_packing(samples[0])
    while True:
        data = rng.choice(samples)
        if kind == "json" and rng.random() < 0.6:
            data = _other_json(rng, data)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 5)) if kind == "json" else rng.choice((1, 1, 2, 3, 8))):
            data = _damage(rng, data, samples)
        if packed and rng.random() < 0.1:
            yield _damage(rng, pack(data), [pack(samples[0])])
        else:
            yield pack(data)


def _mistakes_in_yaml() -> Iterator[bytes]:
    """Files of the operator, who is trusted: wrong, but neither huge nor a trap."""
    yield b""
    yield b"\x00" * 1000
    yield bytes(range(256)) * 4
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
        yield opened * 500 + b"1" + closed * 500
        yield opened * 2000
    yield b"collection: {channels: !!python/object/apply:os.getcwd []}\n"
    yield b'community: {1: "\\UFFFFFFFF"}\n'
    yield b"collection: {window_seconds: 2026-99-99}\n"
    yield b"? " * 3000
    yield b"- " * 3000
    yield b"a: " * 3000


def _bombs(kind: str, samples: Sequence[bytes]) -> Iterator[bytes]:
    if kind == "yaml":
        yield from _mistakes_in_yaml()
        return
    yield b""
    yield b"\x00" * 1000
    yield b"\n" * 100_000
    yield b" " * 4 * MB
    yield b"a" * 4 * MB
    yield bytes(range(256)) * 64
    if kind in ("json", "csv", "lines"):
        yield b"9" * MB
        yield b'"' + b"a" * MB
    if kind == "json":
        for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
            yield opened * 100_000
            yield opened * 500 + b"1" + closed * 500
            yield opened * 5000 + b"1" + closed * 5000
    if kind == "json":
        yield b"[" + b"[]," * (2 * MB) + b"[]]"
        yield b"[" + b'{"a":1},' * MB + b"1]"
        yield b"{" + b",".join(b'"%d":1' % number for number in range(200_000)) + b"}"
        yield from (_with_huge_parts(sample) for sample in samples)
    if kind == "csv":
        head = samples[0].split(b"\n", 1)[0] + b"\n"
        yield head + b'"' + b"x\n" * MB
        yield head + b'"\n",' * MB
        yield b",".join(b"c%d" % number for number in range(50_000)) + b"\n"
        yield b"a," * MB
        yield head + b"\xff" + b"x" * 4 * MB
        yield head + b"," * MB


def _with_huge_parts(sample: bytes) -> bytes:
    """A sample whose first list is very long."""
    return sample.replace(b"[", b"[" + b"[]," * MB, 1)


def _damaged_packing(sample: bytes) -> Iterator[bytes]:
    whole = gzip.compress(sample, mtime=0)
    yield whole[:-4]
    yield whole[:-8] + b"\x00" * 8
    yield whole[:10]
    yield whole + b"trailing"
    yield whole + whole
    yield gzip.compress(whole)
    for unit in (b"\n", b"a", b"[]", b"a,b\n", b"{}\n", b"\x00"):
        yield gzip.compress(unit * (8 * MB // len(unit)), 6, mtime=0)


def _damage(rng: random.Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    at, end = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
    end = min(end, at + rng.choice((1, 4, 16, 64, 100_000)))
    match rng.randrange(9):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[end:]
        case 2:
            return data[:at] + data[at:end] * rng.choice((2, 3, 50)) + data[end:]
        case 3:
            return data[:at] + rng.choice(WORDS) + data[at:]
        case 4:
            return data[:at] + rng.choice(WORDS) + data[end:]
        case 5:
            return (
                data[:at]
                + bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1])
                + data[at + 1 :]
            )
        case 6:
            other = rng.choice(samples)
            return data[:at] + other[rng.randint(0, len(other)) :]
        case 7:
            return data[:at] + rng.randbytes(rng.choice((1, 2, 8))) + data[end:]
        case _:
            numbers = list(_NUMBER.finditer(data))
            if not numbers:
                return data + rng.choice(WORDS)
            one = rng.choice(numbers)
            return data[: one.start()] + rng.choice(WORDS) + data[one.end() :]


def _other_json(rng: random.Random, data: bytes) -> bytes:
    """A sample in which some values are others, or gone."""
    try:
        body = json.loads(data)
    except ValueError:
        return data
    for _ in range(rng.choice((1, 1, 2, 4))):
        body = _with_other_node(rng, body)
    return json.dumps(body).encode()


def _with_other_node(rng: random.Random, body: Any) -> Any:
    parents: list[Any] = [[body]]
    for one in parents:
        if len(parents) > 500:
            break
        inside = one.values() if isinstance(one, dict) else one
        parents += [child for child in inside if isinstance(child, list | dict) and child]
    parent = rng.choice(parents)
    place = rng.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    if rng.random() < 0.2:
        del parent[place]
    else:
        # A copy: what is put in may be changed by the next round.
        parent[place] = copy.deepcopy(rng.choice(VALUES))
    return parents[0][0] if parents[0] else None
