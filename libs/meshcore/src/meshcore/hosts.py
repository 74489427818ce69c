"""Host names: short names, wildcards, and which pattern is the most specific.

Istio's rules (pkg/config/host): a name without a dot is short for the service of that name in the namespace of the
config that says it; names with a dot, `*` and IP addresses are left alone. `*.foo.com` does not match `foo.com`.
"""

from collections.abc import Iterable

DEFAULT_DOMAIN = "cluster.local"


def resolve_short_host(host: str, namespace: str, domain: str = DEFAULT_DOMAIN) -> str:
    """`reviews` in namespace `shop` -> `reviews.shop.svc.cluster.local`; what has a dot or is a wildcard stays."""
    if not host or "." in host or "*" in host or ":" in host:
        return host
    return f"{host}.{namespace}.svc.{domain}"


def is_wildcard(host: str) -> bool:
    """Whether the first character is `*`: the only place where Istio's hosts may have one."""
    return host.startswith("*")


def host_matches(pattern: str, host: str) -> bool:
    """Whether `pattern` covers `host`: every name that `host` can stand for is one that `pattern` stands for."""
    if not is_wildcard(pattern):
        return pattern == host
    suffix = pattern[1:]
    if is_wildcard(host):
        return host[1:].endswith(suffix)
    return host.endswith(suffix) and len(host) > len(suffix)


def hosts_overlap(one: str, other: str) -> bool:
    """Whether some name is covered by both (Istio's Name.Matches)."""
    return host_matches(one, other) or host_matches(other, one)


def most_specific(patterns: Iterable[str], host: str) -> str | None:
    """The pattern that wins for `host`: exact before wildcard, longer before shorter, then alphabetical."""
    candidates = [pattern for pattern in patterns if host_matches(pattern, host)]
    return min(candidates, key=lambda pattern: (is_wildcard(pattern), -len(pattern), pattern), default=None)
