"""What the tests of this folder share: one PostgreSQL, and the modules of the operators' scripts."""

import sys
from collections.abc import Iterator

import pytest

from .postgres import PostgresServer, running_postgres
from .terraform import ROOT


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server that insists on passwords and offers TLS."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def ops() -> Iterator[None]:
    """The package `ops` of the operators' scripts can be imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "infrastructure" / "aws" / "scripts"))
        yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "ops"]:
        del sys.modules[name]
