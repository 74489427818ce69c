"""The Kubernetes source, driven by another Galley's own config API."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from galley.adapters.config_api.namespaces import seed
from galley.adapters.sources import KubernetesSource
from galley.adapters.store import Store
from galley.core.retention import Retention
from meshcore.errors import MeshError
from meshcore.http.kubeconfig import Access
from meshcore.model.kinds import by_plural
from meshcore.testing.addresses import claim
from meshcore.testing.relay import Relay

KINDS = (by_plural("", "namespaces"), by_plural("networking.istio.io", "virtualservices"))
VS = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"


def virtual_service(name: str, host: str = "reviews") -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]},
    }


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Store]:
    """The store that the source fills; `api` serves the one that it reads."""
    async with await Store.open(f"sqlite:///{tmp_path / 'target.db'}") as opened:
        await seed(opened)
        yield opened


@pytest.fixture
def store_to_fill(target: Store) -> Store:
    return target


@pytest.fixture
def access(api: Any) -> Access:
    return Access(api.url, ssl.create_default_context(cadata=api.ca.root_pem.decode()), "token-of-viewer")


async def names(store: Store) -> dict[str, str]:
    page = await store.list("networking.istio.io", "virtualservices", "shop")
    return {item.key.name: item.object["spec"]["hosts"][0] for item in page.items}


@pytest.fixture
async def running(target: Store, access: Access) -> AsyncIterator[Any]:
    from galley.adapters.config_api.calls import Backend
    from galley.adapters.sources import Intake
    from galley.core.kind_rules import Naming
    from meshcore.runtime.tasks import cancel, create_task

    intake = Intake(KubernetesSource(access, KINDS), Backend(target, Naming()))
    task = create_task(intake.run(), name="intake")
    yield intake
    await cancel(task)


async def test_the_state_and_every_change_arrive(api: Any, target: Store, running: Any, until: Any) -> None:
    async def reached(**wanted: str) -> None:
        async def same() -> bool:
            return await names(target) == wanted

        await until(same)

    async with api.client() as client:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        assert (await client.post("/api/v1/namespaces", json=namespace)).status_code == 201
        assert (await client.post(VS, json=virtual_service("a"))).status_code == 201
        assert (await client.post(VS, json=virtual_service("b"))).status_code == 201
        await reached(a="reviews", b="reviews")
        merge = {"Content-Type": "application/merge-patch+json"}
        await client.patch(f"{VS}/a", json={"spec": {"hosts": ["ratings"]}}, headers=merge)
        await reached(a="ratings", b="reviews")
        await client.delete(f"{VS}/b")
        await reached(a="ratings")
        await client.delete("/api/v1/namespaces/shop")

        async def gone() -> bool:
            return "shop" not in {item.key.name for item in (await target.list("", "namespaces")).items}

        await until(gone)
    assert running.report().synchronised


async def test_a_watch_that_ends_is_resumed_and_one_that_is_too_old_lists_again(
    api: Any, store: Store, target: Store, running: Any, until: Any
) -> None:
    async with api.client() as client:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        await client.post("/api/v1/namespaces", json=namespace)
        await client.post(VS, json=virtual_service("a"))

        async def first() -> bool:
            return set(await names(target)) == {"a"}

        await until(first)
        # every watch ends; before it comes back, the revisions behind its place are compacted away
        store._retention = Retention(0, timedelta(0), timedelta(0))
        await client.post(VS, json=virtual_service("b"))
        await client.delete(f"{VS}/a")
        await api.application.stop()
        api.application._watches.ending.clear()
        await store.forget_published(await store.revision())
        await store.compact()

        async def second() -> bool:
            return set(await names(target)) == {"b"}

        await until(second)


async def test_a_server_that_is_back_is_no_fault_any_more(api: Any, target: Store, access: Access, until: Any) -> None:
    from galley.adapters.config_api.calls import Backend
    from galley.adapters.sources import Intake
    from galley.core.kind_rules import Naming
    from meshcore.runtime.tasks import cancel, create_task

    access.verify.check_hostname = False  # the relay's address is not in the certificate
    port = int(api.url.rpartition(":")[2])
    with claim() as block:
        async with Relay(block.address(1), 8081, ("127.0.0.1", port)) as relay:
            beyond = Access(f"https://{relay.address}:{relay.port}", access.verify, access.token)
            intake = Intake(KubernetesSource(beyond, KINDS), Backend(target, Naming()))
            task = create_task(intake.run(), name="intake")

            async def faulty() -> bool:
                return {fault.origin for fault in intake.report().faults} == {"namespaces", "virtualservices"}

            async def quiet() -> bool:
                return intake.report().synchronised and not intake.report().faults

            await until(quiet)
            relay.cut()
            await until(faulty)
            relay.mend()
            await until(quiet)
            await cancel(task)


def test_a_kubeconfig_is_read_and_shows_nothing_of_it(tmp_path: Path, api_ca: bytes) -> None:
    root = tmp_path / "root.pem"
    root.write_bytes(api_ca)
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://k:1", "certificate-authority": "root.pem"}}],
        "users": [{"name": "u", "user": {"token": "token-of-somebody"}}],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(content))
    access = Access.of_kubeconfig(path)
    assert (access.url, access.token) == ("https://k:1", "token-of-somebody")
    assert "token-of-somebody" not in repr(access)
    path.write_text(yaml.safe_dump({**content, "users": []}))
    with pytest.raises(MeshError, match="lacks 'users u'"):
        Access.of_kubeconfig(path)


@pytest.fixture
def api_ca() -> bytes:
    from meshcore.testing.identity import make_ca

    return make_ca().root_pem
