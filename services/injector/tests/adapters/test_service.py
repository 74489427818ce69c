"""The whole service: it starts with NATS away from its last copy, and answers over its own ports."""

import asyncio
import base64
import ssl
from datetime import UTC, datetime

import httpx
import pytest
from injector.__main__ import build
from injector.settings import InjectorSettings
from meshcore.bus.last_copy import write_last_copy
from meshcore.distribution.digest import SetDigest
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.distribution.state_copy import StateCopy
from meshcore.errors import MeshError
from meshcore.runtime import running
from meshcore.testing.addresses import claim
from meshcore.testing.identity import make_ca, write_identity

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def address():
    with claim() as block:
        yield block.address(1)


def last_copy(path, text):
    key = Key("", "configmaps", "istio-system", "istio-sidecar-injector")
    record = make_record(kv_key(*key), "store", 7, {"metadata": {"name": key.name}, "data": {"config": text}}, "", NOW)
    digest = SetDigest()
    digest.add(record.digest)
    write_last_copy(path, StateCopy("store", 1, 7, str(digest), {kv_key(*key): record}))


@pytest.mark.parametrize("operators", [False, True], ids=["its own certificate", "the operator's"])
async def test_with_nats_away_the_last_copy_decides(tmp_path, address, operators):
    ca, shown_by = make_ca(), make_ca("the operator's")
    shown = shown_by.issue(None, ips=[address])
    (tmp_path / "tls.crt").write_bytes(shown.chain)
    (tmp_path / "tls.key").write_bytes(shown.key.pem)
    write_identity(tmp_path / "identity", ca.issue("spiffe://cluster.local/ns/istio-system/sa/injector", ips=[address]))
    template = "templates: {sidecar: 'spec: {containers: [{name: istio-proxy, image: from-the-last-copy}]}'}"
    last_copy(tmp_path / "state" / "mesh-config.json", template)
    settings = InjectorSettings(
        host=address,
        admin_host=address,
        identity_dir=tmp_path / "identity",
        state_dir=tmp_path / "state",
        nats_url=f"nats://{address}:4222",
        serving_certificate=tmp_path if operators else None,
    )
    trust = ssl.create_default_context(cadata=(shown_by if operators else ca).root_pem.decode())
    pod = {"metadata": {"name": "front"}, "spec": {"containers": [{"name": "app", "image": "a"}]}}
    request = {"uid": "u", "kind": {"kind": "Pod"}, "namespace": "shop", "object": pod}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    async with running(settings, build) as runtime, httpx.AsyncClient(verify=trust, timeout=60) as client:
        async with asyncio.timeout(60):
            await runtime.readiness.wait()
        ready = (await client.get(f"http://{address}:15014/readyz")).json()
        assert ready["conditions"]["config"]["detail"] == "last copy on disk"
        answer = (await client.post(f"https://{address}:15017/inject", json=review)).json()["response"]
        assert b"from-the-last-copy" in base64.b64decode(answer["patch"])
        assert "sidecar_injection_success_total" in (await client.get(f"http://{address}:15014/metrics")).text
        assert (await client.get(f"http://{address}:15014/debug/inject")).status_code == 401


async def test_a_missing_setting_is_named(tmp_path):
    with pytest.raises(BaseExceptionGroup) as caught:
        async with running(InjectorSettings(state_dir=tmp_path), build):
            pytest.fail("it started")
    (error,) = caught.value.exceptions
    assert isinstance(error, MeshError)
    assert "INJECTOR_IDENTITY_DIR" in error.detail
