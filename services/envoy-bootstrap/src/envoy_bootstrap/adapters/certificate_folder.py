"""The workload's certificate as files, for what cannot ask the agent: OUTPUT_CERTS, and gRPC libraries."""

from pathlib import Path

import structlog
from meshcore.errors import MeshError
from meshcore.tls import ServiceIdentity
from meshcore.tls.identity import save_identity

_log = structlog.get_logger("certificate files")


class CertificateFolder:
    """Written anew with each certificate; a folder that cannot be written costs the files, not the certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, identity: ServiceIdentity) -> bool:
        """Whether the files are those of this identity now."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            save_identity(self.folder, identity)
        except (OSError, MeshError) as error:
            _log.error("the certificate is not written", folder=str(self.folder), reason=str(error))
            return False
        return True
