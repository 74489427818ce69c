"""Aliases of the trust domain in policies: a workload keeps its rights while the mesh moves to another domain. Pure.

A principal of the mesh's own domain (by its name, by an alias, or as `cluster.local`, which always means it) stands for
that workload in all of them; one of a foreign domain, or of any (`*`), is left as it is.
"""

from collections.abc import Iterable, Sequence

LOCAL = "cluster.local"
"""Means the mesh's own trust domain in every policy."""
_PARTS = 5
"""`<trust domain>/ns/<namespace>/sa/<service account>`."""


def with_aliases(principals: Iterable[str], domains: Sequence[str]) -> tuple[str, ...]:
    """The principals, each of the mesh's own once for every domain; `domains` begins with the mesh's."""
    return tuple(found for principal in principals for found in _principal(principal, domains))


def _principal(principal: str, domains: Sequence[str]) -> list[str]:
    parts = principal.split("/")
    if len(parts) != _PARTS or parts[0] == "*":
        return [principal]
    if parts[0] != LOCAL and not any(_covers(parts[0], domain) for domain in domains):
        return [principal]
    found = [principal if _covers(parts[0], domain) else "/".join((domain, *parts[1:])) for domain in domains]
    return list(dict.fromkeys(found))


def domains_with_aliases(values: Iterable[str], domains: Sequence[str]) -> tuple[str, ...]:
    """Trust domains that a policy names, each of the mesh's own with all the others."""
    found: list[str] = []
    for value in values:
        found += domains if value in domains or value == LOCAL else [value]
    return tuple(dict.fromkeys(found))


def _covers(pattern: str, domain: str) -> bool:
    return pattern == domain or (pattern.startswith("*") and domain.endswith(pattern[1:]))
