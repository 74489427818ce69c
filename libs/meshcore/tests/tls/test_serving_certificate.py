"""What clients of a service see: the operator's certificate where there is one, else its own."""

import asyncio
import os
from types import SimpleNamespace

import pytest
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime import CertProvider, ServiceSettings, tasks
from meshcore.testing.identity import make_ca
from meshcore.tls import LiveIdentity
from meshcore.tls.serving_certificate import serving_identity

PILOT = "spiffe://cluster.local/ns/istio-system/sa/pilot"
CA, OTHER = make_ca(), make_ca("other")


def write(folder, pair, key=None):
    (folder / "tls.crt").write_bytes(pair.chain)
    (folder / "tls.key").write_bytes((key or pair).key.pem)


def runtime(folder, **more):
    settings = ServiceSettings(serving_certificate=folder, **more)
    spawned = []
    return SimpleNamespace(settings=settings, spawned=spawned, spawn=lambda name, start: spawned.append(start))


def refusal(*arguments, **more):
    with pytest.raises(MeshError) as refused:
        serving_identity(*arguments, **more)
    assert refused.value.code is ErrorCode.FAILED_PRECONDITION
    assert "PRIVATE" not in refused.value.detail
    return refused.value.detail


def test_without_files_its_own_is_served_unless_some_are_wanted(tmp_path):
    own = LiveIdentity(CA.issue(PILOT))
    for folder, words in ((tmp_path, f"{tmp_path} has none"), (None, "no folder is named")):
        assert serving_identity(runtime(folder), own) is own
        assert words in refusal(runtime(folder, cert_provider=CertProvider.CUSTOM), own)


def test_files_that_make_no_pair_are_refused_at_the_start(tmp_path):
    write(tmp_path, CA.issue(None), key=CA.issue(None))
    assert "not the key" in refusal(runtime(tmp_path), LiveIdentity(CA.issue(PILOT)))
    (tmp_path / "tls.key").unlink()
    assert "tls.key cannot be read" in refusal(runtime(tmp_path), LiveIdentity(CA.issue(PILOT)))


async def test_where_clients_believe_the_mesh_only_nothing_else_is_served_later_neither(tmp_path):
    own, first = LiveIdentity(CA.issue(PILOT)), CA.issue(None)
    write(tmp_path, OTHER.issue(None))
    assert "no root of the mesh" in refusal(runtime(tmp_path), own, of_mesh=True)
    write(tmp_path, first)
    for file in tmp_path.iterdir():
        os.utime(file, (0, 0))  # file systems may tell times apart more coarsely than this test needs for what follows
    started = runtime(tmp_path)
    served, seen, changed = serving_identity(started, own, of_mesh=True), [], asyncio.Event()
    served.on_change(lambda identity: (seen.append(identity.chain), changed.set()))
    assert (served.current.chain, served.current.root) == (first.chain, own.current.root)
    last = CA.issue(None)
    async with tasks.background(started.spawned[0](), name="files"), asyncio.timeout(30):
        write(tmp_path, OTHER.issue(None))
        write(tmp_path, last)
        await changed.wait()
    assert seen == [last.chain]


def test_who_is_believed_stays_its_own(tmp_path):
    write(tmp_path, OTHER.issue(None))
    own = LiveIdentity(CA.issue(PILOT))
    served = serving_identity(runtime(tmp_path), own)
    shown = served.current.chain
    own.replace(OTHER.issue(PILOT))
    assert (served.current.chain, served.current.root) == (shown, OTHER.root_pem)
