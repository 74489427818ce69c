"""What a workload without a proxy has of the agent: a socket that leads to Pilot, its certificate as files, and the
bootstrap that tells its gRPC library of both."""

import json
from pathlib import Path
from typing import Any

import structlog
from meshcore.tls import ServiceIdentity, write_private

from envoy_bootstrap.adapters.certificate_folder import CertificateFolder
from envoy_bootstrap.adapters.local_discovery import start_server, stop_server
from envoy_bootstrap.adapters.workload_identity import WorkloadIdentity
from envoy_bootstrap.adapters.xds_relay import XdsRelay
from envoy_bootstrap.core.addresses import UnixSocket
from envoy_bootstrap.core.environment import AgentConfig
from envoy_bootstrap.core.grpc_bootstrap import render_grpc_bootstrap

_log = structlog.get_logger("grpc")
XDS_SOCKET = "XDS"
"""Istio's name."""


class GrpcWorkload:
    """The bootstrap is written when there is a certificate: an application may wait for it."""

    def __init__(self, config: AgentConfig, state_dir: Path, identity: WorkloadIdentity) -> None:
        self._file = Path(config.grpc_bootstrap)
        self._socket = state_dir / XDS_SOCKET
        self._folder = CertificateFolder(Path(config.output_certs).absolute())
        self._relay = XdsRelay(config.pilot, identity)
        self._identity = identity
        self._text = json.dumps(
            render_grpc_bootstrap(config.node, UnixSocket(str(self._socket)), str(self._folder.folder)), indent=2
        )

    async def start(self, runtime: Any) -> None:
        """Serve the socket, and follow the certificate."""
        server = await start_server(self._socket, self._relay.register)
        runtime.on_stop(XDS_SOCKET, lambda: stop_server(server, self._socket))
        self._identity.on_change(self._tell)

    def _tell(self, identity: ServiceIdentity) -> None:
        if not self._folder.write(self._identity.for_peers(identity)) or (
            self._file.exists() and self._file.read_text() == self._text
        ):
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_private(self._file, self._text.encode())
        except OSError as error:
            _log.error("the bootstrap of gRPC is not written", file=str(self._file), reason=error.strerror)
