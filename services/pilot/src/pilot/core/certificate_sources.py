"""Where a proxy has its own certificates from when that is not the agent's `default` and `ROOTCA`. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from meshcore.xds.names import FILES_APART_METADATA, ROOT_CERTIFICATE, WORKLOAD_CERTIFICATE
from meshcore.xds.secret_names import file_key_pair, file_root


class CertificateSources(NamedTuple):
    """Names of secrets: what the proxy shows and believes as a server, and as a client; `files_apart` says that the
    agent serves files on a socket of their own, because the usual one is somebody else's (SPIRE's, say)."""

    server_pair: str = WORKLOAD_CERTIFICATE
    server_root: str = ROOT_CERTIFICATE
    client_pair: str = WORKLOAD_CERTIFICATE
    client_root: str = ROOT_CERTIFICATE
    files_apart: bool = False


def certificate_sources(metadata: Mapping[str, Any]) -> CertificateSources | None:
    """What the node says of files (`TLS_SERVER_CERT_CHAIN`, `_KEY`, `_ROOT_CERT` and `TLS_CLIENT_*`, as Istio's does).

    None for a proxy that has all from the one socket, under the usual names. The agent serves the files, so they
    are followed like any secret; a chain without its key counts for nothing.
    """
    server, client = _files(metadata, "TLS_SERVER"), _files(metadata, "TLS_CLIENT")
    found = CertificateSources(*server, *client, files_apart=metadata.get(FILES_APART_METADATA) == "true")
    return None if found == CertificateSources() else found


def _files(metadata: Mapping[str, Any], side: str) -> tuple[str, str]:
    chain, key, root = (_path(metadata.get(f"{side}_{part}")) for part in ("CERT_CHAIN", "KEY", "ROOT_CERT"))
    pair = file_key_pair(chain, key) if chain and key else WORKLOAD_CERTIFICATE
    return pair, file_root(root) if root else ROOT_CERTIFICATE


def _path(value: object) -> str:
    return value if isinstance(value, str) else ""
