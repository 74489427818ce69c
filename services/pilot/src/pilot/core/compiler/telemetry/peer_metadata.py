"""How proxies tell each other who they are: stock Envoy has no metadata exchange, so a header does it, and endpoints
say it of those who are called.

Requests to services of the mesh carry a header; the called proxy takes it away before anything else looks at the
request, and believes it where the caller has shown a certificate of the mesh. Nobody outside the mesh is told. What the
certificate proves is not taken from the header: a namespace counts only if the certificate has it. Pure.
"""

import re
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from meshcore.workload_names import WorkloadNames

from pilot.core.compiler.filter_order import OWN_METADATA, PEER_METADATA, HttpFilter, HttpSlot, insert
from pilot.core.compiler.listener_sides import Side
from pilot.core.compiler.messages import any_of
from pilot.core.compiler.peer_names import PEER

HEADER = "x-meshcore-peer"
_FIELDS = WorkloadNames._fields
PROOF = "in_certificate"
"""The part of the caller's SPIFFE id that its namespace makes."""
_LONGEST = 63
_ODD = re.compile(r"[^A-Za-z0-9._/-]")
_MESH_SERVICE = (
    "has(xds.cluster_metadata.filter_metadata.istio.services)"
    " && !has(xds.cluster_metadata.filter_metadata.istio.external)"
)
_VALUE = "^" + ";".join([f"([^;]{{1,{_LONGEST}}})"] * len(_FIELDS)) + "$|^.*$"
"""What is of another form is nothing."""
_Rule = header_to_metadata_pb2.Config.Rule


def introduce(manager: Any, chain: Any, side: Side, own: WorkloadNames) -> None:
    """Have a connection manager tell others who the workload is, or hear who they are."""
    if side is Side.CLIENT:
        insert(manager.http_filters, [(HttpSlot.TELEMETRY, _told(own))])
    elif knows_caller(chain):
        insert(manager.http_filters, [(HttpSlot.PEER_METADATA, _heard())])
    else:
        insert(manager.http_filters, [(HttpSlot.PEER_METADATA, _mutation(PEER_METADATA))])


def knows_caller(chain: Any) -> bool:
    """Whether a filter chain asks for a certificate."""
    context = tls_pb2.DownstreamTlsContext()
    socket = chain.transport_socket
    if not chain.HasField("transport_socket") or not socket.typed_config.Unpack(context):
        return False
    return bool(context.require_client_certificate.value)


def _told(own: WorkloadNames) -> HttpFilter:
    text = ";".join(_ODD.sub("_", getattr(own, field))[:_LONGEST] for field in _FIELDS)
    return _mutation(OWN_METADATA, f"%CEL({_MESH_SERVICE} ? '{text}' : '')%")


def _mutation(name: str, value: str = "") -> HttpFilter:
    """Take the header away, whoever put it there, and set it anew."""
    config = header_mutation_pb2.HeaderMutation()
    config.mutations.request_mutations.add(remove=HEADER)
    if value:
        made = config.mutations.request_mutations.add().append
        made.header.key, made.header.value = HEADER, value
        made.append_action = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return HttpFilter(name=name, typed_config=any_of(config))


def _heard() -> HttpFilter:
    config = header_to_metadata_pb2.Config()
    wanted = {field: rf"\{index}" for index, field in enumerate(_FIELDS, 1)}
    wanted[PROOF] = rf"/ns/\{_FIELDS.index('namespace') + 1}/sa/"
    for key, substitution in wanted.items():
        rule = config.request_rules.add(header=HEADER)
        rule.on_header_present.metadata_namespace, rule.on_header_present.key = PEER, key
        rule.on_header_present.regex_value_rewrite.pattern.regex = _VALUE
        rule.on_header_present.regex_value_rewrite.substitution = substitution
    config.request_rules[-1].remove = True
    return HttpFilter(name=PEER_METADATA, typed_config=any_of(config))
