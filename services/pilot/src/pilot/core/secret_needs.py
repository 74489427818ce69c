"""Which Secrets the connected proxies need, and who needs them. Pure."""

from collections.abc import Iterable, Mapping

from meshcore.xds.secret_book import SecretBook, SecretName, permitted

from pilot.core.proxy import ProxyClass
from pilot.core.stream import Stream

Needs = Mapping[ProxyClass, frozenset[str]]
"""Names of the secrets that the config of a class refers to."""


def users_of(names: frozenset[SecretName], needs: Needs) -> frozenset[ProxyClass]:
    """The classes whose config refers to one of these Secrets."""
    return frozenset(one for one, needed in needs.items() if names & _objects(needed, one))


def wanted(streams: Iterable[Stream], needs: Needs) -> Mapping[SecretName, frozenset[str]]:
    """Every Secret that the config of a connected, proven proxy refers to, with the identities that it is for."""
    found: dict[SecretName, set[str]] = {}
    for stream in streams:
        one = stream.of_class
        if one is None or not stream.proxy.identity:
            continue
        for name in _objects(needs.get(one, ()), one):
            found.setdefault(name, set()).add(stream.proxy.identity)
    return {name: frozenset(identities) for name, identities in sorted(found.items())}


def problems(streams: Iterable[Stream], needs: Needs, book: SecretBook) -> Mapping[tuple[str, str], str]:
    """What is wrong with secrets that are needed, by name of the resource and namespace of who needs it."""
    classes = {stream.of_class for stream in streams if stream.proxy.identity}
    return {
        (name, one.namespace): problem
        for one in classes
        if one is not None
        for name, problem in book.problems(needs.get(one, frozenset()), one.namespace).items()
    }


def _objects(resources: Iterable[str], one: ProxyClass) -> frozenset[SecretName]:
    """The Secret objects behind the names of resources that the class may have."""
    found = (permitted(name, one.namespace) for name in resources)
    return frozenset((item.namespace, name) for item in found if item is not None for name in item.names)
