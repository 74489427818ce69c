"""Mesh mTLS as gRPC libraries know it (gRFC A29): certificates come from a provider in the library's own bootstrap,
which the node agent writes, not from SDS. Pure.

They refuse what they do not know, so nothing else is said: no versions of TLS, no ciphers, no ALPN, and to servers no
names of clients (those are a filter's to check).
"""

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2
from meshcore.xds.names import CERTIFICATE_PROVIDER, ROOT_CERTIFICATE, WORKLOAD_CERTIFICATE

from pilot.core.compiler.messages import boolean
from pilot.core.compiler.tls import tls_socket


def provided_mutual(socket: base_pb2.TransportSocket) -> base_pb2.TransportSocket | None:
    """A client's socket for the same servers as an Envoy's; None when it is not that of mesh mTLS."""
    found = tls_pb2.UpstreamTlsContext.FromString(socket.typed_config.value).common_tls_context
    pairs = [one.name for one in found.tls_certificate_sds_secret_configs]
    combined = found.combined_validation_context
    if pairs != [WORKLOAD_CERTIFICATE] or combined.validation_context_sds_secret_config.name != ROOT_CERTIFICATE:
        return None
    common = _provided()
    names = combined.default_validation_context.match_typed_subject_alt_names
    # The kind of a name cannot be said there.
    common.validation_context.match_subject_alt_names.extend(one.matcher for one in names)
    return tls_socket(tls_pb2.UpstreamTlsContext(common_tls_context=common))


def provided_termination() -> base_pb2.TransportSocket:
    """A server's socket: clients must have a certificate of the mesh."""
    context = tls_pb2.DownstreamTlsContext(common_tls_context=_provided(), require_client_certificate=boolean(True))
    return tls_socket(context)


def _provided() -> tls_pb2.CommonTlsContext:
    provider = common_pb2.CertificateProviderPluginInstance(instance_name=CERTIFICATE_PROVIDER)
    roots = common_pb2.CertificateValidationContext(ca_certificate_provider_instance=provider)
    return tls_pb2.CommonTlsContext(tls_certificate_provider_instance=provider, validation_context=roots)
