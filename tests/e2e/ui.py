"""The Dagster UI as a process of its own, and its GraphQL API."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

from tests.conftest import VIEWERATLAS
from tests.security.planted import UNUSED


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_ui(folder):
    port = free_port()
    log = (folder / "logs" / "ui.log").open("wb")
    process = subprocess.Popen(
        [VIEWERATLAS, "ui", "--data-dir", str(folder), "--port", str(port)],
        env=os.environ | UNUSED,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(240):
            assert process.poll() is None, (folder / "logs" / "ui.log").read_text()
            try:
                urllib.request.urlopen(f"{url}/server_info", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask(url, query):
    request = urllib.request.Request(
        f"{url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["data"]
