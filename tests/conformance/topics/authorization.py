"""Values of authorization policies, and identities, as matchers of Envoy's RBAC."""

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from meshcore.errors import MeshError
from meshcore.identity import SpiffeId, spiffe_segments, trust_domain_name
from meshcore.model.mesh_config import MeshConfig
from pilot.core.compiler.authorization import identities
from pilot.core.compiler.authorization.attributes import HOST, METHOD, PATH, Place
from pilot.core.compiler.authorization.attributes import attribute_of as condition
from pilot.core.compiler.authorization.matchers import (
    header_matcher,
    path_matcher,
    template_matcher,
    text_matcher,
)
from pilot.core.compiler.authorization.token_principals import request_principal
from pilot.core.compiler.authorization.trust_domains import with_aliases
from pilot.core.compiler.tls import spiffe_uris

_PEER = "filterState"
"""Where Istio's own proxies find the caller's identity; stock Envoy has it from the certificate."""
_BY_NAME = {
    "destip": "destination.ip",
    "destport": "destination.port",
    "connsni": "connection.sni",
    "envoyfilter": "",
    "srcip": "source.ip",
    "remoteip": "remote.ip",
    "srcnamespace": "source.namespace",
    "srcserviceaccount": "source.serviceAccount",
    "srctrustdomain": "source.trustDomain",
    "srcprincipal": "source.principal",
    "requestprincipal": "request.auth.principal",
    "requestaudiences": "request.auth.audiences",
    "requestpresenter": "request.auth.presenter",
    "requestheader": "",
    "requestclaim": "",
    "host": HOST,
    "path": PATH,
    "method": METHOD,
}


def _plain(message: Any) -> Any:
    return json_format.MessageToDict(message)


def _generator(given: Mapping[str, Any]) -> Any:
    """One value of one attribute."""
    name = re.sub(r"generator.*", "", given["what"].lower())
    known = _BY_NAME.get(name)
    attribute = known if known is not None and not isinstance(known, str) else condition(known or given["key"])
    made = attribute.terms((given["value"],), Place("my-ns", is_tcp=given["forTCP"]))
    kind = "permission" if attribute.of_request else "principal"
    return {kind: _plain(made[0])}


def _same_identity(got: Any, want: Any) -> bool:
    """Equal, but for the place where the caller's identity is."""
    principal = want.get("principal", {})
    if _PEER in principal:
        want = {"principal": {"authenticated": {"principalName": principal[_PEER]["stringMatch"]}}}
    return bool(got == want)


def _header(given: Mapping[str, Any], *, ignore_case: bool) -> Any:
    made = _plain(header_matcher(given["header"], given["value"], ignore_case=ignore_case))
    made.pop("name")
    return made


def _template(given: Mapping[str, Any]) -> Any:
    from envoy.extensions.path.match.uri_template.v3 import uri_template_match_pb2

    made = uri_template_match_pb2.UriTemplateMatchConfig()
    template_matcher(given["value"]).typed_config.Unpack(made)
    return {"uriTemplate": made.path_template}


def _matches_account(given: Mapping[str, Any]) -> bool:
    expression = identities.service_account(given["serviceAccount"], given.get("namespace", "")).safe_regex.regex
    return re.fullmatch(expression, given["peerIdentity"]) is not None


def _with_aliases(given: Mapping[str, Any]) -> list[str]:
    bundle = given["bundle"]
    return list(with_aliases(given["principals"], (bundle["trustDomain"], *(bundle.get("aliases") or ()))))


def _expanded(given: Mapping[str, Any]) -> list[str]:
    """Every URI, and those of the same workload in the other trust domains."""
    found = set(given["uris"])
    domain, *aliases = given["trustDomains"] or [""]
    mesh = MeshConfig(trust_domain=domain, trust_domain_aliases=tuple(aliases))
    for uri in given["uris"]:
        with contextlib.suppress(MeshError):
            found.update(spiffe_uris(mesh, [spiffe_segments(uri)[1:]]) if domain else ())
    return sorted(found)


def _parse(given: Mapping[str, Any]) -> Any:
    names = ("trustDomain", "namespace", "serviceAccount")
    return dict(zip(names, spiffe_segments(given["uri"]), strict=True))


TOPICS = {
    "authz-string-matcher": lambda given: _plain(text_matcher(given["value"], before=given.get("prefix", ""))),
    "authz-header-matcher": lambda given: _header(given, ignore_case=False),
    "authz-host-matcher": lambda given: _header(given, ignore_case=True),
    "authz-path-matcher": lambda given: _plain(path_matcher(given["value"]).path),
    "authz-path-template": _template,
    "authz-request-principal": lambda given: {"principal": _plain(request_principal(given["value"]))},
    "authz-service-account": _matches_account,
    "authz-trust-domain-aliases": _with_aliases,
    "authz-generator": _generator,
    "spiffe-build": lambda given: str(
        SpiffeId(trust_domain_name(given["trustDomain"]), given["namespace"], given["serviceAccount"])
    ),
    "spiffe-parse": _parse,
    "spiffe-expand": _expanded,
}
AGREE = {"authz-generator": _same_identity, "spiffe-expand": lambda got, want: got == sorted(want)}
