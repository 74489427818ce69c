import pytest
import yaml
from injector.core.config import InjectionConfig, parse_injection_config
from injector.core.decision import InjectionPolicy
from injector.core.kube_inject import kube_inject
from meshcore.errors import MeshError

POD_SPEC = {"containers": [{"name": "app", "image": "a"}]}


@pytest.mark.parametrize(
    ("kind", "api_version"),
    [
        ("Deployment", "apps/v1"),
        ("StatefulSet", "apps/v1"),
        ("DaemonSet", "apps/v1"),
        ("ReplicaSet", "apps/v1"),
        ("Job", "batch/v1"),
        ("ReplicationController", "v1"),
    ],
)
def test_every_workload_kind_gets_the_sidecar_into_its_template(kind, api_version):
    document = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "x"},
        "spec": {"template": {"spec": POD_SPEC}},
    }
    result = kube_inject(yaml.safe_dump(document), namespace="shop")
    template = yaml.safe_load(result.text)["spec"]["template"]
    assert [container["name"] for container in template["spec"]["containers"]] == ["app", "istio-proxy"]
    owner = {item["name"]: item.get("value") for item in template["spec"]["containers"][1]["env"]}["ISTIO_META_OWNER"]
    assert owner == f"kubernetes://apis/{api_version}/namespaces/shop/{kind.lower()}s/x"
    assert result.injected == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "---\n",
        "# only a comment\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\n\n---\nkind: x\n",
        "just: a map  # with a comment\r\n---\r\nother: 1\r\n",
        "- a list\n- of things",
    ],
)
def test_what_has_no_pods_comes_out_byte_for_byte(text):
    result = kube_inject(text)
    assert result.text == text
    assert result.injected == 0


def test_those_left_alone_are_named_with_the_reason():
    config = InjectionConfig(policy=InjectionPolicy.DISABLED)
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": POD_SPEC})
    result = kube_inject(text, config=config)
    assert result.text == text
    assert [(one.kind, one.name, one.reason) for one in result.skipped] == [
        ("Pod", "a", "the injection policy is disabled")
    ]


def test_every_bad_document_is_reported_with_file_and_line():
    text = "a: [\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {status.sidecar.istio.io/port: x}}\n"
    text += "spec: {containers: [{name: app}]}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n"
    with pytest.raises(MeshError) as caught:
        kube_inject(text, source="shop.yaml")
    assert [(violation.file, violation.line) for violation in caught.value.violations] == [
        ("shop.yaml", 1),
        ("shop.yaml", 3),
        ("shop.yaml", 8),
    ]


def test_a_configured_template_is_used():
    config = parse_injection_config("templates: {sidecar: 'spec: {containers: [{name: istio-proxy, image: mine}]}'}")
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": POD_SPEC})
    assert yaml.safe_load(kube_inject(text, config=config).text)["spec"]["containers"][1]["image"] == "mine"
