"""One PostgreSQL for all tests of this folder."""

from collections.abc import Iterator

import pytest

from .postgres import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server that insists on passwords and offers TLS."""
    with running_postgres() as server:
        yield server
