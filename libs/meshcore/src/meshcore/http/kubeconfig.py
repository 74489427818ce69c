"""How to reach a Kubernetes API: the current context of a kubeconfig, or the service account of a pod."""

import base64
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from meshcore.errors import ErrorCode, MeshError


@dataclass(frozen=True, slots=True)
class Access:
    """An API server and the caller's proof of identity, which is in no representation."""

    url: str
    verify: ssl.SSLContext = field(repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    """Read for each request: such tokens are replaced."""

    def client(self, timeout: httpx.Timeout) -> httpx.AsyncClient:
        """A client that sends the token."""
        return httpx.AsyncClient(base_url=self.url, verify=self.verify, timeout=timeout, auth=_Bearer(self))

    @classmethod
    def of_kubeconfig(cls, path: Path) -> "Access":
        """Read a kubeconfig; FAILED_PRECONDITION names what it lacks, never what it holds."""
        try:
            content = yaml.safe_load(path.read_text())
            context = _named(content, "contexts", content["current-context"])["context"]
            cluster = _named(content, "clusters", context["cluster"])["cluster"]
            user = _named(content, "users", context["user"])["user"]
            verify = _trust(cluster, path.parent)
            if "client-certificate" in user:
                verify.load_cert_chain(path.parent / user["client-certificate"], path.parent / user["client-key"])
            file = user.get("tokenFile")
            return cls(cluster["server"], verify, user.get("token"), path.parent / file if file else None)
        except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else type(error).__name__
            raise MeshError(ErrorCode.FAILED_PRECONDITION, f"the kubeconfig {path} cannot be used: {reason}") from None


class _Bearer(httpx.Auth):
    def __init__(self, access: Access) -> None:
        self._access = access

    def auth_flow(self, request: httpx.Request) -> Any:
        file = self._access.token_file
        token = file.read_text().strip() if file is not None else self._access.token
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        yield request


def _named(content: Any, section: str, name: str) -> Any:
    found = [item for item in content[section] if item["name"] == name]
    if not found:
        raise KeyError(f"{section} {name}")
    return found[0]


def _trust(cluster: Any, directory: Path) -> ssl.SSLContext:
    if "certificate-authority-data" in cluster:
        return ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    if "certificate-authority" in cluster:
        return ssl.create_default_context(cafile=str(directory / cluster["certificate-authority"]))
    return ssl.create_default_context()
