"""A VirtualService with every name in full.

Hosts and destinations become FQDNs, gateways `NAMESPACE/NAME` (none: the mesh), the mirror of the old form one of
`mirrors`, a lone destination has all the weight, a redirect its code.
"""

from meshcore.model.virtual_service import (
    Destination,
    HttpMatchRequest,
    HttpRoute,
    HttpRouteDestination,
    L4MatchAttributes,
    MirrorPolicy,
    Percent,
    RouteDestination,
    TcpRoute,
    TlsMatchAttributes,
    TlsRoute,
    VirtualService,
)

from galley.core.kind_rules import Naming

MESH = "mesh"
_MOVED_PERMANENTLY = 301
_ALL = 100


def normalize(virtual_service: VirtualService, naming: Naming) -> VirtualService:
    """The form that consumers read; normalising it again changes nothing."""
    return _Normalizer(virtual_service.metadata.namespace, naming).virtual_service(virtual_service)


class _Normalizer:
    def __init__(self, namespace: str, naming: Naming) -> None:
        self._namespace = namespace
        self._naming = naming

    def virtual_service(self, value: VirtualService) -> VirtualService:
        spec = value.spec
        normal = spec.model_copy(
            update={
                "hosts": tuple(self._host(host) for host in spec.hosts),
                "gateways": self._gateways(spec.gateways) or ((MESH,) if spec.hosts else ()),
                "http": tuple(self._http(route) for route in spec.http),
                "tls": tuple(self._tls(route) for route in spec.tls),
                "tcp": tuple(self._tcp(route) for route in spec.tcp),
            }
        )
        return value.model_copy(update={"spec": normal})

    def _host(self, host: str) -> str:
        return self._naming.fqdn(host, self._namespace)

    def _gateways(self, gateways: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            name if name == MESH or "/" in name or "." in name else f"{self._namespace}/{name}" for name in gateways
        )

    def _destination(self, value: Destination) -> Destination:
        return value.model_copy(update={"host": self._host(value.host)})

    def _http(self, route: HttpRoute) -> HttpRoute:
        update: dict[str, object] = {
            "match": tuple(
                match.model_copy(update={"gateways": self._gateways(match.gateways)}) for match in route.match
            ),
            "route": self._weighted(route.route),
            "mirrors": self._mirrors(route),
            "mirror": None,
            "mirror_percent": None,
            "mirror_percent_legacy": None,
            "mirror_percentage": None,
        }
        if route.redirect is not None and not route.redirect.redirect_code:
            update["redirect"] = route.redirect.model_copy(update={"redirect_code": _MOVED_PERMANENTLY})
        if route.delegate is not None and not route.delegate.namespace:
            update["delegate"] = route.delegate.model_copy(update={"namespace": self._namespace})
        return route.model_copy(update=update)

    def _mirrors(self, route: HttpRoute) -> tuple[MirrorPolicy, ...]:
        mirrors = route.mirrors
        if route.mirror is not None:
            percent = route.mirror_percent if route.mirror_percent is not None else route.mirror_percent_legacy
            percentage = route.mirror_percentage or (None if percent is None else Percent(value=float(percent)))
            mirrors = (MirrorPolicy(destination=route.mirror, percentage=percentage),)
        return tuple(
            mirror.model_copy(update={"destination": self._destination(mirror.destination)}) for mirror in mirrors
        )

    def _weighted(self, routes: tuple[HttpRouteDestination, ...]) -> tuple[HttpRouteDestination, ...]:
        lone = len(routes) == 1
        return tuple(
            route.model_copy(
                update={"destination": self._destination(route.destination), "weight": _ALL if lone else route.weight}
            )
            for route in routes
        )

    def _tls(self, route: TlsRoute) -> TlsRoute:
        return route.model_copy(
            update={"match": tuple(self._l4(match) for match in route.match), "route": self._bytes(route.route)}
        )

    def _tcp(self, route: TcpRoute) -> TcpRoute:
        return route.model_copy(
            update={"match": tuple(self._l4(match) for match in route.match), "route": self._bytes(route.route)}
        )

    def _l4(
        self, match: HttpMatchRequest | L4MatchAttributes | TlsMatchAttributes
    ) -> HttpMatchRequest | L4MatchAttributes | TlsMatchAttributes:
        return match.model_copy(update={"gateways": self._gateways(match.gateways)})

    def _bytes(self, routes: tuple[RouteDestination, ...]) -> tuple[RouteDestination, ...]:
        lone = len(routes) == 1
        return tuple(
            route.model_copy(
                update={"destination": self._destination(route.destination), "weight": _ALL if lone else route.weight}
            )
            for route in routes
        )
