"""Every parser of untrusted input, in one table: its valid samples, how it is called, what it may raise.

``mutation`` damages the samples; ``fuzz`` judges the answers.
"""

import asyncio
import io
import itertools
import json
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from aiohttp import web

from collector_service.clock import parse_clock
from collector_service.contract import (
    BadRecordError,
    SnapshotRecord,
    decode_lines,
    parse_record,
)
from collector_service.lake import Lake
from collector_service.live.intake import Intake
from collector_service.live.journal import Journal
from collector_service.live.spool import _holds, thin
from collector_service.live.state_dir import own_collector_id
from collector_service.live.viewer_keys import ViewerKeys
from collector_service.live.windows import Windows
from collector_service.logins import read_logins
from collector_service.metrics import Stats
from collector_service.privacy.opt_outs import BadOptOutsError, OptOuts
from collector_service.privacy.populations import KEY_RECORD, agree, populations
from collector_service.privacy.redaction import object_without
from collector_service.privacy.viewer_secret import load_viewer_key_secret
from collector_service.settings import PrivacySettings, SettingsError, TwitchSettings
from collector_service.support.retry import RetryPolicy
from collector_service.twitch.helix import Helix, HelixError
from collector_service.twitch.irc import Chat, Control, parse
from collector_service.twitch.irc_client import MAX_LINE_BYTES, Connection, ConnectionTimings
from collector_service.twitch.vod_chat import (
    CommentsRefusedError,
    CommentsUnavailableError,
    GraphqlComments,
    Vod,
    VodGoneError,
)
from collector_service.twitch.vod_json import ChatJsonError, open_chat_json
from collector_service.twitch.vod_records import VodWindows
from vieweratlas_dagster import tables
from vieweratlas_dagster.commands.map_list import read_previous
from vieweratlas_dagster.curation.validation import inspect_object
from vieweratlas_dagster.forgetting.ledger import (
    JOBS_PREFIX,
    LEDGER_PREFIX,
    LedgerError,
    entries,
    unfinished_jobs,
)
from vieweratlas_dagster.imports.csv_rows import FileError
from vieweratlas_dagster.imports.labels import LabelsFileError, read_labels_file
from vieweratlas_dagster.imports.overlap_list import read_overlap_list
from vieweratlas_dagster.imports.presence import import_presence
from vieweratlas_dagster.lake.keys import LATEST_MANIFEST, manifest_key
from vieweratlas_dagster.lake.manifests import BadMapManifestError, read_day_manifest, read_map_manifest
from vieweratlas_dagster.lake.parquet import read_parquet
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.publish.exports import gexf_bytes, graphml_bytes
from vieweratlas_dagster.publish.page import render_page
from vieweratlas_dagster.publish.vector import draw_svg
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.vod.queue import VodItem
from vieweratlas_dagster.vod.queue_store import QUEUE_KEY, QueueError, QueueStore, encode

SECRET = "fuzz-" * 5
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
Parse = Callable[[bytes], object]


@dataclass(frozen=True)
class Parser:
    """A row of the table.

    Attributes:
        name: how the report calls it.
        kind: see `mutation.inputs`.
        samples: valid inputs.
        made: given a folder of its own, what takes the bytes.
        errors: what it may raise; nothing, when its documentation says that it never raises.
        memory_mb: how much the process may grow while it runs.
        at_least: inputs that are tried whatever the time: samples and bombs.
    """

    name: str
    kind: str
    samples: Callable[[], list[bytes]]
    made: Callable[[Path], Parse]
    errors: tuple[type[BaseException], ...] = ()
    memory_mb: int = 300
    at_least: int = 25


def in_file(read: Callable[[Path], object], name: str = "given") -> Callable[[Path], Parse]:
    """A parser of a file."""

    def made(folder: Path) -> Parse:
        path = folder / name

        def parse_file(data: bytes) -> object:
            path.write_bytes(data)
            path.chmod(0o600)
            return read(path)

        return parse_file

    return made


def in_lake(key: str, read: Callable[[Lake], object]) -> Callable[[Path], Parse]:
    """A parser of an object in the lake."""

    def made(_: Path) -> Parse:
        lake = Lake.in_memory()

        def parse_object(data: bytes) -> object:
            lake.put(key, data)
            return read(lake)

        return parse_object

    return made


# IRC

_IRC = [
    (
        b"@badge-info=;badges=bot-badge/1;color=;display-name=X;emotes=;"
        b"id=b34ccfc7-4977-403a-8a94-33c6bac34fb8;"
        b"mod=0;room-id=9000011;source-room-id=9000011;tmi-sent-ts=1772366400123;user-id=77;user-type= "
        b":x!x@x.tmi.twitch.tv PRIVMSG #alpha_one :hello there\r\n"
    ),
    (
        b"@msg-id=resub;room-id=9000011;user-id=77;login=x;tmi-sent-ts=1772366400123 "
        b":tmi.twitch.tv USERNOTICE #alpha_one :again\r\n"
    ),
    (
        b"@room-id=9000011;slow=0 :tmi.twitch.tv ROOMSTATE #alpha_one\r\n"
        b":justinfan1!justinfan1@justinfan1.tmi.twitch.tv JOIN #alpha_one\r\n"
    ),
    b":tmi.twitch.tv 001 justinfan1 :Welcome\r\nPING :tmi.twitch.tv\r\n:tmi.twitch.tv RECONNECT\r\n",
    (
        b"@msg-id=msg_banned :tmi.twitch.tv NOTICE #alpha_one :no\r\n"
        b":tmi.twitch.tv CAP * ACK :twitch.tv/tags\r\n"
    ),
]


def _irc_line(_: Path) -> Parse:
    def take(data: bytes) -> None:
        for raw in data.split(b"\n"):
            line = parse(raw)
            if type(line) is Chat:
                assert line.room_id.isdigit()
                assert len(line.message_id) + len(line.login) + len(line.channel) <= len(raw)
            elif type(line) is Control:
                assert len(line.channel) <= len(raw)
                line.tag(b"room-id")

    return take


class _Silent:
    """A listener that counts chat as the service does, and checks what else it is told."""

    def __init__(self, intake: Intake) -> None:
        self.chats = intake.chats

    def joined(self, _: Connection, login: str) -> None:
        assert len(login) <= 50, login

    def left(self, _: Connection, login: str, ago: float) -> None:
        assert len(login) <= 50
        assert ago >= 0

    def identified(self, login: str, channel_id: int) -> None:
        assert len(login) <= 50
        assert 0 <= channel_id < 2**63

    def refused(self, login: str, why: str) -> None:
        assert len(login) <= 50
        assert why


class _Transport(asyncio.Transport):
    """Takes what is sent: whole lines of a size that IRC allows."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: bytes) -> None:
        for line in bytes(data).split(b"\r\n"):
            assert len(line) <= 510, f"{len(line)} bytes sent"
            assert b"\r" not in line
            assert b"\n" not in line

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


def _irc_stream(_: Path) -> Parse:
    loop = asyncio.new_event_loop()
    stats = Stats()
    windows = Windows(parse_clock("system"), 300)

    async def take(data: bytes) -> None:
        silent = _Silent(Intake(windows, ViewerKeys(SECRET, ()), stats))
        connection = Connection(silent, stats, ConnectionTimings())
        connection.connection_made(_Transport())
        connection._nick = "justinfan1"
        connection.join(["alpha_one"])
        for at in range(0, len(data), 100_000):
            connection.data_received(data[at : at + 100_000])
            assert len(connection._rest) <= MAX_LINE_BYTES
        assert connection.joined <= {"alpha_one"}
        connection.close("stopped")

    return lambda data: loop.run_until_complete(take(data))


# Twitch's HTTP answers


class _Answers:
    """A server that answers every question with the same bytes, and the token questions as Twitch does."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.body = b""
        self.status = 200
        self.keep: Any = None  # a context that closes when it is collected
        self.url = self.loop.run_until_complete(self._serve())

    async def _serve(self) -> str:
        async def token(_: web.Request) -> web.Response:
            return web.json_response({"access_token": "t", "expires_in": 5_000_000, "token_type": "bearer"})

        async def validate(_: web.Request) -> web.Response:
            told = {"client_id": "c", "login": None, "scopes": [], "user_id": None, "expires_in": 5_000_000}
            return web.json_response(told)

        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=self.body, status=self.status, content_type="application/json")

        app = web.Application()
        app.add_routes(
            [web.post("/oauth2/token", token), web.get("/oauth2/validate", validate),
             web.get("/{any:.*}", answer), web.post("/{any:.*}", answer)]
        )  # fmt: skip
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"


def _streams() -> list[bytes]:
    one = {
        "id": "1", "user_id": "9000011", "user_login": "alpha_one", "user_name": "Alpha_One",
        "game_id": "33", "game_name": "Chess", "type": "live", "title": "a title", "viewer_count": 10,
        "tags": [], "started_at": "2026-11-18T12:00:00Z", "language": "en", "thumbnail_url": "https://x/y.jpg",
        "tag_ids": [], "is_mature": False,
    }  # fmt: skip
    return [json.dumps({"data": [one, one | {"user_id": "2"}], "pagination": more}).encode()
            for more in ({}, {"cursor": "next"})]  # fmt: skip


def _users() -> list[bytes]:
    one = {
        "id": "5", "login": "alpha_one", "display_name": "A", "type": "", "broadcaster_type": "",
        "description": "", "profile_image_url": "https://x/y.png", "offline_image_url": "", "view_count": 0,
        "created_at": "2020-01-01T00:00:00Z",
    }  # fmt: skip
    return [json.dumps({"data": [one]}).encode(), b'{"error": "Bad", "status": 400, "message": "cursor"}']


def _videos() -> list[bytes]:
    one = {
        "id": "7", "stream_id": "1", "user_id": "5", "user_login": "alpha_one", "user_name": "A",
        "title": "v", "description": "", "created_at": "2026-11-18T12:00:00Z",
        "published_at": "2026-11-18T12:00:00Z", "url": "https://x/y",
        "thumbnail_url": "", "viewable": "public", "view_count": 3, "language": "en",
        "type": "archive", "duration": "3h8m33s", "muted_segments": None,
    }  # fmt: skip
    return [json.dumps({"data": [one], "pagination": more}).encode() for more in ({}, {"cursor": "next"})]


def _helix(ask: Callable[[Helix], Any], status: int = 200) -> Callable[[Path], Parse]:
    def made(_: Path) -> Parse:
        server = _Answers()
        twitch = TwitchSettings(
            helix_url=server.url + "/helix", id_url=server.url, client_id="c", client_secret="s"
        )
        manager = Helix.open(twitch, Stats())
        helix = server.loop.run_until_complete(manager.__aenter__())
        server.status = status

        server.keep = manager

        def take(data: bytes) -> object:
            server.body = data
            return server.loop.run_until_complete(ask(helix))

        return take

    return made


_VOD = Vod("700900", "alpha_one", 9000011, "a title", START, 600.0)


def _comment_pages() -> list[bytes]:
    def edge(number: int) -> dict[str, Any]:
        return {
            "cursor": f"c{number}",
            "node": {
                "id": f"id{number}",
                "commenter": {"id": str(number), "login": f"user{number}", "displayName": "U"},
                "contentOffsetSeconds": number * 60,
                "createdAt": "2026-01-01T00:00:00Z",
                "message": {"fragments": [{"text": "hello"}], "userBadges": [{"setID": "bot-badge"}]},
            },
        }

    def page(edges: list[Any], more: bool) -> bytes:
        comments = {"edges": edges, "pageInfo": {"hasNextPage": more}}
        return json.dumps({"data": {"video": {"id": "1", "comments": comments}}}).encode()

    return [
        page([edge(1), edge(2)], False), page([edge(1), edge(2)], True), page([], False),
        b'{"errors": [{"message": "failed integrity check"}], "data": {"video": {"comments": null}}}',
        b'{"data": {"video": null}}',
    ]  # fmt: skip


def _comments(_: Path) -> Parse:
    server = _Answers()
    twitch = TwitchSettings(gql_url=server.url + "/gql")
    manager = GraphqlComments.open(twitch, retry=RetryPolicy(0.0, 0.0, attempts=6))
    source = server.loop.run_until_complete(manager.__aenter__())

    server.keep = manager

    async def take() -> None:
        windows = VodWindows(_VOD, window_seconds=300, secret=SECRET)
        async for page in source.pages(_VOD.vod_id, _VOD.duration_seconds):
            for comment in page.comments:
                windows.add(comment)
        for record in windows.records((0.0, page.coverage_seconds)):
            parse_record(record.to_json())

    def parse_answer(data: bytes) -> None:
        server.body = data
        server.loop.run_until_complete(take())

    return parse_answer


# Chat files


def _chat_files() -> list[bytes]:
    def comment(number: int) -> dict[str, Any]:
        return {
            "_id": f"id-{number}", "channel_id": "9", "content_offset_seconds": 60.5 * number,
            "commenter": {"display_name": "N", "_id": str(100 + number), "name": f"login{number}"},
            "message": {"body": "hello", "user_badges": [{"_id": "bot-badge", "version": "1"}]},
        }  # fmt: skip

    return [
        json.dumps(
            {
                "FileInfo": {"Version": {"Major": 1}},
                "streamer": {"name": "Alpha", "login": "alpha_one", "id": 9},
                "video": {
                    "title": "A title", "id": "555", "created_at": "2026-01-02T03:04:05Z", "start": 0,
                    "end": 3600, "length": 3600,
                },
                "comments": [comment(number) for number in range(6)],
                "embeddedData": {},
            },
            separators=separators,
        ).encode()
        for separators in ((",", ":"), (", ", ": "))
    ]  # fmt: skip


def _chat_file(path: Path) -> None:
    with open_chat_json(path) as chat:
        windows = VodWindows(chat.vod, window_seconds=300, secret=SECRET)
        for comment in chat.comments:
            windows.add(comment)
    for record in windows.records(chat.covered):
        parse_record(record.to_json())


# The lake's own objects


def _records() -> list[SnapshotRecord]:
    return [
        SnapshotRecord(
            source="live", channel=f"channel_{number}", channel_id=9000011 + number, collector_id="c1",
            window_start=START, window_seconds=300, observed_seconds=240.0, partial=False, viewer_count=3,
            game_id="33", game_name="Chess", language="en", title="évènement", started_at=START, messages=7,
            viewer_keys=[5, 2**64 - 1 - number, 77], viewer_messages=[1, 2, 4], known_bots=[77],
            observed_intervals=[(0.0, 120.0), (180.0, 300.0)], status="joined", part=0,
        )
        for number in range(3)
    ]  # fmt: skip


def _lines() -> list[bytes]:
    return [record.to_json().encode() for record in _records()]


def _rows() -> list[bytes]:
    return [b"\n".join(_lines())]


def _judged(data: bytes) -> None:
    report = inspect_object("raw/x.ndjson.gz", data, day="2026-03-01", now=datetime(2026, 3, 2, tzinfo=UTC))
    assert len(report.quarantine_note()) < 20 * 1024 * 1024
    report.summary()


_GONE = OptOuts(frozenset({77}), frozenset({9000012}), frozenset({"channel_2"}))


def _forgotten(data: bytes) -> None:
    left = object_without(data, _GONE)
    if left.data and len(left.data) < 10_000:
        assert object_without(left.data, _GONE).data == left.data


def _spooled(data: bytes) -> None:
    _holds(data, _PART, data[:-1])
    thin(data)


class _PART:
    sequence = 0


def with_errors(call: Callable[[], object], *errors: type[BaseException]) -> None:
    try:  # noqa: SIM105
        call()
    except errors:
        pass


def _opt_outs() -> list[bytes]:
    return [OptOuts(frozenset({1, 2**64 - 1}), frozenset({9}), frozenset({"alpha_one"})).to_bytes()]


def _key_record() -> list[bytes]:
    lake = Lake.in_memory()
    agree(lake, SECRET, date(2026, 3, 1))
    return [lake.get(KEY_RECORD)]


def _queue() -> list[bytes]:
    items = [
        VodItem(str(number), "alpha_one", 9000011, "title", START, 3600.0, 5, queued_at=START)
        for number in (1, 2, 3)
    ]
    return [encode({item.vod_id: item for item in items})]


def _read_queue(lake: Lake) -> None:
    store = QueueStore(lake)
    with_errors(store.load, QueueError)
    assert store.recover().kept == len(store.load())


def _manifests() -> list[bytes]:
    entry = (
        b'{"bytes": 9, "key": "raw/x", "presences": 2, "reasons": [], "records": 1, "rejected": 0,'
        b' "sha256": "0"}'
    )
    return [b'{"day": "2026-03-01", "objects": [' + entry + b'], "schema_version": 1}']


def _journals() -> list[bytes]:
    def frame(state: dict[str, Any], numbers: list[int]) -> bytes:
        text = json.dumps(state).encode()
        payload = struct.pack("<I", len(text)) + text + struct.pack(f"<{len(numbers)}Q", *numbers)
        return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload

    start = START.timestamp()
    gain = {"now": start + 60, "window_seconds": 300, "rooms": [[9, "alpha_one", None]],
            "coverage": [[9, start, True]], "quiet": [[9, start + 30]]}  # fmt: skip
    whole = {"now": start + 60, "window_seconds": 300, "quiet": [],
             "channels": [[9, "alpha_one", None, 0, [[start, start + 9]], None, 1, 0]]}  # fmt: skip
    return [frame(gain, []) + frame(gain | {"rooms": []}, []), frame(whole, [5, 1])]


def _journal(folder: Path) -> Parse:
    journal = Journal(folder / "journal", "c1")
    path = folder / "journal" / f"{START:%Y%m%dT%H%M%SZ}-c1.journal"

    def take(data: bytes) -> None:
        # The checksum guards against disks, not against whoever writes there: it is made to fit.
        rows, at = bytearray(data), 0
        while at + 8 <= len(rows):
            length = struct.unpack_from("<I", rows, at)[0]
            payload = bytes(rows[at + 8 : at + 8 + length])
            struct.pack_into("<I", rows, at + 4, zlib.crc32(payload))
            at += 8 + len(payload)
        path.write_bytes(bytes(rows))
        for found in journal.recover():
            if found.part is not None:
                found.part.records("c1")

    return take


# What people bring


def _overlap_lists() -> list[bytes]:
    return [
        b'source,target,shared_viewers\nalpha,beta,10\nbeta,gamma,3\n"del,ta",alpha,4\n',
        b"source,target,weight\nalpha,beta,0.5\nbeta,gamma,1e-3\n",
    ]


def _presence_lists() -> list[bytes]:
    return [b"channel,viewer\nalpha_one,77\nalpha_one,somebody\nbeta_two,77\n"]


def _channel_lists() -> list[bytes]:
    return [b"channel,channel_id,game_name,language\nalpha_one,9000011,Chess,en\nbeta_two,,,\n"]


def _import(presence: Path, channels: Path | None) -> None:
    lake = Lake.in_memory()
    report = import_presence(lake, SECRET, presence, channels, date(2026, 3, 1))
    assert [info.key for info in lake.objects("")] == [report.key]
    assert report.key.startswith("raw/snapshots/date=2026-03-01/hour=00/")
    for line in decode_lines(lake.get(report.key)):
        parse_record(line)


def _import_channels(channels: Path) -> None:
    presence = channels.with_name("presence.csv")
    presence.write_bytes(_presence_lists()[0])
    _import(presence, channels)


_LABELS = b"community:\n  12: Speedrunners\n  7: 'Chess & more'\nregion:\n  1: English\n"
_CONFIG = (
    b"preset: rigorous\ncollection:\n  top_channels_limit: 100\n  channels: [alpha_one, beta_two]\n"
    b"analysis:\n  window_days: 7\nprivacy:\n  raw_identities: false\nlogging: {level: INFO}\n"
)


def _parquet() -> list[bytes]:
    frame = pl.DataFrame(
        {"channel_id": [1, 2], "viewer_key": [5, 2**64 - 1], "window_start": [START] * 2,
         "window_seconds": [300] * 2, "messages": [1, 2], "known_bot": [False, True]}
    )  # fmt: skip
    buffer, plain = io.BytesIO(), io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True)
    frame.write_parquet(plain, compression="uncompressed")
    return [buffer.getvalue(), plain.getvalue()]


def _previous(folder: Path) -> Parse:
    frames = _frames(["alpha", "beta", "gamma"])
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet")
    (folder / "atlas.json").write_text("{}")

    def take(data: bytes) -> None:
        (folder / "nodes.parquet").write_bytes(data)
        read_previous(folder)

    return take


def _nodes_file() -> list[bytes]:
    buffer = io.BytesIO()
    _frames(["alpha", "beta"])["nodes"].write_parquet(buffer)
    return [buffer.getvalue()]


# Names on their way out


def _frames(names: list[str]) -> dict[str, pl.DataFrame]:
    count = len(names)
    nodes = pl.DataFrame(
        {
            "channel": names, "channel_id": list(range(1, count + 1)),
            "viewers": [10 + at for at in range(count)],
            "game_name": names, "language": names, "community": [1] * count, "region": [1] * count,
            "label": [names[0]] * count, "region_label": [names[-1]] * count,
            "x": [at / count for at in range(count)], "y": [0.1] * count, "degree": [0] * count,
            "color": ["#aa3300"] * count,
        }
    )  # fmt: skip
    pairs = list(itertools.pairwise(names))
    edges = pl.DataFrame(
        {"source": [min(pair) for pair in pairs], "target": [max(pair) for pair in pairs],
         "shared_viewers": [7] * len(pairs), "weight": [7.0] * len(pairs)},
        schema={"source": pl.String, "target": pl.String, "shared_viewers": pl.Int64, "weight": pl.Float64},
    )  # fmt: skip
    communities = pl.DataFrame(
        [{"id": 1, "level": level, "label": names[0], "reason": names[-1], "size": count, "viewers": 20,
          "parent": None if level == "region" else 1, "color": "#aa3300"}
         for level in ("community", "region")]
    )  # fmt: skip

    def whole(frame: pl.DataFrame, table: tables.Table) -> pl.DataFrame:
        missing = [
            pl.lit(None, kind).alias(name)
            for name, kind in table.schema.items()
            if name not in frame.columns
        ]
        return frame.with_columns(missing).select(
            pl.col(name).cast(kind) for name, kind in table.schema.items()
        )

    return {
        "nodes": whole(nodes, tables.NODES),
        "edges": whole(edges, tables.EDGES),
        "communities": whole(communities, tables.COMMUNITIES),
    }


_MAP = (
    b'{"channels": 2, "complete": true, "date": "2026-03-01", "files": {"atlas.html": "0", "x.csv": "1"}}'
)
_ENTRY = (
    b'{"schema_version": 1, "kind": "viewer", "begun": "2026-03-01T00:00:00Z", "progress": "done", '
    b'"counts": {"rows": 3}, "days_to_make_again": ["2026-03-01"]}'
)
_JOB = (
    b'{"kind": "channel", "viewer_keys": ["7"], "channel_ids": ["9"], "channels": ["alpha"], "begun": "x", '
    b'"out_of_reach": [], "found": {"2026-03-01": {"rows": 3}}, "maps": ["2026-03-01"], "elsewhere": {}}'
)


def _names() -> list[bytes]:
    hostile = ["</script><script>alert(1)</script>", "]]>", "<!--", "&amp;",
               '"><img src=x onerror=alert(1)>',
               "__proto__", "\u2028", "a\x00b", "javascript:alert(1)", "../../x", "=1+1",
               "\U0001f600"]  # fmt: skip
    return ["\n".join(hostile).encode(), b"alpha\nbeta\ngamma"]


def _published(_: Path) -> Parse:
    def take(data: bytes) -> None:
        texts = dict.fromkeys(text[:200] for text in data.decode(errors="replace").split("\n") if text)
        names = list(texts)[:30] or ["alpha"]
        tables_ = _frames(names)
        nodes, edges, communities = tables_["nodes"], tables_["edges"], tables_["communities"]
        page = render_page(nodes, edges, communities, facts={"title": names[0]})
        clean = render_page(*_frames(["alpha"]).values(), facts={"title": "t"})
        # Nothing in the data adds a tag, a comment or an end of one to the page.
        assert page.count(b"<") == clean.count(b"<")
        block = page.partition(b'id="atlas-data">')[2].partition(b"</script>")[0]
        assert sorted(json.loads(block)["channels"]["name"]) == sorted(names)
        for written, elements in (
            (gexf_bytes(nodes, edges), "node"),
            (graphml_bytes(nodes, edges), "node"),
        ):
            found = [one for one in ET.fromstring(written).iter() if one.tag.rpartition("}")[2] == elements]
            assert len(found) <= len(names)
        kinds = {
            one.tag.rpartition("}")[2]
            for one in ET.fromstring(draw_svg(nodes, edges, communities, title=names[0])).iter()
        }
        assert kinds <= {"svg", "title", "desc", "rect", "g", "path", "circle", "text"}

    return take


PARSERS = [
    Parser("irc lines", "lines", lambda: _IRC, _irc_line),
    Parser("irc connection", "lines", lambda: _IRC, _irc_stream),
    Parser("helix streams", "json", _streams, _helix(lambda helix: helix.top_streams(100)), (HelixError,)),
    Parser(
        "helix streams by id",
        "json",
        _streams,
        _helix(lambda helix: helix.streams([9000011])),
        (HelixError,),
    ),
    Parser("helix users", "json", _users, _helix(lambda helix: helix.users(["alpha_one"])), (HelixError,)),
    Parser(
        "helix videos", "json", _videos, _helix(lambda helix: helix.past_broadcasts(5, 20)), (HelixError,)
    ),
    Parser("helix refusals", "json", _users, _helix(lambda helix: helix.users(["x"]), 400), (HelixError,)),
    Parser(
        "vod comments",
        "json",
        _comment_pages,
        _comments,
        (CommentsRefusedError, CommentsUnavailableError, VodGoneError),
    ),
    Parser("chat file", "json", _chat_files, in_file(_chat_file), (ChatJsonError,), memory_mb=600),
    Parser(
        "chat file, packed",
        "gzip of json",
        _chat_files,
        in_file(_chat_file),
        (ChatJsonError,),
        memory_mb=600,
    ),
    Parser("snapshot line", "json", _lines, lambda _: parse_record, (BadRecordError,)),
    Parser("raw object", "gzip of json", lambda: [b"\n".join(_lines() * 7)], lambda _: _judged),
    Parser("raw object, rows", "gzip of lines", _rows, lambda _: _judged),
    Parser("raw object, forgetting", "gzip of lines", _rows, lambda _: _forgotten),
    Parser("object of the spool", "gzip of lines", _rows, lambda _: _spooled, (BadRecordError,)),
    Parser("opt-outs", "json", _opt_outs, lambda _: OptOuts.from_bytes, (BadOptOutsError,)),
    Parser(
        "record of viewer keys", "json", _key_record, in_lake(KEY_RECORD, populations), (SettingsError,)
    ),
    Parser("vod queue", "json", _queue, in_lake(QUEUE_KEY, _read_queue)),
    Parser("vod queue, rows", "lines", _queue, in_lake(QUEUE_KEY, _read_queue)),
    Parser(
        "day manifest",
        "json",
        _manifests,
        in_lake(manifest_key("2026-03-01"), lambda lake: read_day_manifest(lake, "2026-03-01")),
        (ValueError,),
    ),
    Parser(
        "map manifest",
        "json",
        lambda: [_MAP],
        in_lake(LATEST_MANIFEST, lambda lake: read_map_manifest(lake, LATEST_MANIFEST)),
        (BadMapManifestError,),
    ),
    Parser("ledger", "json", lambda: [_ENTRY], in_lake(f"{LEDGER_PREFIX}0.json", entries), (LedgerError,)),
    Parser(
        "forgetting",
        "json",
        lambda: [_JOB],
        in_lake(f"{JOBS_PREFIX}0.json", unfinished_jobs),
        (LedgerError,),
    ),
    Parser("journal", "binary", _journals, _journal),
    Parser(
        "config.yaml",
        "yaml",
        lambda: [_CONFIG],
        in_file(lambda path: Settings.load(path, environment={})),
        (SettingsError,),
    ),
    Parser("labels file", "yaml", lambda: [_LABELS], in_file(read_labels_file), (LabelsFileError,)),
    Parser(
        "list of logins",
        "lines",
        lambda: [b"# bots\nnightbot\nAlpha_One # x\n"],
        in_file(lambda path: read_logins(path, "x")),
        (SettingsError,),
    ),
    Parser(
        "viewer key file",
        "lines",
        lambda: [b"0123456789abcdef0123456789abcdef\n"],
        in_file(lambda path: load_viewer_key_secret(PrivacySettings(viewer_key_file=path))),
        (SettingsError,),
    ),
    Parser(
        "collector id",
        "lines",
        lambda: [b"c0123abcd\n"],
        in_file(lambda path: own_collector_id(path.parent), "collector_id"),
        (SettingsError,),
    ),
    Parser(
        "overlap list",
        "csv",
        _overlap_lists,
        in_file(lambda path: read_overlap_list(path, None)),
        (FileError,),
    ),
    Parser(
        "overlap list, packed",
        "gzip of csv",
        _overlap_lists,
        in_file(lambda path: read_overlap_list(path, None)),
        (FileError,),
    ),
    Parser(
        "presence list", "csv", _presence_lists, in_file(lambda path: _import(path, None)), (FileError,)
    ),
    Parser(
        "presence list, packed",
        "gzip of csv",
        _presence_lists,
        in_file(lambda path: _import(path, None)),
        (FileError,),
    ),
    Parser("channel list", "csv", _channel_lists, in_file(_import_channels), (FileError,)),
    Parser("parquet", "binary", _parquet, lambda _: read_parquet, (pl.exceptions.PolarsError,)),
    Parser(
        "table of the lake",
        "binary",
        _parquet,
        in_lake("curated/x", lambda lake: read_table(lake, "curated/x", tables.PRESENCE)),
        (ValueError, pl.exceptions.PolarsError),
    ),
    Parser("earlier result", "binary", _nodes_file, _previous, (FileError,)),
    Parser("published names", "lines", _names, _published, at_least=8),
]
