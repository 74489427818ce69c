"""Certificates that config names by `credentialName`: secrets that Pilot sends over ADS, by the names of Istio. Pure.

`kubernetes://NAME` is a key pair in the proxy's own namespace, `kubernetes://NAME-cacert` the root to check peers by.
"""

from envoy.config.core.v3 import config_source_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from google.protobuf import duration_pb2
from meshcore.xds.names import WORKLOAD_CERTIFICATE
from meshcore.xds.secret_names import BUILTIN, ca_secret, is_builtin, key_pair_secret

from pilot.core.compiler.tls import sds_secret

_LISTENER_WAIT = duration_pb2.Duration(seconds=5)
"""A listener that waits for a secret holds back what else changes on its port, so the wait ends; connections to the
server without a certificate fail until it comes."""
_CLUSTER_WAIT = duration_pb2.Duration(seconds=1)
"""Envoy acknowledges no clusters while one of them waits."""

__all__ = ["BUILTIN", "ca_of", "key_pair_of"]


def key_pair_of(credential: str, *, cluster: bool = False) -> secret_pb2.SdsSecretConfig:
    """Where Envoy gets the certificate of a `credentialName`."""
    if is_builtin(credential):
        return sds_secret(WORKLOAD_CERTIFICATE)
    return _over_ads(key_pair_secret(credential), cluster=cluster)


def ca_of(credential: str, *, cluster: bool = False) -> secret_pb2.SdsSecretConfig:
    """Where Envoy gets the root that belongs to it."""
    return _over_ads(ca_secret(credential), cluster=cluster)


def _over_ads(name: str, *, cluster: bool) -> secret_pb2.SdsSecretConfig:
    source = config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        initial_fetch_timeout=_CLUSTER_WAIT if cluster else _LISTENER_WAIT,
        resource_api_version=config_source_pb2.ApiVersion.V3,
    )
    return secret_pb2.SdsSecretConfig(name=name, sds_config=source)
