"""A socket on which somebody else (SPIRE, say) gives the workload its certificates, found before anything starts."""

import contextlib
import socket
from pathlib import Path

from meshcore.errors import ErrorCode, MeshError

FOLDER = Path("./var/run/secrets/workload-spiffe-uds")
"""Istio's place, relative to where the agent runs."""
OWN_NAME = "socket"
"""The name under which a foreign socket may be, but need not."""
_ANSWER_WITHIN = 5.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"
_HEADER = 9
_SETTINGS_KIND = 4


def find_foreign_sds(name: str, folder: Path = FOLDER) -> str:
    """The socket's absolute path; empty when there is none that answers, which is removed if it was left over.

    FAILED_PRECONDITION when another name than the usual one is configured and nobody answers there: whoever says so
    relies on the foreign identity, and must not get the mesh's instead.
    """
    path = (folder / name).absolute()
    if path.is_socket():
        if _answers(path):
            return str(path)
        with contextlib.suppress(OSError):  # nothing of ours is to be there, so what cannot be removed may stay
            path.unlink()
    if name != OWN_NAME:
        raise MeshError(
            ErrorCode.FAILED_PRECONDITION, f"WORKLOAD_IDENTITY_SOCKET_FILE: nobody answers on the socket {path}"
        )
    return ""


def _answers(path: Path) -> bool:
    """Whether a server of HTTP/2 is there: it has to begin with its settings (RFC 9113, 3.4)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_WITHIN)
        try:
            connection.connect(str(path))
            connection.sendall(_PREFACE + _SETTINGS)
            header = b""
            while len(header) < _HEADER:
                part = connection.recv(_HEADER - len(header))
                if not part:
                    return False
                header += part
        except OSError:
            return False
    return header[3] == _SETTINGS_KIND
