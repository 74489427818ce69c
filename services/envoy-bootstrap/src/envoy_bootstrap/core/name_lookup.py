"""The names of the mesh, as an agent answers for them: Pilot's name table, with the short forms of a workload.

A host of Kubernetes is known as `<short>.<namespace>` and `<short>.<namespace>.svc` everywhere and as `<short>` in its
own namespace. A name that a resolver has lengthened by the first search domain (`ndots`) is answered at once, as an
alias of the name that was meant: one question instead of one for each domain. Pure.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from meshcore._generated.istio.networking.nds.v1 import nds_pb2

_KUBERNETES = "Kubernetes"


class Family(Enum):
    """Which addresses are asked for."""

    V4 = 4
    V6 = 6


@dataclass(frozen=True, slots=True)
class Found:
    """A name that the mesh knows. `alias` is the name that was meant, where it is not the one that was asked for;
    `addresses` may be empty: the host has none of that family."""

    alias: str | None
    addresses: tuple[str, ...]


class NameLookup:
    """One table for one workload. Names are compared without case and without the final dot."""

    def __init__(self, table: Any, namespace: str, domain: str, search: Sequence[str] = ()) -> None:
        self._search = f".{search[0].rstrip('.').lower()}" if search else None
        self._addresses: dict[str, dict[Family, tuple[str, ...]]] = {}
        for host in sorted(table):
            info = table[host]
            split = _by_family(info.ips)
            for name in (host, *_short_forms(host, info, namespace, domain)):
                # A full name counts before a short form that looks the same.
                if name == host or name.lower() not in table:
                    self._addresses.setdefault(name.rstrip(".").lower(), split)
            self._addresses[host.rstrip(".").lower()] = split

    @classmethod
    def of(cls, table: bytes, namespace: str, domain: str, search: Sequence[str] = ()) -> "NameLookup":
        """From a serialised `NameTable`; DecodeError for anything else."""
        return cls(nds_pb2.NameTable.FromString(table).table, namespace, domain, search)

    def lookup(self, name: str, family: Family) -> Found | None:
        """What the mesh says; None for a name that is not of the mesh."""
        asked = name.rstrip(".").lower()
        if (split := self._host(asked)) is not None:
            return Found(None, split[family])
        if self._search is not None and asked.endswith(self._search):
            meant = asked.removesuffix(self._search)
            if meant and (split := self._host(meant)) is not None:
                return Found(meant, split[family])
        return None

    def document(self) -> Mapping[str, Any]:
        """For people: every name with its addresses."""
        return {name: [*split[Family.V4], *split[Family.V6]] for name, split in sorted(self._addresses.items())}

    def _host(self, name: str) -> dict[Family, tuple[str, ...]] | None:
        if (split := self._addresses.get(name)) is not None:
            return split
        rest = name
        while rest:
            # RFC 4592 leaves it to the server what stands before a wildcard: any number of labels, as in Istio
            _, _, rest = rest.partition(".")
            if (split := self._addresses.get(f"*.{rest}")) is not None:
                return split
        return None


def _short_forms(host: str, info: Any, namespace: str, domain: str) -> list[str]:
    if info.registry != _KUBERNETES or not info.shortname:
        return []
    forms = [f"{info.shortname}.{info.namespace}", f"{info.shortname}.{info.namespace}.svc"]
    if not host.endswith(f".svc.{domain}"):
        forms.pop()
    return [*forms, info.shortname] if info.namespace == namespace else forms


def _by_family(ips: Sequence[str]) -> dict[Family, tuple[str, ...]]:
    found: dict[Family, list[str]] = {Family.V4: [], Family.V6: []}
    for ip in ips:
        try:
            found[Family(ipaddress.ip_address(ip).version)].append(ip)
        except ValueError:
            continue  # an endpoint that is no address has none
    return {family: tuple(addresses) for family, addresses in found.items()}
