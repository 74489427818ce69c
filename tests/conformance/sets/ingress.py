"""Ingress: the Gateways and VirtualServices that the objects of each case stand for, but for their metadata."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from meshcore.hosts import DEFAULT_DOMAIN
from meshcore.model import MeshConfig
from meshcore.model.load import dump_object, load_yaml_documents, parse_object
from meshcore.model.mesh_config import IngressControllerMode
from pilot.core.config import Config
from pilot.core.ingress import of_ingresses

from tests.conformance.outcome import Outcome, failed, passed

SET = "ingress"
_MESH = MeshConfig(ingress_controller_mode=IngressControllerMode.DEFAULT)


def run(directory: Path) -> Iterator[Outcome]:
    """One outcome for each case."""
    for case in json.loads((directory / "expected.json").read_text(encoding="utf-8")):
        wanted = _by_name(_documents(directory / case["golden"]))
        got = _by_name(_converted(_documents(directory / case["input"]), case["domain_suffix"]))
        if wanted == got:
            yield passed(case["name"])
        else:
            yield failed(case["name"], f"wanted {json.dumps(wanted)}, got {json.dumps(got)}")


def _documents(path: Path) -> list[dict[str, Any]]:
    return [dict(document.body) for document in load_yaml_documents(path.read_text(encoding="utf-8"), path.name)]


def _converted(documents: list[dict[str, Any]], domain: str) -> Iterator[dict[str, Any]]:
    kinds: dict[str, dict[tuple[str, str], Config[Any]]] = {}
    for document in documents:
        item = parse_object(document)
        kinds.setdefault(item.kind, {})[item.namespaced_name] = Config(item)
    made = of_ingresses(*(kinds.get(kind, {}) for kind in ("Ingress", "IngressClass", "Service")), _MESH)
    for config in made.made:
        text = json.dumps(dump_object(config.object))
        yield json.loads(text.replace(f".svc.{DEFAULT_DOMAIN}", f".svc.{domain}"))


def _by_name(documents: Any) -> Mapping[str, Any]:
    """Specs, with lists of servers and routes in their order."""
    return {
        f"{item['kind']} {item['metadata']['namespace']}/{item['metadata']['name']}": item["spec"]
        for item in sorted(documents, key=lambda item: (item["kind"], item["metadata"]["name"]))
    }
