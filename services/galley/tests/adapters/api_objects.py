"""Objects that tests write to the config API, and the shape of its refusals."""

from typing import Any

import httpx

VS = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"


CM = "/api/v1/namespaces/default/configmaps"


MERGE = {"Content-Type": "application/merge-patch+json"}


STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}


JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def virtual_service(name: str = "reviews", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}], **spec},
    }


def config_map(name: str = "notes", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def assert_status(response: httpx.Response, code: int, reason: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["kind"], body["status"], body["reason"], body["code"]) == (
        code,
        "Status",
        "Failure",
        reason,
        code,
    ), response.text
    return body
