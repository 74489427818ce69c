"""RequestAuthentication in the listeners: the JWT filter before every policy that looks at claims (xds.md §5). Pure.

Claims come in only through the filter: headers in which it hands claims on are taken off every request first, whichever
issuer's token the request brings, or none.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.model import RequestAuthentication
from meshcore.xds.types import LISTENER_TYPE

from pilot.core.compiler.authorization.matchers import quoted, regex
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.filter_order import HttpFilter, HttpSlot, insert
from pilot.core.compiler.jwt_claims import JWT_FILTER
from pilot.core.compiler.jwt_providers import Issuer, issuers_of, jwt_authentication, line
from pilot.core.compiler.listener_sides import Side, side_of
from pilot.core.compiler.messages import any_of
from pilot.core.compiler.repacking import repacked
from pilot.core.compiler.stages import Stage
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic
from pilot.core.issuer_keys import KeyFetching
from pilot.core.policy_target import is_target
from pilot.core.proxy import ProxyType

CLAIM_HEADERS = "meshcore.claim_headers"
"""The filter that takes off the headers in which claims are handed on."""
_LONGEST_SPELLED = 1024
"""Characters of a header's name of which other spellings are taken off; applications know none that is longer."""
_Manager = http_connection_manager_pb2.HttpConnectionManager


@dataclass(frozen=True, eq=False)
class Authentication:
    """What a class of proxies does about tokens; no filter when there is nothing to do."""

    filters: tuple[tuple[HttpSlot, bytes], ...]
    """Serialised, in their order."""
    configs: tuple[Config[RequestAuthentication], ...]
    problems: tuple[Diagnostic, ...] = ()


_NOTHING = Authentication((), ())


def authentication_of(work: Compilation) -> Authentication:
    """The policies of the root namespace, then those of the class's own, each oldest first."""
    one, root, snapshot = work.proxy_class, work.mesh.root_namespace, work.snapshot
    if one.type is ProxyType.WAYPOINT:
        return _NOTHING
    spaces = snapshot.by_namespace.get("RequestAuthentication", {})
    found = tuple(spaces.get(namespace, ()) for namespace in dict.fromkeys((root, one.namespace)))
    if not any(found):
        return _NOTHING
    key = ("authentication", one.type, one.namespace, one.labels, one.domain, root, *map(Same, found))
    seen = None if snapshot.keys.fetching is KeyFetching.PILOT else Same(work.scope.services)
    configs = [config for configs in found for config in configs if is_target(config.object, one, root)]
    return work.memo((*key, Same(snapshot.keys), seen), partial(_authentication, work, configs))


def authenticated(work: Compilation, compiled: Iterable[Compiled]) -> Iterator[Compiled]:
    """The resources with the filters in the listeners by which requests come in."""
    authentication = authentication_of(work)
    if not authentication.filters:
        yield from compiled
        return
    gateway = work.proxy_class.type is ProxyType.ROUTER
    refs = tuple(config.ref for config in authentication.configs)
    stage = Stage[Compiled](work, "authenticated", (authentication.filters, refs))
    for item in compiled:
        is_listener = item.resource.type_url == LISTENER_TYPE
        yield stage.of(item, partial(_authenticate, item, authentication, gateway)) if is_listener else item


def authentication_problems(work: Compilation) -> Iterator[Diagnostic]:
    """Issuers whose tokens nobody can verify."""
    yield from authentication_of(work).problems


def _authentication(work: Compilation, configs: list[Config[RequestAuthentication]]) -> Authentication:
    issuers = issuers_of(configs)
    if not issuers:
        return _NOTHING
    gateway = work.proxy_class.type is ProxyType.ROUTER
    config, problems = jwt_authentication(work, issuers, gateway=gateway)
    filters = [(HttpSlot.JWT, HttpFilter(name=JWT_FILTER, typed_config=any_of(config)))]
    if removal := _removal(issuers):
        filters.insert(0, (HttpSlot.CLAIM_HEADERS, removal))
    packed = tuple((slot, item.SerializeToString(deterministic=True)) for slot, item in filters)
    return Authentication(packed, tuple(item for item in configs if item.object.spec.jwt_rules), problems)


def _removal(issuers: Iterable[Issuer]) -> HttpFilter | None:
    names = {item.header.lower() for issuer in issuers for item in issuer.rule.output_claim_to_headers}
    names |= {line(name).lower() for issuer in issuers if (name := issuer.rule.output_payload_to_header)}
    if not names:
        return None
    removed = [_removed(name) for name in sorted(names)]
    config = header_mutation_pb2.HeaderMutation(mutations=header_mutation_pb2.Mutations(request_mutations=removed))
    return HttpFilter(name=CLAIM_HEADERS, typed_config=any_of(config))


def _removed(name: str) -> Any:
    """With `_` for any `-` too: applications behind CGI and WSGI take both for one name."""
    made = mutation_rules_pb2.HeaderMutation()
    if re.search("[-_]", name) and len(name) <= _LONGEST_SPELLED:
        pattern = "[-_]".join(map(quoted, re.split("[-_]", name)))
        made.remove_on_match.key_matcher.CopyFrom(regex(pattern))
    else:
        made.remove = name
    return made


def _authenticate(item: Compiled, authentication: Authentication, gateway: bool) -> Compiled:
    listener = listener_pb2.Listener.FromString(item.resource.body)
    chains = [*listener.filter_chains]
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    changed = False
    for chain in chains:
        if not gateway and side_of(listener, chain)[0] is not Side.SERVER:
            continue
        for found in chain.filters:
            if found.typed_config.Is(_Manager.DESCRIPTOR):
                manager = _Manager.FromString(found.typed_config.value)
                made = [(slot, HttpFilter.FromString(body)) for slot, body in authentication.filters]
                insert(manager.http_filters, made)
                found.typed_config.CopyFrom(any_of(manager))
                changed = True
    return repacked(item, listener, [config.ref for config in authentication.configs]) if changed else item
