"""What the API server checks of a pod, checked of every golden output: a patched pod must be accepted."""

import re
from pathlib import Path

import pytest
import yaml

TESTDATA = Path(__file__).parents[1] / "testdata"
OUTPUTS = sorted(TESTDATA.glob("*/injected.yaml"))
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
SOURCES = {"emptyDir", "downwardAPI", "projected", "configMap", "secret"}


def pods(document):
    if not isinstance(document, dict):
        return
    if "items" in document:
        for item in document["items"]:
            yield from pods(item)
    elif "sidecar.istio.io/status" in (document.get("metadata") or {}).get("annotations", {}):
        yield document
    else:
        for value in document.values():
            yield from pods(value)


EVERY_POD = [
    pytest.param(pod, id=f"{path.parent.name}")
    for path in OUTPUTS
    for document in yaml.safe_load_all(path.read_text())
    for pod in pods(document)
]


def containers(pod):
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def test_there_are_pods_to_look_at():
    assert len(EVERY_POD) >= 5


@pytest.mark.parametrize("pod", EVERY_POD)
def test_names_are_legal_and_unique(pod):
    for items in (containers(pod), pod["spec"]["volumes"]):
        names = [item["name"] for item in items]
        assert len(names) == len(set(names))
        assert all(DNS_LABEL.fullmatch(name) for name in names)
    for container in containers(pod):
        variables = [item["name"] for item in container.get("env", [])]
        assert len(variables) == len(set(variables))
        assert all(ENV_NAME.fullmatch(name) for name in variables)
        assert all(PORT_NAME.fullmatch(port["name"]) for port in container.get("ports", []) if "name" in port)


@pytest.mark.parametrize("pod", EVERY_POD)
def test_every_mount_has_its_volume_and_every_volume_one_source(pod):
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    for volume in volumes.values():
        assert len(SOURCES & volume.keys()) == 1
    for container in containers(pod):
        mounts = container.get("volumeMounts", [])
        assert {mount["name"] for mount in mounts} <= volumes.keys()
        paths = [mount["mountPath"] for mount in mounts]
        assert len(paths) == len(set(paths))
        assert all(path.startswith("/") for path in paths)


@pytest.mark.parametrize("pod", EVERY_POD)
def test_environment_values_are_strings_with_one_source(pod):
    for container in containers(pod):
        for item in container.get("env", []):
            assert ("value" in item) != ("valueFrom" in item)
            assert isinstance(item.get("value", ""), str)
        assert all(isinstance(word, str) for word in container.get("args", []))


@pytest.mark.parametrize("pod", EVERY_POD)
def test_labels_and_annotations_are_legal(pod):
    metadata = pod["metadata"]
    assert all(LABEL_VALUE.fullmatch(value) for value in metadata["labels"].values())
    assert all(isinstance(value, str) for value in metadata["annotations"].values())


@pytest.mark.parametrize("pod", EVERY_POD)
def test_security_contexts_do_not_contradict_themselves(pod):
    for container in containers(pod):
        if container["name"] not in ("istio-init", "istio-proxy"):
            continue
        context = container["securityContext"]
        assert context["capabilities"]["drop"] == ["ALL"]
        assert context["allowPrivilegeEscalation"] is False
        assert not (context["runAsNonRoot"] and context["runAsUser"] == 0)


@pytest.mark.parametrize("pod", EVERY_POD)
def test_handlers_are_exactly_one_and_only_native_sidecars_restart(pod):
    for container in containers(pod):
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            if probe in container:
                assert len({"httpGet", "tcpSocket", "grpc", "exec"} & container[probe].keys()) == 1
    for container in pod["spec"].get("initContainers", []):
        # an init container that runs to its end may have neither probes nor life-cycle hooks
        if container.get("restartPolicy") != "Always":
            assert not {"readinessProbe", "startupProbe", "livenessProbe", "lifecycle"} & container.keys()
    assert all("restartPolicy" not in container for container in pod["spec"]["containers"])
