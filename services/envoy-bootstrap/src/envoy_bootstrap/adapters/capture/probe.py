"""Whether capture is in force: a connection of the proxy's user to an address that only the rules lead to a listener.

As Istio's validation: what the proxy dials on 127.0.0.6 (or ::6) comes to 127.0.0.1 on the proxy's port when the rules
are there, and nowhere when they are not.
"""

import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress

from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.core.capture.config import CaptureConfig

_ORIGINAL_DESTINATION = 80
"""SO_ORIGINAL_DST of linux/netfilter_ipv4.h, and the same of IPv6."""
_BETWEEN_TRIES = 0.2
_LOOPBACK = {4: ("127.0.0.1", "127.0.0.6"), 6: ("::1", "::6")}


def is_captured(config: CaptureConfig, version: int) -> bool:
    """Dial until it comes through or the configuration's time is over.

    FAILED_PRECONDITION when the proxy's ports are taken: this is for before the proxy starts.
    """
    here, there = _LOOPBACK[version]
    deadline = time.monotonic() + config.probe_timeout.total_seconds()
    with ExitStack() as opened:
        listeners, taken = [], []
        for port in (config.outbound_port, config.inbound_port):
            try:
                listeners.append(opened.enter_context(_listening(version, here, int(port))))
            except OSError as error:
                taken.append(f"{port}: {error.strerror}")
        if not listeners:
            detail = f"the validation cannot listen on {here}, {', '.join(taken)}"
            raise MeshError(ErrorCode.FAILED_PRECONDITION, detail)
        while (left := deadline - time.monotonic()) > 0:
            with _as_proxy(config), closing(_socket(version)) as caller:
                caller.settimeout(min(left, 1.0))
                with suppress(OSError):
                    caller.bind((here, 0))
                    caller.connect((there, config.probe_port))
                if _has_arrived(listeners, version, config.probe_port, min(left, _BETWEEN_TRIES)):
                    return True
    return False


def _socket(version: int) -> socket.socket:
    return socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM)


def _listening(version: int, address: str, port: int) -> socket.socket:
    listener = _socket(version)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _has_arrived(listeners: Sequence[socket.socket], version: int, port: int, seconds: float) -> bool:
    """Whether a connection waits that was for the probe's port."""
    readable, _, _ = select.select(listeners, [], [], seconds)
    for listener in readable:
        accepted, _ = listener.accept()
        with closing(accepted), suppress(OSError):
            level = socket.IPPROTO_IP if version == 4 else socket.IPPROTO_IPV6
            # sockaddr_in and sockaddr_in6 begin alike: the family, then the port
            address = accepted.getsockopt(level, _ORIGINAL_DESTINATION, 28)
            if struct.unpack_from("!H", address, 2)[0] == port:
                return True
    return False


@contextmanager
def _as_proxy(config: CaptureConfig) -> Iterator[None]:
    """As the proxy's user and group where this process may become them: rules look at who a connection belongs to."""
    user, group = config.proxy_uids[0], config.proxy_gids[0]
    if os.geteuid() != 0 or not (user.isdigit() and group.isdigit()):
        yield
        return
    before = os.getegid()
    try:
        os.setegid(int(group))
        os.seteuid(int(user))
    except PermissionError:
        os.setegid(before)
        detail = (
            f"the validation cannot become user {user} and group {group}: it needs SETUID and SETGID, or to be they"
        )
        raise MeshError(ErrorCode.FAILED_PRECONDITION, detail) from None
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(before)
