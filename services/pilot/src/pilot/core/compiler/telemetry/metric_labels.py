"""The labels of Istio's standard metrics, as literals and operators of stock Envoy. Pure.

What a proxy knows of itself is literal. Of whom it calls it knows what Pilot says of the endpoint, of the caller what
that says of itself (`peer_metadata`), and of both the identity that their certificates prove. Operators are chosen by
their cost: every label is made anew for every metric of every request, and a regular expression in CEL costs twenty
times what a look into metadata does.
"""

from dataclasses import dataclass
from typing import Any

from meshcore.workload_names import METRIC_LABELS, UNKNOWN, WorkloadNames

from pilot.core.compiler.listener_sides import Side
from pilot.core.compiler.messages import ISTIO_METADATA
from pilot.core.compiler.peer_names import PEER, own_names
from pilot.core.compiler.telemetry.peer_metadata import PROOF, knows_caller
from pilot.core.proxy import ProxyClass

_SAN = "connection.uri_san_peer_certificate"
_PROVEN_NAMESPACE = f"re.extract({_SAN}, 'spiffe://[^/]*/ns/([^/]*)/sa/(.*)', '\\\\1')"
_TOLD = f"metadata.filter_metadata['{PEER}']"
_TOLD_NAMESPACE = (
    f"'{PEER}' in metadata.filter_metadata && {_SAN}.contains({_TOLD}.{PROOF}) ? {_TOLD}.namespace"
    f" : {_PROVEN_NAMESPACE}"
)
_PROTOCOL = (
    "%CEL('content-type' in request.headers && request.headers['content-type'].startsWith('application/grpc')"
    " ? 'grpc' : 'http')%"
)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports: the workload, its side, and on the server's the service that is reached."""

    own: WorkloadNames
    side: Side
    service: tuple[str, str, str]
    """Host, name and namespace; empty where the chain serves none."""
    knows_caller: bool
    """Whether callers show certificates."""

    @classmethod
    def of(cls, one: ProxyClass, side: Side, chain: Any) -> "Reporter":
        """From the metadata of the chain."""
        metadata = chain.metadata.filter_metadata
        known = ISTIO_METADATA in metadata and "services" in metadata[ISTIO_METADATA]
        service = ("", "", "")
        # the list is empty at a port that only a Sidecar's ingress names
        if side is Side.SERVER and known and len(metadata[ISTIO_METADATA]["services"]):
            first = metadata[ISTIO_METADATA]["services"][0]
            service = (first["host"], first["name"], first["namespace"])
        return cls(own_names(one), side, service, knows_caller(chain))

    def tags(self, *, http: bool) -> dict[str, str]:
        """Istio's labels."""
        server = self.side is Side.SERVER
        own, peer = ("destination", "source") if server else ("source", "destination")
        host, short, namespace = self.service if server else map(_called, ("host", "name", "namespace"))
        found = {
            "reporter": "destination" if server else "source",
            **{f"{own}_{end}": getattr(self.own, field) for end, field in METRIC_LABELS.items()},
            **{f"{peer}_{end}": value for end, value in self._peer(http=http).items()},
            f"{own}_principal": "%DOWNSTREAM_LOCAL_URI_SAN%" if server else "%UPSTREAM_LOCAL_URI_SAN%",
            f"{peer}_principal": "%DOWNSTREAM_PEER_URI_SAN%" if server else "%UPSTREAM_PEER_URI_SAN%",
            "destination_service": host or UNKNOWN,
            "destination_service_name": short or UNKNOWN,
            "destination_service_namespace": namespace or UNKNOWN,
            "request_protocol": _PROTOCOL if http else "tcp",
            "response_flags": "%RESPONSE_FLAGS%",
            "connection_security_policy": "%CEL(connection.mtls ? 'mutual_tls' : 'none')%" if server else UNKNOWN,
        }
        if http:
            found["response_code"] = "%RESPONSE_CODE%"
            found["grpc_response_status"] = "%GRPC_STATUS_NUMBER%"
        return found

    def _peer(self, *, http: bool) -> dict[str, str]:
        if self.side is Side.CLIENT:
            return {end: f"%UPSTREAM_METADATA({PEER}:{field})%" for end, field in METRIC_LABELS.items()}
        if not self.knows_caller:
            return dict.fromkeys(METRIC_LABELS, UNKNOWN)
        if not http:
            return {**dict.fromkeys(METRIC_LABELS, UNKNOWN), "workload_namespace": f"%CEL({_PROVEN_NAMESPACE})%"}
        told = {end: f"%DYNAMIC_METADATA({PEER}:{field})%" for end, field in METRIC_LABELS.items()}
        return {**told, "workload_namespace": f"%CEL({_TOLD_NAMESPACE})%"}


def _called(field: str) -> str:
    """The service behind the cluster that was chosen; clusters that are none have their own name in its place."""
    services = "xds.cluster_metadata.filter_metadata.istio.services"
    other = f"'{UNKNOWN}'" if field == "namespace" else "xds.cluster_name"
    return f"%CEL(has(xds.cluster_metadata.filter_metadata.istio) ? {services}[0].{field} : {other})%"
