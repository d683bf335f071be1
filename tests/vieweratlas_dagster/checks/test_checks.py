"""The asset checks themselves, each on results that are well and on results that are not."""

import io
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from collector_service.clock import ScaledClock
from collector_service.contract import SnapshotRecord, encode_object, live_key
from vieweratlas_dagster.analysis.atlas import build
from vieweratlas_dagster.analysis.overlap import overlap_graph
from vieweratlas_dagster.checks import freshness, quality
from vieweratlas_dagster.curation.merge import channel_attributes, curate, memberships
from vieweratlas_dagster.curation.validation import inspect_object, manifest
from vieweratlas_dagster.lake_layout import (
    analysis_key,
    channels_key,
    manifest_key,
    presence_key,
    write_table,
)
from vieweratlas_dagster.resources.lake import LakeResource
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, CHANNELS, COMMUNITIES, EDGES, NODES, PARTITION, PRESENCE

DAY = "2026-03-01"
START = datetime(2026, 3, 1, 20, tzinfo=UTC)


def records(**changes):
    """Six channels in two groups of three that share no viewer."""
    values = {"game_name": "Chess", "language": "en", "observed_seconds": 300.0} | changes
    return [
        SnapshotRecord(
            source="live",
            channel=f"c{number}",
            channel_id=number,
            collector_id="c1",
            window_start=START,
            window_seconds=300,
            partial=False,
            viewer_keys=[number + key + 1000 * (number > 3) for key in range(20)],
            viewer_messages=[1] * 20,
            **values,
        )
        for number in range(1, 7)
    ]


def put(lake, key, frame):
    """Write a frame as it is, broken or not."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    lake.put(key, buffer.getvalue())


@pytest.fixture
def resource(tmp_path):
    return LakeResource(type="file", dir=str(tmp_path / "lake"))


@pytest.fixture
def made(resource):
    """A good day in the lake, every table of it."""
    lake = resource.lake
    data = encode_object(records())
    report = inspect_object(live_key(START, "c1"), data, day=DAY, now=START + timedelta(days=1))
    lake.put(manifest_key(DAY), manifest(DAY, [report]))
    curated = curate(records())
    for source, frame in curated.presence.items():
        write_table(lake, presence_key(DAY, source), frame, PRESENCE)
    write_table(lake, channels_key(DAY), curated.channels, CHANNELS)
    graph = overlap_graph(
        memberships(curated.presence.values()),
        channel_attributes([curated.channels]),
        min_channel_viewers=5,
        overlap_threshold=1,
    )
    atlas = build(graph.audiences, graph.edges)
    for name, frame, table in (
        ("audiences", graph.audiences, AUDIENCES),
        ("edges", graph.edges, EDGES),
        ("communities", atlas.communities, COMMUNITIES),
        ("partition", atlas.partition, PARTITION),
        ("nodes", atlas.nodes, NODES),
    ):
        write_table(lake, analysis_key(DAY, f"{name}.parquet"), frame, table)
    lake.put(analysis_key(DAY, "atlas.html"), b"<html>")
    lake.put(analysis_key(DAY, "atlas.png"), b"png")
    return curated, graph, atlas


def result(check, resource, settings=None):
    """Evaluate one check in a run of its own, as Dagster does."""
    definitions = dg.Definitions(
        assets=[dg.AssetSpec(key.asset_key) for key in check.check_keys],
        asset_checks=[check],
        resources={"lake": resource, "settings": settings or Settings()},
        jobs=[dg.define_asset_job("checks", selection=dg.AssetSelection.all_asset_checks())],
    )
    done = definitions.resolve_job_def("checks").execute_in_process(
        tags={"dagster/partition": DAY}, raise_on_error=False
    )
    [evaluation] = done.get_asset_check_evaluations()
    return evaluation


QUALITY = (
    quality.quarantine_is_small,
    quality.day_has_data,
    quality.presence_follows_contract,
    quality.channels_were_observed,
    quality.overlap_is_possible,
    quality.communities_hold_together,
    quality.communities_have_names,
    quality.atlas_is_complete,
)


@pytest.mark.parametrize("check", QUALITY, ids=lambda check: next(iter(check.check_keys)).name)
def test_a_good_day_passes(check, resource, made):
    evaluation = result(check, resource)
    assert evaluation.passed, evaluation.description


def test_refused_lines_beyond_the_limit_are_a_warning(resource, made):
    data = encode_object(records())
    report = inspect_object(live_key(START, "c1"), data[:-20], day=DAY, now=START + timedelta(days=1))
    resource.lake.put(manifest_key(DAY), manifest(DAY, [report]))
    evaluation = result(quality.quarantine_is_small, resource)
    assert not evaluation.passed
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert "bad_gzip" in evaluation.description


def test_a_day_without_records_is_a_warning(resource, made):
    resource.lake.put(manifest_key(DAY), manifest(DAY, []))
    evaluation = result(quality.day_has_data, resource)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_presence_that_breaks_its_contract_blocks(resource, made):
    live = made[0].presence["live"]
    put(resource.lake, presence_key(DAY, "live"), live.vstack(live.head(1)))
    evaluation = result(quality.presence_follows_contract, resource)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert evaluation.blocking
    assert "1 rows repeat" in evaluation.description


def test_presence_of_unknown_channels_blocks(resource, made):
    put(resource.lake, channels_key(DAY), made[0].channels.head(4))
    evaluation = result(quality.presence_follows_contract, resource)
    assert not evaluation.passed
    assert "2 channels are not in the channel dimension" in evaluation.description


def test_too_little_observed_time_is_a_warning(resource, made):
    seen = curate(records(observed_seconds=60.0))
    write_table(resource.lake, channels_key(DAY), seen.channels, CHANNELS)
    evaluation = result(quality.channels_were_observed, resource)
    assert not evaluation.passed
    assert evaluation.metadata["observed_share"].value == pytest.approx(0.2)


def day_with(resource, **statuses):
    """Six channels observed throughout, and so many that were not observed at all, by status."""
    day = records(status="joined")
    for status, count in statuses.items():
        for _ in range(count):
            number = len(day) + 1
            day.append(
                SnapshotRecord(
                    source="live",
                    channel=f"c{number}",
                    channel_id=number,
                    collector_id="c1",
                    window_start=START,
                    window_seconds=300,
                    observed_seconds=0.0,
                    partial=False,
                    observed_intervals=[],
                    status=status.replace("_", " "),
                )
            )
    write_table(resource.lake, channels_key(DAY), curate(day).channels, CHANNELS)
    return result(quality.channels_were_observed, resource)


def test_channels_that_were_never_joined_are_a_warning_that_says_why(resource, made):
    evaluation = day_with(resource, joining=6, no_answer=2, suspended=1)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert evaluation.description == (
        "42.9% of the time of 14 channels was observed; never observed: 6 joining, 2 no answer"
    )
    numbers = {name: value.value for name, value in evaluation.metadata.items()}
    assert numbers == {
        "observed_share": pytest.approx(6 / 14),
        "channels": 14,
        "never_observed": 8,
        "cannot_be_read": 1,
    }


def test_channels_that_cannot_be_read_are_no_warning(resource, made):
    evaluation = day_with(resource, suspended=4, banned=3, not_found=3, renamed=3, opted_out=3)
    assert evaluation.passed
    assert evaluation.metadata["cannot_be_read"].value == 16


def test_an_impossible_overlap_blocks(resource, made):
    wrong = made[1].edges.with_columns(shared_viewers=pl.lit(21, pl.Int64))
    put(resource.lake, analysis_key(DAY, "edges.parquet"), wrong)
    evaluation = result(quality.overlap_is_possible, resource)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert evaluation.blocking


def test_communities_that_do_not_hold_together_are_a_warning(resource, made):
    apart = made[2].partition.with_columns(community=pl.int_range(pl.len(), dtype=pl.Int64))
    write_table(resource.lake, analysis_key(DAY, "partition.parquet"), apart, PARTITION)
    evaluation = result(quality.communities_hold_together, resource)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_generic_names_are_a_warning(resource, made):
    nameless = made[2].communities.with_columns(generic=pl.lit(True))
    write_table(resource.lake, analysis_key(DAY, "communities.parquet"), nameless, COMMUNITIES)
    evaluation = result(quality.communities_have_names, resource)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_a_missing_page_or_channel_blocks(resource, made):
    resource.lake.delete(analysis_key(DAY, "atlas.html"))
    write_table(resource.lake, analysis_key(DAY, "nodes.parquet"), made[2].nodes.head(4), NODES)
    evaluation = result(quality.atlas_is_complete, resource)
    assert not evaluation.passed
    assert "atlas.html is missing; 2 channels of the graph are not on the map" in evaluation.description


def at(instant):
    """Settings whose clock stands at an instant."""
    stopped = ScaledClock(0.0, instant.timestamp(), 1.0, instant.timestamp())
    return Settings(simulation={"clock": stopped.spec()})


@pytest.mark.parametrize(("minutes", "passed"), [(10, True), (29, True), (31, False), (3000, False)])
def test_live_chat_is_as_fresh_as_its_newest_window(resource, minutes, passed):
    resource.lake.put(live_key(START - timedelta(hours=1), "c1"), b"")
    resource.lake.put(live_key(START, "c1", 2), b"")
    evaluation = result(freshness.live_chat_is_fresh, resource, at(START + timedelta(minutes=minutes)))
    assert evaluation.passed == passed
    assert evaluation.metadata["age_minutes"].value == pytest.approx(minutes)


def test_no_live_chat_at_all_is_not_fresh_and_imports_are_none(resource):
    resource.lake.put(live_key(START, "import.0123456789ab"), b"")
    resource.lake.put("raw/snapshots/date=2026-03-01/hour=20/something.ndjson.gz", b"")
    evaluation = result(freshness.live_chat_is_fresh, resource, at(START + timedelta(minutes=5)))
    assert not evaluation.passed
    assert "is the collector running?" in evaluation.description


@pytest.mark.parametrize(
    ("now", "passed"),
    [
        (datetime(2026, 3, 2, 12, tzinfo=UTC), True),
        (datetime(2026, 3, 3, 4, tzinfo=UTC), True),
        (datetime(2026, 3, 3, 6, tzinfo=UTC), False),
    ],
)
def test_yesterdays_atlas_is_looked_for(resource, made, now, passed):
    assert date.fromisoformat(DAY) == date(2026, 3, 1)
    assert result(freshness.atlas_of_yesterday_exists, resource, at(now)).passed == passed
