"""What the simulator makes of a traffic row's call: answers with weights, of which only what is certain is said."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from meshcore.testing.traffic_rows import RowCall
from meshcore.testing.traffic_verdict import UNKNOWN, Answer, Partly
from meshcore.testing.traffic_verdict import Outcome as RowOutcome
from meshcore.xds import registry
from meshcore.xds.names import cluster_sni, parse_cluster_name
from meshcore.xds.resource import ResourceSet
from pilot.core.compiler.jwt_claims import JWT_FILTER, PAYLOAD
from pilot.core.simulation import Arrival, Call, Outcome, arrive, simulate
from pilot.core.simulation.normal_paths import normal_path
from pilot.core.simulation.rewriting import rewritten_host, rewritten_path
from simulated_admission import STRANGER, asked_of, refusal, refused_at_the_door
from simulated_application import REFUSED, Reply, reply_of, sent_headers
from simulated_cors import cors_headers
from simulated_endpoints import Chosen, Ejections, by_key, cluster_of, endpoints_of, least_busy
from simulated_hops import Hop, Place, hello, is_mutual
from simulated_requests import authority, changed, keys_of, levels_of, lower_names, question, sent, without_tokens
from simulated_tokens import tokens_of
from simulated_tries import Rules, Tried, rules_of, tries

FAULT = "envoy.filters.http.fault"


@dataclass(frozen=True)
class SimulatedMesh:
    """`resources` gives what the workload of that name is sent; `places` says who has an address."""

    resources: Callable[[str], ResourceSet]
    places: Mapping[str, Place]
    ejections: Ejections = field(default_factory=Ejections)
    """What the calls before have left behind."""

    def predict(self, call: RowCall) -> RowOutcome:
        """What must come of the call. ValueError when it asks for what the simulator does not know."""
        owner, dialled, port = self._first(call)
        if owner is None:
            return self._arrival(call, dialled, port)
        return self._asked(call, owner, dialled, port)

    def _first(self, call: RowCall) -> tuple[Place | None, str, int]:
        """Whose proxy routes the call (None: it arrives at a server's), and what is dialled."""
        dialled, _, port = call.to.rpartition(":")
        met = self.places.get(dialled)
        if met is not None and met.is_gateway:
            return met, dialled, int(port)
        if call.source == "outside":
            return None, dialled, int(port)
        owner = next(place for place in self.places.values() if place.name == call.source and not place.is_application)
        return owner, dialled, int(port) if dialled else call.port

    def _busy(self, call: RowCall, cluster: str) -> int:
        """How many requests to the cluster are under way meanwhile."""
        other = call.meanwhile
        if other is None:
            return 0
        owner, dialled, port = self._first(other)
        if owner is None:
            met = arrive(self.resources(self.places[dialled].name), Arrival(port))
        else:
            met = simulate(self.resources(owner.name), question(other, dialled, port))
        return other.count if cluster in met.shares else 0

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
        asked = question(call, dialled, port, handed)
        outcome = simulate(resources, asked)
        if owner.is_gateway and outcome.chain_message is not None:
            claims = tokens_of(outcome.chain_message, asked.method, asked.path, lower_names(call.headers)).claims
            if claims:
                outcome = simulate(resources, replace(asked, metadata={JWT_FILTER: {PAYLOAD: claims}}))
        if owner.is_gateway and (refused := self._refused_by_gateway(outcome, call, asked, caller)) is not None:
            return RowOutcome((refused,))
        if outcome.message is not None:
            by_filter, headers = cors_headers(outcome.message, call.method, lower_names(call.headers))
            if by_filter:
                return RowOutcome((Answer(200, headers=Partly(headers), body=""),))
        found = list(self._answers(resources, outcome, call, owner))
        answers = tuple(answer for answer, _ in found)
        counts = [count for _, count in found]
        mirrored = outcome.message is not None and outcome.message.route.request_mirror_policies
        total = UNKNOWN
        if not mirrored and UNKNOWN not in counts:
            total = round(sum(one.weight * count for one, count in found) * call.count, 6)
        return RowOutcome(answers, total, self._copies(resources, outcome, answers))

    def _arrival(self, call: RowCall, address: str, port: int) -> RowOutcome:
        place = self.places[address]
        tls = call.scheme in ("https", "grpcs", "tls")
        is_http = call.scheme not in ("tcp", "tls")
        resources = self.resources(place.name)
        met = arrive(resources, Arrival(port, tls=tls, is_http=is_http))
        if met.refused or met.terminates_mtls:  # a stranger has no certificate of the mesh
            return RowOutcome((Answer(0),))
        host = authority(call)
        saw = Partly(caller="", path=call.target, method=call.method, host=host, headers=Partly(sent(call)))
        if not place.is_application:
            known = {"source_ip": STRANGER, "destination_ip": address, "destination_port": port}
            refused = refusal(call, met.chain_message, asked_of(call, saw, **known))
            if refused is not None:
                return RowOutcome((refused,))
            if is_http:
                saw["path"] = normal_path(registry.unpack(met.chain_message.filters[-1].typed_config), call.target)
            saw = without_tokens(saw, met.chain_message, call)
            for name in met.shares:
                cluster = cluster_of(resources, name)
                if is_http and (self._is_full(cluster, call) or not self._listens(place, met.endpoints.get(name, ()))):
                    return RowOutcome((Answer(503, headers=Partly(), body=UNKNOWN),))
        reply = reply_of(call, place.name, place.ports, 0, 0) if is_http else Reply()
        return RowOutcome((Answer(reply.status, place.name, Partly(), UNKNOWN, saw),))

    def _listens(self, place: Place, addresses: Sequence[str]) -> bool:
        """Whether the application of a workload, or a socket that is named like its address, is among them."""
        sockets = {f"unix://@{address}" for address, item in self.places.items() if item.name == place.name}
        ports = {item.rpartition(":")[2] for item in addresses} & set(map(str, place.ports))
        return not addresses or bool(ports or sockets & set(addresses))

    def _is_full(self, cluster: Any, call: RowCall) -> bool:
        """Whether the cluster takes no request beside those that are under way."""
        limits = cluster.circuit_breakers.thresholds
        if not limits or not limits[0].HasField("max_requests"):
            return False
        return self._busy(call, cluster.name) >= limits[0].max_requests.value

    def _refused_by_gateway(self, outcome: Outcome, call: RowCall, asked: Call, caller: Place | None) -> Answer | None:
        if outcome.chain_message is None:
            return None
        source = STRANGER if caller is None else self._address_of(caller)
        seen = {"host": authority(call), "path": call.target, "headers": call.headers}
        identity = caller.identity if caller is not None and outcome.terminates_mtls else ""
        known = {"principal": identity, "source_ip": source, "destination_ip": asked.address}
        found = asked_of(call, seen, **known, destination_port=asked.port, server_name=asked.sni)
        return refusal(call, outcome.chain_message, replace(found, remote_ip=source))

    def _address_of(self, place: Place) -> str:
        """From where its proxy calls."""
        return next(address for address, one in self.places.items() if one == place)

    def _answers(
        self, resources: ResourceSet, outcome: Outcome, call: RowCall, owner: Place
    ) -> Iterator[tuple[Answer, Any]]:
        """Each with how often applications were asked for it."""
        if outcome.refused:
            yield Answer(0), 0
            return
        route, left = outcome.message, 1.0
        if route is not None and FAULT in route.typed_per_filter_config:
            fault: Any = registry.unpack(route.typed_per_filter_config[FAULT])
            part = fault.abort.percentage.numerator / 1_000_000 if fault.HasField("abort") else 0.0
            if part:
                grpc_status = fault.abort.grpc_status or UNKNOWN
                yield Answer(fault.abort.http_status or 200, weight=part, body=UNKNOWN, grpc_status=grpc_status), 0
            left = 1.0 - part
        if left <= 0:
            return
        if outcome.status or not outcome.shares:
            headers = Partly({"location": outcome.location or None})
            body = route.direct_response.body.inline_string if route is not None and outcome.status else UNKNOWN
            yield Answer(outcome.status, headers=headers, body=body or UNKNOWN, weight=left), 0
            return
        for name, share in outcome.shares.items():
            cluster = cluster_of(resources, name)
            part = left * share / 100
            nobody = Answer(503 if route is not None else 0, headers=Partly(), body=UNKNOWN, weight=part)
            found = list(self._looked_up(cluster, call)) if cluster is not None else []
            if found:
                yield from self._onward(outcome, call, owner, name, found[0], Reply(), part, UNKNOWN)
            elif cluster is None or not endpoints_of(resources, cluster, self.ejections):
                yield nobody, 0
            elif route is not None and self._is_full(cluster, call):
                yield replace(nobody, headers=Partly({"x-envoy-overloaded": "true"})), 0
            else:
                yield from self._tried(resources, outcome, call, owner, cluster, part)

    def _tried(
        self, resources: ResourceSet, outcome: Outcome, call: RowCall, owner: Place, cluster: Any, part: float
    ) -> Iterator[tuple[Answer, Any]]:
        route = outcome.message
        busy = self._busy(call, cluster.name)
        again = busy if call.meanwhile is not None and (call.meanwhile.expect.attempts or 1) > 1 else 0
        rules = rules_of(route, cluster, again) if route is not None else Rules()

        def choose(passed: frozenset[int]) -> list[Chosen]:
            found = endpoints_of(resources, cluster, self.ejections, passed)
            return least_busy(cluster, found, {item.address: busy for item in found if self._stays(call, item)})

        def ask(item: Chosen, before: int) -> Reply:
            return self._reply(outcome, call, owner, cluster, item, before)

        keys = keys_of(outcome, cluster, call)
        firsts = by_key(choose(frozenset()), keys) if keys else [None]
        results: list[Tried] = []
        for first in firsts:
            chosen = choose if first is None else partial(_with_first, choose, first)
            share = first.share if first is not None else 1.0
            found = (replace(one, weight=one.weight * share) for one in tries(chosen, ask, rules))
            results += [one for one in found if one.weight > 1e-6]
        for one in results:
            host = self._host(cluster, one.chosen)
            place = host[0]
            counted = len(one.asked) if place is None or not place.is_gateway else UNKNOWN
            weight = part * one.weight
            if one.timed_out or (one.reply.fault and route is not None):
                status = 504 if one.timed_out else 503
                said = 4 if one.timed_out else 14
                lost = Answer(status, headers=Partly(), body=UNKNOWN, grpc_status=said, weight=weight)
                yield (replace(lost, status=200) if call.scheme.startswith("grpc") else lost), counted
            elif one.reply.fault:
                yield Answer(0, weight=weight), counted
            else:
                yield from self._onward(outcome, call, owner, cluster.name, host, one.reply, weight, counted)
        self._remember(cluster, results, call.count * part, len(endpoints_of(resources, cluster, Ejections())))

    def _remember(self, cluster: Any, results: Sequence[Tried], requests: float, hosts: int) -> None:
        kinds: dict[str, dict[str, float]] = {}
        for one in results:
            reply = one.reply
            kind = "local" if reply.fault else "5xx" if reply.status >= 500 else "good"
            kind = "gateway" if 502 <= reply.status <= 504 else kind
            of_host = kinds.setdefault(one.chosen.address, {})
            of_host[kind] = of_host.get(kind, 0.0) + one.weight * requests
        for address, counts in kinds.items():
            for kind, count in counts.items():
                self.ejections.seen(cluster, address, kind if len(counts) == 1 else "good", round(count), hosts)

    def _stays(self, call: RowCall, item: Chosen) -> bool:
        """Whether an endpoint is one that keeps the requests that are under way."""
        place = self.places.get(item.host.endpoint.address.socket_address.address)
        if call.meanwhile is None or place is None:
            return False
        return reply_of(call.meanwhile, place.name, place.ports, 0, 1).seconds > 0

    def _reply(self, outcome: Outcome, call: RowCall, owner: Place, cluster: Any, item: Chosen, before: int) -> Reply:
        """What an endpoint does with one try."""
        place, mutual, hop = self._host(cluster, item)
        if place is None or place.is_gateway:
            return Reply()
        if place.is_application:
            return reply_of(call, place.name, place.ports, hop.port, before) if call.scheme != "tcp" else Reply()
        if outcome.message is None:
            return Reply()
        served = self._served(call, outcome, cluster.name, place, mutual, owner, 200, 1.0)
        refused = self._refused(call, served, cluster.name, place, mutual, owner, hop)
        if refused is not None:
            return Reply(refused.status) if refused.status else REFUSED
        return reply_of(call, place.name, place.ports, 0, before)

    def _onward(
        self,
        outcome: Outcome,
        call: RowCall,
        owner: Place,
        cluster: str,
        host: tuple[Place | None, bool, Hop],
        reply: Reply,
        weight: float,
        counted: Any,
    ) -> Iterator[tuple[Answer, Any]]:
        """What comes back from an endpoint that has taken the request."""
        route = outcome.message
        place, mutual, hop = host
        if place is not None and place.is_gateway:
            onward = self._asked(call, place, hop.address, hop.port, handed=hop, caller=owner)
            for one in onward.answers:
                end = self._end_of(one) if route is not None else None
                part = one.weight * weight
                if end is None:
                    yield replace(one, weight=part), counted
                else:
                    yield self._served(call, outcome, cluster, end, mutual, owner, 200, part), counted
            return
        tunnelled = self.places.get(_tunnel(outcome))
        if tunnelled is not None:
            place, mutual = tunnelled, False
        status = UNKNOWN if place is None else 101 if call.scheme == "ws" else reply.status
        served = self._served(call, outcome, cluster, place, mutual, owner, status, weight)
        served = replace(served, grpc_status=reply.grpc_status or UNKNOWN)
        passed = owner.is_gateway and route is None and not mutual  # it ends no TLS: those behind it see the client
        refused = None if passed else self._refused(call, served, cluster, place, mutual, owner, hop)
        yield (served if refused is None else replace(refused, weight=weight)), counted

    def _refused(
        self, call: RowCall, served: Answer, cluster: str, place: Place | None, mutual: bool, owner: Place, hop: Hop
    ) -> Answer | None:
        """By the policies of the called workload's own proxy."""
        if place is None or place.is_application:
            return None
        plain = {"host": authority(call), "path": call.target, "headers": call.headers}
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
        outcome: Outcome,
        cluster: str,
        place: Place | None,
        mutual: bool,
        owner: Place,
        status: Any,
        weight: float,
    ) -> Answer:
        route = outcome.message
        if route is None:  # TCP
            return Answer(200, place.name if place else "", Partly(), UNKNOWN, Partly(), weight=weight)
        levels = levels_of(outcome, cluster)
        response = Partly(changed(dict(sent_headers(call)), levels, "response"))
        response |= cors_headers(route, call.method, lower_names(call.headers))[1]
        seen = Partly(
            path=rewritten_path(route, outcome.path),
            host=rewritten_host(route, cluster, authority(call)),
            method=call.method,
            body=call.body,
            caller=owner.identity if mutual else UNKNOWN if place is None or place.is_application else "",
            headers=Partly(changed(sent(call), levels, "request")),
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
            cluster = cluster_of(resources, policy.cluster)
            for item in endpoints_of(resources, cluster, self.ejections) if cluster is not None else ():
                place = self._host(cluster, item)[0]
                if place is not None:
                    shares[place.name] = shares.get(place.name, 0.0) + part * item.share
        return {name: min(share, 100.0) for name, share in shares.items()}

    def _looked_up(self, cluster: Any, call: RowCall) -> Iterator[tuple[Place | None, bool, Hop]]:
        """Who has the address that the call names, where the cluster goes to the host of each request."""
        if cluster.HasField("cluster_type") and call.host in self.places:
            yield self.places[call.host], False, Hop(call.host, call.port, "")

    def _host(self, cluster: Any, item: Chosen) -> tuple[Place | None, bool, Hop]:
        """Who has the endpoint's address, whether it is spoken to over mesh mTLS, and how."""
        found = item.host.endpoint.address.socket_address
        hop = Hop(found.address, found.port_value, *hello(cluster, item.host))
        return self.places.get(found.address), is_mutual(cluster, item.host), hop


def _with_first(
    choose: Callable[[frozenset[int]], list[Chosen]], first: Chosen, passed: frozenset[int]
) -> list[Chosen]:
    """That endpoint, and the others for who does not want it again."""
    others = [item for item in choose(passed) if item.address != first.address]
    return [first._replace(share=1.0), *(item._replace(share=1e-9) for item in others)]


def _tunnel(outcome: Outcome) -> str:
    """The host to which the server at the other end is asked to connect."""
    if outcome.message is not None or outcome.chain_message is None:
        return ""
    proxy: Any = registry.unpack(outcome.chain_message.filters[-1].typed_config)
    hostname = proxy.tunneling_config.hostname if proxy is not None and proxy.HasField("tunneling_config") else ""
    return str(hostname.rpartition(":")[0])
