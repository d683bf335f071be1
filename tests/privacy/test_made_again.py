"""After a viewer is forgotten, the sensor makes what would have been made without them."""

import dagster as dg
import polars as pl
import pytest

from collector_service.contract import live_day_prefix
from collector_service.lake import Lake
from collector_service.privacy.opt_outs import OptOuts
from collector_service.privacy.redaction import record_without
from tests.worlds.days import planted_day, put_day
from tests.worlds.late_desk import DAYS, FIRST, NOON, LateDesk, content_of, run_days, settings_in, with_days
from vieweratlas_dagster.forgetting.erase import Forgetting
from vieweratlas_dagster.forgetting.subject import Subject
from vieweratlas_dagster.lake.keys import channels_key

# One of the planted viewers, who is in three channels on each day.
VIEWER = Subject("viewer", OptOuts(frozenset({1004})))


@pytest.fixture
def without_them(tmp_path):
    """The content of a lake in which that viewer never was."""
    settings = settings_in(tmp_path / "other")
    lake = Lake.open(settings.storage)
    for day in DAYS:
        put_day(lake, day, [record_without(one, VIEWER.opt_outs) for one in planted_day(day)[:12]])
    run_days(settings)
    return content_of(lake)


def test_graphs_are_made_again_as_if_the_viewer_had_never_been_there(tmp_path, made_once, without_them):
    with dg.instance_for_test() as instance:
        desk = LateDesk(with_days(settings_in(tmp_path), made_once), instance)
        assert desk.work_off() == []
        # Raw data of the first day expire; what is left of it is rewritten in place.
        for info in desk.lake.objects(live_day_prefix(FIRST)):
            desk.lake.delete(info.key)
        report = Forgetting(desk.lake, desk.settings, None, NOON).run(VIEWER)
        assert report.days == tuple(f"{day}" for day in DAYS)
        made = desk.work_off()
        assert made == [("graph_daily", FIRST), *(("analysis_daily", f"{day}") for day in DAYS[1:])]
        content = desk.content()
    key = channels_key(FIRST)
    assert content.keys() == without_them.keys()
    assert [name for name in content if content[name] != without_them[name]] == [key]
    # Of a day without raw data, messages are still those that were counted then.
    one, other = (pl.read_parquet(lake[key]).drop("messages") for lake in (content, without_them))
    assert one.equals(other)
