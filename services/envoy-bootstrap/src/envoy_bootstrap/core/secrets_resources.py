"""An identity as the two secrets that Envoy asks its agent for. Pure."""

import hashlib

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from meshcore.tls import ServiceIdentity
from meshcore.xds.types import SECRET_TYPE

from envoy_bootstrap.core.discovery import Resources, Versioned
from envoy_bootstrap.core.static_clusters import ROOT_SECRET, WORKLOAD_SECRET


def secrets_of(identity: ServiceIdentity, revoked: bytes = b"") -> Resources:
    """`default` holds key and chain, `ROOTCA` the trust bundle; versions are digests: an equal one is not re-sent.

    `revoked` are revocation lists (PEM), one for each authority that a peer's chain may have, or none at all.
    """
    pair = secret_pb2.Secret(name=WORKLOAD_SECRET)
    pair.tls_certificate.certificate_chain.inline_bytes = identity.chain
    pair.tls_certificate.private_key.inline_bytes = identity.key.pem
    root = secret_pb2.Secret(name=ROOT_SECRET)
    root.validation_context.trusted_ca.inline_bytes = identity.root
    if revoked:
        root.validation_context.crl.inline_bytes = revoked
    return {
        SECRET_TYPE: {
            WORKLOAD_SECRET: Versioned(_version(identity.chain), pair.SerializeToString(deterministic=True)),
            ROOT_SECRET: Versioned(_version(identity.root + revoked), root.SerializeToString(deterministic=True)),
        }
    }


def _version(public: bytes) -> str:
    """From public bytes only: a version is logged and shown."""
    return hashlib.sha256(public).hexdigest()[:16]
