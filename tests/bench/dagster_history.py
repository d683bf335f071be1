"""Synthetic history, long and short, in Dagster's own storage, behind two webservers on one PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg2
import yaml
from dagster._core.events import PIPELINE_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.test_utils import freeze_time
from dagster._serdes import deserialize_value, serialize_value

from tests.aws.postgres import PostgresServer, free_port, running_postgres
from vieweratlas_dagster.commands.run_jobs import open_instance, run_partition
from vieweratlas_dagster.definitions import build_definitions

from .dagster_runs import FIRST, tiny_lake
from .subject import BenchError

# The events of a run that its assets' pages are made of.
_KEPT = PIPELINE_EVENTS | {
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}
_METADATA = """metadataEntries { label __typename
  ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue }
  ... on MarkdownMetadataEntry { mdStr } ... on TextMetadataEntry { text } ... on UrlMetadataEntry { url }
  ... on BoolMetadataEntry { boolValue } ... on PathMetadataEntry { path } }"""
_STATUSES = """partitionStatuses {
  ... on AssetCheckTimePartitionStatuses { ranges { startKey endKey status } }
  ... on AssetCheckDefaultPartitionStatuses { succeededPartitions failedPartitions } }"""
_EXECUTION = f"""id runId status stepKey timestamp run {{ id status }}
  evaluation {{ severity timestamp description targetMaterialization {{ timestamp runId }} {_METADATA} }}"""
_EVENTS = f"""assetOrError(assetKey: {{path: ["%(asset)s"]}}) {{ ... on Asset {{
  assetEventHistory(limit: 100, eventTypeSelectors: [MATERIALIZATION, FAILED_TO_MATERIALIZE, OBSERVATION]
    %(since)s) {{ cursor results {{
    ... on MaterializationEvent {{ partition runId timestamp stepKey tags {{ key value }} {_METADATA}
      runOrError {{ ... on Run {{ id status pipelineName }} }} }} }} }} }} }}"""
# What the page of the UI asks for by its tabs, the fragments that cost nothing left out.
QUERIES = {
    "overview: latest values": f"""{{ assetOrError(assetKey: {{path: ["%(asset)s"]}}) {{ ... on Asset {{
      assetMaterializations(limit: 1) {{ timestamp runId partition {_METADATA} }}
      assetObservations(limit: 1) {{ timestamp runId partition {_METADATA} }} }} }} }}""",
    "overview: status": f"""{{
      assetNodes(assetKeys: [{{path: ["%(asset)s"]}}], loadMaterializations: true) {{ id opNames
      assetMaterializations(limit: 1) {{ timestamp runId stepKey }}
      partitionStats {{ numMaterialized numMaterializing numPartitions numFailed }}
      assetChecksOrError {{ ... on AssetChecks {{ checks {{ name canExecuteIndividually
        executionForLatestMaterialization {{ id runId status timestamp }} {_STATUSES} }} }} }} }}
      assetsLatestInfo(assetKeys: [{{path: ["%(asset)s"]}}]) {{ unstartedRunIds inProgressRunIds
        latestRun {{ id status startTime endTime }} }} }}""",
    "overview: outdated?": """{ assetNodes(assetKeys: [{path: ["%(asset)s"]}]) { id staleStatus
      staleCauses { key { path } reason category dependency { path } } } }""",
    "overview: freshness": """{ assetNodeOrError(assetKey: {path: ["%(asset)s"]}) { ... on AssetNode {
      freshnessStatusInfo { freshnessStatus
        freshnessStatusMetadata { lastMaterializedTimestamp } } } } }""",
    "overview: last 7 days": f"{{ {_EVENTS} }}",
    "partitions": """{ assetNodeOrError(assetKey: {path: ["%(asset)s"]}) { ... on AssetNode {
      partitionKeysByDimension { name type partitionKeys }
      assetPartitionStatuses { ... on TimePartitionStatuses {
        ranges { status startTime endTime startKey endKey } } } } } }""",
    "checks": f"""{{ assetNodeOrError(assetKey: {{path: ["%(asset)s"]}}) {{ ... on AssetNode {{ jobNames
      assetChecksOrError {{ ... on AssetChecks {{ checks {{ name description blocking canExecuteIndividually
        executionForLatestMaterialization {{ {_EXECUTION} }} {_STATUSES} }} }} }} }} }} }}""",
    "checks: history": f"""{{ assetCheckExecutions(assetKey: {{path: ["%(asset)s"]}},
      checkName: "%(check)s", limit: 31) {{ {_EXECUTION} }} }}""",
}  # fmt: skip


@dataclass(frozen=True)
class Template:
    """A finished run of a job, with the events that outlive it, to be copied to other times.

    Attributes:
        run: the run.
        events: its events about assets, checks, and the run itself, in order.
        partition: its partition key.
    """

    run: dg.DagsterRun
    events: list[EventLogEntry]
    partition: str

    def copy(self, instance: dg.DagsterInstance, partition: str, at: datetime) -> None:
        """Write the run as if it had been of another partition and time."""
        run_id = str(uuid.uuid4())
        words = {self.run.run_id: run_id, self.partition: partition}
        with freeze_time(at):
            run = _renamed(self.run, words)
            instance.run_storage.add_run(
                run._replace(job_snapshot_id=None, execution_plan_snapshot_id=None)
            )
        for number, event in enumerate(self.events):
            moved = _renamed(event, words)._replace(timestamp=at.timestamp() + number / 1000)
            instance.event_log_storage.store_event(moved)


def _renamed(thing: object, words: dict[str, str]) -> object:
    text = serialize_value(thing)
    for old, new in words.items():
        text = text.replace(old, new)
    return deserialize_value(text)


def templates(folder: Path) -> dict[str, Template]:
    """One real run of the daily and of the 6-hourly job, on a tiny lake below ``folder``."""
    settings = tiny_lake(folder, 1)
    (folder / "config.yaml").write_text(yaml.safe_dump({"storage": {"dir": str(settings.storage.dir)}}))
    definitions = build_definitions(settings)
    jobs = {"analysis_daily": f"{FIRST}", "vod_6h": f"{FIRST}-06:00"}
    with open_instance(folder / "templates") as instance:
        return {job: _template(definitions, job, partition, instance) for job, partition in jobs.items()}


def _template(
    definitions: dg.Definitions, job: str, partition: str, instance: dg.DagsterInstance
) -> Template:
    outcome = run_partition(definitions, job, partition, instance)
    if not outcome.success:
        raise BenchError(f"{job} failed: {'; '.join(outcome.failures)}")
    run = instance.get_run_by_id(outcome.run_id)
    events = [
        event
        for event in instance.all_logs(outcome.run_id)
        if event.dagster_event and event.dagster_event.event_type in _KEPT
    ]
    return Template(run, events, partition)


def write_history(
    instance: dg.DagsterInstance, made: dict[str, Template], days: int, now: datetime
) -> None:
    """Write the runs of so many days that end yesterday: each a daily run and four 6-hourly ones."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(days, 0, -1):
        day = midnight - timedelta(days=back)
        for quarter in range(4):
            at = day + timedelta(hours=6 * quarter)
            made["vod_6h"].copy(instance, f"{at:%Y-%m-%d-%H:%M}", at + timedelta(hours=6))
        made["analysis_daily"].copy(instance, f"{day:%Y-%m-%d}", day + timedelta(hours=27))


@contextmanager
def database(server: PostgresServer, name: str, folder: Path) -> Iterator[tuple[Path, dg.DagsterInstance]]:
    """A new database with its DAGSTER_HOME and the instance on it."""
    connection = psycopg2.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        dbname=server.database,
    )
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    home = folder / name
    home.mkdir()
    database = {
        "username": server.user,
        "password": server.password,
        "hostname": server.host,
        "port": server.port,
        "db_name": name,
        "scheme": "postgresql+psycopg2",
    }
    config = {"storage": {"postgres": {"postgres_db": database}}, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        # Connections are kept; otherwise every event would open four.
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3600, max_overflow=10)
        yield home, instance


@contextmanager
def _webserver(home: Path, config: Path) -> Iterator[str]:
    """The UI's server on an instance, with the real code location; yields its address."""
    port = free_port()
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port),
             "-m", "vieweratlas_dagster.definitions"],
            env=os.environ | {"DAGSTER_HOME": str(home), "VIEWERATLAS_CONFIG": str(config)},
            stdout=log,
            stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            if process.poll() is not None:
                raise BenchError(f"the webserver ended: {(home / 'log').read_text()[-500:]}")
            try:
                urllib.request.urlopen(f"{url}/server_info", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def two_pages(
    folder: Path, made: dict[str, Template], lengths: tuple[int, int]
) -> Iterator[tuple[str, str]]:
    """Two webservers, each with a history of so many days; yields their addresses.

    Args:
        folder: where `templates` made the runs.
        made: what it returned.
        lengths: days of history of the first and of the second.

    Raises:
        BenchError: a server did not start.
    """
    now = datetime.now(UTC)
    with ExitStack() as stack:
        server = stack.enter_context(running_postgres())
        homes = []
        for number, days in enumerate(lengths):
            home, instance = stack.enter_context(database(server, f"history_{number}", folder))
            write_history(instance, made, days, now)
            homes.append(home)
        urls = [stack.enter_context(_webserver(home, folder / "config.yaml")) for home in homes]
        yield urls[0], urls[1]


def ask(url: str, query: str) -> tuple[float, dict[str, object]]:
    """Seconds until the answer is there, and the answer.

    Raises:
        BenchError: it is an error.
    """
    request = urllib.request.Request(
        f"{url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            text = response.read()
    except urllib.error.HTTPError as error:
        raise BenchError(f"the webserver refused a query: {error.read().decode()[:500]}") from None
    took = time.perf_counter() - began
    answer = json.loads(text)
    if "errors" in answer:
        raise BenchError(f"the webserver answered {answer['errors'][0]['message']}")
    return took, answer["data"]


def page_queries(asset: str, check: str, now: datetime) -> dict[str, str]:
    """The queries of an asset's page, by what they are for."""
    week_ago = int((now - timedelta(days=7)).timestamp() * 1000)
    words = {"asset": asset, "check": check, "since": f'afterTimestampMillis: "{week_ago}"'}
    return {name: query % words for name, query in QUERIES.items()}
