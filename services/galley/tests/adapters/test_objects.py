"""The config API over TLS with a real store: create, read, replace, patch, delete."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.timeout(60)

NETWORKING = "/apis/networking.istio.io/v1/namespaces/default"


def virtual_service(name: str = "reviews", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {
            "hosts": ["reviews"],
            "http": [{"route": [{"destination": {"host": "reviews"}}]}],
            **spec,
        },
    }


async def test_created_object_is_read_back_as_it_was_written(api: Any) -> None:
    async with api.client() as client:
        created = await client.post(f"{NETWORKING}/virtualservices", json=virtual_service())
        assert created.status_code == 201, created.text
        body = created.json()
        assert body["spec"]["hosts"] == ["reviews"]
        assert body["metadata"]["generation"] == 1
        assert body["metadata"]["namespace"] == "default"
        assert body["metadata"]["uid"]
        read = await client.get(f"{NETWORKING}/virtualservices/reviews")
        assert read.json() == body
