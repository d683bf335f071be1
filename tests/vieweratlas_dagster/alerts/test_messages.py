"""Subjects and texts of alerts, and the secrets that must not be in them."""

from datetime import UTC, datetime, timedelta

import pytest

from vieweratlas_dagster.alerts.incidents import Failure, Incident
from vieweratlas_dagster.alerts.messages import compose, known_secrets, one_line
from vieweratlas_dagster.settings import AlertSettings, Settings

SINCE = datetime(2026, 3, 2, 3, 12, tzinfo=UTC)
DESK = AlertSettings(ui_url="https://desk.example/", runbook="https://docs.example/RUNBOOK.md")


def incident(name, *, failing=True, digest="", failures=1, what="failed at atlas"):
    report = Failure(name, what, ("Error: ValueError: no",), "/runs/7", "run_failed", digest)
    until = SINCE + timedelta(minutes=80)
    return Incident(f"run {name}", report, SINCE, until, failing=failing, failures=failures)


def test_a_failure_says_what_broke_since_when_how_to_look_and_what_to_do():
    [message] = compose([incident("analysis_daily 2026-03-01", failures=3)], DESK)
    assert message.subject == "ViewerAtlas: analysis_daily 2026-03-01 failed at atlas"
    assert message.text == (
        "analysis_daily 2026-03-01 failed at atlas.\n"
        "Error: ValueError: no\n"
        "Since: 2026-03-02 03:12 UTC (3 times since the last message)\n"
        "Look: https://desk.example/runs/7\n"
        "What to do: https://docs.example/RUNBOOK.md#run_failed"
    )


def test_the_end_of_it_says_how_long_it_took():
    [message] = compose([incident("analysis_daily 2026-03-01", failing=False)], DESK)
    assert message.subject == "ViewerAtlas: analysis_daily 2026-03-01 is well again"
    assert message.text == (
        "analysis_daily 2026-03-01 is well again.\n"
        "It failed from 2026-03-02 03:12 UTC to 2026-03-02 04:32 UTC.\n"
        "Look: https://desk.example/runs/7"
    )


def test_warnings_about_one_partition_come_together_and_nothing_else_does():
    found = [
        incident("a 2026-03-01", digest="2026-03-01"),
        incident("b 2026-03-01", digest="2026-03-01"),
        incident("c 2026-03-02", digest="2026-03-02"),
        incident("d 2026-03-01", digest="2026-03-01", failing=False),
        incident("e"),
    ]
    subjects = {message.subject: len(message.incidents) for message in compose(found, DESK)}
    assert subjects == {
        "ViewerAtlas: 2 warnings about 2026-03-01: a 2026-03-01, b 2026-03-01": 2,
        "ViewerAtlas: c 2026-03-02 failed at atlas": 1,
        "ViewerAtlas: d 2026-03-01 is well again": 1,
        "ViewerAtlas: e failed at atlas": 1,
    }


def test_a_flood_is_one_message_of_each_kind_that_holds_everything():
    found = [incident(f"job {number:03d}", failing=number % 3 > 0) for number in range(240)]
    messages = compose(found, DESK)
    assert [message.subject[:35] for message in messages] == [
        "ViewerAtlas: 160 failures: job 001,",
        "ViewerAtlas: 80 failures are over: ",
    ]
    assert [len(message.incidents) for message in messages] == [160, 80]
    assert messages[0].text.count("What to do:") == 100
    assert messages[0].text.endswith("And 60 more: https://desk.example/runs")
    assert all(len(message.text.encode()) < 256 * 1024 for message in messages)


@pytest.mark.parametrize("name", ["kanäle " * 40, "a\nb\r\nc", "", "x" * 500, "日本"])
def test_subjects_are_what_sns_takes(name):
    for several in ([incident(name)], [incident(name, digest="d"), incident(name + "2", digest="d")]):
        for message in compose(several, DESK):
            assert len(message.subject) <= 100
            assert message.subject.isascii()
            assert message.subject.isprintable()


def test_every_secret_of_settings_and_environment_is_blotted_out(tmp_path):
    key_file = tmp_path / "viewer_key.secret"
    key_file.write_text("key-from-a-file\n")
    settings = Settings(
        twitch={"client_secret": "cs", "oauth_token": "oauth:abc/def"},
        privacy={"viewer_key_secret": "viewer key secret!", "viewer_key_file": key_file},
    )
    environment = {
        "PG_PASS": "p4ssw0rd",
        "AWS_SECRET_ACCESS_KEY": "aws+secret",
        "HOME": "/home/x",
        "A_TOKEN": "t",
    }
    secrets = known_secrets(settings, environment)
    text = (
        "cs, oauth:abc/def, abc/def, ?t=abc%2Fdef, viewer key secret!, key-from-a-file, p4ssw0rd, "
        "aws+secret, aws%2Bsecret, /home/x, t"
    )
    shown = one_line(text, secrets, 1000)
    assert shown == "***, ***, ***, ?t=***, ***, ***, ***, ***, ***, /home/x, t"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("PASS oauth:zzz999 refused", "PASS oauth:*** refused"),
        ("Authorization: Bearer eyJ.a-b_c=", "Authorization: Bearer ***"),
        ("postgresql+psycopg2://dagster:hunter2@db:5432/x", "postgresql+psycopg2://***@db:5432/x"),
        (f"key AKIA{'ABCDEFGHIJKLMNOP'}", "key ***"),
        ('{"access_token": "abcdefgh"}', '{"access_token": "***"}'),
        ("client_secret=abcdefgh&grant", "client_secret=***&grant"),
        ("no secrets and no token here", "no secrets and no token here"),
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(text, shown):
    assert one_line(text, ()) == shown


def test_a_secret_at_the_cut_does_not_show_its_first_half():
    for padding in range(270, 301):
        shown = one_line("x" * padding + "super-secret-value", ["super-secret-value"])
        assert "sup" not in shown
        assert len(shown) <= 300
