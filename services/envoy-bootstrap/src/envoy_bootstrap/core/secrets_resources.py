"""An identity as the secrets that Envoy asks its agent for. Pure."""

import hashlib

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from meshcore.tls import ServiceIdentity
from meshcore.xds.types import SECRET_TYPE

from envoy_bootstrap.core.discovery import Resources, Versioned
from envoy_bootstrap.core.static_clusters import PILOT_ROOT_SECRET, ROOT_SECRET, WORKLOAD_SECRET


def secrets_of(
    identity: ServiceIdentity, others: bytes = b"", revoked: bytes = b"", of_pilot: bytes = b""
) -> Resources:
    """`default` holds key and chain, `ROOTCA` whom peers may be signed by, `ROOTCA-OF-PILOT` whom Pilot may be.

    `others` are roots of other authorities, which peers may have: with the key of one of them nobody is to be Pilot.
    `revoked` are revocation lists (PEM), one for each authority that a peer's chain may have, or none at all;
    `of_pilot` are roots that only Pilot may be of, which have none. Versions are digests: an equal one is not re-sent.
    """
    pair = secret_pb2.Secret(name=WORKLOAD_SECRET)
    pair.tls_certificate.certificate_chain.inline_bytes = identity.chain
    pair.tls_certificate.private_key.inline_bytes = identity.key.pem
    return {
        SECRET_TYPE: {
            WORKLOAD_SECRET: Versioned(_version(identity.chain), pair.SerializeToString(deterministic=True)),
            ROOT_SECRET: _roots(ROOT_SECRET, identity.root + others, revoked),
            PILOT_ROOT_SECRET: _roots(PILOT_ROOT_SECRET, identity.root + of_pilot, b"" if of_pilot else revoked),
        }
    }


def _roots(name: str, roots: bytes, revoked: bytes) -> Versioned:
    secret = secret_pb2.Secret(name=name)
    secret.validation_context.trusted_ca.inline_bytes = roots
    if revoked:
        secret.validation_context.crl.inline_bytes = revoked
    return Versioned(_version(roots + revoked), secret.SerializeToString(deterministic=True))


def _version(public: bytes) -> str:
    """From public bytes only: a version is logged and shown."""
    return hashlib.sha256(public).hexdigest()[:16]
