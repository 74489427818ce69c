"""What the simulator makes of a traffic row's call: answers with weights, of which only what is certain is said."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from meshcore.testing.traffic_rows import RowCall
from meshcore.testing.traffic_verdict import UNKNOWN, Answer, Partly
from meshcore.testing.traffic_verdict import Outcome as RowOutcome
from meshcore.xds import registry
from meshcore.xds.names import cluster_sni, parse_cluster_name
from meshcore.xds.resource import ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE
from pilot.core.simulation import ISTIO, Arrival, Call, Outcome, arrive, simulate
from pilot.core.simulation.rewriting import rewritten_host, rewritten_path
from simulated_admission import STRANGER, asked_of, refusal, refused_at_the_door
from simulated_tokens import tokens_of

FAULT = "envoy.filters.http.fault"
_WS_HEADERS = {"upgrade": "websocket", "connection": "Upgrade"}
_GRPC_HEADERS = {"content-type": "application/grpc", "te": "trailers"}


@dataclass(frozen=True)
class Place:
    """A workload of the mesh, as an address of it is found: its Envoy's, or its application's."""

    name: str
    identity: str
    is_application: bool = False
    is_gateway: bool = False


@dataclass(frozen=True)
class Hop:
    """Where the connection goes, and the server name and the protocols of its TLS."""

    address: str
    port: int
    sni: str
    alpn: tuple[str, ...] = ()


@dataclass(frozen=True)
class SimulatedMesh:
    """`resources` gives what the workload of that name is sent; `places` says who has an address."""

    resources: Callable[[str], ResourceSet]
    places: Mapping[str, Place]

    def predict(self, call: RowCall) -> RowOutcome:
        """What must come of the call. ValueError when it asks for what the simulator does not know."""
        dialled, _, port = call.to.rpartition(":")
        met = self.places.get(dialled)
        if met is not None and met.is_gateway:
            return self._asked(call, met, dialled, int(port))
        if call.source == "outside":
            return self._arrival(call, dialled, int(port))
        owner = next(place for place in self.places.values() if place.name == call.source and not place.is_application)
        return self._asked(call, owner, dialled, int(port) if dialled else call.port)

    def _asked(
        self,
        call: RowCall,
        owner: Place,
        dialled: str,
        port: int,
        *,
        handed: Hop | None = None,
        caller: Place | None = None,
    ) -> RowOutcome:
        """What the proxy of `owner` makes of it: of its workload's own calls, or, at a gateway, of anybody's.

        `handed` is the connection by which the proxy of `caller` hands the call on, in TLS if that has a server name.
        """
        resources = self.resources(owner.name)
        sent = {**call.headers, **(_WS_HEADERS if call.scheme == "ws" else {})}
        sent |= _GRPC_HEADERS if call.scheme.startswith("grpc") else {}
        own_tls = call.scheme in ("https", "grpcs", "tls")
        sni = handed.sni if handed is not None else ""
        tls = own_tls or bool(sni)
        asked = Call(
            host=call.host,
            port=port,
            path=call.target,
            method="POST" if call.scheme.startswith("grpc") else call.method,
            headers=sent,
            address=dialled,
            is_http=call.scheme not in ("tcp", "tls"),
            tls=tls,
            sni=sni or ((call.sni or call.host) if own_tls else ""),
            alpn=handed.alpn if handed is not None else (),
        )
        outcome = simulate(resources, asked)
        if owner.is_gateway and (refused := self._refused_by_gateway(outcome, call, asked, caller)) is not None:
            return RowOutcome((refused,))
        answers = tuple(self._answers(resources, outcome, call, owner))
        return RowOutcome(answers, copies=self._copies(resources, outcome, answers))

    def _arrival(self, call: RowCall, address: str, port: int) -> RowOutcome:
        place = self.places[address]
        tls = call.scheme in ("https", "grpcs", "tls")
        is_http = call.scheme not in ("tcp", "tls")
        met = arrive(self.resources(place.name), Arrival(port, tls=tls, is_http=is_http))
        if met.refused or met.terminates_mtls:  # a stranger has no certificate of the mesh
            return RowOutcome((Answer(0),))
        host = urlsplit(call.url).netloc
        saw = Partly(caller="", path=call.target, method=call.method, host=host, headers=Partly(_sent(call)))
        if not place.is_application:
            known = {"source_ip": STRANGER, "destination_ip": address, "destination_port": port}
            refused = refusal(call, met.chain_message, asked_of(call, saw, **known))
            if refused is not None:
                return RowOutcome((refused,))
            saw = _without_tokens(saw, met.chain_message, call)
        return RowOutcome((Answer(200, place.name, Partly(), UNKNOWN, saw),))

    def _refused_by_gateway(self, outcome: Outcome, call: RowCall, asked: Call, caller: Place | None) -> Answer | None:
        if outcome.chain_message is None:
            return None
        source = STRANGER if caller is None else self._address_of(caller)
        seen = {"host": urlsplit(call.url).netloc, "path": call.target, "headers": call.headers}
        identity = caller.identity if caller is not None and outcome.terminates_mtls else ""
        known = {"principal": identity, "source_ip": source, "destination_ip": asked.address}
        found = asked_of(call, seen, **known, destination_port=asked.port, server_name=asked.sni)
        return refusal(call, outcome.chain_message, replace(found, remote_ip=source))

    def _address_of(self, place: Place) -> str:
        """From where its proxy calls."""
        return next(address for address, one in self.places.items() if one == place)

    def _answers(self, resources: ResourceSet, outcome: Outcome, call: RowCall, owner: Place) -> Iterator[Answer]:
        if outcome.refused:
            yield Answer(0)
            return
        route, left = outcome.message, 1.0
        if route is not None and FAULT in route.typed_per_filter_config:
            fault: Any = registry.unpack(route.typed_per_filter_config[FAULT])
            part = fault.abort.percentage.numerator / 1_000_000 if fault.HasField("abort") else 0.0
            if part:
                grpc_status = fault.abort.grpc_status or UNKNOWN
                yield Answer(fault.abort.http_status or 200, weight=part, body=UNKNOWN, grpc_status=grpc_status)
            left = 1.0 - part
        if left <= 0:
            return
        if outcome.status or not outcome.shares:
            headers = Partly({"location": outcome.location or None})
            body = route.direct_response.body.inline_string if route is not None and outcome.status else UNKNOWN
            yield Answer(outcome.status, headers=headers, body=body or UNKNOWN, weight=left)
            return
        for cluster, share in outcome.shares.items():
            found = list(self._hosts(resources, cluster)) or list(self._looked_up(resources, cluster, call))
            if not found:
                status = 503 if route is not None else 0  # a connection of bytes is closed
                yield Answer(status, headers=Partly(), body=UNKNOWN, weight=left * share / 100)
            for place, weight, mutual, hop in found:
                if place is not None and place.is_gateway:
                    onward = self._asked(call, place, hop.address, hop.port, handed=hop, caller=owner)
                    for one in onward.answers:
                        part = one.weight * left * share / 100 * weight
                        end = self._end_of(one) if route is not None else None
                        if end is None:
                            yield replace(one, weight=part)
                        else:
                            yield self._served(call, route, cluster, end, mutual, owner, 200, part)
                    continue
                status = UNKNOWN if place is None else 101 if call.scheme == "ws" else 200
                part = left * share / 100 * weight
                served = self._served(call, route, cluster, place, mutual, owner, status, part)
                passed = (
                    owner.is_gateway and route is None and not mutual
                )  # it ends no TLS: the policies behind it see the client
                refused = None if passed else self._refused(call, served, cluster, place, mutual, owner, hop)
                yield served if refused is None else replace(refused, weight=part)

    def _refused(
        self, call: RowCall, served: Answer, cluster: str, place: Place | None, mutual: bool, owner: Place, hop: Hop
    ) -> Answer | None:
        """By the policies of the called workload's own proxy."""
        if place is None or place.is_application:
            return None
        plain = {"host": urlsplit(call.url).netloc, "path": call.target, "headers": call.headers}
        seen = {name: served.saw.get(name) if name in served.saw else text for name, text in plain.items()}
        parsed = parse_cluster_name(cluster)
        asked = asked_of(
            call,
            seen,
            principal=owner.identity if mutual else "",
            source_ip=self._address_of(owner),
            destination_ip=hop.address,
            destination_port=hop.port,
            server_name=cluster_sni(parsed.port, parsed.subset, parsed.host) if mutual else "",
        )
        if owner.is_gateway and call.source == "outside":
            asked = replace(asked, remote_ip=STRANGER)  # the gateway says who it was
        return refused_at_the_door(self.resources(place.name), call, asked, mutual=mutual)

    def _end_of(self, answer: Answer) -> Place | None:
        """The workload at the other end of a connection that a gateway has passed through; None for other answers."""
        if not answer.workload or answer.saw:
            return None
        return next(item for item in self.places.values() if item.name == answer.workload and not item.is_application)

    def _served(
        self,
        call: RowCall,
        route: Any,
        cluster: str,
        place: Place | None,
        mutual: bool,
        owner: Place,
        status: Any,
        weight: float,
    ) -> Answer:
        if route is None:  # TCP
            return Answer(200, place.name if place else "", Partly(), UNKNOWN, Partly(), weight=weight)
        levels = _levels(route, cluster)
        response = Partly(_changed({}, levels, "response"))
        seen = Partly(
            path=rewritten_path(route, call.target),
            host=rewritten_host(route, cluster, urlsplit(call.url).netloc),
            method=call.method,
            body=call.body,
            caller=owner.identity if mutual else UNKNOWN if place is None or place.is_application else "",
            headers=Partly(_changed(_sent(call), levels, "request")),
        )
        if call.scheme.startswith("grpc"):
            del seen["method"]
        name = place.name if place else ""
        return Answer(status, name, response, UNKNOWN, seen, grpc_status=UNKNOWN, weight=weight)

    def _copies(self, resources: ResourceSet, outcome: Outcome, answers: tuple[Answer, ...]) -> dict[str, float]:
        """Per cent of the calls that each workload gets, its share of the answers and of the mirrored requests."""
        shares: dict[str, float] = {}
        for answer in answers:
            if answer.workload:
                shares[answer.workload] = shares.get(answer.workload, 0.0) + 100.0 * answer.weight
        for policy in outcome.message.route.request_mirror_policies if outcome.message is not None else ():
            part = policy.runtime_fraction.default_value.numerator / 10_000
            for place, weight, _, _ in self._hosts(resources, policy.cluster):
                if place is not None:
                    shares[place.name] = shares.get(place.name, 0.0) + part * weight
        return {name: min(share, 100.0) for name, share in shares.items()}

    def _looked_up(
        self, resources: ResourceSet, name: str, call: RowCall
    ) -> Iterator[tuple[Place | None, float, bool, Hop]]:
        """Who has the address that the call names, where the cluster goes to the host of each request."""
        packed = resources.of_type(CLUSTER_TYPE).get(name)
        cluster = registry.parse(CLUSTER_TYPE, packed.body) if packed is not None else None
        if cluster is not None and cluster.HasField("cluster_type") and call.host in self.places:
            yield self.places[call.host], 1.0, False, Hop(call.host, call.port, "")

    def _hosts(self, resources: ResourceSet, name: str) -> Iterator[tuple[Place | None, float, bool, Hop]]:
        """Who may answer for a cluster, with which share, and whether over mesh mTLS."""
        packed = resources.of_type(CLUSTER_TYPE).get(name)
        if packed is None:
            return
        cluster = registry.parse(CLUSTER_TYPE, packed.body)
        assignment = resources.of_type(ENDPOINT_TYPE).get(name)
        groups = (
            registry.parse(ENDPOINT_TYPE, assignment.body).endpoints
            if assignment is not None
            else cluster.load_assignment.endpoints
        )
        alive = [(group, [host for host in group.lb_endpoints if host.health_status in (0, 1)]) for group in groups]
        best = min((group.priority for group, hosts in alive if hosts), default=0)
        by_locality = cluster.common_lb_config.HasField("locality_weighted_lb_config")
        used = [(group, hosts) for group, hosts in alive if hosts and group.priority == best]
        total = sum(_group_weight(group, hosts, by_locality) for group, hosts in used)
        for group, hosts in used:
            within = sum(_weight(host) for host in hosts)
            for host in hosts:
                share = _group_weight(group, hosts, by_locality) / total * _weight(host) / within
                found = host.endpoint.address.socket_address
                hop = Hop(found.address, found.port_value, *_hello(cluster, host))
                yield self.places.get(found.address), share, _is_mutual(cluster, host), hop


def _hello(cluster: Any, host: Any) -> tuple[str, tuple[str, ...]]:
    """Server name and protocols of the TLS to an endpoint; nothing in plaintext."""
    found = next((item for item in cluster.transport_socket_matches if _chosen(item, host)), None)
    socket = found.transport_socket if found is not None else cluster.transport_socket
    if not socket.name.endswith("tls"):
        return "", ()
    context: Any = registry.unpack(socket.typed_config)
    return str(context.sni), tuple(context.common_tls_context.alpn_protocols)


def _chosen(item: Any, host: Any) -> bool:
    mode = host.metadata.filter_metadata["envoy.transport_socket_match"].fields["tlsMode"].string_value
    return all(mode == value.string_value for value in item.match.fields.values())


def _weight(host: Any) -> int:
    return host.load_balancing_weight.value or 1


def _group_weight(group: Any, hosts: list[Any], by_locality: bool) -> float:
    return group.load_balancing_weight.value if by_locality else sum(_weight(host) for host in hosts)


def _is_mutual(cluster: Any, host: Any) -> bool:
    for item in cluster.transport_socket_matches:
        if _chosen(item, host):
            return bool(item.name == "tlsMode-istio")
    socket = cluster.transport_socket
    if not socket.name.endswith("tls"):
        return False
    unpacked: Any = registry.unpack(socket.typed_config)
    context = unpacked.common_tls_context
    return any(secret.name == "default" for secret in context.tls_certificate_sds_secret_configs) and bool(
        set(context.alpn_protocols) & {*ISTIO}
    )


def _sent(call: RowCall) -> dict[str, Any]:
    """The headers of the call but for the one that the proxies write themselves."""
    return {name: value for name, value in call.headers.items() if name.lower() != "x-forwarded-client-cert"}


def _without_tokens(saw: Partly, chain: Any, call: RowCall) -> Partly:
    """Nothing is said of what the JWT filter may take off or write."""
    changed = tokens_of(chain, call.method, call.target, {}).headers
    if not changed:
        return saw
    headers = {name: value for name, value in saw["headers"].items() if name.lower() not in changed}
    path = {} if "token" in call.target else {"path": saw["path"]}
    return Partly({**{name: saw[name] for name in ("caller", "method", "host")}, **path, "headers": Partly(headers)})


def _levels(route: Any, cluster: str) -> list[Any]:
    """Where header operations are, the most specific first."""
    parts = [part for part in route.route.weighted_clusters.clusters if part.name == cluster]
    return [*parts[:1], route]


def _changed(headers: dict[str, Any], levels: list[Any], direction: str) -> dict[str, Any]:
    for level in levels:
        for name in getattr(level, f"{direction}_headers_to_remove"):
            headers[name.lower()] = None
        for option in getattr(level, f"{direction}_headers_to_add"):
            name, value = option.header.key.lower(), option.header.value
            before = headers.get(name)
            if "%" in value:
                headers[name] = UNKNOWN
            elif option.append_action == 2:  # OVERWRITE_IF_EXISTS_OR_ADD
                headers[name] = value
            elif direction == "response" and before is None:
                headers[name] = UNKNOWN if name not in headers else value  # the application may have sent one
            else:
                headers[name] = f"{before},{value}" if before else value
    return headers
