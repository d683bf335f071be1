"""The command line: what it makes, its exit codes, and messages that say what to do."""

import os
import random
import socket
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from collector_service.contract import decode_lines, parse_record
from vieweratlas_dagster.cli import app

EXAMPLE = Path("examples/twitch-atlas-2020-08").resolve()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty working folder with the project's config, so that relative defaults stay inside it."""
    config = Path("config").resolve()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").symlink_to(config)
    for name in list(os.environ):
        if name.startswith(("TWITCH", "DAGSTER", "VIEWER", "LAKE", "STORAGE", "S3_", "COLLECTOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "data" / "dagster"))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def one_line(result):
    return " ".join((result.output + result.stderr).split())


def test_help_names_every_command():
    result = run("--help")
    assert result.exit_code == 0
    for name in ("demo", "collect", "live", "analyze", "ui", "map", "import", "doctor"):
        assert f" {name} " in result.output
        assert run(name, "--help").exit_code == 0


def test_map_makes_the_whole_atlas_from_the_example(home):
    result = run("map", "--edges", EXAMPLE / "edges.csv", "--nodes", EXAMPLE / "nodes.csv", "--out", "out")
    assert result.exit_code == 0, result.output
    assert {path.name for path in Path("out").iterdir()} >= {
        *("nodes.parquet", "edges.parquet", "communities.parquet", "events.parquet"),
        *("atlas.html", "atlas.png", "atlas.svg", "graph.gexf", "graph.graphml", "channels.zip"),
        *("nodes.csv", "edges.csv", "communities.csv", "published_edges.parquet"),
    }
    nodes = pl.read_parquet("out/nodes.parquet")
    edges = pl.read_parquet("out/edges.parquet")
    assert nodes.height == 821
    assert nodes["community"].null_count() == 84
    assert edges.height == 9573
    truth = pl.read_csv(EXAMPLE / "edges.csv", schema_overrides={"source": pl.String, "target": pl.String})
    assert edges.select("source", "target", "shared_viewers").equals(
        truth.cast({"shared_viewers": pl.Int64}).sort("source", "target")
    )


def test_map_refuses_a_bad_list_and_leaves_nothing(home):
    Path("bad.csv").write_text("source,target,shared_viewers\na,b,5\na,c,-2\n")
    result = run("map", "--edges", "bad.csv", "--out", "out")
    assert result.exit_code == 1
    assert "bad.csv" in one_line(result)
    assert "3" in one_line(result)
    assert not Path("out").exists()


def test_map_takes_names_of_your_own(home):
    Path("list.csv").write_text("source,target,shared_viewers\na,b,5\nb,c,5\na,c,5\n")
    Path("names.yaml").write_text("community:\n  1: The three\n  8: Nobody\n")
    result = run("map", "--edges", "list.csv", "--out", "out", "--labels", "names.yaml")
    assert result.exit_code == 0, result.output
    assert "named but not on the map community 8 (Nobody)" in one_line(result)
    assert set(pl.read_parquet("out/nodes.parquet")["label"]) == {"The three"}
    Path("names.yaml").write_text("community:\n  one: The three\n")
    result = run("map", "--edges", "list.csv", "--out", "other", "--labels", "names.yaml")
    assert result.exit_code == 1
    assert "names.yaml, line 2: community 'one' is not an id" in one_line(result)
    assert not Path("other").exists()


def test_import_and_analyze_make_an_atlas_of_membership_rows(home):
    rng = random.Random(4)
    rows = {
        (f"{group}_{rng.randrange(5)}", f"{group}viewer{rng.randrange(120)}")
        for group in ("chess", "music")
        for _ in range(1500)
    }
    Path("presence.csv").write_text(
        "channel,viewer\n" + "".join(f"{channel},{viewer}\n" for channel, viewer in sorted(rows))
    )
    games = {"chess": "Chess", "music": "Music"}
    Path("channels.csv").write_text(
        "channel,game_name,language\n"
        + "".join(f"{group}_{number},{games[group]},en\n" for group in games for number in range(5))
    )
    arguments = ("--presence", "presence.csv", "--channels", "channels.csv", "--date", "2022-01-12")
    result = run("import", *arguments)
    assert result.exit_code == 0, result.output
    assert f"10 channels, 240 viewers, {len(rows)} memberships" in one_line(result)
    assert "vieweratlas analyze --day 2022-01-12" in one_line(result)
    assert "earlier import" not in one_line(result)
    result = run("analyze", "--day", "2022-01-12")
    assert result.exit_code == 0, result.output
    assert "10 channels in 2 communities" in one_line(result)
    nodes = pl.read_parquet("data/lake/curated/analysis/latest/nodes.parquet")
    assert nodes.height == 10
    Path("more.csv").write_text("channel,viewer\nchess_0,somebody\n")
    again = run("import", "--presence", "more.csv", "--date", "2022-01-12")
    assert "An earlier import of 2022-01-12 stays and counts too: file://" in one_line(again)
    groups = nodes.with_columns(group=pl.col("channel").str.split("_").list.first())
    assert groups.select("group", "community").n_unique() == 2
    assert sorted(nodes["label"].unique()) == sorted(
        {label for label in nodes["label"] if "Chess" in label or "Music" in label}
    )


def test_import_marks_the_bots_of_the_list_and_says_when_there_is_none(home, tmp_path, monkeypatch):
    Path("p.csv").write_text("channel,viewer\na,Nightbot\na,person\n")
    assert run("import", "--presence", "p.csv", "--date", "2022-01-12").exit_code == 0
    (found,) = (home / "data/lake").rglob("*.ndjson.gz")
    (record,) = (parse_record(line) for line in decode_lines(found.read_bytes()))
    assert (len(record.viewer_keys), len(record.known_bots)) == (2, 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    result = run("import", "--presence", home / "p.csv", "--date", "2022-01-12")
    assert result.exit_code == 0
    assert "config/bots.txt does not exist, so no viewer is marked as a known bot." in one_line(result)
    Path("settings.yaml").write_text("collection: {bots_file: my_bots.txt}\n")
    result = run(
        "import", "--presence", home / "p.csv", "--date", "2022-01-12", "--config", "settings.yaml"
    )
    assert result.exit_code == 2
    assert "collection.bots_file: cannot read my_bots.txt" in one_line(result)


def test_import_names_file_and_line(home):
    Path("p.csv").write_text("channel,viewer\nok,1\nnot ok,1\n")
    result = run("import", "--presence", "p.csv", "--date", "2022-01-12")
    assert result.exit_code == 1
    assert "p.csv, row 3: channel 'not ok' is not a login" in one_line(result)


def test_a_wrong_setting_stops_every_command_with_one_line(home):
    Path("c.yaml").write_text("analysis: {window_days: 0}\n")
    for arguments in (
        ("analyze",),
        ("doctor",),
        ("collect",),
        ("import", "--presence", "x", "--date", "2022-01-12"),
        ("map", "--edges", "x", "--out", "y"),
    ):
        if arguments == ("collect",):
            Path("c.yaml").write_text("collection: {window_seconds: 7}\n")
        result = run(*arguments, "--config", "c.yaml")
        assert result.exit_code == 2, arguments
        assert "wrong setting" in result.stderr
        Path("c.yaml").write_text("analysis: {window_days: 0}\n")


def test_a_day_must_be_a_day(home):
    result = run("analyze", "--day", "someday")
    assert result.exit_code == 2
    assert "YYYY-MM-DD" in one_line(result)
    for day in ("2019-12-31", "2199-01-01"):
        result = run("analyze", "--day", day)
        assert result.exit_code == 2
        assert "analysis.first_day" in one_line(result)


def test_the_ui_needs_something_to_show(home):
    result = run("ui")
    assert result.exit_code == 1
    assert "run `make demo`" in one_line(result)
    assert not Path("data/demo").exists()


def test_doctor_finds_what_is_wrong(home, monkeypatch):
    monkeypatch.setenv("TWITCH_IRC_URL", "irc://127.0.0.1:1")
    monkeypatch.delenv("DAGSTER_HOME")
    result = run("doctor")
    text = one_line(result)
    assert result.exit_code == 0
    assert "ok settings" in text
    assert "ok lake: data/lake will be created on first use" in text
    assert "ok viewer key: will be created in data/viewer_key.secret" in text
    assert not Path("data").exists()
    assert "note Twitch chat: 127.0.0.1:1 cannot be reached" in text
    assert "note channels: no channels to collect: set TWITCH_CHANNELS" in text
    assert "ok atlas page" in text
    assert "ok Dagster: 11 assets load" in text


def test_doctor_fails_on_what_everything_needs(home):
    Path("data").mkdir()
    Path("data/lake").write_text("a file where the lake should be")
    Path("data/viewer_key.secret").write_text("short")
    result = run("doctor")
    assert result.exit_code == 1
    assert "FAIL lake" in one_line(result)
    assert "FAIL viewer key" in one_line(result)


def test_map_never_writes_over_its_input_or_strangers(home):
    edges = Path("mine/edges.csv")
    edges.parent.mkdir()
    edges.write_text("source,target,shared_viewers\na,b,5\n")
    for out, expected in (("mine", "the input is in it"), (".", "not an earlier result")):
        result = run("map", "--edges", edges, "--out", out)
        assert result.exit_code == 1
        assert expected in one_line(result)
    assert edges.read_text() == "source,target,shared_viewers\na,b,5\n"
    for option in (
        ("--resolution", "-1"),
        ("--resolution", "nan"),
        ("--resolution", "inf"),
        ("--seed", "99999999999"),
    ):
        result = run("map", "--edges", edges, "--out", "out", *option)
        assert result.exit_code == 2, option
        assert f"analysis.{option[0][2:]}" in one_line(result)


def test_analyze_of_nothing_says_so(home):
    Path("data/lake").mkdir(parents=True)
    result = run("analyze", "--day", "2025-06-01")
    assert result.exit_code == 1
    assert "the map of 2025-06-01 has no channels: nothing was collected or imported" in one_line(result)
    result = run("analyze", "--day", "2022-01-12", "--to", "2022-01-10")
    assert result.exit_code == 2
    assert "--to 2022-01-10 is before --from 2022-01-12" in one_line(result)


def test_analyze_makes_no_lake_of_its_own(home):
    result = run("analyze", "--day", "2025-06-01")
    assert result.exit_code == 2
    assert "data/lake does not exist; collect or import first, or name a different lake" in one_line(result)
    assert "VIEWERATLAS_CONFIG" in one_line(result)
    assert not Path("data").exists()


def test_the_environment_names_the_settings_of_every_command(home, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME")
    Path("elsewhere").mkdir()
    Path("elsewhere/named.yaml").write_text(
        "storage: {dir: elsewhere/lake}\nprivacy: {viewer_key_file: elsewhere/key}\n"
        "analysis: {min_channel_viewers: 1}\n"
    )
    Path("config").unlink()
    Path("config").mkdir()
    Path("config/config.yaml").write_text("analysis: {window_days: 0}\n")
    Path("presence.csv").write_text("channel,viewer\n" + "".join(f"chess_0,{n}\n" for n in range(20)))
    monkeypatch.setenv("VIEWERATLAS_CONFIG", "elsewhere/named.yaml")
    result = run("import", "--presence", "presence.csv", "--date", "2022-01-12")
    assert result.exit_code == 0, result.stderr
    result = run("analyze", "--day", "2022-01-12")
    assert result.exit_code == 0, result.stderr
    assert "1 channels in 0 communities" in one_line(result)
    assert Path("elsewhere/dagster/dagster.yaml").is_file(), "the instance lies beside the lake"
    assert "elsewhere/lake can be written" in one_line(run("doctor"))
    assert not Path("data").exists()
    monkeypatch.setenv("VIEWERATLAS_CONFIG", "config/config.yaml")
    assert run("analyze", "--day", "2022-01-12").exit_code == 2
    result = run("analyze", "--day", "2022-01-12", "--config", "elsewhere/named.yaml")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("config", "environment", "told"),
    [
        ("", {}, "http://127.0.0.1:{port}"),
        ("alerts: {ui_url: 'https://desk.example'}", {}, None),
        ("", {"DAGSTER_UI_URL": "https://desk.example"}, "https://desk.example"),
    ],
)
def test_alerts_lead_to_the_ui_that_was_opened_unless_a_setting_says_where(
    home, monkeypatch, config, environment, told
):
    Path("mine/lake").mkdir(parents=True)
    Path("mine/config.yaml").write_text(config)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    started = []
    monkeypatch.setattr(os, "execve", lambda *call: started.append(call))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.listen()
        taken = run("ui", "--data-dir", "mine", "--port", port)
        assert taken.exit_code == 1
        assert f"port {port}: Address already in use; try a different --port" in one_line(taken)
    assert started == []
    result = run("ui", "--data-dir", "mine", "--port", port)
    assert result.exit_code == 0, result.stderr
    [(_, command, given)] = started
    assert command[-1] == str(port)
    assert given.get("DAGSTER_UI_URL") == (told and told.format(port=port))
    assert given["VIEWERATLAS_CONFIG"] == str(home / "mine/config.yaml")


def test_ui_without_a_lake_says_what_to_do(home):
    result = run("ui", "--data-dir", "nothing")
    assert result.exit_code == 1
    assert "nothing does not contain a lake; run `make demo` or `make live` first" in one_line(result)


def test_live_without_channels_says_what_is_missing(home):
    result = run("live", "--channels-file", "none.txt")
    assert result.exit_code == 2
    assert "no channels file none.txt" in one_line(result)


def test_help_says_the_defaults(home):
    shown = " ".join(run("map", "--help").output.replace("│", " ").split())
    for default in ("the likeliest", "analysis.seed", "the one that VIEWERATLAS_CONFIG names"):
        assert f"[default: {default}" in shown
