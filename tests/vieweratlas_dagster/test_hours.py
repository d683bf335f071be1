"""Accounts that never sleep, from raw records to the graph: who is left out, and who is not."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from collector_service.contract import encode_object, live_key, viewer_key
from collector_service.lake import Lake
from tests.worlds.records import snapshot
from vieweratlas_dagster.commands.run_jobs import run_partition
from vieweratlas_dagster.definitions import build_definitions
from vieweratlas_dagster.imports.presence import import_presence
from vieweratlas_dagster.lake.keys import analysis_key
from vieweratlas_dagster.lake.tables_io import read_table
from vieweratlas_dagster.settings import Settings
from vieweratlas_dagster.tables import AUDIENCES, EDGES, EXCLUSIONS

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = [FIRST + timedelta(days=offset) for offset in range(3)]
SECRET = "s" * 32
BOT, MARATHON, EVERYWHERE, IMPORTED = "900", "901", "902", "903"
PEOPLE = 10
# 18 hours of five minutes on three days.
LIMIT = 648
UNJUDGED = ("too many hours", 0, 0, 0, None, 0)


def present(day, channel, window):
    """Who wrote in the channel in the day's window."""
    first_day = day == FIRST
    return {
        *(str(viewer) for viewer in range(PEOPLE) if channel <= 3 and window % 12 == viewer),
        *([BOT] if channel == 1 or (channel == 2 and window == 0) else []),
        # 24 hours, and 15 on each of the other days: exactly what is plausible.
        *([MARATHON] if channel == 1 and (first_day or window >= 108) else []),
        # Three channels at once, ten hours a day.
        *([EVERYWHERE] if channel <= 3 and window < 120 else []),
        # Seventeen hours a day, and each import counts as five minutes more.
        *([IMPORTED] if channel == 2 and window < 204 else []),
    }


def records(day):
    for channel in range(1, 5):
        for window in range(288):
            keys = sorted(viewer_key(SECRET, viewer) for viewer in present(day, channel, window))
            yield snapshot(
                channel,
                window_start=day + timedelta(minutes=5 * window),
                messages=len(keys),
                viewer_keys=keys,
                viewer_messages=[1] * len(keys),
            )


def put_days(lake, folder):
    """Three days of chat around the clock, with an import beside it on each of them."""
    presence, channels = folder / "presence.csv", folder / "channels.csv"
    presence.write_text(f"channel,viewer\nc2,{IMPORTED}\nc1,{EVERYWHERE}\nc3,{MARATHON}\n")
    channels.write_text("channel,channel_id\nc1,1\nc2,2\nc3,3\n")
    for day in DAYS:
        lake.put(live_key(day, "c1"), encode_object(list(records(day))))
        import_presence(lake, SECRET, presence, channels, day.date())


def settings_for(folder, **analysis):
    return Settings(
        storage={"dir": folder / "lake"},
        analysis={"min_channel_viewers": 1, "overlap_threshold": 1} | analysis,
    )


def make(settings, job, day, instance):
    outcome = run_partition(build_definitions(settings), job, f"{day:%Y-%m-%d}", instance)
    assert outcome.success, outcome.failures


def table(lake, day, contract):
    return read_table(lake, analysis_key(f"{day:%Y-%m-%d}", f"{contract.name}.parquet"), contract)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The lake after the runs of the three days, their settings, and the instance."""
    folder = tmp_path_factory.mktemp("hours")
    settings = settings_for(folder)
    lake = Lake.open(settings.storage)
    put_days(lake, folder)
    with dg.instance_for_test() as instance:
        for day in DAYS:
            make(settings, "analysis_daily", day, instance)
        yield lake, folder, instance


def test_who_writes_around_the_clock_in_one_channel_is_left_out_and_people_are_not(made):
    lake, *_ = made
    assert table(lake, DAYS[2], EXCLUSIONS).rows() == [
        ("known bot", 0, 0, 0, None, 0),
        ("too many channels", 0, 0, 0, 10, 0),
        ("too many hours", 1, 2, 1, LIMIT, 2),
    ]
    viewers = dict(table(lake, DAYS[2], AUDIENCES).select("channel", "viewers").rows())
    # Everywhere is in three channels; marathon is in the first and, by the import, in the third.
    assert viewers == {"c1": PEOPLE + 2, "c2": PEOPLE + 2, "c3": PEOPLE + 2}
    shared = table(lake, DAYS[2], EDGES).select("source", "target", "shared_viewers").rows()
    assert shared == [("c1", "c2", PEOPLE + 1), ("c1", "c3", PEOPLE + 2), ("c2", "c3", PEOPLE + 1)]


@pytest.mark.parametrize("day", DAYS[:2])
def test_nobody_is_judged_by_hours_of_fewer_than_three_days(made, day):
    lake, *_ = made
    assert table(lake, day, EXCLUSIONS).rows()[2] == UNJUDGED
    assert dict(table(lake, day, AUDIENCES).select("channel", "viewers").rows())["c1"] == PEOPLE + 3


def test_the_setting_says_for_how_long(made):
    lake, folder, instance = made
    before = lake.get(analysis_key(f"{DAYS[2]:%Y-%m-%d}", "exclusions.parquet"))
    for hours, row in ((24, UNJUDGED), (17, ("too many hours", 3, 5, 2, 612, 3))):
        make(settings_for(folder, max_hours_per_day=hours), "graph_daily", DAYS[2], instance)
        assert table(lake, DAYS[2], EXCLUSIONS).rows()[2] == row
    make(settings_for(folder), "graph_daily", DAYS[2], instance)
    assert lake.get(analysis_key(f"{DAYS[2]:%Y-%m-%d}", "exclusions.parquet")) == before


@pytest.mark.parametrize("hours", [0, -1, 17.5, "many"])
def test_hours_that_are_none_are_refused_by_name(hours):
    with pytest.raises(ValueError, match=r"analysis\.max_hours_per_day"):
        Settings(analysis={"max_hours_per_day": hours})
