"""The OpenAPI documents in `docs/openapi` are what the running services answer; --update-golden writes them."""

import json
from pathlib import Path

import httpx
from mesh import Mesh

DOCUMENTS = Path(__file__).parents[2] / "docs" / "openapi"
SERVICES = ("galley", "pilot", "citadel", "injector")


def test_openapi_documents_are_current_golden(mesh: Mesh, golden):
    token = Path(mesh.layout.admin_token).read_text().strip()
    found = {}
    for name in SERVICES:
        url = mesh.service(name)["admin"] + "/openapi.json"
        assert httpx.get(url, timeout=60).status_code == 401
        answer = httpx.get(url, headers={"authorization": f"Bearer {token}"}, timeout=60)
        assert answer.status_code == 200
        found[f"{name}.json"] = json.dumps(answer.json(), indent=1, sort_keys=True) + "\n"
    golden(DOCUMENTS, found, inputs=())
