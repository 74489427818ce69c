"""Files that Envoy asks for are read when it asks and again when they change."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy_bootstrap.adapters.file_secrets import FileSecrets
from envoy_bootstrap.core.discovery import Versioned
from meshcore.runtime import tasks
from meshcore.testing.identity import make_ca
from meshcore.xds.secret_names import SYSTEM_ROOTS, file_key_pair, file_root

CA = make_ca()


class Watched:
    """What was offered, and when."""

    def __init__(self) -> None:
        self._offers: asyncio.Queue[Mapping[str, Versioned]] = asyncio.Queue()
        self.files = FileSecrets(self._offers.put_nowait)

    async def next(self, name: str) -> secret_pb2.Secret:
        async with asyncio.timeout(10):
            return secret_pb2.Secret.FromString((await self._offers.get())[name].body)


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    made = Watched()
    async with tasks.background(made.files.watch(), name="files"):
        yield made


async def test_a_pair_that_changes(watched: Watched, tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    first, second = CA.issue(None), CA.issue(None)
    name = file_key_pair(str(chain), str(key))
    watched.files.asked([name, "default"])
    chain.write_bytes(first.chain)
    key.write_bytes(first.key.pem)
    assert (await watched.next(name)).tls_certificate.certificate_chain.inline_bytes == first.chain
    chain.write_bytes(second.chain)
    key.write_bytes(second.key.pem)
    found = (await watched.next(name)).tls_certificate
    assert (found.certificate_chain.inline_bytes, found.private_key.inline_bytes) == (second.chain, second.key.pem)


async def test_a_root_of_a_file_and_those_of_the_system(watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "root.pem"
    file.write_bytes(CA.root_pem)
    name = file_root(str(file))
    watched.files.asked([name])
    assert (await watched.next(name)).validation_context.trusted_ca.inline_bytes == CA.root_pem
    watched.files.asked([SYSTEM_ROOTS])
    assert b"BEGIN CERTIFICATE" in (await watched.next(SYSTEM_ROOTS)).validation_context.trusted_ca.inline_bytes
