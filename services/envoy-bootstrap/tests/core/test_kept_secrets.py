"""What an agent keeps of Pilot's Secrets."""

import json

import pytest
from envoy_bootstrap.core.discovery import Versioned
from envoy_bootstrap.core.kept_secrets import secrets_from_bytes, secrets_in_use, secrets_to_bytes
from meshcore.errors import MeshError


def listener(*names):
    secrets = [{"name": name, "sds_config": {"ads": {}}} for name in names]
    socket = {"typed_config": {"@type": "x", "common_tls_context": {"tls_certificate_sds_secret_configs": secrets}}}
    return {"name": "in", "filter_chains": [{"transport_socket": socket}]}


def test_the_names_that_envoy_has_from_pilot_are_kept_and_no_others():
    names = ["default", "ROOTCA", "file-cert:/a~/b", "kubernetes://cert", "configmap://edge/roots", "kubernetes://e/c"]
    entry = {
        "active_state": {"listener": listener(*names)},
        "draining_state": {"listener": listener("kubernetes://former")},
    }
    kind = "type.googleapis.com/envoy.admin.v3."
    client = {"combined_validation_context": {"x": {"name": "kubernetes://c-cacert", "sds_config": {"ads": {}}}}}
    sections = [
        {"@type": f"{kind}ListenersConfigDump", "dynamic_listeners": [entry]},
        {"@type": f"{kind}ClustersConfigDump", "dynamic_active_clusters": [{"cluster": client}]},
        {"@type": f"{kind}SecretsConfigDump", "dynamic_active_secrets": [{"name": "kubernetes://unused"}]},
        {"@type": f"{kind}RoutesConfigDump", "dynamic_route_configs": [{"route_config": {"name": "kubernetes://r"}}]},
    ]
    expected = {"kubernetes://cert", "configmap://edge/roots", "kubernetes://e/c", "kubernetes://c-cacert"}
    assert secrets_in_use(json.dumps({"configs": sections})) == expected
    assert secrets_in_use("{}") == secrets_in_use("") == frozenset()


def test_what_is_stored_comes_back_and_anything_else_is_refused():
    held = {"kubernetes://cert": Versioned("7", b"\x00\xff"), "kubernetes://other": Versioned("", b"")}
    assert secrets_from_bytes(secrets_to_bytes(held)) == held
    for content in (b"", b"[]", b"{}x", b'{"a": 1}', b'{"a": ["v", "\xc3\xa9"]}', b"\xff"):
        with pytest.raises(MeshError, match="cannot be read"):
            secrets_from_bytes(content)
