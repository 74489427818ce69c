"""JSON Web Tokens for tests, good and bad ones, from a file that says what is in them.

    keys: {bank: RS256, mint: ES256}
    tokens:
      ann: {key: bank, claims: {iss: bank.test, sub: ann}}

A token lasts an hour from now. `lasts` are other seconds (negative: it is over; null: it says nothing), `from` the
seconds until it begins, `pad` the characters of a claim that makes it large;
`alg`, `kid` (null: none) and `forged` (`none`: no signature at all; `HS256`: the public key as the secret; `payload`:
other claims under the old signature) make it wrong. `$issuers` in `iss` is where key sets are served.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

HOUR = 3600


class TokenMint:
    """The keys and tokens of one file, made when they are asked for; the same ones ever after."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[str, Any] = {}
        self._tokens: dict[tuple[str, str], str] = {}

    @cached_property
    def _said(self) -> Mapping[str, Any]:
        return dict(yaml.safe_load(self._path.read_text()))

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the keys."""
        return tuple(self._said["keys"])

    def key_set(self, name: str) -> str:
        """The public key as a JWKS (RFC 7517); its `kid` is its name. KeyError when there is no such key."""
        algorithm = self._said["keys"][name]
        public = self._private(name).public_key()
        key = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
        return json.dumps({"keys": [{**key, "kid": name, "alg": algorithm, "use": "sig"}]}, sort_keys=True)

    def token(self, name: str, issuers: str = "") -> str:
        """A token as its entry says; `issuers` is the URL of the server of keys. KeyError when there is none."""
        if (name, issuers) not in self._tokens:
            self._tokens[name, issuers] = self._made(self._said["tokens"][name], issuers)
        return self._tokens[name, issuers]

    def _made(self, said: Mapping[str, Any], issuers: str) -> str:
        key, forged = said["key"], said.get("forged", "")
        algorithm = said.get("alg", self._said["keys"][key])
        now = int(time.time())
        claims = {"iat": now, **said["claims"]}
        if (lasts := said.get("lasts", HOUR)) is not None:
            claims["exp"] = now + lasts
        if "pad" in said:
            claims["pad"] = "x" * said["pad"]
        if "iss" in claims:
            claims["iss"] = claims["iss"].replace("$issuers", issuers)
        if "from" in said:
            claims["nbf"] = now + said["from"]
        kid = said.get("kid", key)
        headers = {} if kid is None else {"kid": kid}
        if forged == "none":
            return f"{_part({'alg': 'none', 'typ': 'JWT', **headers})}.{_part(claims)}."
        if forged == "HS256":
            signed = f"{_part({'alg': 'HS256', 'typ': 'JWT', **headers})}.{_part(claims)}"
            secret = (
                self._private(key)
                .public_key()
                .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            )
            return f"{signed}.{_encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"
        made = jwt.encode(claims, self._private(key), algorithm=algorithm, headers=headers)
        if forged == "payload":
            head, _, signature = made.split(".")
            return f"{head}.{_part({**claims, 'sub': 'somebody-else'})}.{signature}"
        return made

    def _private(self, name: str) -> Any:
        if name not in self._keys:
            is_rsa = self._said["keys"][name].startswith("RS")
            made = rsa.generate_private_key(65537, 2048) if is_rsa else ec.generate_private_key(ec.SECP256R1())
            self._keys[name] = made
        return self._keys[name]


def _part(value: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
