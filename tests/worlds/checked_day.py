"""A day whose every table is well, to be broken by the tests, and how a check is run."""

import io
from datetime import UTC, datetime, timedelta

import dagster as dg

from collector_service.clock import ScaledClock
from collector_service.contract import encode_object, live_key
from tests.worlds.records import snapshot
from vieweratlas_dagster.analysis.atlas import build
from vieweratlas_dagster.analysis.audiences import day_audience
from vieweratlas_dagster.analysis.overlap import overlap_graph
from vieweratlas_dagster.checks.check import definitions_of
from vieweratlas_dagster.curation.merge import channel_attributes, curate
from vieweratlas_dagster.curation.validation import inspect_object
from vieweratlas_dagster.lake.keys import (
    analysis_key,
    channels_key,
    day_audience_key,
    presence_key,
)
from vieweratlas_dagster.lake.manifests import write_day_manifest
from vieweratlas_dagster.lake.tables_io import write_table
from vieweratlas_dagster.resources.partitions import daily
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import CHANNELS, DAY_AUDIENCES, EVENTS, PRESENCE

DAY = "2026-03-01"
START = datetime(2026, 3, 1, 20, tzinfo=UTC)


def records(day=DAY, viewers=20, **changes):
    """Six channels in two groups of three that share no viewer."""
    values = {"game_name": "Chess", "language": "en", "observed_seconds": 300.0} | changes
    return [
        snapshot(
            number,
            window_start=datetime.fromisoformat(f"{day}T20:00:00+00:00"),
            viewer_keys=[number + key + 1000 * (number > 3) for key in range(viewers)],
            viewer_messages=[1] * viewers,
            **values,
        )
        for number in range(1, 7)
    ]


def put(lake, key, frame):
    """Write a frame as it is, broken or not."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    lake.put(key, buffer.getvalue())


def put_manifest(lake, data, day=DAY):
    report = inspect_object(live_key(START, "c1"), data, day=day, now=START + timedelta(days=1))
    write_day_manifest(lake, day, [report])


def put_curated(lake, day, rows):
    made = curate(rows)
    for source, frame in made.presence.items():
        write_table(lake, presence_key(day, source), frame, PRESENCE)
    write_table(lake, channels_key(day), made.channels, CHANNELS)
    return made


def put_good_day(lake):
    """All results of the day but its raw objects, as (curated, graph, atlas)."""
    put_manifest(lake, encode_object(records()))
    curated = put_curated(lake, DAY, records())
    audience = write_table(
        lake, day_audience_key(DAY), day_audience(list(curated.presence.values())), DAY_AUDIENCES
    )
    graph = overlap_graph(
        audience,
        channel_attributes([curated.channels]),
        min_channel_viewers=5,
        overlap_threshold=1,
    )
    atlas = build(graph.audiences, graph.edges)
    for name, frame in (
        ("audiences", graph.audiences),
        ("edges", graph.edges),
        ("left_out", graph.left_out),
        ("exclusions", graph.exclusions),
        ("partition", atlas.partition),
        ("events", EVENTS.empty()),
        ("communities", atlas.communities),
        ("nodes", atlas.nodes),
    ):
        put(lake, analysis_key(DAY, f"{name}.parquet"), frame)
    lake.put(analysis_key(DAY, "atlas.html"), b"<html>")
    lake.put(analysis_key(DAY, "atlas.png"), b"png")
    return curated, graph, atlas


def limits(**checks):
    """Settings that judge small maps too."""
    return Settings(checks={"min_judged_channels": 2, **checks})


def at(instant, **sections):
    """Settings whose clock stands at an instant."""
    stopped = ScaledClock(0.0, instant.timestamp(), 1.0, instant.timestamp())
    return Settings(simulation={"clock": stopped.spec()}, **sections)


def result(check, resource, settings=None):
    """Evaluate one check in a run of its own, as Dagster does."""
    settings = settings or limits()
    definitions = dg.Definitions(
        assets=[dg.AssetSpec(check.asset, partitions_def=daily if check.of_a_day else None)],
        asset_checks=definitions_of([check], settings.checks, daily),
        resources={"lake": resource, "settings": settings},
        jobs=[dg.define_asset_job("checks", selection=dg.AssetSelection.all_asset_checks())],
    )
    tags = {"dagster/partition": DAY} if check.of_a_day else {}
    done = definitions.resolve_job_def("checks").execute_in_process(tags=tags, raise_on_error=False)
    [evaluation] = done.get_asset_check_evaluations()
    return evaluation


def numbers(evaluation):
    """The metadata as plain values."""
    return {name: value.value for name, value in evaluation.metadata.items()}


def verdict(evaluation):
    """Whether it passed, and its severity."""
    return evaluation.passed, evaluation.severity.value
