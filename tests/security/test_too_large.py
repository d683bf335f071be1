"""Objects of the lake that are larger than anybody writes: refused by their size, before they are read.

``parsers`` has the inputs that become too large once they are unpacked or parsed.
"""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime

import boto3
import dagster as dg
import pytest
from typer.testing import CliRunner

from collector_service.contract import encode_object, live_key, vod_key
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts
from collector_service.support.limits import TooLargeError
from collector_service.twitch.vod_chat import Vod
from tests.worlds.records import snapshot
from vieweratlas_dagster.assets import curated, raw
from vieweratlas_dagster.automation.late_plan import scan
from vieweratlas_dagster.cli import app
from vieweratlas_dagster.forgetting import days, ledger, rewriting, state
from vieweratlas_dagster.forgetting.erase import Forgetting
from vieweratlas_dagster.forgetting.rewriting import UnreadableObjectError
from vieweratlas_dagster.forgetting.s3_versions import Versions
from vieweratlas_dagster.forgetting.subject import Subject
from vieweratlas_dagster.lake import manifests
from vieweratlas_dagster.lake.keys import (
    LATEST_MANIFEST,
    SPARK_PREFIX,
    analysis_key,
    manifest_key,
    presence_key,
)
from vieweratlas_dagster.lake.manifests import BadMapManifestError, publish_latest, read_map_manifest
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import PRESENCE
from vieweratlas_dagster.vod import collected_channels, queue_store, raw_objects
from vieweratlas_dagster.vod.queue_store import QUEUE_KEY, QueueError, QueueStore
from vieweratlas_dagster.vod.raw_objects import stored_chat, write_chat

DAY = "2026-03-01"
START = datetime(2026, 3, 1, 20, tzinfo=UTC)
MOST = 3000
SAID = f"[0-9]+ bytes, more than the {MOST} allowed"
VIEWER = Subject("viewer", OptOuts(viewer_keys=frozenset({1})))
ALPHA = Subject("channel", OptOuts(channels=frozenset({"alpha"})))


def chat(channel, channel_id, viewers, source="live"):
    """A good object; of 600 viewers it is larger than allowed here, of two it is not."""
    draw = random.Random(1)
    keys = sorted(draw.randrange(2, 2**64) for _ in range(viewers))
    record = snapshot(
        channel_id,
        source=source,
        channel=channel,
        window_start=START,
        messages=viewers,
        viewer_keys=keys,
        viewer_messages=[1] * viewers,
        observed_intervals=[(0.0, 300.0)],
    )
    data = encode_object([record])
    assert (len(data) > MOST) == (viewers == 600)
    return data


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    for module in (raw, curated, collected_channels, raw_objects, rewriting):
        monkeypatch.setattr(module, "MAX_PACKED_BYTES", MOST)
    monkeypatch.setattr(state, "MAX_STATE_BYTES", MOST)
    for module, kind in (
        (manifests, "DAY_MANIFESTS"), (manifests, "MAP_MANIFESTS"),
        (ledger, "JOB_FILES"), (ledger, "ENTRY_FILES"), (queue_store, "QUEUE"),
    ):  # fmt: skip
        monkeypatch.setattr(module, kind, replace(getattr(module, kind), most=MOST))


def put_both(lake):
    lake.put(live_key(START, "c1"), chat("alpha", 1, 2))
    lake.put(live_key(START, "c2"), chat("beta", 2, 600))


def test_no_byte_is_read_or_written_of_what_is_too_large(any_lake):
    any_lake.put("x", b"12345")
    assert any_lake.get("x", 5) == b"12345"
    assert any_lake.update("x", lambda data: data, 5) == b"12345"
    with pytest.raises(TooLargeError, match="5 bytes, more than the 4 allowed"):
        any_lake.get("x", 4)
    with pytest.raises(TooLargeError, match="5 bytes, more than the 4 allowed"):
        any_lake.update("x", lambda _: pytest.fail("it was read"), 4)
    assert any_lake.get("x") == b"12345"


def test_a_raw_object_is_quarantined_by_its_reason_alone_and_left_out_of_the_day(tmp_path):
    resource = LakeResource(type="file", dir=str(tmp_path / "lake"))
    lake = resource.lake
    put_both(lake)
    settings = Settings(storage={"dir": tmp_path / "lake"}, privacy={"viewer_key_file": tmp_path / "key"})
    done = dg.materialize(
        [raw.snapshots, curated.curated_tables],
        partition_key=DAY,
        resources={"lake": resource, "settings": settings},
    )
    assert done.success
    good, large = json.loads(lake.get(manifest_key(DAY)))["objects"]
    assert (good["rejected"], good["records"]) == (0, 1)
    assert (large["rejected"], large["records"], large["sha256"]) == (1, 0, None)
    assert large["reasons"] == ["too_large"]
    [note] = lake.objects("quarantine/")
    assert note.key.endswith("-c2.ndjson.gz.reasons.ndjson")
    assert f"more than the {MOST} allowed" in json.loads(lake.get(note.key))["detail"]
    assert read_table(lake, presence_key(DAY, "live"), PRESENCE)["channel_id"].to_list() == [1, 1]
    # One that has become too large since is passed over, too.
    lake.put(live_key(START, "c1"), chat("alpha", 1, 600))
    done = dg.materialize(
        [raw.snapshots, curated.curated_tables],
        selection=[curated.curated_tables],
        partition_key=DAY,
        resources={"lake": resource, "settings": settings},
    )
    assert done.success
    assert read_table(lake, presence_key(DAY, "live"), PRESENCE).height == 0


def test_discovery_passes_over_a_raw_object(lake):
    put_both(lake)
    found = collected_channels.collected_channels(lake, START.replace(hour=18), START.replace(hour=21))
    assert [one.login for one in found] == ["alpha"]


def test_a_vods_object_counts_as_none_and_is_replaced_when_the_vod_is_read_again(lake):
    key = vod_key(DAY, "7")
    vod = Vod("7", "beta", 2, None, START, 300.0)
    lake.put(key, chat("beta", 2, 600, "vod"))
    assert stored_chat(lake, vod).records == []
    fresh = chat("beta", 2, 2, "vod")
    lake.put(vod_key(DAY, "8"), fresh)
    records = stored_chat(lake, Vod("8", "beta", 2, None, START, 300.0)).records
    assert [len(record.viewer_keys) for record in records] == [2]
    assert write_chat(lake, "7", records, secret="k" * 32).keys == (key,)
    assert lake.get(key) == fresh


@pytest.mark.parametrize(
    "key", [live_key(START, "c1"), vod_key(DAY, "7"), f"quarantine/snapshots/date={DAY}/x.ndjson.gz"]
)
def test_nobody_is_forgotten_in_what_cannot_be_read_and_the_text_says_where(lake, key):
    large = chat("beta", 2, 600)
    lake.put(key, large)
    with pytest.raises(UnreadableObjectError, match=f"{key} cannot be read .{SAID}.*remove it"):
        days.forget_in(lake, DAY, VIEWER)
    assert lake.get(key) == large
    lake.delete(key)
    days.forget_in(lake, DAY, VIEWER)


def test_what_spark_left_goes_without_being_read_and_state_is_named_for_people(lake):
    spark, note = f"{SPARK_PREFIX}date={DAY}/run-0/messages/1.json", "state/somebodys.json"
    for key in (spark, note):
        lake.put(key, b"{" * (MOST + 1))
    assert state.count_in(lake, VIEWER)["objects"] == 1
    state.forget_in(lake, VIEWER)
    assert not lake.exists(spark)
    assert state.others_that_mention(lake, VIEWER, frozenset()) == [note]


@pytest.mark.parametrize("prefix", [ledger.JOBS_PREFIX, ledger.LEDGER_PREFIX])
@pytest.mark.parametrize("data", [b" " * (MOST + 1), b"{", b"[]", b"{}", b"[" * 2000])
def test_the_ledger_is_named_and_nobody_is_forgotten_without_it(tmp_path, monkeypatch, prefix, data):
    settings = Settings(storage={"dir": tmp_path / "lake"})
    lake = Lake.open(settings.storage)
    lake.put(f"{prefix}abc.json", data)
    with pytest.raises(ledger.LedgerError, match=rf"{prefix}abc\.json cannot be read") as caught:
        Forgetting(lake, settings, None, START).run(VIEWER)
    assert "put an earlier version back" in str(caught.value)
    monkeypatch.setenv("LAKE_DIR", str(tmp_path / "lake"))
    monkeypatch.setenv("VIEWER_KEY_FILE", str(tmp_path / "key"))
    told = CliRunner().invoke(app, ["forget", "--viewer", "7"])
    assert (told.exit_code, "abc.json cannot be read" in told.output) == (1, True), told.output


@pytest.mark.parametrize("data", [b" " * (MOST + 1), b"{", b"[]", b"{}", b"[" * 2000])
def test_a_maps_manifest_is_named_and_nothing_is_published(lake, data):
    for key in (LATEST_MANIFEST, analysis_key(DAY, "manifest.json")):
        lake.put(key, data)
        with pytest.raises(BadMapManifestError, match=f"{key} cannot be read .*delete it"):
            read_map_manifest(lake, key)
        with pytest.raises(BadMapManifestError, match=key):
            publish_latest(lake, DAY)
        lake.delete(key)


def test_a_days_manifest_is_named_and_the_day_counts_as_made_of_nothing(lake):
    put_both(lake)
    lake.put(manifest_key(DAY), b" " * (MOST + 1))
    with pytest.raises(ValueError, match=rf"{manifest_key(DAY)} cannot be read \({SAID}"):
        manifests.read_day_manifest(lake, DAY)
    [late] = scan(lake, first=START.date(), today=START.date().replace(day=5)).late
    assert late.day == DAY


def test_a_queue_of_vods_is_neither_read_nor_recovered(lake, tmp_path, monkeypatch):
    large = b'{"schema_version": 1, "items": []}' + b" " * MOST
    lake.put(QUEUE_KEY, large)
    store = QueueStore(lake)
    for use in (store.load, lambda: store.apply(dict), store.recover):
        with pytest.raises(QueueError, match=rf"{QUEUE_KEY} cannot be read \({SAID}\).*vod recover"):
            use()
    assert lake.get(QUEUE_KEY) == large
    assert lake.objects("quarantine/") == []
    monkeypatch.setenv("LAKE_DIR", str(tmp_path / "lake"))
    told = CliRunner().invoke(app, ["vod", "recover"])
    assert (told.exit_code, "too large to be read" in " ".join(told.output.split())) == (1, True), (
        told.output
    )
    # As the text says.
    lake.delete(QUEUE_KEY)
    assert CliRunner().invoke(app, ["vod", "recover"]).exit_code == 0
    assert store.load() == {}


def test_an_old_version_on_s3_is_deleted_unread(s3_storage):
    client = boto3.client("s3", endpoint_url=s3_storage.endpoint_url, region_name="us-east-1")
    client.put_bucket_versioning(Bucket=s3_storage.s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    lake, versions = Lake.open(s3_storage), Versions(s3_storage)
    for viewers in (600, 2, 2):
        lake.put(live_key(START, "c1"), chat("beta", 2, viewers))
    # The small ones do not hold the viewer; what the large one holds nobody can say.
    assert versions.count_in(VIEWER)["old_versions"] == 1
    assert versions.forget(VIEWER)["old_versions"] == 1
    assert versions.count_in(VIEWER) == {}
