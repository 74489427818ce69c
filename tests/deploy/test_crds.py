"""The committed CRDs are those of the models, and are structural schemas as an API server asks for."""

import runpy
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "crds"
MADE = runpy.run_path(str(FOLDER / "generate.py"))["files"]()


def test_the_files_are_current():
    present = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.yaml")}
    stale = sorted(name for name in MADE.keys() | present.keys() if MADE.get(name) != present.get(name))
    assert stale == [], "write them with `make crds`"


def nodes(schema, path):
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


@pytest.mark.parametrize("name", MADE)
def test_a_schema_is_structural(name):
    document = yaml.safe_load(MADE[name])
    assert document["metadata"]["name"] + ".yaml" == name
    assert [version["storage"] for version in document["spec"]["versions"]].count(True) == 1
    for version in document["spec"]["versions"]:
        for path, schema in nodes(version["schema"]["openAPIV3Schema"], ""):
            typed = "type" in schema or any(key.startswith("x-kubernetes-") for key in schema)
            assert typed, f"{path} has no type"
            assert not {"$ref", "default", "additionalProperties"} & schema.keys() or "properties" not in schema, path
            assert "default" not in schema, f"{path}: has() would be true of what nobody wrote"
            if schema.get("type") == "object" and "properties" in schema:
                assert set(schema.get("required", ())) <= set(schema["properties"]), path


def test_limits_and_rules_of_the_models_are_in_the_schema():
    document = yaml.safe_load(MADE["serviceentries.networking.istio.io.yaml"])
    schema = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["required"] == ["spec"]
    spec = schema["properties"]["spec"]
    assert spec["properties"]["hosts"]["maxItems"] == 256
    assert spec["properties"]["ports"]["x-kubernetes-list-map-keys"] == ["name"]
    rules = [rule["message"] for rule in spec["x-kubernetes-validations"]]
    assert "NONE mode cannot set endpoints" in rules
    match = yaml.safe_load(MADE["virtualservices.networking.istio.io.yaml"])["spec"]["versions"][0]["schema"][
        "openAPIV3Schema"
    ]["properties"]["spec"]["properties"]["http"]["items"]["properties"]["match"]["items"]["properties"]
    assert [sorted(choice) for choice in match["uri"]["oneOf"]] == [["not"], ["required"], ["required"], ["required"]]
