"""`make audit`: what is known is told, and no answer is never taken for a good one."""

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.security.locks import ROOT, pins

LOCK = "requirements-spark.lock"
KNOWN = {
    "id": "GHSA-test-test-test",
    "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "summary": "made up",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "pyspark"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999"}]}],
        }
    ],
}
ADVISORY = {
    "id": 1,
    "url": "https://example.org/advisory",
    "title": "made up",
    "severity": "high",
    "vulnerable_versions": "<999",
}


@contextmanager
def databases(python, page):
    """Both databases on a free port: a function of the query, and an answer. None is a refusal."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = page
            if self.path == "/osv":
                asked.append(json.loads(body))
                answer = python and python(asked[-1])
            self.send_response(405 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audit(python, page, lock=LOCK):
    with databases(python, page) as (url, asked):
        done = subprocess.run(
            [sys.executable, "infrastructure/dependencies/audit.py", "--osv-url", f"{url}/osv", lock],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=os.environ | {"npm_config_registry": url, "npm_config_fetch_retries": "0"},
        )
    return done, {(query["package"]["name"], query["version"]) for query in asked}


def nothing(_query):
    return {}


def test_nothing_known_ends_with_0_and_says_how_many_were_asked_about():
    lock = "requirements-dagster.lock"
    done, asked = audit(nothing, {}, lock)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Python: {len(pins(lock))} locked versions, 0 known vulnerabilities" in done.stdout
    assert "the page: 106 locked versions, 0 known vulnerabilities" in done.stdout
    # Also those of other platforms, and of other versions of Python.
    assert asked == pins(lock)
    assert "pywin32" in {name for name, _ in asked}
    assert len([name for name, _ in asked if name == "numpy"]) == 2


def test_known_vulnerabilities_end_with_1_and_are_named():
    done, _ = audit(
        lambda query: {"vulns": [KNOWN]} if query["package"]["name"] == "pyspark" else {},
        {"sigma": [ADVISORY]},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "GHSA-test-test-test, mended in 999" in done.stdout
    assert "sigma" in done.stdout
    assert "made up (https://example.org/advisory)" in done.stdout
    assert "SECURITY.md" in done.stdout


@pytest.mark.parametrize(
    ("python", "page", "silent"),
    [(None, {}, ["Python"]), (nothing, None, ["the page"])],
    ids=["osv", "npm"],
)
def test_a_database_that_gives_no_answer_ends_with_2_and_what_to_do(python, page, silent):
    done, _ = audit(python, page)
    assert done.returncode == 2, done.stdout + done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines() if "NOT AUDITED" in line] == silent
    assert "Run `make audit` where" in done.stdout
