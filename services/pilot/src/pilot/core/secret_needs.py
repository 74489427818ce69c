"""Which Secrets the connected proxies need, and who needs them. Pure."""

from collections.abc import Iterable, Mapping

from meshcore.distribution.events import Change
from meshcore.xds.secret_book import SecretBook, SecretName, permitted
from meshcore.xds.secret_names import CONFIG_MAP

from pilot.core.config_map_roots import ConfigMaps, config_map_of, config_map_roots
from pilot.core.proxy import ProxyClass
from pilot.core.secret_rights import Account, SecretRights
from pilot.core.stream import Stream

Needs = Mapping[ProxyClass, frozenset[str]]
"""Names of the secrets that the config of a class refers to."""


def users_of(names: frozenset[SecretName], needs: Needs) -> frozenset[ProxyClass]:
    """The classes whose config refers to one of these Secrets."""
    return frozenset(one for one, needed in needs.items() if names & _objects(needed, one))


def users_of_maps(changes: Iterable[Change], needs: Needs) -> frozenset[ProxyClass]:
    """The classes whose config takes a root from one of the ConfigMaps that have changed."""
    keys = (change.key for change in changes if change.key.plural == "configmaps")
    names = frozenset(f"{CONFIG_MAP}{key.namespace}/{key.name}" for key in keys)
    return frozenset(one for one, needed in needs.items() if names & needed) if names else frozenset()


def account_of(stream: Stream) -> Account:
    """Whose right to read Secrets counts."""
    return stream.proxy.namespace, stream.proxy.service_account


def accounts(streams: Iterable[Stream], needs: Needs) -> frozenset[Account]:
    """The accounts of connected, proven proxies that need Secrets."""
    return frozenset(account_of(one) for one in streams if one.proxy.identity and one.of_class in needs)


def wanted(streams: Iterable[Stream], needs: Needs, rights: SecretRights) -> Mapping[SecretName, frozenset[str]]:
    """Every Secret that a connected, proven proxy may have and its config refers to, with the identities that it is
    for."""
    found: dict[SecretName, set[str]] = {}
    for stream in streams:
        one = stream.of_class
        if one is None or not stream.proxy.identity:
            continue
        for name in _objects(rights.names_for(account_of(stream), needs.get(one, frozenset())), one):
            found.setdefault(name, set()).add(stream.proxy.identity)
    return {name: frozenset(identities) for name, identities in sorted(found.items())}


def problems(
    streams: Iterable[Stream], needs: Needs, book: SecretBook, rights: SecretRights, maps: ConfigMaps
) -> Mapping[tuple[str, str], str]:
    """What is wrong with secrets that are needed, by name of the resource and namespace of who needs it."""
    found: dict[tuple[str, str], str] = {}
    for one, account in {(s.of_class, account_of(s)) for s in streams if s.proxy.identity}:
        names = needs.get(one, frozenset()) if one is not None else frozenset()
        allowed = rights.names_for(account, names)
        told = dict.fromkeys(names - allowed, "the proxy's service account has no right to read secrets")
        told |= book.problems(frozenset(name for name in allowed if config_map_of(name) is None), account[0])
        told |= config_map_roots(allowed, maps)[1]
        found |= {(name, account[0]): problem for name, problem in told.items()}
    return found


def _objects(resources: Iterable[str], one: ProxyClass) -> frozenset[SecretName]:
    """The Secret objects behind the names of resources that the class may have."""
    found = (permitted(name, one.namespace) for name in resources)
    return frozenset((item.namespace, name) for item in found if item is not None for name in item.names)
