"""What an object names that is not there. Writing it is allowed and warned of: config may come in any order.

A VirtualService that names a subset which no DestinationRule of its host has is accepted; requests that are routed
there are answered with 503 until the subset exists, and everything else goes on.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshcore.hosts import host_matches, resolve_short_host

Document = Mapping[str, Any]


def subset_references(virtual_service: Document) -> Iterator[tuple[str, str, str]]:
    """(field path, host, subset) of every destination that names a subset; of a normalised VirtualService."""
    spec = virtual_service.get("spec") or {}
    for protocol in ("http", "tls", "tcp"):
        for index, rule in enumerate(spec.get(protocol) or ()):
            base = f"spec.{protocol}[{index}]"
            targets = [(f"{base}.route[{at}].destination", item) for at, item in enumerate(rule.get("route") or ())]
            targets += [
                (f"{base}.mirrors[{at}].destination", item) for at, item in enumerate(rule.get("mirrors") or ())
            ]
            if "mirror" in rule:
                targets.append((f"{base}.mirror", {"destination": rule["mirror"]}))
            for path, item in targets:
                destination = item.get("destination") or {}
                if destination.get("subset"):
                    yield f"{path}.subset", str(destination.get("host", "")), str(destination["subset"])


def missing_subsets(virtual_service: Document, destination_rules: Iterable[Document], domain: str) -> list[str]:
    """A warning for each subset that none of these DestinationRules (normalised) has for its host."""
    wanted = list(subset_references(virtual_service))
    if not wanted:
        return []
    known = [
        (
            resolve_short_host(rule["spec"]["host"], rule["metadata"].get("namespace", ""), domain),
            frozenset(subset["name"] for subset in rule["spec"].get("subsets") or ()),
        )
        for rule in destination_rules
    ]
    return [
        f"{path}: no DestinationRule of host {host} has the subset {subset!r}; "
        "requests routed there fail with 503 until one has"
        for path, host, subset in wanted
        if not any(host_matches(pattern, host) and subset in names for pattern, names in known)
    ]
