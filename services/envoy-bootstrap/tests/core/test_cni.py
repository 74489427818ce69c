"""The protocol of CNI plugins: what a runtime may say, and what it is answered."""

import json

import pytest
from envoy_bootstrap.core.capture.cni import (
    Attachment,
    CniError,
    left_alone,
    parse_attachment,
    parse_command,
    parse_plugin_config,
    result,
)
from envoy_bootstrap.istio_cni import answered
from meshcore.errors import ErrorCode, MeshError

CONFIG = {"cniVersion": "0.4.0", "exclude_namespaces": ["kube-system"], "pod_namespace": "istio-system"}


def test_version_needs_no_configuration():
    code, answer = answered({"CNI_COMMAND": "VERSION"}, '{"cniVersion": "0.4.0"}')
    assert (code, json.loads(answer)["cniVersion"]) == (0, "0.4.0")
    assert "1.0.0" in json.loads(answer)["supportedVersions"]
    assert json.loads(answered({"CNI_COMMAND": "VERSION"}, "")[1])["cniVersion"] == "1.1.0"


@pytest.mark.parametrize(
    ("command", "stdin", "code"),
    [
        ("", "{}", 4),
        ("add", "{}", 4),
        ("ADD", "", 6),
        ("ADD", "[" * 100_000, 6),
        ("ADD", "[]", 6),
        ("ADD", '{"cniVersion": "9.0.0"}', 1),
        ("ADD", '{"cniVersion": ["1.0.0"]}', 1),
        ("ADD", '{"cniVersion": "1.0.0", "prevResult": 1}', 7),
        ("ADD", '{"cniVersion": "1.0.0", "exclude_namespaces": "kube-system"}', 7),
    ],
)
def test_what_cannot_be_understood_is_answered_with_the_specification_s_code(command, stdin, code):
    status, answer = answered({"CNI_COMMAND": command}, stdin)
    assert (status, json.loads(answer)["code"]) == (1, code)


def test_what_is_no_pod_or_left_out_is_not_asked_about_and_the_result_is_handed_on():
    made = {"cniVersion": "0.4.0", "ips": []}
    for arguments in ("", "K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns"):
        told = answered({"CNI_COMMAND": "ADD", "CNI_ARGS": arguments}, json.dumps(CONFIG | {"prevResult": made}))
        assert (told[0], json.loads(told[1])) == (0, made)
    config = parse_plugin_config(json.dumps(CONFIG))
    assert json.loads(result(config)) == {"cniVersion": "0.4.0"}
    assert left_alone(config, Attachment("istio-system", "istio-cni-node-x7", "")) == "it is what installs this plugin"
    assert left_alone(config, Attachment("shop", "istio-cni-node-x7", "")) is None


def test_a_pod_is_known_by_its_arguments():
    environment = {"CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=a=b;", "CNI_NETNS": "/n"}
    assert parse_attachment(environment) == Attachment("shop", "a=b", "/n")
    with pytest.raises(CniError, match="CNI_COMMAND 'MAKE' is not known"):
        parse_command({"CNI_COMMAND": "MAKE"})


def test_an_error_of_the_mesh_has_a_code_of_the_plugin_s_own():
    error = CniError.of(MeshError(ErrorCode.FAILED_PRECONDITION, "there is no iptables"))
    assert json.loads(error.answer("1.0.0")) == {"cniVersion": "1.0.0", "code": 100, "msg": "there is no iptables"}
    assert CniError.of(MeshError(ErrorCode.UNAVAILABLE, "away")).code == 11
