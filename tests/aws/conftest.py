"""What the tests of this folder share: a PostgreSQL, and the platform as Terraform makes it on moto."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from .fargate_double import REGION
from .postgres import PostgresServer, running_postgres
from .terraform import FIRST, Command, Terraform, moto_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server that insists on passwords and offers TLS."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def logs() -> Iterator[Path]:
    """What moto was asked is in "requests"."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def endpoint(logs: Path) -> Iterator[str]:
    """AWS for Terraform."""
    with moto_server(logs / "moto.log") as address:
        yield address


@pytest.fixture(scope="session")
def client(endpoint: str) -> Callable[..., Any]:
    """Makes clients of boto3 that may do anything there."""

    def make(service: str, **credentials: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"} | credentials
        return boto3.client(service, endpoint_url=endpoint, region_name=REGION, **keys)

    return make


@pytest.fixture(scope="session")
def applying(
    endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Terraform, Command]]:
    terraform = Terraform(tmp_path_factory.mktemp("terraform") / "aws", endpoint)
    terraform.init()
    apply = terraform.start_apply(FIRST)
    yield terraform, apply
    apply.stop()


@pytest.fixture(scope="session", autouse=True)
def _applied_meanwhile(request: pytest.FixtureRequest) -> None:
    """The first apply is mostly waiting: it begins with this folder's first test, whichever that is."""
    if any("platform" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("applying")


@pytest.fixture(scope="session")
def platform(applying: tuple[Terraform, Command]) -> Terraform:
    """Everything, made once; the last test of test_terraform.py removes it."""
    terraform, apply = applying
    apply.finish()
    return terraform
