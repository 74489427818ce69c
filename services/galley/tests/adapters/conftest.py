"""One PostgreSQL for every test that needs a database which several Galleys share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from meshcore.testing.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server
