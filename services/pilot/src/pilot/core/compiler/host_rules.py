"""Which VirtualServices count for a host in one scope. Pure.

Those of the most specific host that covers it, in the order of precedence. On sidecars they are not joined: the first
with HTTP rules has its requests, the first with TCP or TLS rules its connections (xds.md §11).
"""

from collections.abc import Iterator
from typing import NamedTuple

from meshcore.hosts import is_wildcard, most_specific
from meshcore.model import VirtualService

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation
from pilot.core.config import Config
from pilot.core.diagnostics import HOST_TWICE, Diagnostic
from pilot.core.visibility.scoping import Scope, route_hosts

Routes = tuple[Config[VirtualService], ...]


class Candidates(NamedTuple):
    """The VirtualServices of one host, in the order of precedence."""

    http: Routes = ()
    of_bytes: Routes = ()


_NONE = Candidates()


class HostRules(NamedTuple):
    """VirtualServices of a scope by host."""

    exact: dict[str, Candidates]
    wildcard: dict[str, Candidates]

    def of(self, host: str) -> Candidates:
        """Those of the most specific host that covers this one."""
        if host in self.exact:
            return self.exact[host]
        pattern = most_specific(self.wildcard, host)
        return self.wildcard[pattern] if pattern is not None else _NONE


def host_rules(work: Compilation) -> HostRules:
    """The index of this scope's VirtualServices."""
    scope, domain = work.scope, work.proxy_class.domain
    return work.memo(("host-rules", Same(scope), domain), lambda: _index(scope, domain))


def host_conflicts(work: Compilation) -> Iterator[Diagnostic]:
    """VirtualServices that have no say over a host because another one comes before them."""
    rules = host_rules(work)
    for host, found in (*rules.exact.items(), *rules.wildcard.items()):
        for first, *others in filter(None, found):
            for config in others:
                text = f"Host {host} has the rules of {first.namespace}/{first.name}: these are not used for it."
                yield Diagnostic(HOST_TWICE, config.path, text)


def _index(scope: Scope, domain: str) -> HostRules:
    rules = HostRules({}, {})
    for config in scope.virtual_services:
        spec = config.object.spec
        mine = Candidates((config,) if spec.http else (), (config,) if spec.tcp or spec.tls else ())
        for host in dict.fromkeys(route_hosts(config, domain)):
            index = rules.wildcard if is_wildcard(host) else rules.exact
            known = index.get(host, _NONE)
            index[host] = Candidates(known.http + mine.http, known.of_bytes + mine.of_bytes)
    return rules
