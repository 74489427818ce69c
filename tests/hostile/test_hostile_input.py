"""Hostile input at Galley's doors and at the command line: refused, in bounded time and memory; nobody dies of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from meshcore.testing.addresses import claim
from meshcore.testing.galley import GalleyProcess, bearer, running
from meshctl.__main__ import app_with
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from documents import MEGABYTE, REFUSED, REFUSED_MESH, YAML_FILES, mesh_config_map, virtual_service

SECONDS = 60.0
"""For one request, on a loaded machine; the slowest takes less than one on an idle one."""
MEMORY = 400 * MEGABYTE
OBJECTS = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
MESH = "/api/v1/namespaces/istio-system/configmaps"


@pytest.fixture(scope="module")
def galley(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GalleyProcess]:
    with claim() as block, running(GalleyProcess(tmp_path_factory.mktemp("galley"), block.address())) as process:
        yield process
        assert process.peak_resident_bytes() < MEMORY


@pytest.fixture
def client(galley: GalleyProcess) -> Iterator[httpx.Client]:
    context = galley.client_context()
    with httpx.Client(verify=context, headers=bearer(), timeout=SECONDS, trust_env=False) as made:
        yield made
        began = time.monotonic()
        assert made.get(f"{galley.url}{OBJECTS}").status_code == 200
        assert time.monotonic() - began < SECONDS


def refused(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, f"{answer.status_code} {answer.text[:300]}"
    assert len(answer.content) < MEGABYTE
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("name", REFUSED)
def test_the_config_api_refuses(galley: GalleyProcess, client: httpx.Client, name: str):
    headers = {"Content-Type": "application/json"}
    parameters = {"fieldValidation": "Strict"}
    refused(client.post(f"{galley.url}{OBJECTS}", content=REFUSED[name], headers=headers, params=parameters))


@pytest.mark.parametrize("name", YAML_FILES)
def test_the_config_api_refuses_yaml(galley: GalleyProcess, client: httpx.Client, name: str):
    headers = {"Content-Type": "application/yaml"}
    refused(client.post(f"{galley.url}{OBJECTS}", content=YAML_FILES[name], headers=headers))


@pytest.mark.parametrize("name", REFUSED_MESH)
def test_the_config_api_refuses_a_mesh_config(galley: GalleyProcess, client: httpx.Client, name: str):
    refused(client.post(f"{galley.url}{MESH}", json=mesh_config_map(REFUSED_MESH[name])))


def test_ten_thousand_good_matches_are_judged_in_time(galley: GalleyProcess, client: httpx.Client):
    match = [{"uri": {"prefix": f"/path/{number}/"}} for number in range(10_000)]
    document = virtual_service("many", http=[{"match": match, "route": [{"destination": {"host": "reviews"}}]}])
    answer = client.post(f"{galley.url}{OBJECTS}", json=document)
    assert answer.status_code in (201, 422), answer.text[:300]


@pytest.mark.parametrize("name", REFUSED)
def test_the_webhook_refuses(galley: GalleyProcess, client: httpx.Client, name: str):
    """What is no review gets no verdict or a no; inside of one the object is what is hostile."""
    review = b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE"'
    body = review + b',"object":' + (REFUSED[name] or b"null") + b"}}"
    answer = client.post(f"{galley.webhook_url}/validate", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500, answer.text[:300]
    assert answer.status_code >= 400 or answer.json()["response"]["allowed"] is False or name in LENIENT
    assert len(answer.content) < MEGABYTE


LENIENT = {"a key twice", "an annotation that is no template", "a name that is a path"}
"""An API server has decoded the object before it asks, and has checked its metadata: names are not judged again."""

GOOD_OFFLINE = {
    "10 MB",
    "10 MB of spaces",
    "an annotation that is no template",
    "a name that is a path",
    "not a number",
}
"""What is wrong with a request but not with a file: its length; names, which `apply` sends to the API server to judge;
`NaN`, which is a text in YAML."""


def test_the_webhook_refuses_a_mesh_config_of_a_bomb(galley: GalleyProcess, client: httpx.Client):
    for text in REFUSED_MESH.values():
        request = {"uid": "u", "operation": "CREATE", "object": mesh_config_map(text)}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        answer = client.post(f"{galley.webhook_url}/validate", json=review)
        assert answer.status_code < 500, answer.text[:300]
        assert json.dumps(answer.json())


@pytest.mark.parametrize("name", [*REFUSED, *YAML_FILES])
def test_the_command_line_refuses(tmp_path: Path, name: str):
    path = tmp_path / "hostile.yaml"
    path.write_bytes(REFUSED.get(name) or YAML_FILES.get(name) or b"[]")
    began = time.monotonic()
    done = CliRunner().invoke(app_with(["validate"]), ["validate", "-o", "json", "-f", str(path)])
    assert done.exit_code == (0 if name in GOOD_OFFLINE else 1), done.output[:300]
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert time.monotonic() - began < SECONDS
    assert "\x1b" not in done.output
