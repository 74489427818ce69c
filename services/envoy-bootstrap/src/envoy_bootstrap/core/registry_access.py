"""How a registry lets somebody in: what it asks for, and what a Secret of type kubernetes.io/dockerconfigjson has for
it (distribution specification, "token authentication"; RFC 6750 §3). Pure; nothing of a credential is in an error."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from meshcore.errors import ErrorCode, MeshError

_PARAMETER = re.compile(r'([A-Za-z_]+)="([^"]*)"')
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name with a password, or a token; empty: none."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The header for a name and a password; empty without."""
        if not self.user:
            return ""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


NOBODY = Credentials()


@dataclass(frozen=True, slots=True)
class Challenge:
    """`token_url` is where a bearer token is had; empty: a name and a password are asked for."""

    token_url: str


def credentials_for(registry: str, document: bytes) -> Credentials:
    """What the Secret has for that registry, `NOBODY` for none; INVALID when it cannot be read."""
    try:
        auths = json.loads(document)["auths"]
        for name, entry in auths.items():
            if _host(str(name)) in _names_of(registry):
                return _credentials(entry)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise MeshError(ErrorCode.INVALID, "imagePullSecret: the Secret has no readable .dockerconfigjson") from None
    return NOBODY


def challenge(header: str, repository: str) -> Challenge | None:
    """What a 401 asks for; None for what is not understood."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() == "basic":
        return Challenge("")
    parameters = {name.lower(): value for name, value in _PARAMETER.findall(rest)}
    realm = parameters.get("realm", "")
    if scheme.lower() != "bearer" or urlsplit(realm).scheme not in ("http", "https"):
        return None
    query = {"scope": parameters.get("scope") or f"repository:{repository}:pull"}
    if "service" in parameters:
        query["service"] = parameters["service"]
    return Challenge(f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}")


def token_of(body: bytes) -> str:
    """The token in a token server's answer; UNAVAILABLE without one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    found = (document.get("token") or document.get("access_token")) if isinstance(document, Mapping) else None
    if not isinstance(found, str) or not found.isascii() or not found.isprintable():
        raise MeshError(ErrorCode.UNAVAILABLE, "the registry's token server gives no token")
    return found


def _credentials(entry: Mapping[str, object]) -> Credentials:
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if not user and entry.get("auth"):
        user, _, password = base64.b64decode(str(entry["auth"])).decode().partition(":")
    return Credentials(user, password, str(entry.get("registrytoken") or ""))


def _names_of(registry: str) -> tuple[str, ...]:
    return _DOCKER_HUB if registry in _DOCKER_HUB else (registry,)


def _host(name: str) -> str:
    """`https://index.docker.io/v1/` -> `index.docker.io`."""
    return name.partition("://")[2].partition("/")[0] if "://" in name else name.partition("/")[0]
