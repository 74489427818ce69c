"""Empty databases of both sorts for the store's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from meshcore.testing.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/galley.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()
