"""`python -m citadel rekey`: another key-encryption key, without a moment in which stored keys do not open.

The file gets the new key in front of the old one, everything is sealed again, then the old key goes. Killed at any
moment, the file opens what is stored, and the next run completes it. A running Citadel reads the file when it needs it.
"""

import argparse
import asyncio
import base64
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from meshcore.errors import ErrorCode, MeshError
from meshcore.tls import write_private
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.adapters.database import open_database
from citadel.adapters.root_store import RootStore, StoredRoots
from citadel.core.sealing import KEY_BYTES, parse_keks

DATABASE_FILE = "citadel.db"


def rekey(argv: Sequence[str]) -> int:
    """Run it; 0 when everything is sealed under the new key alone, 1 with a reason otherwise."""
    parser = argparse.ArgumentParser(prog="python -m citadel rekey", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dir", type=Path, required=True, help="Citadel's identity directory, where the file kek is")
    parser.add_argument("--database-url", default=os.environ.get("CITADEL_DATABASE_URL"))
    arguments = parser.parse_args(argv)
    try:
        asyncio.run(replace_key(arguments.dir, arguments.database_url))
    except (MeshError, OSError) as error:
        sys.stderr.write(f"citadel rekey: {error}\n")
        return 1
    return 0


async def replace_key(directory: Path, database_url: str | None = None) -> None:
    """The steps; FAILED_PRECONDITION when the present key does not open what is stored, and nothing changes then."""
    path = directory / "kek"
    former = path.read_text().split()
    engine = await open_database(database_url or f"sqlite+aiosqlite:///{directory.resolve() / DATABASE_FILE}")
    try:
        if await _opened(engine, path) is None:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "there is no root in the database; run citadel init first")
        new = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        write_private(path, "\n".join([new, *former]).encode())
        await _opened(engine, path)
        write_private(path, new.encode())
        await _opened(engine, path)
    finally:
        await engine.dispose()


async def _opened(engine: AsyncEngine, path: Path) -> StoredRoots | None:
    """Read all stored keys; those that a former key sealed are sealed again."""
    return await RootStore(engine, lambda: parse_keks(path.read_text())).load()
