"""Every check of the runbook: broken as its section says, seen to fail, mended by its **Do**, seen to pass.

docs/RUNBOOK.md names the story of each section. Where the remedy is outside, such as a collector that is
started again, the story goes on with the data that then arrive in the lake.
"""

import asyncio
import itertools
import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from collector_service.contract import SnapshotRecord, encode_object, live_key
from collector_service.lake import Lake
from collector_service.twitch.vod_chat import VodGoneError
from tests.worlds import past_broadcasts as shelves
from tests.worlds import vod_chats as vods
from tests.worlds.checked_day import DAY, at, put, put_curated, records
from tests.worlds.days import planted_day, put_day, settings_for
from vieweratlas_dagster.alerts.heartbeat import HEARTBEAT_KEY
from vieweratlas_dagster.automation.sensors import vieweratlas_alerts
from vieweratlas_dagster.checks.all_checks import ALL_CHECKS
from vieweratlas_dagster.checks.check import View
from vieweratlas_dagster.cli import app
from vieweratlas_dagster.commands.doctor import examine
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.lake.keys import (
    analysis_key,
    channels_key,
    day_audience_key,
    days_up_to,
    presence_key,
)
from vieweratlas_dagster.lake.manifests import begin_map
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.resources.lake_resource import LakeResource
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import (
    CHANNELS,
    COMMUNITIES,
    DAY_AUDIENCES,
    EDGES,
    EVENTS,
    LEFT_OUT,
    NODES,
    PARTITION,
    PRESENCE,
    Table,
)
from vieweratlas_dagster.vod.discovery import discover
from vieweratlas_dagster.vod.queue_store import QUEUE_KEY, QueueError, QueueStore

CHECKS = {one.name: one for one in ALL_CHECKS}
TODAY = date.fromisoformat(DAY)
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
HOUR = timedelta(hours=1)
NOON_AFTER = at(datetime(2026, 3, 2, 12, tzinfo=UTC))


class RunbookDesk:
    """A lake, and an operator who runs jobs over it and looks at checks."""

    def __init__(self, folder, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.settings = settings_for(folder)
        self.resource = LakeResource.of(self.settings.storage)
        self.lake = self.resource.lake

    def passes(self, name: str, settings: Settings | None = None) -> bool:
        """The check by itself: of the present, or of ``DAY``. One that cannot be judged raises."""
        return CHECKS[name].judge(View(self.lake, settings or self.settings, DAY)).passed

    def make(self, job: str, *assets: str, day: date = TODAY, **analysis: object) -> dict[str, bool]:
        """Run a job for a day, or only these assets of it; whether each check of the run passed."""
        settings = self.settings.model_copy(
            update={"analysis": self.settings.analysis.model_copy(update=analysis)}
        )
        done = (
            build_definitions(settings)
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                partition_key=f"{day}",
                asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
                raise_on_error=False,
                run_config=QUIET,
            )
        )
        return {one.check_name: one.passed for one in done.get_asset_check_evaluations()}


@pytest.fixture(scope="module")
def instance():
    """One for all: no story looks at the runs of another."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def desk(tmp_path, instance):
    """A desk over an empty lake."""
    return RunbookDesk(tmp_path, instance)


@pytest.fixture(scope="module")
def two_days(tmp_path_factory, instance):
    """The folder of a lake with two days, the later of which was made first."""
    folder = tmp_path_factory.mktemp("two_days")
    desk = RunbookDesk(folder, instance)
    for day in (TODAY, YESTERDAY):
        put_day(desk.lake, day, planted_day(day))
        assert all(desk.make("analysis_daily", day=day).values())
    return folder


@pytest.fixture
def made(desk, two_days):
    """A desk over a copy of those days."""
    shutil.copytree(two_days / "lake", desk.settings.storage.dir, dirs_exist_ok=True)
    return desk


# Of the present


def test_a_round_of_the_sensor_is_a_sign_of_life(desk):
    old = datetime.now(UTC) - timedelta(hours=3)
    desk.lake.put(HEARTBEAT_KEY, json.dumps({"at": old.isoformat()}).encode())

    def heard() -> bool:
        return next(one.ok for one in examine(desk.settings) if one.subject == "heartbeat")

    assert not heard()
    resources = {"lake": desk.resource, "settings": desk.settings}
    with dg.build_sensor_context(instance=desk.instance, resources=resources) as context:
        vieweratlas_alerts(context)
    assert heard()


def test_the_next_window_makes_live_chat_fresh(desk):
    now = at(datetime(2026, 3, 2, 10, 40, tzinfo=UTC))
    put_day(desk.lake, TODAY, planted_day(TODAY))
    assert not desk.passes("live_chat_is_fresh", now)
    desk.lake.put(live_key(datetime(2026, 3, 2, 10, 35, tzinfo=UTC), "c1"), b"")
    assert desk.passes("live_chat_is_fresh", now)


def test_a_spool_that_is_uploaded_fills_the_missing_hours(desk):
    now = datetime(2026, 3, 2, 10, 40, tzinfo=UTC)
    hours = [now - number * HOUR for number in range(1, 27)]
    spool = hours[3:5]
    for start in set(hours) - set(spool):
        desk.lake.put(live_key(start, "c1"), b"")
    assert not desk.passes("live_hours_are_complete", at(now))
    # Without a spool the gap is a day old at last, if the collector goes on.
    for start in (now + number * HOUR for number in range(24)):
        desk.lake.put(live_key(start, "c1"), b"")
    assert desk.passes("live_hours_are_complete", at(now + 24 * HOUR))
    for start in spool:
        desk.lake.put(live_key(start, "c1"), b"")
    assert desk.passes("live_hours_are_complete", at(now))


def test_a_higher_limit_lets_the_vod_queue_move(desk):
    later = vods.NOW + timedelta(days=2)
    now, hands = at(later, vod={"enabled": True}), vods.Hands(later.timestamp())
    vods.fill(desk.lake, 3)
    source = vods.Chats({str(number): vods.chat(number) for number in range(3)})
    few = at(vods.NOW, vod={"enabled": True}, checks={"max_vods_waiting": 1})
    assert not desk.passes("vod_queue_moves", few)
    asyncio.run(vods.run(desk.lake, source, hands, max_vods_per_run=1))
    # Two still wait: one too many, and for too long two days later.
    assert not desk.passes("vod_queue_moves", few)
    assert not desk.passes("vod_queue_moves", now)
    asyncio.run(vods.run(desk.lake, source, hands, max_vods_per_run=50))
    assert desk.passes("vod_queue_moves", few)
    assert desk.passes("vod_queue_moves", now)


def vieweratlas(desk: RunbookDesk, *arguments: str) -> None:
    """A command of the page on the desk's lake."""
    done = CliRunner().invoke(app, list(arguments), env={"LAKE_DIR": str(desk.settings.storage.dir)})
    assert done.exit_code == 0, done.output


def test_a_broken_a_restored_and_a_lost_vod_queue_are_whole_again(desk):
    now = at(vods.NOW, vod={"enabled": True})
    shelf = shelves.Shelf({1: [shelves.video(number) for number in range(1, 4)]})

    def find() -> int:
        return asyncio.run(
            discover(shelf, desk.lake, [shelves.seen(1)], shelves.settings(), now=shelves.NOW)
        ).queued

    def usable() -> bool:
        """Whether the check can be judged, and then passes."""
        try:
            return desk.passes("vod_queue_moves", now) and desk.passes("vods_can_be_read", now)
        except QueueError:
            return False

    assert find() == 3
    whole = desk.lake.get(QUEUE_KEY)
    earlier = json.loads(whole)
    del earlier["items"][2]
    one_bad = json.loads(whole)
    one_bad["items"][0]["attempts"] = "many"
    for damage, kept in (
        (lambda: desk.lake.put(QUEUE_KEY, json.dumps(one_bad).encode()), 2),
        # Of a torn queue the entries before the tear are whole.
        (lambda: desk.lake.put(QUEUE_KEY, whole[: len(whole) // 2]), 1),
        (lambda: desk.lake.delete(QUEUE_KEY), 0),
    ):
        damage()
        assert not usable()
        vieweratlas(desk, "vod", "recover")
        assert usable()
        assert (len(QueueStore(desk.lake).load()), find()) == (kept, 3 - kept)
        assert desk.lake.get(QUEUE_KEY) == whole
    # An earlier version is usable, but lacks what was found since.
    desk.lake.put(QUEUE_KEY, json.dumps(earlier).encode())
    assert find() == 0
    vieweratlas(desk, "vod", "recover")
    assert find() == 1
    assert desk.lake.get(QUEUE_KEY) == whole


def test_dead_recordings_are_read_once_they_are_retried(desk):
    now, hands = at(vods.NOW, vod={"enabled": True}), vods.Hands()
    limits = {"max_attempts": 1}
    vods.fill(desk.lake, 12)
    names = [str(number) for number in range(12)]
    ill = vods.Chats(
        {name: vods.chat(int(name)) for name in names},
        ends=dict.fromkeys(names[:4], "HTTP 503") | {"11": VodGoneError("deleted")},
        stop_after=dict.fromkeys(names[:4], 0),
    )
    asyncio.run(vods.run(desk.lake, ill, hands, **limits))
    assert not desk.passes("vods_can_be_read", now)
    vieweratlas(desk, "vod", "retry", "--dead")
    # Not by the command alone.
    assert not desk.passes("vods_can_be_read", now)
    well = vods.Chats(ill.chats)
    asyncio.run(vods.run(desk.lake, well, hands, **limits))
    assert desk.passes("vods_can_be_read", now)
    assert sorted(well.reads) == names[:4]


# Of a day's input


def test_an_object_that_is_uploaded_again_is_in_quarantine_no_more(desk):
    good = encode_object(planted_day(TODAY))
    key = live_key(datetime(2026, 3, 1, 20, tzinfo=UTC), "c1")
    desk.lake.put(key, good[: len(good) // 2])
    assert not desk.make("analysis_daily", "snapshots")["quarantine_is_small"]
    desk.lake.put(key, good)
    assert desk.make("analysis_daily", "snapshots")["quarantine_is_small"]


def test_a_day_has_data_once_they_have_arrived(desk):
    assert not desk.make("analysis_daily", "snapshots")["day_has_data"]
    put_day(desk.lake, TODAY, planted_day(TODAY))
    assert desk.make("analysis_daily", "snapshots")["day_has_data"]


def test_the_usual_volume_follows_a_wanted_change_within_four_days(desk):
    def verdict_so_many_days_after_the_change(count: int) -> bool:
        days = days_up_to(DAY, 8)
        for number, day in enumerate(reversed(days)):
            put_curated(desk.lake, day, records(day, 50 if number <= count else 20))
        return desk.passes("volume_is_usual")

    assert [verdict_so_many_days_after_the_change(count) for count in (0, 3, 4)] == [False, False, True]


def test_a_list_that_the_join_rate_can_serve_is_observed(desk):
    def with_so_many_more(day: date, count: int) -> list[SnapshotRecord]:
        served = planted_day(day)
        waiting = [
            replace(
                one,
                channel=f"waiting_{number}",
                channel_id=1000 + number,
                observed_seconds=0.0,
                observed_intervals=[],
                messages=0,
                viewer_keys=[],
                viewer_messages=[],
                known_bots=[],
                status="joining",
            )
            for number, one in enumerate((served * 2)[:count])
        ]
        return [*served, *waiting]

    put_day(desk.lake, TODAY, with_so_many_more(TODAY, 40))
    put_day(desk.lake, TOMORROW, with_so_many_more(TOMORROW, 8))
    only = ("snapshots", "presence_snapshots", "channels")
    assert not desk.make("analysis_daily", *only)["channels_were_observed"]
    assert desk.make("analysis_daily", *only, day=TOMORROW)["channels_were_observed"]


# Of tables that another hand, two runs at once, or a run that was stopped have left


def _map_key(table: Table) -> str:
    return analysis_key(DAY, f"{table.name}.parquet")


def _rewrite(lake: Lake, key: str, table: Table, **columns: pl.Expr) -> None:
    put(lake, key, read_table(lake, key, table).with_columns(**columns))


def _break_curated(lake: Lake) -> None:
    begin_map(lake, DAY)
    channels = read_table(lake, channels_key(DAY), CHANNELS)
    put(lake, channels_key(DAY), channels.head(4).with_columns(viewer_login=pl.lit("x")))
    presence = read_table(lake, presence_key(DAY, "live"), PRESENCE)
    put(lake, presence_key(DAY, "live"), pl.concat([presence, presence.head(1)]))
    _rewrite(lake, day_audience_key(DAY), DAY_AUDIENCES, viewer_login=pl.lit("x"))


def _break_map(lake: Lake) -> None:
    strange = pl.lit("x")
    _rewrite(lake, _map_key(LEFT_OUT), LEFT_OUT, viewer_login=strange)
    _rewrite(lake, _map_key(EDGES), EDGES, shared_viewers=pl.lit(10**6, pl.Int64))
    _rewrite(lake, _map_key(EVENTS), EVENTS, viewer_login=strange)
    _rewrite(lake, _map_key(PARTITION), PARTITION, channel=pl.lit("stranger_") + pl.col("channel"))
    _rewrite(lake, _map_key(COMMUNITIES), COMMUNITIES, viewer_login=strange, size=pl.col("size") + 1)
    _rewrite(lake, _map_key(NODES), NODES, viewer_login=strange, label=pl.lit("Nobody"))
    lake.delete(analysis_key(DAY, "atlas.html"))


MADE_AGAIN = {
    "analysis_daily": (
        _break_curated,
        (
            "presence_follows_contract",
            "presence_refers_to_channels",
            "channels_follow_contract",
            "audiences_follow_contract",
            "atlas_of_yesterday_exists",
        ),
    ),
    "graph_daily": (
        _break_map,
        (
            "graph_follows_contract",
            "overlap_is_possible",
            "partition_follows_contract",
            "partition_refers_to_audiences",
            "communities_follow_contract",
            "communities_refer_to_partition",
            "nodes_follow_contract",
            "nodes_refer_to_communities",
            "atlas_is_complete",
        ),
    ),
}


@pytest.fixture(scope="module", params=MADE_AGAIN)
def made_again(request, two_days, tmp_path_factory, instance):
    """What each check, and every check of the run, says of a broken day and of that day made again."""
    desk = RunbookDesk(tmp_path_factory.mktemp("broken"), instance)
    shutil.copytree(two_days / "lake", desk.settings.storage.dir, dirs_exist_ok=True)
    break_tables, names = MADE_AGAIN[request.param]
    break_tables(desk.lake)
    broken = {name: desk.passes(name, NOON_AFTER) for name in names}
    verdicts = desk.make(request.param)
    return names, broken, {name: desk.passes(name, NOON_AFTER) for name in names}, verdicts


def test_a_day_that_is_made_again_has_whole_tables(made_again):
    names, broken, mended, verdicts = made_again
    assert broken == dict.fromkeys(names, False)
    assert mended == dict.fromkeys(names, True)
    assert [name for name, passed in verdicts.items() if not passed] == []


# Of maps that settings, days or metadata have spoilt


UP_TO_THE_COMMUNITIES = ("overlap_graph", "community_partitions")


@pytest.mark.parametrize(
    ("check", "wrong", "right"),
    [
        ("exclusions_are_bounded", {"max_channels_per_viewer": 2}, {"max_channels_per_viewer": 100}),
        ("community_sizes_are_plausible", {"resolution": 0.001}, {"resolution": 1.0}),
        ("community_sizes_are_plausible", {"resolution": 0.001}, {"resolution": None}),
        ("community_sizes_are_plausible", {"overlap_threshold": 10_000}, {"overlap_threshold": 2}),
    ],
)
def test_the_setting_and_graph_daily_make_the_map_plausible(made, check, wrong, right):
    assert not made.make("graph_daily", *UP_TO_THE_COMMUNITIES, **wrong)[check]
    assert made.make("graph_daily", *UP_TO_THE_COMMUNITIES, **right)[check]


def mixed_day() -> list[SnapshotRecord]:
    """Four groups of six big channels, and thirty small ones whose viewers come from everywhere."""
    big, count = 24, 54
    keys = itertools.count(1000)
    audience: list[list[int]] = [
        list(itertools.islice(keys, 400 if number < big else 0)) for number in range(count)
    ]
    for one, other in itertools.combinations(range(count), 2):
        same_group = other < big and one // 6 == other // 6
        shared = 30 if same_group else 2 if other < big else 8
        for key in itertools.islice(keys, shared):
            audience[one].append(key)
            audience[other].append(key)
    template = planted_day(TODAY)[0]
    return [
        replace(
            template,
            channel=f"channel_{number}",
            channel_id=number + 1,
            messages=len(viewers),
            viewer_keys=sorted(viewers),
            viewer_messages=[1] * len(viewers),
            known_bots=[],
        )
        for number, viewers in enumerate(audience)
    ]


@pytest.mark.parametrize("right", [{"min_channel_viewers": 700}, {"overlap_threshold": 10}], ids=str)
def test_without_weak_ties_communities_hold_together(desk, right):
    put_day(desk.lake, TODAY, mixed_day())
    desk.make("analysis_daily", "snapshots", "presence_snapshots", "channels")
    assert not desk.make("graph_daily", *UP_TO_THE_COMMUNITIES)["communities_hold_together"]
    assert desk.make("graph_daily", *UP_TO_THE_COMMUNITIES, **right)["communities_hold_together"]


def test_days_that_are_made_again_oldest_first_keep_their_communities(made):
    assert not made.passes("communities_are_stable")
    for day in (YESTERDAY, TODAY):
        verdicts = made.make("graph_daily", day=day)
    assert verdicts["communities_are_stable"]
    assert made.passes("communities_are_stable")


def test_communities_have_names_once_metadata_come(desk):
    put_day(desk.lake, TODAY, [replace(one, game_name=None, language=None) for one in planted_day(TODAY)])
    put_day(desk.lake, TOMORROW, planted_day(TOMORROW))
    only = ("snapshots", "presence_snapshots", "channels", *UP_TO_THE_COMMUNITIES, "community_labels")
    assert not desk.make("analysis_daily", *only)["communities_have_names"]
    assert desk.make("analysis_daily", *only, day=TOMORROW)["communities_have_names"]
    assert not desk.passes("communities_have_names")
