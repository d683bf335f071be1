"""A small lake of three days in which everything that can hold a viewer or a channel does."""

import base64
import gzip
import io
import json
import os
import re
import signal
import struct
import zipfile
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from collector_service.contract import encode_object, live_key, viewer_key, vod_key
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts
from collector_service.settings import StorageSettings
from tests.worlds.records import snapshot
from vieweratlas_dagster.curation.merge import curate
from vieweratlas_dagster.curation.validation import inspect_object
from vieweratlas_dagster.forgetting.erase import Forgetting
from vieweratlas_dagster.forgetting.maps import draw
from vieweratlas_dagster.forgetting.subject import Subject
from vieweratlas_dagster.lake.keys import (
    analysis_key,
    channels_key,
    day_audience_key,
    presence_key,
    quarantine_prefix,
)
from vieweratlas_dagster.lake.manifests import finish_map, publish_latest, write_day_manifest
from vieweratlas_dagster.lake.tables_io import write_table
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import (
    AUDIENCES,
    CHANNELS,
    COMMUNITIES,
    DAY_AUDIENCES,
    EDGES,
    EVENTS,
    LEFT_OUT,
    NODES,
    PARTITION,
    PRESENCE,
)
from vieweratlas_dagster.vod.discovery import MEMORY_KEY
from vieweratlas_dagster.vod.queue import VodItem
from vieweratlas_dagster.vod.queue_store import QueueStore

SECRET = "k" * 32
_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
CHANNELS_BY_ID = {9000011: "alpha_one", 9000012: "beta_two", 9000013: "gamma_three"}
DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")
# Raw data of the first day have expired.
WITH_RAW = DAYS[1:]
NOW = datetime(2026, 3, 4, 3, tzinfo=UTC)
VOD = "700900"
KEY = viewer_key(SECRET, "7007")
VIEWER = Subject("viewer", OptOuts(frozenset({KEY})))
CHANNEL = Subject("channel", OptOuts(channel_ids=frozenset({9000012}), channels=frozenset({"beta_two"})))


def keys_of(channel_id, day):
    """Viewers of a channel on a day; the one to be forgotten is in the first two channels, on all days."""
    shift = list(CHANNELS_BY_ID).index(channel_id) * 4 + DAYS.index(day)
    own = [viewer_key(SECRET, str(7100 + (shift + number) % 17)) for number in range(6)]
    return [*own[:3], KEY, *own[3:]] if channel_id != 9000013 else own


def records_of(day, hour, source="live"):
    start = datetime.fromisoformat(f"{day}T{hour:02d}:00:00+00:00")
    for channel_id, name in CHANNELS_BY_ID.items():
        if source == "vod" and channel_id != 9000012:
            continue
        keys = keys_of(channel_id, day)
        yield snapshot(
            channel_id,
            source=source,
            channel=name,
            collector_id=f"vod.{VOD}" if source == "vod" else "c1",
            window_start=start,
            game_name="Chess",
            language="en",
            title="évènement",
            messages=sum(range(1, len(keys) + 1)),
            viewer_keys=keys,
            viewer_messages=list(range(1, len(keys) + 1)),
            known_bots=keys[-1:],
        )


def with_unknown_field(data):
    """An object of a later version, whose records have a field more."""
    rows = [json.loads(line) | {"later": {"x": [1]}} for line in gzip.decompress(data).splitlines()]
    text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    return gzip.compress(text.encode(), mtime=0)


def plant(lake, settings, *, maps=True):
    """Fill an empty lake."""
    for day in DAYS:
        raw = {
            live_key(datetime.fromisoformat(f"{day}T{hour:02d}:00:00+00:00"), "c1"): encode_object(
                records_of(day, hour)
            )
            for hour in (20, 21)
        }
        first = next(iter(raw))
        raw[first] = with_unknown_field(raw[first])
        raw[vod_key(day, VOD)] = encode_object(records_of(day, 22, "vod"))
        if day in WITH_RAW:
            for key, data in raw.items():
                lake.put(key, data)
        reports = [inspect_object(key, data, day=day, now=NOW) for key, data in raw.items()]
        write_day_manifest(lake, day, reports)
        every = [*records_of(day, 20), *records_of(day, 21), *records_of(day, 22, "vod")]
        curated = curate(every)
        for source, frame in curated.presence.items():
            write_table(lake, presence_key(day, source), frame, PRESENCE)
        write_table(lake, channels_key(day), curated.channels, CHANNELS)
        audience = (
            pl.concat(curated.presence.values())
            .group_by("channel_id", "viewer_key")
            .agg(pl.col("messages").sum(), pl.len().alias("windows"), pl.col("known_bot").any())
        )
        write_table(lake, day_audience_key(day), audience, DAY_AUDIENCES)
        if maps:
            plant_map(lake, settings, day)
    plant_quarantine(lake)
    plant_state(lake)
    if maps:
        publish_latest(lake, DAYS[-1])


def plant_map(lake, settings, day):
    names = sorted(CHANNELS_BY_ID.values())
    ids = {name: number for number, name in CHANNELS_BY_ID.items()}
    place = {
        "community": [1, 2, 1],
        "region": [1, 1, 1],
        "label": ["Around beta_two", "Chess", "Around beta_two"],
        "region_label": "Chess · English",
    }
    audiences = pl.DataFrame({"channel": names}).with_columns(
        pl.Series("channel_id", [ids[name] for name in names]),
        viewers=pl.lit(7),
        messages=pl.lit(40),
        game_name=pl.lit("Chess"),
        language=pl.lit("en"),
    )
    nodes = audiences.with_columns(
        *(pl.Series(name, value) for name, value in place.items() if isinstance(value, list)),
        region_label=pl.lit(place["region_label"]),
        x=pl.Series([0.1, 0.2, -0.3]),
        y=pl.Series([0.5, 0.2, -0.3]),
        degree=pl.lit(2),
        color=pl.lit("#336699"),
    )
    pairs = [(one, other) for one in names for other in names if one < other]
    edges = pl.DataFrame(pairs, schema=["source", "target"], orient="row").with_columns(
        shared_viewers=pl.lit(6),
        weight=pl.lit(6.0),
        jaccard=pl.lit(0.4),
        overlap=pl.lit(0.5),
        cosine=pl.lit(0.5),
        significance=pl.lit(1.5),
    )
    group = {"confidence": 0.5, "size": 2, "viewers": 14, "color": "#336699", "newest_id": 2}
    communities = [
        group | {"id": 1, "level": "community", "label": "Around beta_two", "parent": 1, "generic": True}
        | {"reason": "beta_two is one of its biggest channels"},
        group | {"id": 2, "level": "community", "label": "Chess", "parent": 1, "generic": False}
        | {"reason": "x", "size": 1, "viewers": 7},
        group | {"id": 1, "level": "region", "label": "Chess · English", "parent": None, "generic": False}
        | {"reason": "y", "size": 3, "viewers": 21},
    ]  # fmt: skip
    events = [{"level": "community", "kind": "born", "id": 1, "others": [], "members": names}]
    left = [
        {"channel_id": 9000012, "channel": "beta_two", "viewers": 1, "reason": "few", "kind": "few_viewers"}
    ]
    tables = {
        "audiences": (audiences, AUDIENCES),
        "nodes": (nodes, NODES),
        "edges": (edges, EDGES),
        "partition": (nodes.select("channel", "community", "region"), PARTITION),
        "communities": (pl.DataFrame(communities), COMMUNITIES),
        "events": (pl.DataFrame(events, schema=EVENTS.schema), EVENTS),
        "left_out": (pl.DataFrame(left, schema=LEFT_OUT.schema), LEFT_OUT),
    }
    for name, (frame, table) in tables.items():
        write_table(lake, analysis_key(day, f"{name}.parquet"), frame, table)
    drawn = draw(lake, day, settings)
    for name, data in drawn.files.items():
        lake.put(analysis_key(day, name), data)
    finish_map(lake, day, drawn.channels)


def plant_quarantine(lake):
    day = DAYS[1]
    good = encode_object(records_of(day, 20))
    target = f"{quarantine_prefix(day)}20260302T200000Z-c1.ndjson.gz"
    lake.put(target, good[:-30])
    quoted = next(iter(gzip.decompress(good).splitlines())).decode()
    notes = [
        {"object": target, "line": 1, "reason": "not_json", "detail": "d", "content": quoted},
        # Cut off in the middle of the key.
        {"object": target, "line": 2, "reason": "not_json", "detail": "d", "content": f'["{str(KEY)[:9]}'},
        {"object": target, "line": 3, "reason": "not_json", "detail": "d", "content": "of nobody"},
    ]
    lake.put(
        f"{target}.reasons.ndjson",
        "".join(json.dumps(row, sort_keys=True) + "\n" for row in notes).encode(),
    )
    lake.put("quarantine/vod_queue/0123.json", b'{"items": [{"channel": "beta_two"')
    lake.put("quarantine/vod_queue/4567.json", b'{"items": [{"channel": "gamma_three"')


def plant_state(lake):
    def item(vod_id, channel_id):
        return VodItem(
            vod_id, CHANNELS_BY_ID[channel_id], channel_id, None, NOW - timedelta(hours=9), 3600.0, 5
        )

    items = {"700900": item("700900", 9000012), "700901": item("700901", 9000013)}
    QueueStore(lake).apply(lambda _: items)
    span = ["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"]
    memory = {
        "schema_version": 1,
        "asked": {"9000012": span, "9000013": span},
        "owed": {"9000012": "beta_two"},
    }
    lake.put(MEMORY_KEY, json.dumps(memory).encode())
    lake.put(
        "state/collectors/1-of-1/channels.json", b'[\n{"channel": "beta_two", "status": "joined"}\n]\n'
    )
    lake.put("state/heartbeat.json", b"{}")
    # What a Spark run that was killed left: of the second, nobody is in anything.
    audience = lake.get(day_audience_key(DAYS[0]))
    lake.put(f"state/spark/date={DAYS[0]}/one-0/days/{DAYS[0]}.parquet", audience)
    lake.put(f"state/spark/date={DAYS[0]}/one-0/modules.zip", _EMPTY_ZIP)
    write_table(
        lake, f"state/spark/date={DAYS[1]}/two-0/days/none.parquet", DAY_AUDIENCES.empty(), DAY_AUDIENCES
    )


def settings_for(folder, storage=None):
    return Settings(
        storage=storage or {"dir": folder / "lake"},
        privacy={"viewer_key_secret": SECRET},
        collection={"state_dir": folder / "collector"},
    )


def everything(lake):
    """Key -> bytes of all objects."""
    return {
        info.key: lake.get(info.key)
        for prefix in ("raw/", "curated/", "quarantine/", "state/")
        for info in lake.objects(prefix)
    }


def unpacked(key, data):
    """All bytes of an object in any form: as it is, unzipped as far as it goes, as plain Parquet."""
    if key.endswith(".parquet"):
        frame = pl.read_parquet(io.BytesIO(data))
        plain = io.BytesIO()
        frame.write_parquet(plain, compression="uncompressed", statistics=True)
        rows = "\n".join(map(repr, frame.rows())).encode()
        return data + plain.getvalue() + rows
    if key.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return data + b"".join(name.encode() + archive.read(name) for name in archive.namelist())
    if key.endswith(".html"):
        blocks = re.findall(rb'<script[^>]*id="atlas-history"[^>]*>([^<]+)<', data)
        return data + b"".join(zlib.decompress(base64.b64decode(block)) for block in blocks)
    if ".gz" in key and not key.endswith(".ndjson"):
        text = b""
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                while piece := stream.read(1):
                    text += piece
        except (EOFError, OSError):
            pass
        return data + text
    return data


def holding(objects, *needles):
    """The keys of objects in whose bytes, or names, any of the needles is."""
    return {
        key
        for key, data in objects.items()
        if any(one in unpacked(key, data) + key.encode() for one in needles)
    }


KEY_IN_ANY_FORM = (str(KEY).encode(), struct.pack("<Q", KEY), struct.pack(">Q", KEY), f"{KEY:x}".encode())


class MortalLake(Lake):
    """A lake whose process is killed at its n-th write, before anything is written."""

    @classmethod
    def of(cls, folder, writes_left):
        plain = Lake.open(StorageSettings(dir=folder))
        mortal = cls(plain._store, plain.uri, plain._local_root)
        mortal.writes_left = writes_left
        return mortal

    def write(self):
        self.writes_left -= 1
        if self.writes_left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def put(self, key, data):
        self.write()
        super().put(key, data)

    def create(self, key, data):
        self.write()
        return super().create(key, data)

    def delete(self, key):
        self.write()
        super().delete(key)

    def _write_changed(self, key, change, most, *, conditional):
        self.write()
        return super()._write_changed(key, change, most, conditional=conditional)


def forget_until_killed(folder, subject, writes, cheap_drawing):
    """For a child process: forgets, and is killed at the write with this number (from 0)."""
    if cheap_drawing:
        draw_cheaply()
    settings = settings_for(Path(folder).parent)
    Forgetting(MortalLake.of(Path(folder), writes), settings, None, NOW).run(subject)


def draw_cheaply():
    """Pictures take a second each, and are not what a kill test is about."""
    from vieweratlas_dagster.maps import drawing

    drawing.draw_atlas = lambda nodes, *_, **__: repr(nodes["channel"].to_list()).encode()
    drawing.draw_svg = drawing.draw_preview = drawing.draw_atlas
    drawing.render_page = lambda nodes, *_, history, **__: repr(
        [nodes.rows(), *(day.nodes.rows() for day in history.days)]
    ).encode()
