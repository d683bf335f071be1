"""Removing opted-out viewers and channels from raw records, lines and objects."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import compress

from collector_service.contract import BadRecordError, SnapshotRecord, decode_lines
from collector_service.privacy.opt_outs import OptOuts
from collector_service.support.limits import read_json


@dataclass(frozen=True)
class Remainder:
    """The rest of an object.

    Attributes:
        data: its bytes: the very same when nothing was removed, empty when nothing is left.
        lines: how many lines were removed.
        presences: how many viewers were removed from lines that stay.
        cut: whether an unreadable end of the object was cut off.
    """

    data: bytes
    lines: int = 0
    presences: int = 0
    cut: bool = False


def record_without(record: SnapshotRecord, opt_outs: OptOuts) -> SnapshotRecord | None:
    """The record without those who opted out; None when its channel did."""
    if opt_outs.has_channel(record.channel, record.channel_id):
        return None
    removed = opt_outs.viewer_keys.intersection(record.viewer_keys)
    if not removed:
        return record
    stays = [key not in removed for key in record.viewer_keys]
    counts = list(compress(record.viewer_messages, stays))
    return replace(
        record,
        messages=max(0, record.messages - (sum(record.viewer_messages) - sum(counts))),
        viewer_keys=list(compress(record.viewer_keys, stays)),
        viewer_messages=counts,
        user_ids=None if record.user_ids is None else list(compress(record.user_ids, stays)),
        known_bots=[key for key in record.known_bots if key not in removed],
    )


def line_without(line: bytes, opt_outs: OptOuts) -> tuple[bytes | None, int]:
    """A line of a raw object without those who opted out, and how many viewers that were.

    Fields that this reader does not know stay, and a line without such viewers stays byte for byte.

    Returns:
        The line, or None when its channel opted out.

    Raises:
        ValueError: it is not a snapshot record, so its viewers are unknown.
    """
    try:
        body = read_json(line)
        if opt_outs.has_channel(body["channel"], int(body["channel_id"])):
            return None, 0
        chatters = body["chatters"]
        keys, counts = chatters["viewer_key"], chatters["messages"]
        opted_out = {key for key in keys if int(key) in opt_outs.viewer_keys}
        if not opted_out:
            return line, 0
        stays = [key not in opted_out for key in keys]
        # Ids, where they are kept, and every other value per viewer.
        body["chatters"] = {name: list(compress(values, stays)) for name, values in chatters.items()}
        removed = sum(counts) - sum(body["chatters"]["messages"])
        body["messages"] = max(0, body["messages"] - removed)
        if "known_bots" in body:
            body["known_bots"] = [key for key in body["known_bots"] if key not in opted_out]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a snapshot record ({type(error).__name__})") from None
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace"), len(opted_out)


def object_without(
    data: bytes, opt_outs: OptOuts, mentions: Callable[[bytes], bool] = lambda _: True
) -> Remainder:
    """A raw object (gzipped NDJSON) without those who opted out.

    A line that is not a record is removed when it mentions one of them. The unreadable rest of a damaged
    object is cut off: its viewers are unknown, and readers never use it.

    Args:
        data: the object.
        opt_outs: the viewers and channels to remove.
        mentions: whether a line may be about one of them; lines that are not are not even parsed.
    """
    kept: list[bytes] = []
    lines = presences = 0
    cut = False
    try:
        for line in decode_lines(data):
            if not mentions(line):
                kept.append(line)
                continue
            try:
                rest, viewers = line_without(line, opt_outs)
            except ValueError:
                rest, viewers = None, 0
            presences += viewers
            if rest is None:
                lines += 1
            else:
                kept.append(rest)
    except BadRecordError:
        cut = True
    if not (lines or presences or cut):
        return Remainder(data)
    return Remainder(_packed(kept) if kept else b"", lines, presences, cut)


def _packed(lines: Iterable[bytes]) -> bytes:
    """As ``contract.encode_object`` packs records: the same lines give the same bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as stream:
        for line in lines:
            stream.write(line + b"\n")
    return buffer.getvalue()
