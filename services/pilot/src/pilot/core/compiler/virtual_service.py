"""A VirtualService's HTTP rules as Envoy routes, in order, for one port and one class of clients. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from envoy.config.route.v3 import route_components_pb2
from google.protobuf import duration_pb2
from meshcore.model.mesh_config import MeshConfig
from meshcore.model.virtual_service import (
    Destination,
    HttpMatchRequest,
    HttpRoute,
    MirrorPolicy,
    Percent,
    VirtualService,
)

from pilot.core.compiler.clients import Client
from pilot.core.compiler.destinations import Chosen, Resolved, choose
from pilot.core.compiler.header_operations import apply_headers, authority_of
from pilot.core.compiler.http_filters import CORS, FAULT
from pilot.core.compiler.messages import any_of, boolean, duration, provenance
from pilot.core.compiler.persistent_sessions import keep_session
from pilot.core.compiler.retry_policy import retry_policy
from pilot.core.compiler.route_match import is_catch_all, route_match, surviving_matches
from pilot.core.compiler.route_policies import (
    apply_direct_response,
    apply_redirect,
    cors_filter,
    fault_filter,
    fraction,
    hash_policy,
)
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic, Severity
from pilot.core.ingress import by_segments

Route = route_components_pb2.Route
Survivors = tuple[tuple[int, ...] | None, ...]
"""For each rule the matches that count for this client: () when it has none at all, None when the rule does not
count."""


@dataclass(frozen=True)
class Rules:
    """A VirtualService seen from one class on one port; `survivors` and `destinations` are all that the class adds."""

    config: Config[VirtualService]
    port: int
    survivors: Survivors
    destinations: Mapping[tuple[str, str], Resolved]
    """By (host as written, subset)."""


def survivors_of(config: Config[VirtualService], port: int, client: Client) -> Survivors:
    """Decide what of each rule counts, so that it is decided before the key of the memo is made."""
    return tuple(surviving_matches(route, port, config.namespace, client) for route in config.object.spec.http)


def destinations_of(config: Config[VirtualService]) -> Iterator[Destination]:
    """Every destination of the HTTP rules, mirrors included."""
    for route in config.object.spec.http:
        for item in route.route:
            yield item.destination
        for mirror in mirrors_of(route):
            yield mirror.destination


def mirrors_of(route: HttpRoute) -> tuple[MirrorPolicy, ...]:
    """Both spellings of mirrors as one."""
    if route.mirrors or route.mirror is None:
        return route.mirrors
    legacy = route.mirror_percent if route.mirror_percent is not None else route.mirror_percent_legacy
    share = route.mirror_percentage or (None if legacy is None else Percent(value=float(legacy)))
    return (MirrorPolicy(destination=route.mirror, percentage=share),)


def http_routes(rules: Rules, mesh: MeshConfig) -> tuple[list[route_components_pb2.Route], tuple[Diagnostic, ...]]:
    """The routes; whatever follows a rule without conditions cannot be reached and is left out."""
    made: list[route_components_pb2.Route] = []
    problems: dict[Diagnostic, None] = dict.fromkeys(rules.config.problems)
    for number, (route, kept) in enumerate(zip(rules.config.object.spec.http, rules.survivors, strict=True)):
        if kept is None:
            continue
        matches: Sequence[HttpMatchRequest | None] = [route.match[index] for index in kept] or [None]
        for match in matches:
            built, found = _route(rules, number, match, mesh)
            problems.update(dict.fromkeys(found))
            made.append(built)
            if is_catch_all(match):
                return made, tuple(problems)
    return made, tuple(problems)


def default_route(
    cluster: str, operation: str, mesh: MeshConfig, consistent: Chosen | None = None
) -> route_components_pb2.Route:
    """The route of a service without any VirtualService."""
    made = Route(
        name="default",
        match=route_match(None),
        decorator=route_components_pb2.Decorator(operation=operation),
    )
    made.route.cluster = cluster
    _set_timeout(made, None)
    _set_hashing_and_retries(made, [consistent] if consistent else [], None, mesh)
    return made


def _route(
    rules: Rules, number: int, match: HttpMatchRequest | None, mesh: MeshConfig
) -> tuple[route_components_pb2.Route, list[Diagnostic]]:
    config = rules.config
    route = config.object.spec.http[number]
    name = ".".join(part for part in (route.name, match.name if match else "") if part)
    made = Route(name=name, match=route_match(match, by_segments=by_segments(config)))
    made.stat_prefix = match.stat_prefix if match is not None else ""
    made.metadata.CopyFrom(provenance(config.path, origins=config.refs_of(number)))
    apply_headers(made, route.headers)
    problems: list[Diagnostic] = []
    if route.redirect is not None:
        apply_redirect(made, route.redirect, rules.port)
    elif route.direct_response is not None:
        apply_direct_response(made, route.direct_response)
    else:
        problems = _forward(made, rules, route, match, mesh)
    if route.fault is not None:
        made.typed_per_filter_config[FAULT].CopyFrom(any_of(fault_filter(route.fault)))
    if route.cors_policy is not None:
        made.typed_per_filter_config[CORS].CopyFrom(any_of(cors_filter(route.cors_policy)))
    return made, problems


def _forward(
    made: route_components_pb2.Route, rules: Rules, route: HttpRoute, match: HttpMatchRequest | None, mesh: MeshConfig
) -> list[Diagnostic]:
    chosen = []
    weighted = [item for item in route.route if item.weight or len(route.route) == 1]
    if not weighted:
        text = "A rule without a destination that has a weight answers 503."
        made.direct_response.status = 503
        return [Diagnostic("no-destination", rules.config.path, text, Severity.ERROR)]
    for item in weighted:
        found = choose(_resolved(rules, item.destination), item.destination, rules.port, rules.config)
        chosen.append(found)
        action = made.route
        if len(weighted) == 1:
            action.cluster = found.cluster
            apply_headers(made, item.headers)
        else:
            part = action.weighted_clusters.clusters.add(name=found.cluster)
            part.weight.value = item.weight
            apply_headers(part, item.headers)
            if not authority_of(route.headers) and (authority := authority_of(item.headers)):
                part.host_rewrite_literal = authority
    _rewrite(made, route, weighted[0].headers if len(weighted) == 1 else None)
    _set_timeout(made, route)
    _set_hashing_and_retries(made, chosen, route, mesh)
    services = [_resolved(rules, item.destination).service for item in weighted]
    if services[0] is not None and all(service is services[0] for service in services):
        keep_session(made, services[0])
    for mirror in mirrors_of(route):
        found = choose(_resolved(rules, mirror.destination), mirror.destination, rules.port, rules.config)
        share = fraction(mirror.percentage)
        if share.numerator:
            policy = action.request_mirror_policies.add(cluster=found.cluster, trace_sampled=boolean(False))
            policy.runtime_fraction.default_value.CopyFrom(share)
            policy.disable_shadow_host_suffix_append = True
            chosen.append(found)
    made.decorator.operation = _operation(rules, route, match, len(weighted))
    return [item.problem for item in chosen if item.problem is not None]


def _resolved(rules: Rules, destination: Destination) -> Resolved:
    return rules.destinations[destination.host, destination.subset]


def _rewrite(made: route_components_pb2.Route, route: HttpRoute, destination_headers: object) -> None:
    action = made.route
    authority = authority_of(route.headers) or authority_of(destination_headers)  # type: ignore[arg-type]
    rewrite = route.rewrite
    if rewrite is not None:
        if rewrite.uri_regex_rewrite is not None:
            action.regex_rewrite.pattern.regex = rewrite.uri_regex_rewrite.match
            action.regex_rewrite.substitution = rewrite.uri_regex_rewrite.rewrite
        elif rewrite.uri:
            action.prefix_rewrite = rewrite.uri
        authority = rewrite.authority or authority
    if authority:
        action.host_rewrite_literal = authority


def _set_timeout(made: route_components_pb2.Route, route: HttpRoute | None) -> None:
    """No limit unless one is set; a caller's grpc-timeout is let through up to the same limit."""
    limit = duration(route.timeout) if route is not None and route.timeout is not None else duration_pb2.Duration()
    made.route.timeout.CopyFrom(limit)
    made.route.max_grpc_timeout.CopyFrom(limit)  # max_stream_duration would make Envoy forget `timeout`


def _set_hashing_and_retries(
    made: route_components_pb2.Route, chosen: Sequence[Chosen], route: HttpRoute | None, mesh: MeshConfig
) -> None:
    hashed = [item.consistent_hash for item in chosen if item.consistent_hash is not None]
    for settings in hashed:
        policy = hash_policy(settings)
        if policy is not None and policy not in made.route.hash_policy:
            made.route.hash_policy.append(policy)
    # As in Istio, a retry stays with the host of the hash only where a VirtualService has one destination.
    only = route is not None and len(route.route) == 1
    retries = retry_policy(route.retries if route else None, mesh, consistent_hash=only and bool(hashed))
    if retries is not None:
        made.route.retry_policy.CopyFrom(retries)


def _operation(rules: Rules, route: HttpRoute, match: HttpMatchRequest | None, count: int) -> str:
    """The trace decorator: the destination, or the VirtualService when several share the requests."""
    if count != 1:
        return f"{rules.config.name}:{rules.port}/*"
    uri = match.uri if match else None
    path = (uri.exact or uri.prefix or uri.regex) if uri else None
    host = rules.destinations[route.route[0].destination.host, route.route[0].destination.subset].host
    return f"{host}:{rules.port}{path or '/*'}"
