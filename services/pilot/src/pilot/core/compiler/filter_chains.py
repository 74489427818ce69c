"""Which filter chains an inbound port gets: the table of protocol and mTLS mode (xds.md §3, security.md §5). Pure."""

from dataclasses import dataclass
from enum import StrEnum

from envoy.config.listener.v3 import listener_components_pb2
from meshcore.model.peer_authentication import MtlsMode
from meshcore.protocol import Protocol

from pilot.core.compiler.tls import ALL_ISTIO_ALPN, ISTIO_HTTP_ALPN, ISTIO_TCP_ALPN, PLAIN_HTTP_ALPN

TLS, RAW = "tls", "raw_buffer"


class Family(StrEnum):
    """How a port is treated."""

    HTTP = "http"
    TCP = "tcp"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class ChainShape:
    """One chain: what it matches, whether it terminates mesh mTLS, whether it reads HTTP."""

    transport: str
    alpn: tuple[str, ...]
    terminates: bool
    is_http: bool

    def match(self, port: int | None = None) -> listener_components_pb2.FilterChainMatch:
        """As Envoy's match; `port` is the original destination's."""
        made = listener_components_pb2.FilterChainMatch(
            transport_protocol=self.transport, application_protocols=self.alpn
        )
        if port is not None:
            made.destination_port.value = port
        return made


def family_of(protocol: Protocol) -> Family:
    """HTTP of any version, bytes, or sniffed."""
    if protocol is Protocol.AUTO:
        return Family.AUTO
    return Family.HTTP if protocol.is_http else Family.TCP


_HTTP_MTLS = ChainShape(TLS, ALL_ISTIO_ALPN, True, True)
_TABLE = {
    (Family.HTTP, MtlsMode.PERMISSIVE): (_HTTP_MTLS, ChainShape(RAW, (), False, True)),
    (Family.HTTP, MtlsMode.STRICT): (ChainShape(TLS, (), True, True),),
    (Family.HTTP, MtlsMode.DISABLE): (ChainShape(RAW, (), False, True),),
    (Family.TCP, MtlsMode.PERMISSIVE): (
        ChainShape(TLS, ALL_ISTIO_ALPN, True, False),
        ChainShape(TLS, (), False, False),
        ChainShape(RAW, (), False, False),
    ),
    (Family.TCP, MtlsMode.STRICT): (ChainShape(TLS, (), True, False),),
    (Family.TCP, MtlsMode.DISABLE): (ChainShape(RAW, (), False, False),),
    (Family.AUTO, MtlsMode.PERMISSIVE): (
        ChainShape(TLS, ISTIO_HTTP_ALPN, True, True),
        ChainShape(RAW, PLAIN_HTTP_ALPN, False, True),
        ChainShape(TLS, ISTIO_TCP_ALPN, True, False),
        ChainShape(RAW, (), False, False),
        ChainShape(TLS, (), False, False),
    ),
    (Family.AUTO, MtlsMode.STRICT): (
        ChainShape(TLS, ISTIO_HTTP_ALPN, True, True),
        ChainShape(TLS, (), True, False),
    ),
    (Family.AUTO, MtlsMode.DISABLE): (
        ChainShape(RAW, PLAIN_HTTP_ALPN, False, True),
        ChainShape(RAW, (), False, False),
    ),
}


def own_tls_shapes(protocol: Protocol) -> tuple[ChainShape, ...]:
    """The chain of a port that ends TLS of its own; HTTPS is HTTP behind it."""
    return (ChainShape(TLS, (), True, protocol.is_http or protocol is Protocol.HTTPS),)


def chain_shapes(protocol: Protocol, mode: MtlsMode) -> tuple[ChainShape, ...]:
    """The chains of a port, in order."""
    return _TABLE[family_of(protocol), mode]
