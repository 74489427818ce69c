"""Host names: short names, wildcards, and which pattern is the most specific.

Istio's rules (pkg/config/host): a name without a dot is short for the service of that name in the namespace of the
config that says it; names with a dot, `*` and IP addresses are left alone. `*.foo.com` does not match `foo.com`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

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
    return (host[1:] if is_wildcard(host) else host).endswith(pattern[1:])


def hosts_overlap(one: str, other: str) -> bool:
    """Whether some name is covered by both (Istio's Name.Matches)."""
    return host_matches(one, other) or host_matches(other, one)


def intersection(some: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """What both lists cover, each part once: of two hosts the narrower one.

    In the order of the pairs, `some` first. The time grows with what is found, not with the number of pairs: a user may
    write thousands of hosts into both.
    """
    index = _HostIndex(others)
    return tuple(dict.fromkeys(narrow for one in some for narrow in index.narrowed(one)))


class _HostIndex:
    """Hosts by what they are and by their ends."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts
        self._exact: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        for place, host in enumerate(hosts):
            (self._ends if is_wildcard(host) else self._exact).setdefault(_core(host), place)
        self._backwards = sorted((_core(host)[::-1], place) for place, host in enumerate(hosts))

    def narrowed(self, one: str) -> list[str]:
        """The narrower of `one` and each host that overlaps with it, in the order of the hosts."""
        core = _core(one)
        found = {self._ends[core[cut:]]: one for cut in range(len(core) + 1) if core[cut:] in self._ends}
        if not is_wildcard(one):
            if one in self._exact:
                found[self._exact[one]] = one
        else:
            start = core[::-1]
            at = bisect_left(self._backwards, (start, -1))
            while at < len(self._backwards) and self._backwards[at][0].startswith(start):
                place = self._backwards[at][1]
                found.setdefault(place, self._hosts[place])
                at += 1
        return [found[place] for place in sorted(found)]


def _core(host: str) -> str:
    """What every name that the host stands for ends with."""
    return host[1:] if is_wildcard(host) else host


def hosts_for_namespace(scoped: Iterable[str], namespace: str) -> tuple[str, ...]:
    """The hosts of a list of `NAMESPACE/HOST` that config of that namespace may use; `*/` and no namespace mean all."""
    found = []
    for text in scoped:
        place, slash, host = text.partition("/")
        if not slash or place in ("*", namespace):
            found.append(host if slash else text)
    return tuple(found)


def specificity(host: str) -> tuple[bool, int, str]:
    """What to sort hosts by, the most specific first: exact before wildcard, longer before shorter, by name."""
    return (is_wildcard(host), -len(host), host)


def most_specific(patterns: Iterable[str], host: str) -> str | None:
    """The pattern that wins for `host`; None when none matches."""
    return min((pattern for pattern in patterns if host_matches(pattern, host)), key=specificity, default=None)
