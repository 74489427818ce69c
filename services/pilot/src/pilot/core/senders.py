"""Which VirtualServices send to a host: by that way a host is in the scope of a Sidecar that does not name it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from meshcore.hosts import resolve_short_host
from meshcore.model import VirtualService

from pilot.core.config import Config

Routes = Config[VirtualService]


def destination_hosts(config: Routes) -> frozenset[str]:
    """The hosts to which its rules send requests and connections, in full; mirrors are none of them."""
    spec = config.object.spec
    return frozenset(
        resolve_short_host(destination.destination.host, config.namespace)
        for part in (spec.http, spec.tcp, spec.tls)
        for route in part
        for destination in route.route
    )


@dataclass(frozen=True, eq=False)
class Senders:
    """The VirtualServices of a mesh by destination; the index is made when it is first asked for."""

    spaces: Mapping[str, tuple[Routes, ...]] = field(default_factory=dict)
    """By namespace, with the rules of delegates in their places."""

    @cached_property
    def by_host(self) -> Mapping[str, tuple[Routes, ...]]:
        """By the host that they send to."""
        found: dict[str, list[Routes]] = {}
        for configs in self.spaces.values():
            for config in configs:
                for host in destination_hosts(config):
                    found.setdefault(host, []).append(config)
        return {host: tuple(configs) for host, configs in found.items()}

    def to(self, host: str) -> tuple[Routes, ...]:
        """Those that send to that host."""
        return self.by_host.get(host, ())
