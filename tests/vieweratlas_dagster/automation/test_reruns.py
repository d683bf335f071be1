"""A day made again ends in the same bytes: after success, kills at any write, a change below."""

import hashlib
import io
import json
from datetime import timedelta
from types import SimpleNamespace

import dagster as dg
import polars as pl
import pytest

from collector_service.lake import Lake
from tests.worlds.days import FIRST, planted_day, put_day, settings_for
from vieweratlas_dagster.automation.late_plan import scan
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.lake.keys import LATEST_MANIFEST, LATEST_PREFIX, manifest_key, presence_key
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.tables import PRESENCE

DAY = f"{FIRST}"


class KilledError(RuntimeError):
    pass


class DyingLake:
    """A lake for as many writes as it is given; the next one raises and writes nothing."""

    def __init__(self, lake: Lake, writes: int) -> None:
        self._lake = lake
        self.left = writes

    def __getattr__(self, name):
        attribute = getattr(self._lake, name)
        if name not in ("put", "create", "update", "delete"):
            return attribute

        def write(*arguments):
            if self.left == 0:
                raise KilledError(f"killed at {name} {arguments[0]}")
            self.left -= 1
            return attribute(*arguments)

        return write


PLACE = SimpleNamespace(lake=None, type="file")


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The daily job over the lake that ``PLACE`` holds."""
    made = build_definitions(settings_for(tmp_path_factory.mktemp("unused")))
    place = dg.ResourceDefinition.hardcoded_resource(PLACE)
    return dg.Definitions(
        assets=made.assets,
        asset_checks=made.asset_checks,
        jobs=made.jobs,
        resources={**made.resources, "lake": place},
        executor=made.executor,
    ).resolve_job_def("analysis_daily")


def execute(job, lake, instance, **options):
    PLACE.lake = lake
    return job.execute_in_process(instance=instance, partition_key=DAY, raise_on_error=False, **options)


def content(lake):
    prefixes = ("curated/", "state/", "quarantine/")
    return {info.key: lake.get(info.key) for prefix in prefixes for info in lake.objects(prefix)}


def with_garbage(lake, records):
    put_day(lake, FIRST, records)
    lake.put(f"raw/snapshots/date={DAY}/hour=00/20260301T000000Z-bad.ndjson.gz", b"not gzip")


@pytest.fixture(scope="module")
def undisturbed(job):
    """What one run makes of the day, and how many writes that takes."""
    lake = Lake.in_memory()
    with_garbage(lake, planted_day(FIRST)[:8])
    counting = DyingLake(lake, 10_000)
    with dg.DagsterInstance.ephemeral() as instance:
        assert execute(job, counting, instance).success
    return content(lake), 10_000 - counting.left


def test_twice_gives_the_same_bytes(job, undisturbed):
    expected, _ = undisturbed
    lake = Lake.in_memory()
    with_garbage(lake, planted_day(FIRST)[:8])
    with dg.DagsterInstance.ephemeral() as instance:
        assert execute(job, lake, instance).success
        assert execute(job, lake, instance).success
    assert content(lake) == expected


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.long)])
def test_runs_killed_at_every_write_in_turn_end_in_the_same_bytes(job, undisturbed, step):
    """Each run starts from what the one before left, on top of a map of other raw objects."""
    expected, writes = undisturbed
    assert writes > 30
    lake = Lake.in_memory()
    with_garbage(lake, planted_day(FIRST, seed=2)[:8])
    with dg.DagsterInstance.ephemeral() as instance:
        assert execute(job, lake, instance).success
        older = content(lake)
        assert older.keys() == expected.keys()
        assert older != expected
        with_garbage(lake, planted_day(FIRST)[:8])
        for count in range(0, writes, step):
            done = execute(job, DyingLake(lake, count), instance)
            [failure] = [event for event in done.all_events if event.is_step_failure]
            assert "KilledError: killed at" in failure.event_specific_data.error.cause.to_string()
            for key, data in content(lake).items():
                if key.startswith("curated/") and key.endswith(".parquet"):
                    pl.read_parquet(io.BytesIO(data))
            manifest = json.loads(lake.get(LATEST_MANIFEST))
            if manifest["complete"]:
                files = manifest["files"]
                found = {name: hashlib.sha256(lake.get(LATEST_PREFIX + name)).hexdigest() for name in files}
                assert found == files
        assert execute(job, lake, instance).success
    assert content(lake) == expected


def test_an_object_that_changes_after_validation_is_used_as_it_is_now(job):
    lake = Lake.in_memory()
    put_day(lake, FIRST, planted_day(FIRST))
    with dg.DagsterInstance.ephemeral() as instance:
        execute(job, lake, instance, asset_selection=[dg.AssetKey("snapshots")])
        [entry] = json.loads(lake.get(manifest_key(DAY)))["objects"]
        changed = planted_day(FIRST, seed=2)
        put_day(lake, FIRST, changed)
        tables = [dg.AssetKey("presence_snapshots"), dg.AssetKey("channels")]
        done = execute(job, lake, instance, asset_selection=tables)
        first = content(lake)
        assert execute(job, lake, instance, asset_selection=tables).success
    assert done.success
    presence = read_table(lake, presence_key(DAY, "live"), PRESENCE)
    pairs = {(record.channel_id, key) for record in changed for key in record.viewer_keys}
    assert set(presence.select("channel_id", "viewer_key").rows()) == pairs
    assert content(lake) == first
    [made] = [
        event.step_materialization_data.materialization
        for event in done.all_events
        if event.is_step_materialization and event.asset_key == dg.AssetKey("presence_snapshots")
    ]
    assert made.metadata["changed_objects"].value == 1
    # The object is newer than the manifest, so the day counts as late and is made again.
    [late] = scan(lake, first=FIRST, today=FIRST + timedelta(days=1)).late
    assert (late.day, late.objects, late.removed) == (DAY, 1, 0)
    assert entry["key"] == lake.objects("raw/")[0].key
