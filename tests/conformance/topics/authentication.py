"""Who may speak to whom, and with which tokens: PeerAuthentication, RequestAuthentication, audiences."""

import json
from collections.abc import Mapping
from typing import Any

import yaml
from google.protobuf import json_format
from meshcore.authentication.workload_token import is_for
from meshcore.model.load import parse_object
from pilot.core.compiler.cache import CompileCache
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.jwt_claims import JWT_FILTER
from pilot.core.compiler.jwt_providers import issuers_of, jwt_authentication, space_delimited_claims
from pilot.core.issuer_keys import PLACEHOLDER, IssuerKeys, KeyFetching, fetched_keys
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

_ISSUER = "http://issuer.example"
"""Stands for the server of the harness, `URL` in the cases."""
_POINT = {name: json.loads(PLACEHOLDER)["keys"][0][name] for name in ("x", "y")}
_BODY = fetched_keys(json.dumps({"keys": [{"kty": "EC", "kid": "k", "crv": "P-256", **_POINT}]}))
_SERVED, _SERVED_LATER, _PLACEHOLDER = "JwtPubKey1", "JwtPubKey2", "PublicOnlyJwks"
_NODE = {"id": "sidecar~10.0.0.1~a.foo~foo.svc.cluster.local", "metadata": {"NAMESPACE": "foo"}}
_NAMESPACE = "my-ns"


def _object(kind: str, name: str, namespace: str, spec: Any, **metadata: Any) -> Any:
    document = {"apiVersion": "security.istio.io/v1", "kind": kind, "spec": spec}
    return parse_object({**document, "metadata": {"name": name, "namespace": namespace, **metadata}}, strict=False)


def _mesh_config(**settings: Any) -> Any:
    metadata = {"name": "istio", "namespace": "istio-system"}
    data = {"mesh": yaml.safe_dump(settings)}
    return parse_object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _effective_mtls(given: Mapping[str, Any]) -> Any:
    """The mode of a workload that every selector of the case means, and of the ports that are named."""
    labels: dict[str, str] = {}
    objects = [_mesh_config(rootNamespace=given["rootNamespace"])]
    for policy in given["policies"]:
        labels |= policy["spec"].get("selector", {}).get("matchLabels", {})
        created = 1_000_000 + policy.get("age_offset_s", 0)
        stamp = (
            f"2020-01-{1 + created // 86400:02}T{created // 3600 % 24:02}:{created // 60 % 60:02}:{created % 60:02}Z"
        )
        objects.append(
            _object("PeerAuthentication", policy["name"], policy["namespace"], policy["spec"], creationTimestamp=stamp)
        )
    policies = MeshSnapshot.of(objects).mtls(_NAMESPACE)
    ports = {str(port): str(policies.mode(labels, port)) for port in policies.ports(labels)}
    return {"mode": str(policies.mode(labels, -1)), "ports": ports}


def _mtls_agrees(got: Any, want: Any) -> bool:
    """Whatever the case calls the ports."""
    others = {key: value for key, value in want.items() if key != "mode"}
    ports = {str(port): mode for value in others.values() for port, mode in value.items()}
    return bool(got["mode"] == want["mode"] and got["ports"] == ports)


def _jwt_config(given: Mapping[str, Any]) -> Any:
    written = json.loads(json.dumps(given).replace('"URL', f'"{_ISSUER}'))
    policies = written.get("requestAuthentications", [{"jwtRules": written.get("jwtRules", [])}])
    ports = [{"name": "https", "port": 7443, "targetPort": 7443}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "jwt-token-issuer", "namespace": "mesh"}}
    objects = [parse_object({**service, "spec": {"ports": ports}})]
    for index, policy in enumerate(policies):
        objects.append(_object("RequestAuthentication", f"p{index}", "foo", policy))
    snapshot = MeshSnapshot.of(objects)
    served = {source: _BODY for source in snapshot.key_sources() if (source.uri or source.issuer).startswith(_ISSUER)}
    fetching = KeyFetching.parse(given.get("jwksFetchMode", ""))
    snapshot = snapshot.with_keys(IssuerKeys(fetching, served))
    proxy_class = classify(parse_node(_NODE), snapshot.selection)
    issuers = issuers_of(snapshot.by_namespace.get("RequestAuthentication", {}).get("foo", ()))
    if not issuers:
        return None
    made, _ = jwt_authentication(Compilation(snapshot, proxy_class, CompileCache()), issuers, gateway=False)
    text = json.dumps(json_format.MessageToDict(made)).replace(_ISSUER, "URL")
    for ours, theirs in ((_BODY, _SERVED), (PLACEHOLDER, _PLACEHOLDER)):
        text = text.replace(json.dumps(ours), json.dumps(theirs))
    return json.loads(text)


def _jwt_filter(given: Mapping[str, Any]) -> Any:
    config = _jwt_config(given)
    return None if config is None else {"name": JWT_FILTER, "typedConfig": config}


def _same_keys(got: Any, want: Any) -> bool:
    """The server of the cases has one body for its first client and another for its second: both are what it serves.
    A text in a rule that is no key set is in Istio's filter as it is, and Envoy refuses that: here no key is in use."""
    wanted = json.loads(json.dumps(want).replace(_SERVED_LATER, _SERVED))
    providers = (wanted or {}).get("typedConfig", wanted or {}).get("providers", {})
    for provider in providers.values():
        local = provider.get("localJwks", {})
        if "inlineString" in local and local["inlineString"] != _SERVED and not _is_json(local["inlineString"]):
            local["inlineString"] = _PLACEHOLDER
    return bool(got == wanted)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


TOPICS = {
    "authn-effective-mtls": _effective_mtls,
    "authn-jwt-config": _jwt_config,
    "authn-jwt-filter": _jwt_filter,
    "authn-space-claims": lambda given: space_delimited_claims(given["claims"]),
    "jwt-audience": lambda given: is_for(given["token_aud"], given["allowed"]),
}
AGREE = {
    "authn-effective-mtls": _mtls_agrees,
    "authn-jwt-config": _same_keys,
    "authn-jwt-filter": _same_keys,
}
