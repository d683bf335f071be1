"""Where an operator keeps Twitch's ids of viewers, they are in raw objects and go nowhere else."""

import gzip
from dataclasses import replace

import dagster as dg
import pytest

from collector_service.contract import encode_object, live_key, parse_record
from collector_service.lake import Lake
from collector_service.privacy.redaction import line_without, record_without
from tests.worlds import full_lake as world
from tests.worlds.full_lake import DAYS, KEY, NOW, VIEWER
from vieweratlas_dagster.assets.curated import curated_tables, day_audiences
from vieweratlas_dagster.assets.raw import snapshots
from vieweratlas_dagster.curation.validation import holds_identities
from vieweratlas_dagster.lake.keys import channels_key, presence_key
from vieweratlas_dagster.resources.lake_resource import LakeResource

DAY = DAYS[1]


def with_ids(records):
    """Each viewer's id is its key's place in the record, in a form that nothing else has."""
    return [
        replace(record, user_ids=[f"777000{number:03d}" for number, _ in enumerate(record.viewer_keys)])
        for record in records
    ]


def objects():
    """One that is whole, one with a refused line, and one that is torn."""
    start = NOW.replace(day=2, hour=20)
    whole, other, torn = (encode_object(with_ids(world.records_of(DAY, hour))) for hour in (20, 21, 22))
    refused = gzip.decompress(other).replace(b'"partial":false', b'"partial":7', 1)
    return {
        live_key(start, "c1"): whole,
        live_key(start.replace(hour=21), "c1"): gzip.compress(refused),
        live_key(start.replace(hour=22), "c1"): torn[:-30],
    }


def test_ids_stay_in_raw_objects(tmp_path):
    settings = world.settings_for(tmp_path)
    lake = Lake.open(settings.storage)
    for key, data in objects().items():
        lake.put(key, data)
    done = dg.materialize(
        [snapshots, curated_tables, day_audiences],
        partition_key=DAY,
        resources={"lake": LakeResource.of(settings.storage), "settings": settings},
    )
    assert done.success
    made = world.everything(lake)
    assert world.holding(made, b"777000") == set(objects())
    assert {presence_key(DAY, "live"), channels_key(DAY)} <= made.keys()
    notes = [key for key in made if key.startswith("quarantine/")]
    assert [key.endswith(".reasons.ndjson") for key in notes] == [True, True]
    assert b"777000" not in repr(done.all_events).encode()


DAMAGES = {
    "none": lambda data: data,
    "torn": lambda data: data[:-30],
    "in the middle": lambda data: data[:300] + bytes(50) + data[350:],
    "no gzip": gzip.decompress,
    "a second member": lambda data: data + data,
    "more behind it": lambda data: data + bytes(1_000_000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_object_with_ids_is_known_however_it_is_damaged(damage):
    records = list(world.records_of(DAY, 20))
    damaged = DAMAGES[damage]
    assert holds_identities(damaged(encode_object(with_ids(records))))
    assert not holds_identities(damaged(encode_object(records)))


def test_what_nobody_can_read_may_hold_ids():
    data = encode_object(world.records_of(DAY, 20))
    assert holds_identities(b"\xff" + data[1:])
    assert not holds_identities(b"not gzip at all")


def test_viewers_who_opted_out_leave_no_id():
    [record, *_] = with_ids(world.records_of(DAY, 20))
    gone = record.user_ids[record.viewer_keys.index(KEY)]
    rest = record_without(record, VIEWER.opt_outs)
    assert rest.user_ids == [number for number in record.user_ids if number != gone]
    line, removed = line_without(record.to_json().encode(), VIEWER.opt_outs)
    assert removed == 1
    assert line == rest.to_json().encode()
    assert gone.encode() not in line
    assert parse_record(line).user_ids is None
