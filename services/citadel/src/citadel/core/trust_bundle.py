"""The trust bundle as an SDS secret. Pure.

Laid out by hand so that no Envoy message has to be imported for three fields:
envoy.extensions.transport_sockets.tls.v3.Secret {name = 1, validation_context = 4 {trusted_ca = 1 {inline_bytes = 2},
crl = 7 {inline_bytes = 2}}}. A test reads it with the real messages.
"""

from meshcore.xds import wire
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import SECRET_TYPE

ROOT_NAME = "ROOTCA"
OTHERS_NAME = "ROOTCA-OF-OTHERS"
BUNDLE_NAMES = frozenset((ROOT_NAME, OTHERS_NAME))


def bundle_resources(bundle_pem: str, revoked_pem: str = "", foreign_pem: str = "") -> ResourceSet:
    """`ROOTCA`, the mesh's own roots with the revocation lists, and those of others, empty without any.

    Apart, because the control plane believes only the first. Private keys are the agents' own and never here.
    """
    return ResourceSet.of([_secret(ROOT_NAME, bundle_pem, revoked_pem), _secret(OTHERS_NAME, foreign_pem)])


def _secret(name: str, bundle_pem: str, revoked_pem: str = "") -> PackedResource:
    trusted = wire.chunk(1, wire.chunk(2, bundle_pem.encode()))
    lists = wire.chunk(7, wire.chunk(2, revoked_pem.encode())) if revoked_pem else b""
    body = wire.text(1, name) + wire.chunk(4, trusted + lists)
    return PackedResource.pack(SECRET_TYPE, name, body)
