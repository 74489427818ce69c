"""Keys of JWT issuers: which are wanted, what is known of them, and what of a document is used. Pure: an adapter
fetches.

No key set, no token: where none is known the placeholder stands, a public key to which nobody has the private one, so
that every token is refused and a request without a token passes as it always does (security.md §6).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from meshcore.model import RequestAuthentication
from meshcore.model.request_authentication import JwtRule

from pilot.core.config import Config
from pilot.core.json_web_keys import SIGNING, is_usable

FETCH_TIMEOUT = timedelta(seconds=5)
"""For one fetch, unless the rule says otherwise."""
LARGEST_DOCUMENT = 1024 * 1024
DISCOVERY_PATH = "/.well-known/openid-configuration"
PLACEHOLDER = json.dumps(
    {
        "keys": [
            {
                "alg": "ES256",
                "crv": "P-256",
                "kid": "no-key-is-known",
                "kty": "EC",
                "use": "sig",
                "x": "RjLyiQKbTw8VRXC4xcbUDl1OoHtSm2orq1uNk8ApgTs",
                "y": "EvpkPkwAvKNv6K11YRHAKT4P0GufNX6Sc4Vh7AmLIZE",
            }
        ]
    },
    sort_keys=True,
)
"""The point of P-256 whose x is the SHA-256 of `PLACEHOLDER_SENTENCE` (and y the smaller root): it came from a text,
not from a private key, so there is none that anybody could keep."""
PLACEHOLDER_SENTENCE = "nobody holds the private key of this point 0"
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


class KeyFetching(StrEnum):
    """Who fetches the keys behind a `jwksUri` (`PILOT_JWT_ENABLE_REMOTE_JWKS`)."""

    PILOT = "istiod"
    HYBRID = "hybrid"
    """Envoy where the host is a service of the mesh, Pilot elsewhere."""
    ENVOY = "envoy"

    @classmethod
    def parse(cls, text: str) -> "KeyFetching":
        """Istio's words; ValueError for any other."""
        word = text.strip().lower()
        return cls({"": "istiod", "false": "istiod", "true": "envoy"}.get(word, word))


@dataclass(frozen=True, slots=True, order=True)
class KeySource:
    """Whose keys and where they are; without a URI OIDC discovery at the issuer tells."""

    issuer: str
    uri: str

    @property
    def shown(self) -> str:
        """Where they are asked for, in words for people."""
        return self.uri or self.issuer.rstrip("/") + DISCOVERY_PATH


@dataclass(frozen=True, eq=False)
class IssuerKeys:
    """What is known of the keys of issuers. Compared by identity, as everything in a snapshot."""

    fetching: KeyFetching = KeyFetching.PILOT
    sets: Mapping[KeySource, str] = field(default_factory=dict)
    """Key sets as `fetched_keys` makes them."""
    faults: Mapping[KeySource, str] = field(default_factory=dict)
    """Why the last try brought none."""

    def known(self, source: KeySource, keys: str) -> "IssuerKeys":
        """After a try that brought these keys; the same object when it brought nothing new."""
        if self.sets.get(source) == keys and source not in self.faults:
            return self
        faults = {one: fault for one, fault in self.faults.items() if one != source}
        return replace(self, sets={**self.sets, source: keys}, faults=faults)

    def failing(self, faults: Mapping[KeySource, str]) -> "IssuerKeys":
        """After tries that brought none: older keys stay in use."""
        if all(self.faults.get(source) == fault for source, fault in faults.items()):
            return self
        return replace(self, faults={**self.faults, **faults})

    def changed_since(self, before: "IssuerKeys") -> frozenset[KeySource]:
        """The sources whose keys are others now."""
        sources = self.sets.keys() | before.sets.keys()
        return frozenset(source for source in sources if self.sets.get(source) != before.sets.get(source))

    def without(self, sources: Iterable[KeySource]) -> "IssuerKeys":
        """What is left when these are forgotten."""
        gone = frozenset(sources) & (self.sets.keys() | self.faults.keys())
        if not gone:
            return self
        sets = {one: keys for one, keys in self.sets.items() if one not in gone}
        return replace(self, sets=sets, faults={one: why for one, why in self.faults.items() if one not in gone})


def key_source(rule: JwtRule) -> KeySource | None:
    """What must be fetched for a rule; nothing when its keys stand in it."""
    if rule.jwks:
        return None
    return KeySource(rule.issuer or "", rule.jwks_uri or rule.jwks_uri_snake or "")


def wanted_sources(policies: Iterable[Config[RequestAuthentication]]) -> Mapping[KeySource, timedelta]:
    """Everything that these policies need fetched, sorted, with the time that one fetch may take: the shortest that
    any of them gives."""
    found: dict[KeySource, timedelta] = {}
    for config in policies:
        for rule in config.object.spec.jwt_rules:
            source = key_source(rule)
            if source is not None:
                limit = rule.timeout or FETCH_TIMEOUT
                found[source] = min(limit, found.get(source, limit))
    return dict(sorted(found.items()))


def fetched_keys(document: bytes | str) -> str:
    """The keys of a fetched document in one order, without any private part; INVALID when it holds none.

    A symmetric key that anybody can fetch is no secret: it is left out, like keys with which Envoy verifies nothing.
    """
    usable = [_public(key) for key in _listed(document) if is_usable(key) and key["kty"] in SIGNING]
    if not usable:
        raise MeshError(ErrorCode.INVALID, "the document has no public key that signs tokens")
    return json.dumps({"keys": sorted(usable, key=_order)}, sort_keys=True)


def inline_keys(text: str) -> str:
    """The keys that stand in a rule, as they are written unless there is more in it than Envoy may or can know; INVALID
    when there is nothing else. Here a symmetric key is its author's wish."""
    keys = _listed(text, alone=True)
    usable = [_public(key) for key in keys if is_usable(key)]
    if not usable:
        raise MeshError(ErrorCode.INVALID, "there is no key in it that verifies tokens")
    return text if usable == keys and '"keys"' in text else json.dumps({"keys": usable}, sort_keys=True)


def _listed(document: bytes | str, *, alone: bool = False) -> list[Any]:
    try:
        found = json.loads(document, parse_constant=_no_json)
        json.dumps(found, ensure_ascii=False).encode()  # half a character is no JSON to Envoy
    except (ValueError, RecursionError):
        raise MeshError(ErrorCode.INVALID, "the document is not JSON") from None
    keys = found.get("keys", [found] if alone and "kty" in found else None) if isinstance(found, dict) else None
    if not isinstance(keys, list):
        raise MeshError(ErrorCode.INVALID, "the document is no JSON Web Key Set")
    return keys


def _no_json(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _public(key: Mapping[str, Any]) -> dict[str, Any]:
    if key.get("kty") not in SIGNING:
        return dict(key)
    return {name: value for name, value in key.items() if name not in _PRIVATE}


def _order(key: Mapping[str, Any]) -> tuple[str, str]:
    return str(key.get("kid", "")), json.dumps(key, sort_keys=True)
