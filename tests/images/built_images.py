"""Both images, really built and run: `make images-test`. Minutes, so `make test` leaves it out."""

from collections.abc import Iterator

import pytest

from tests.images.builder import ROOT, Builder

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def builder(tmp_path_factory) -> Iterator[Builder]:
    """Buildah with the base image."""
    builder = Builder(tmp_path_factory.mktemp("buildah"))
    builder.base()
    yield builder
    builder.close()


@pytest.fixture(scope="module")
def collector(builder) -> str:
    """A container of the collector's image."""
    return builder.start(builder.build("collector"))


@pytest.fixture(scope="module")
def dagster(builder) -> str:
    """A container of Dagster's image."""
    return builder.start(builder.build("dagster"))


def succeeds(builder, container, *command, **options) -> str:
    done = builder.run(container, *command, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lean(builder, container, *unwanted):
    """Not root, nothing to build with, nothing that its programs can change but their folder."""
    assert succeeds(builder, container, "id", "-u").strip() == "10001"
    programs = ("gcc", "cc", "make", "node", "npm", "git")
    assert succeeds(builder, container, "sh", "-c", f"command -v {' '.join(programs)} || true") == ""
    probe = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    found = succeeds(builder, container, "python", "-c", probe, "pip", "pytest", "moto", *unwanted)
    assert found.strip() == "[]"
    writable = "for f in /app /opt/venv /opt /var/lib/vieweratlas; do test -w $f && echo $f; done; true"
    assert succeeds(builder, container, "sh", "-c", writable).split() == ["/var/lib/vieweratlas"]
    assert "0.19" in succeeds(builder, container, "tini", "--version")


def said(builder, kind):
    return builder.inspect(f"localhost/vieweratlas-{kind}:test")["Docker"]["config"]


def test_the_collector(builder, collector):
    lean(
        builder,
        collector,
        "dagster",
        "polars",
        "numba",
        "pandas",
        "pyarrow",
        "boto3",
        "vieweratlas_dagster",
    )
    assert "Collect who chats where" in succeeds(
        builder, collector, "python", "-m", "collector_service", "--help"
    )
    health = said(builder, "collector")["Healthcheck"]["Test"]
    assert health[0] == "CMD"
    done = builder.run(collector, *health[1:])
    assert done.returncode == 1
    assert "no answer from a collector on port 8080" in done.stderr
    assert said(builder, "collector")["Entrypoint"] == ["tini", "-s", "--"]
    size = builder.megabytes(collector) - builder.megabytes(builder.start("python:3.11-slim-bookworm"))
    assert size < 100, "MB on top of the base"


def test_dagster(builder, dagster, tmp_path):
    lean(builder, dagster)
    assert "1.13" in succeeds(builder, dagster, "dagster", "--version")
    load = "import vieweratlas_dagster.definitions as d; print(d.build_definitions(d.Settings.load()).jobs)"
    assert "analysis_daily" in succeeds(builder, dagster, "python", "-c", load)
    here = ROOT / "infrastructure/dagster/aws"
    for file in here.iterdir():
        assert succeeds(builder, dagster, "cat", f"/opt/dagster/{file.name}") == file.read_text()
    size = builder.megabytes(dagster) - builder.megabytes(builder.start("python:3.11-slim-bookworm"))
    assert size < 1300, "MB on top of the base"


def test_the_image_draws_an_atlas_with_the_page_of_this_tree(builder, dagster):
    example = ROOT / "examples/twitch-atlas-2020-08"
    command = "vieweratlas map --edges /in/edges.csv --nodes /in/nodes.csv --out /tmp/out"
    printed = succeeds(builder, dagster, *command.split(), volume=f"{example}:/in:ro")
    assert "The atlas: /tmp/out/atlas.html" in printed
    nodes = succeeds(builder, dagster, "cat", "/tmp/out/nodes.csv").splitlines()
    assert len(nodes) == len((example / "nodes.csv").read_text().splitlines())
    assert "<script" in succeeds(builder, dagster, "cat", "/tmp/out/atlas.html")
