"""What is held longer than its rule allows is removed, and until then reported."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector_service.lake import Lake, ObjectInfo
from vieweratlas_dagster.automation.retention import days_kept, expires_at
from vieweratlas_dagster.cli import app
from vieweratlas_dagster.commands.retention import holdings
from vieweratlas_dagster.settings import RetentionSettings, Settings

NOW = datetime.now(UTC)


def test_an_object_expires_at_the_midnight_after_its_days_as_by_s3s_rule():
    def of(text):
        return ObjectInfo("raw/x", 1, datetime.fromisoformat(text))

    assert expires_at(of("2026-03-01T00:00:00+00:00"), 7) == datetime(2026, 3, 8, tzinfo=UTC)
    assert expires_at(of("2026-03-01T00:00:01+00:00"), 7) == datetime(2026, 3, 9, tzinfo=UTC)
    assert expires_at(of("2026-03-02T01:30:00+02:00"), 7) == datetime(2026, 3, 9, tzinfo=UTC)


def test_the_local_rules_are_those_of_the_bucket():
    text = Path("infrastructure/aws/lake.tf").read_text()
    for prefix, days in days_kept(RetentionSettings()).items():
        assert f'{{ prefix = "${{var.lake_prefix}}{prefix}", days = {days} }}' in text


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("LAKE_DIR", str(tmp_path / "lake"))
    monkeypatch.setenv("COLLECTOR_STATE_DIR", str(tmp_path / "collector"))
    return Settings.load()


def put(settings, key, age_days, data=b"12345"):
    lake = Lake.open(settings.storage)
    lake.put(key, data)
    stamp = (NOW - timedelta(days=age_days)).timestamp()
    os.utime(settings.storage.dir / key, (stamp, stamp))


def test_the_report_shows_what_is_held_how_old_how_much_and_under_which_rule(settings):
    put(settings, "raw/snapshots/date=2026-01-01/hour=01/a.ndjson.gz", 3)
    put(settings, "raw/vod_chat/date=2026-01-01/vod=1.ndjson.gz", 12)
    put(settings, "raw/vod_chat/date=2026-01-01/vod=2.ndjson.gz", 1)
    put(settings, "quarantine/vod_queue/x.json", 40)
    put(settings, "curated/audiences/date=2020-01-01/audience.parquet", 900)
    spool = settings.collection.state_dir / "spool"
    spool.mkdir(parents=True)
    (spool / "x.ndjson.gz").write_bytes(b"123")
    rows = {row.place: row for row in holdings(settings, NOW)}
    seen = {
        place: (row.rule, row.objects, row.bytes, row.overdue) for place, row in rows.items() if row.objects
    }
    assert seen == {
        "raw/snapshots/": ("30 days", 1, 5, 0),
        "raw/vod_chat/": ("7 days", 2, 10, 1),
        "quarantine/": ("30 days", 1, 5, 1),
        "curated/audiences/": ("as long as you decide", 1, 5, 0),
        str(spool): ("until uploaded", 1, 3, 0),
    }
    assert (NOW - rows["raw/vod_chat/"].oldest).days == 12


def test_what_is_overdue_ends_the_command_with_1_and_says_who_should_have_removed_it(settings):
    runner = CliRunner()
    assert runner.invoke(app, ["retention"]).exit_code == 0
    put(settings, "raw/vod_chat/date=2026-01-01/vod=1.ndjson.gz", 8.5)
    # Whoever removes comes once a night.
    assert runner.invoke(app, ["retention"]).exit_code == 0
    put(settings, "raw/vod_chat/date=2026-01-01/vod=1.ndjson.gz", 12)
    result = runner.invoke(app, ["retention"])
    assert result.exit_code == 1
    assert "1 objects should have been removed by now" in " ".join(result.output.split())
    assert "maintenance" in result.output
