"""What tests of several parts share: a lake on a folder, and a real S3 API."""

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from hypothesis import settings as examples
from xdist.remote import Producer

from collector_service.lake import Lake
from collector_service.settings import StorageSettings
from tests.lanes import MEASURING_PROCESS, ByLane
from tests.s3_api import s3_api

# How long an example takes says more about the machine than about the code.
examples.register_profile("any machine", deadline=None)
examples.load_profile("any machine")

# The command as users run it.
VIEWERATLAS = str(Path(sys.executable).with_name("vieweratlas"))
# Pictures of what tests saw, for people.
ARTIFACTS = Path(__file__).parent.parent / "test-artifacts"


def pytest_configure(config: pytest.Config) -> None:
    """Give way to the process that measures real time."""
    if os.environ.get("PYTEST_XDIST_WORKER", MEASURING_PROCESS) != MEASURING_PROCESS:
        os.nice(10)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByLane:
    """How ``--numprocesses`` spreads tests."""
    return ByLane(config, log)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake on a folder."""
    return Lake.open(StorageSettings(dir=tmp_path / "lake"))


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 API on this machine, with credentials in the environment."""
    before = {name: os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    with s3_api() as address:
        yield address
    for name, value in before.items():
        if value is None:
            os.environ.pop(name)
        else:
            os.environ[name] = value


@pytest.fixture
def s3_storage(s3_endpoint: str, request: pytest.FixtureRequest) -> StorageSettings:
    """Settings for a lake in an empty bucket of its own."""
    bucket = f"lake-{abs(hash(request.node.nodeid))}"
    boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
    return StorageSettings(type="s3", s3_bucket=bucket, s3_prefix="vieweratlas/", endpoint_url=s3_endpoint)


@pytest.fixture(params=["file", "s3", "memory"])
def any_lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """The same empty lake on every kind of storage."""
    if request.param == "file":
        return Lake.open(StorageSettings(dir=tmp_path / "lake"))
    if request.param == "s3":
        return Lake.open(request.getfixturevalue("s3_storage"))
    return Lake.in_memory()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """``made_once(name, make)``: a folder that ``make`` fills once per test run, in whichever process."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name: str, make: Callable[[Path], None]) -> Path:
        made, draft = shared / f"made-{name}", shared / f"draft-{name}"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(draft, ignore_errors=True)
                draft.mkdir()
                make(draft)
                draft.rename(made)
        return made

    return folder
