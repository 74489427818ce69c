"""A workload certificate that somebody mounts as files, which is used instead of one of Citadel's (Istio's places).

Pure: what exists, and what the files hold, comes in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from meshcore.key_pair import pair_fault
from meshcore.pem import count_certificates, joined_certificates
from meshcore.tls import PrivateKeyPem, ServiceIdentity

from envoy_bootstrap.core.file_secrets import Contents

CREDENTIALS = "./var/run/secrets/workload-spiffe-credentials"
OLDER = "./etc/certs"
"""Folders in which the files are looked for, the older place last; relative to where the agent runs, as in Istio."""


@dataclass(frozen=True, slots=True)
class MountedFiles:
    """The three files, PEM: chain (leaf first), its key, and the roots that peers are checked against."""

    chain: str
    key: str
    root: str

    @property
    def paths(self) -> tuple[str, str, str]:
        """Chain, key, root."""
        return self.chain, self.key, self.root


def mounted_files(
    *, forced: bool, metadata: Mapping[str, object], exists: Callable[[str], bool]
) -> MountedFiles | None:
    """Which files are the workload's certificate; None for one that Citadel is to issue.

    A folder counts when it holds all three files when the agent starts. `forced` (FILE_MOUNTED_CERTS) waits for files:
    those of ISTIO_META_TLS_CLIENT_CERT_CHAIN, _KEY and _ROOT_CERT, or the older folder's.
    """
    current, older = _folder(CREDENTIALS), _folder(OLDER)
    if all(map(exists, current.paths)):
        return current
    chain, key = (str(metadata.get(f"TLS_CLIENT_{part}") or "") for part in ("CERT_CHAIN", "KEY"))
    if forced and chain and key:
        return MountedFiles(chain, key, str(metadata.get("TLS_CLIENT_ROOT_CERT") or older.root))
    return older if forced or all(map(exists, older.paths)) else None


def mounted_identity(contents: Contents, mesh_roots: bytes) -> ServiceIdentity | str:
    """The identity that the files make, or why they make none, in words that quote no content.

    `mesh_roots` are believed beside the files' own, since Pilot and Citadel prove themselves by them. Dates and names
    are not judged: who mounts the files decides what the workload is.
    """
    if contents.chain is None or contents.key is None or contents.root is None:
        return "a file is missing or cannot be read"
    fault = pair_fault(contents.chain, contents.key)
    if fault:
        return fault
    if not count_certificates(contents.root):
        return "the root is not PEM"
    root = joined_certificates(contents.root, mesh_roots)
    return ServiceIdentity(PrivateKeyPem(contents.key), contents.chain, root)


def _folder(folder: str) -> MountedFiles:
    return MountedFiles(f"{folder}/cert-chain.pem", f"{folder}/key.pem", f"{folder}/root-cert.pem")
