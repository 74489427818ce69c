"""The domains of a service's virtual host, as its callers may spell it. Pure.

Order and forms are Istio's: host, absolute host, short forms by the caller's namespace, aliases, `*.` forms of a
headless service, virtual addresses. Listeners on a port match hosts without looking at the port; the HTTP proxy does
look.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pilot.core.registry import Service

_UNSPECIFIED = frozenset({"0.0.0.0", "::"})


class Caller(NamedTuple):
    """Where names are completed: `domain` is the cluster's; `search`, where there is one, stands for both."""

    namespace: str
    domain: str
    search: str = ""


def domains_of(service: Service, aliases: Iterable[Service], caller: Caller) -> tuple[str, ...]:
    """Every spelling of the service for that client, without ports."""
    names = [form for item in (service, *aliases) for form in _forms(item.host, caller)]
    if service.headless:
        names += [f"*.{name}" for name in names]
    names += [_bracketed(item) for item in service.addresses if item not in _UNSPECIFIED and "/" not in item]
    return tuple(dict.fromkeys(names))


def with_port(domains: Sequence[str], port: int) -> tuple[str, ...]:
    """As a forward proxy's requests spell them: with the port, and on port 80 without it too."""
    numbered = tuple(f"{domain}:{port}" for domain in domains)
    return (*domains, *numbered) if port == 80 else numbered


def _forms(host: str, caller: Caller) -> list[str]:
    if caller.search:
        return _shortened(host, caller.search)
    suffix, namespace = f".svc.{caller.domain}", caller.namespace
    if not host.endswith(suffix):
        return _whole(host)
    found = [host, f"{host}."]
    name, _, owner = host.removesuffix(suffix).rpartition(".")
    if not name:
        return found
    if owner == namespace:
        return [*found, name, f"{name}.{owner}.svc", f"{name}.{owner}"]
    return [*found, f"{name}.{owner}", f"{name}.{owner}.svc"]


def _whole(host: str) -> list[str]:
    return [host] if host.startswith("*") or _is_address(host) else [host, f"{host}."]


def _shortened(host: str, search: str) -> list[str]:
    """Without the end that it shares with the caller's domain; a name of two parts also with one part of that end."""
    labels, ends = host.split("."), search.split(".")
    shared = 0
    while shared < min(len(labels), len(ends)) and labels[-shared - 1] == ends[-shared - 1]:
        shared += 1
    found, short = _whole(host), ".".join(labels[: len(labels) - shared])
    if not shared or not short:
        return found
    more = [f"{short}.{labels[-shared]}"] if short.count(".") == 1 else []
    return list(dict.fromkeys([*found, short, *more]))


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
