"""The agent's secrets and the sockets that they are served on: one for all of them, or, beside a foreign socket, one
for what Pilot is dialled with and one for files."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from envoy.service.secret.v3 import sds_pb2_grpc
from meshcore.errors import ErrorCode, MeshError
from meshcore.xds.types import SECRET_TYPE

from envoy_bootstrap.adapters.file_secrets import FileSecrets
from envoy_bootstrap.adapters.local_discovery import Discovery, SecretService
from envoy_bootstrap.core.discovery import Versioned

SDS_SOCKET = "sds.sock"
FILES_SOCKET = Path("./var/run/secrets/credential-uds/files-socket")
"""Istio's place, relative to where the agent runs."""


class SecretSockets:
    """`own` has the workload's certificate and roots; files are watched once they are asked for."""

    def __init__(self, state_dir: Path, folders: Sequence[str], *, files_apart: bool) -> None:
        self.files = FileSecrets(lambda secrets: self._offer(self._of_files, secrets), folders)
        self.own = Discovery() if files_apart else Discovery(self.files.asked)
        self._of_files = Discovery(self.files.asked) if files_apart else self.own
        self._places = {state_dir / SDS_SOCKET: self.own}
        if files_apart:
            self._places[FILES_SOCKET.absolute()] = self._of_files

    def offer(self, secrets: Mapping[str, Versioned]) -> None:
        """Serve these beside what is served of the workload's own."""
        self._offer(self.own, secrets)

    def make_room(self) -> None:
        """Have a folder for each socket; FAILED_PRECONDITION says where there can be none."""
        for place in self._places:
            try:
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise MeshError(ErrorCode.FAILED_PRECONDITION, f"no folder for {place}: {error.strerror}") from None

    @property
    def services(self) -> dict[Path, Callable[[Any], None]]:
        """By socket: what registers its service with a server."""
        return {place: partial(_register, served) for place, served in self._places.items()}

    def _offer(self, served: Discovery, secrets: Mapping[str, Versioned]) -> None:
        served.replace({SECRET_TYPE: {**served.resources.get(SECRET_TYPE, {}), **secrets}})


def _register(served: Discovery, server: Any) -> None:
    sds_pb2_grpc.add_SecretDiscoveryServiceServicer_to_server(SecretService(served), server)
