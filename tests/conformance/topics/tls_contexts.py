"""TLS that a gateway ends and that a proxy originates.

Contexts are compared by what they mean: which key pair, which root and revocation list, whose names, which versions,
ciphers and curves, whether a client must have a certificate. Where secrets come from is our own layout.
"""

from collections.abc import Mapping
from typing import Any

from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2
from galley.core.rules.client_tls import check_client_tls
from galley.core.rules.report import Report
from google.protobuf import json_format
from meshcore.model.destination_rule import ClientTlsSettings, TlsMode
from meshcore.model.gateway import Server
from meshcore.model.mesh_config import MeshConfig
from meshcore.model.sidecar import ServerTlsMode
from meshcore.xds import registry
from meshcore.xds.secret_names import file_reference, file_root
from pilot.core.compiler import tls
from pilot.core.compiler.gateway_tls import gateway_socket

from tests.conformance.topics import NoCounterpartError

Form = dict[str, Any]
_Parameters = common_pb2.TlsParameters


def _gateway(given: Mapping[str, Any]) -> Form | None:
    if given.get("transport") == "QUIC":
        raise NoCounterpartError("HTTP/3 is not served")
    described = {**given["server"], "port": {"number": 443, "name": "https", **given["server"]["port"]}}
    server = Server.model_validate(described)
    if server.tls is None or server.passes_through:
        return None
    if server.tls.mode is ServerTlsMode.ISTIO_MUTUAL and server.tls.ca_crl:
        raise NoCounterpartError("a revocation list beside the mesh's own root is refused when it is written")
    mesh = MeshConfig.model_validate(given.get("mesh", {}))
    made = registry.unpack(gateway_socket(server, mesh).typed_config)
    assert isinstance(made, tls_pb2.DownstreamTlsContext)
    return _downstream(made)


def _upstream(given: Mapping[str, Any]) -> Any:
    """Every answer that may be right: a case does not say whether a rule with a credential selects its workloads,
    without which a sidecar originates nothing."""
    settings = ClientTlsSettings.model_validate(given["tls"])
    report = Report()
    check_client_tls(report, "tls", settings, "default")
    if report.errors:
        raise ValueError(report.errors[0].message)
    if settings.mode is TlsMode.DISABLE:
        return [None]
    if settings.mode is TlsMode.ISTIO_MUTUAL:
        alpn = tls.ISTIO_H2_ALPN if given.get("http2") else tls.ISTIO_ALPN
        socket = tls.mutual_socket(settings.subject_alt_names, settings.sni, alpn)
    else:
        mesh = MeshConfig.model_validate(given.get("mesh", {}))
        socket = tls.configured_socket(settings, (), mesh, is_http2=bool(given.get("http2")))
    made = registry.unpack(socket.typed_config)
    assert isinstance(made, tls_pb2.UpstreamTlsContext)
    found = [_originated(made)]
    return [None, *found] if settings.credential_name and given.get("node") == "sidecar" else found


def _downstream(context: tls_pb2.DownstreamTlsContext) -> Form:
    form = _common(context.common_tls_context)
    form["client certificate"] = context.require_client_certificate.value
    return form


def _originated(context: tls_pb2.UpstreamTlsContext) -> Form:
    return {**_common(context.common_tls_context, server=False), "sni": context.sni}


def _common(context: tls_pb2.CommonTlsContext, *, server: bool = True) -> Form:
    parameters, combined = context.tls_params, context.combined_validation_context
    checks = combined.default_validation_context
    root, revoked = _root(combined.validation_context_sds_secret_config.name)
    lowest, highest = parameters.tls_minimum_protocol_version, parameters.tls_maximum_protocol_version
    names = [item.matcher for item in checks.match_typed_subject_alt_names] + list(checks.match_subject_alt_names)
    return {
        # `istio-peer-exchange` belongs to a filter that stock Envoy has not.
        "alpn": [name for name in context.alpn_protocols if name != "istio-peer-exchange"],
        "pairs": [item.name for item in context.tls_certificate_sds_secret_configs],
        "root": root,
        "revoked": revoked or checks.crl.filename,
        # Names without a root to check them by are refused by Envoy; that of a trust domain is ours (docs/limits.md).
        "names": sorted({item.exact for item in names if not item.prefix.startswith("spiffe://")} if root else ()),
        "digests": [*checks.verify_certificate_spki, *checks.verify_certificate_hash],
        "versions": [
            _Parameters.TlsProtocol.Name(lowest or (_Parameters.TLSv1_2 if server else lowest)),
            _Parameters.TlsProtocol.Name(highest or (_Parameters.TLSv1_3 if server else highest)),
        ],
        "ciphers": list(parameters.cipher_suites),
        "curves": list(parameters.ecdh_curves),
    }


def _root(name: str) -> tuple[str, str]:
    """The root and the revocation list: with us one secret has both."""
    found = file_reference(name)
    return (name, "") if found is None else (file_root(found.root), found.revoked)


def _gateway_agrees(got: Any, want: Any) -> bool:
    if want is None or got is None:
        return got is want
    return bool(got == _downstream(json_format.ParseDict(want, tls_pb2.DownstreamTlsContext())))


def _upstream_agrees(got: Any, want: Any) -> bool:
    """Curves that only a mesh config can have named are left out: cases do not state theirs."""
    if want is None or (isinstance(want, Mapping) and want.get("error")):
        return got == want if want is not None else None in got
    if not isinstance(got, list):
        return False
    wanted = _originated(json_format.ParseDict(want, tls_pb2.UpstreamTlsContext()))
    return any(item is not None and {**wanted, "curves": item["curves"]} == item for item in got)


TOPICS = {"gateway-tls-context": _gateway, "upstream-tls-context": _upstream}
AGREE = {"gateway-tls-context": _gateway_agrees, "upstream-tls-context": _upstream_agrees}
