"""One watch of Secrets by reference: what is watched, and for whom. Pure.

A Secret is given only for proxies of its own namespace, by name; there is no way to ask for all of them.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshcore.distribution.keys import Key
from meshcore.errors import MeshError
from meshcore.identity import SpiffeId, trust_domain_name
from meshcore.model.mesh_config import CONFIG_MAP_NAME, MESH_KEY, ROOT_NAMESPACE, read_mesh_config

from galley.core.storage import StoredChange

MESH_CONFIG = Key("", "configmaps", ROOT_NAMESPACE, CONFIG_MAP_NAME)
MOST_WATCHED = 10_000
"""References that one watch may hold."""
CERTIFICATE_KEYS = frozenset(
    ("tls.crt", "tls.key", "ca.crt", "ca.crl", "cert", "key", "cacert", "crl", "tls.ocsp-staple")
)
"""What leaves Galley of a Secret; other keys are no business of a proxy."""


def secret_key(namespace: str, name: str) -> Key:
    """The object that a reference names."""
    return Key("", "secrets", namespace, name)


@dataclass(frozen=True, slots=True)
class Asked:
    """References of one request: to be read and answered, and to be refused."""

    allowed: tuple[Key, ...]
    refused: tuple[Key, ...]


@dataclass
class SecretWatch:
    """What one consumer watches; `trust_domain` is that of the mesh."""

    trust_domain: str
    watched: set[Key] = field(default_factory=set)
    _trust_domains: frozenset[str] = frozenset()

    def subscribe(
        self, references: Iterable[tuple[str, str, Iterable[str]]], aliases: frozenset[str] = frozenset()
    ) -> Asked:
        """(namespace, name, requesters) of each reference; what is refused is not watched, or not any more.

        `aliases` are names that the trust domain had before: their identities are as good.
        """
        self._trust_domains = aliases | {self.trust_domain}
        allowed, refused = [], []
        for namespace, name, requesters in references:
            key = secret_key(namespace, name)
            if (key in self.watched or len(self.watched) < MOST_WATCHED) and self._may_have(namespace, requesters):
                self.watched.add(key)
                allowed.append(key)
            else:
                self.watched.discard(key)
                refused.append(key)
        return Asked(tuple(allowed), tuple(refused))

    def unsubscribe(self, references: Iterable[tuple[str, str]]) -> None:
        """Nobody needs these any more."""
        self.watched.difference_update(secret_key(*reference) for reference in references)

    def touched(self, changes: Iterable[StoredChange]) -> tuple[Key, ...]:
        """The watched ones among changed objects, each once."""
        return tuple(dict.fromkeys(change.key for change in changes if change.key in self.watched))

    def _may_have(self, namespace: str, requesters: Iterable[str]) -> bool:
        """Whether there is a requester, and every one is of the Secret's namespace in this mesh."""
        identities = list(requesters)
        return bool(namespace and identities) and all(self._is_of(identity, namespace) for identity in identities)

    def _is_of(self, identity: str, namespace: str) -> bool:
        try:
            proven = SpiffeId.parse(identity)
        except MeshError:
            return False
        return proven.trust_domain in self._trust_domains and proven.namespace == namespace


def trust_domain_aliases(config_map: Mapping[str, Any]) -> frozenset[str]:
    """What the ConfigMap with MeshConfig says of them; none while it cannot be read."""
    text = (config_map.get("data") or {}).get(MESH_KEY)
    try:
        mesh, _ = read_mesh_config(text if isinstance(text, str) else "")
    except MeshError:
        return frozenset()
    return frozenset(map(trust_domain_name, mesh.trust_domain_aliases))


def certificate_data(document: Mapping[str, Any]) -> dict[str, bytes]:
    """The content of a Secret under the keys that certificates have; what is no base64 is left out."""
    found = {}
    for key, value in (document.get("data") or {}).items():
        if key in CERTIFICATE_KEYS and isinstance(value, str):
            try:
                found[key] = base64.b64decode(value, validate=True)
            except binascii.Error:
                continue
    return found
