"""What moto recorded of its requests, as the tests of Terraform read it."""

import json

from .terraform import recorded


def test_long_requests_that_two_threads_record_at_once_are_both_read(tmp_path):
    log = tmp_path / "requests"
    requests = [{"body": letter * 20_000} for letter in "ab"]
    # As moto's recorder writes: a text of this length leaves the buffer before the end of its line.
    with log.open("a+") as first, log.open("a+") as second:
        for file, request in zip((first, second), requests, strict=True):
            file.write(json.dumps(request))
            file.write("\n")
    assert log.read_text().count("}{") == 1
    assert list(recorded(log)) == requests


def test_short_requests_are_read_line_by_line(tmp_path):
    log = tmp_path / "requests"
    log.write_text('{"body": "a\\n"}\n{"body": "b"}\n')
    assert [request["body"] for request in recorded(log)] == ["a\n", "b"]


def test_a_log_without_requests_has_none(tmp_path):
    log = tmp_path / "requests"
    log.touch()
    assert list(recorded(log)) == []
