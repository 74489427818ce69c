"""Which VirtualServices count for a host in one scope. Pure.

Those of the most specific host that covers it, in the order of precedence. On sidecars they are not joined: the first
with HTTP rules has its requests, the first with TCP or TLS rules its connections (xds.md §11).
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from meshcore.hosts import is_wildcard, most_specific
from meshcore.model import VirtualService

from pilot.core.compiler.context import Compilation
from pilot.core.config import Config
from pilot.core.diagnostics import HOST_TWICE, Diagnostic
from pilot.core.visibility.scoping import route_hosts
from pilot.core.visibility.seen import Routes


class Candidates(NamedTuple):
    """The VirtualServices of one host, in the order of precedence."""

    http: Routes = ()
    of_bytes: Routes = ()


_NONE = Candidates()


class HostRules(NamedTuple):
    """VirtualServices of a scope by host."""

    exact: dict[str, Candidates]
    wildcard: dict[str, Candidates]
    contested: frozenset[str] = frozenset()
    """Hosts that several VirtualServices are for."""
    has_company: bool = False
    """Whether a VirtualService is for several hosts."""

    def of(self, host: str) -> Candidates:
        """Those of the most specific host that covers this one."""
        found = self.exact.get(host)
        if found is not None:
            return found
        if not self.wildcard:
            return _NONE
        pattern = most_specific(self.wildcard, host)
        return self.wildcard[pattern] if pattern is not None else _NONE

    def at(self, host: str) -> Candidates:
        """Those that name this host."""
        return (self.wildcard if is_wildcard(host) else self.exact).get(host, _NONE)


def host_rules(work: Compilation) -> HostRules:
    """The index of this scope's VirtualServices; what everybody sees is indexed once."""
    return work.once("host rules", partial(_indexed, work))


def _indexed(work: Compilation) -> HostRules:
    scope, domain = work.scope, work.proxy_class.domain
    if scope.behind is None:
        return work.newest("host rules", (scope,), lambda _: _index(scope.virtual_services, domain), domain)
    public = scope.behind.public
    base = work.newest_of_all(("host rules", domain), (scope.behind,), lambda _: _index(public, domain))
    if not scope.ahead:
        return base
    namespace = work.proxy_class.namespace
    made = (domain, namespace)
    return work.newest("host rules", (scope, base), lambda _: _put_ahead(base, scope.ahead, *made), domain)


def host_conflicts(work: Compilation) -> Iterator[Diagnostic]:
    """VirtualServices that have no say over a host because another one comes before them."""
    rules = host_rules(work)
    for host in rules.contested:
        for first, *others in filter(None, rules.at(host)):
            for config in others:
                text = f"Host {host} has the rules of {first.namespace}/{first.name}: these are not used for it."
                yield Diagnostic(HOST_TWICE, config.path, text)


def routes_of_bytes(work: Compilation) -> Routes:
    """The VirtualServices of this scope with rules for connections, in the order of precedence."""
    scope = work.scope
    if scope.behind is None:
        return work.newest("routes of bytes", (scope,), lambda _: _of_bytes(scope.virtual_services))
    behind = scope.behind
    public = work.newest_of_all("routes of bytes", (behind,), lambda _: _of_bytes(behind.public))
    return (*_of_bytes(scope.ahead), *_of_others(public, work.proxy_class.namespace))


def _of_bytes(configs: Routes) -> Routes:
    return tuple(config for config in configs if config.object.spec.tcp or config.object.spec.tls)


def _index(configs: Routes, domain: str) -> HostRules:
    exact: dict[str, Candidates] = {}
    wildcard: dict[str, Candidates] = {}
    for config in configs:
        spec = config.object.spec
        mine = Candidates((config,) if spec.http else (), (config,) if spec.tcp or spec.tls else ())
        for host in dict.fromkeys(route_hosts(config, domain)):
            index = wildcard if is_wildcard(host) else exact
            known = index.get(host)
            index[host] = mine if known is None else Candidates(known.http + mine.http, known.of_bytes + mine.of_bytes)
    found = (*exact.items(), *wildcard.items())
    contested = frozenset(host for host, one in found if max(map(len, one)) > 1)
    return HostRules(exact, wildcard, contested, any(len(config.object.spec.hosts) > 1 for config in configs))


def _put_ahead(base: HostRules, ahead: Routes, domain: str, namespace: str) -> HostRules:
    """What everybody sees behind these; those of the namespace itself, which are among both, count here alone."""
    own = _index(ahead, domain)
    joined = {}
    for host, mine in (*own.exact.items(), *own.wildcard.items()):
        others = base.at(host)
        http, of_bytes = ((*one, *_of_others(two, namespace)) for one, two in zip(mine, others, strict=True))
        joined[host] = Candidates(http, of_bytes)
    exact = {**base.exact, **{host: joined[host] for host in own.exact}}
    wildcard = {**base.wildcard, **{host: joined[host] for host in own.wildcard}} if own.wildcard else base.wildcard
    contested = frozenset(host for host, one in joined.items() if max(map(len, one)) > 1)
    has_company = base.has_company or own.has_company
    return HostRules(exact, wildcard, (base.contested - joined.keys()) | contested, has_company)


def _of_others(configs: Routes, namespace: str) -> Iterator[Config[VirtualService]]:
    return (config for config in configs if config.namespace != namespace)
