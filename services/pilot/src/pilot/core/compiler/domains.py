"""The domains of a service's virtual host, as its callers may spell it. Pure.

Order and forms are Istio's: host, absolute host, short forms by the caller's namespace, aliases, `*.` forms of a
headless service, virtual addresses. Listeners on a port match hosts without looking at the port; the HTTP proxy does
look.
"""

from collections.abc import Iterable, Sequence

from pilot.core.registry import Service

_UNSPECIFIED = frozenset({"0.0.0.0", "::"})


def domains_of(service: Service, aliases: Iterable[Service], namespace: str, domain: str) -> tuple[str, ...]:
    """Every spelling of the service for a client of that namespace, without ports."""
    names = [form for item in (service, *aliases) for form in _forms(item.host, namespace, domain)]
    if service.headless:
        names += [f"*.{name}" for name in names]
    names += [_bracketed(item) for item in service.addresses if item not in _UNSPECIFIED and "/" not in item]
    return tuple(dict.fromkeys(names))


def with_port(domains: Sequence[str], port: int) -> tuple[str, ...]:
    """As a forward proxy's requests spell them: with the port, and on port 80 without it too."""
    numbered = tuple(f"{domain}:{port}" for domain in domains)
    return (*domains, *numbered) if port == 80 else numbered


def _forms(host: str, namespace: str, domain: str) -> list[str]:
    suffix = f".svc.{domain}"
    if not host.endswith(suffix):
        return [host] if host.startswith("*") or _is_address(host) else [host, f"{host}."]
    found = [host, f"{host}."]
    name, _, owner = host.removesuffix(suffix).rpartition(".")
    if not name:
        return found
    if owner == namespace:
        return [*found, name, f"{name}.{owner}.svc", f"{name}.{owner}"]
    return [*found, f"{name}.{owner}", f"{name}.{owner}.svc"]


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
