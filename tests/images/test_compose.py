"""infrastructure/docker/compose.yaml without containers: its commands as processes, in its environment.

Hosts become this machine, ports free ones, and the volumes a folder.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.aws.postgres import free_port, running_postgres

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "infrastructure" / "docker"
PORTS = ("3000", "4000", "6667", "8000", "8080")


class Composition:
    """The services of the compose file as processes."""

    def __init__(self, folder: Path, database) -> None:
        self.folder = folder
        self.services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
        self.ports = {port: str(free_port()) for port in PORTS}
        self._health_port = str(free_port())
        self._database = database
        self.running = {}
        (folder / "data").mkdir()
        (folder / "app").mkdir()
        (folder / "app" / "config").symlink_to(ROOT / "config")
        home = folder / "dagster"
        home.mkdir()
        aws = ROOT / "infrastructure/dagster/aws"
        (home / "workspace.yaml").write_text((aws / "workspace.yaml").read_text())
        (home / "dagster.yaml").write_text(self._here((DOCKER / "dagster.yaml").read_text()))

    def _here(self, text: str, service: str = "") -> str:
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")
        text = text.replace("/var/lib/vieweratlas", str(self.folder / "data"))
        text = text.replace("/opt/dagster", str(self.folder / "dagster"))
        text = re.sub(r"//(simulator|database|code):", "//127.0.0.1:", text)
        if service == "collector":
            return re.sub(r"\b(6667|8080)\b", lambda port: self.ports[port[1]], text)
        return re.sub(rf"(?<![\w.])({'|'.join(PORTS)})\b", lambda port: self.ports[port[1]], text)

    def environment(self, name: str) -> dict[str, str]:
        """What the service's processes find; of this machine, its programs only."""
        given = self.services[name].get("environment", {})
        found = {key: self._here(str(value), name) for key, value in given.items()}
        server = self._database
        placed = {
            "DAGSTER_PG_HOST": server.host,
            "DAGSTER_PG_PORT": str(server.port),
            "DAGSTER_PG_DB": server.database,
            "DAGSTER_PG_USER": server.user,
            "DAGSTER_PG_PASSWORD": server.password,
            "DAGSTER_CODE_HOST": "127.0.0.1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            # Each container has its own 8080; here the simulator has it.
            "COLLECTOR_HTTP_PORT": self._health_port,
        }
        return {
            **found,
            **{key: placed[key] for key in placed if key in found or not key.startswith("DAGSTER")},
        }

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a service's command."""
        command = [self._here(str(word), name) for word in self.services[name]["command"]]
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            command,
            env=self.environment(name) | {"PYTHONPATH": str(ROOT)},
            cwd=self.folder / "app",
            stdout=log,
            stderr=subprocess.STDOUT,
            # A run in the background ignores SIGINT, and Dagster would then ignore SIGTERM as well.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.running[name] = process
        return process

    def healthy(self, name: str) -> bool:
        """What the service's health check says."""
        test = self.services[name]["healthcheck"]["test"]
        assert test[0] == "CMD"
        done = subprocess.run(
            [self._here(str(word), name) for word in test[1:]],
            env=self.environment(name) | {"PYTHONPATH": str(ROOT)},
            cwd=self.folder / "app",
            capture_output=True,
        )
        return done.returncode == 0

    def until_healthy(self, name: str) -> None:
        """Wait, as `depends_on` does."""
        deadline = time.monotonic() + 120
        while not self.healthy(name):
            told = (self.folder / f"{name}.log").read_text()[-3000:]
            assert self.running[name].poll() is None, told
            assert time.monotonic() < deadline, told
            time.sleep(1)

    def stop(self) -> None:
        """End everything, the last first."""
        for process in reversed(self.running.values()):
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def composition(tmp_path):
    with running_postgres() as server:
        composition = Composition(tmp_path, server)
        yield composition
        composition.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_service_starts_and_is_healthy_by_its_own_check(composition):
    demo = composition.folder / "data" / "demo"
    latest = demo / "lake" / "curated" / "analysis" / "latest"
    latest.mkdir(parents=True)
    (latest / "atlas.html").write_text("<title>atlas</title>")
    settings = {"storage": {"type": "file", "dir": str(demo / "lake")}}
    (demo / "config.yaml").write_text(yaml.safe_dump(settings))
    # A demo that was made is not made again.
    (demo / "report.json").write_text("{}")
    assert composition.start("demo").wait(20) == 0
    for name in ("simulator", "code", "collector", "atlas"):
        composition.start(name)
    for name in ("simulator", "code"):
        composition.until_healthy(name)
    for name in ("daemon", "webserver"):
        composition.start(name)
    for name in ("webserver", "daemon", "collector", "atlas"):
        composition.until_healthy(name)
    assert ask(composition, "{ runsOrError { ... on Runs { count } } }")["runsOrError"]["count"] >= 0
    found = ask(
        composition,
        "{ repositoriesOrError { ... on RepositoryConnection { nodes { location { name } } } } }",
    )
    assert [node["location"]["name"] for node in found["repositoriesOrError"]["nodes"]] == ["vieweratlas"]
    collector = composition.running["collector"]
    collector.terminate()
    assert collector.wait(40) == 0
    assert list((demo / "lake" / "raw" / "snapshots").rglob("*.ndjson.gz"))


def ask(composition, query):
    request = urllib.request.Request(
        f"http://127.0.0.1:{composition.ports['3000']}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]
