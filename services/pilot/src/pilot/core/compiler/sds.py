"""Where Envoy gets certificates: from the agent beside it, or, for a `credentialName`, from Pilot over ADS. Pure.

Of Pilot's, `kubernetes://NAME` is a key pair in the proxy's own namespace, `kubernetes://NAME-cacert` the root to check
peers by.
"""

from envoy.config.core.v3 import base_pb2, config_source_pb2, grpc_service_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from google.protobuf import duration_pb2
from meshcore.model.destination_rule import ClientTlsSettings, TlsMode
from meshcore.model.sidecar import ServerTlsMode, ServerTlsSettings
from meshcore.xds.names import ROOT_CERTIFICATE, SDS_CLUSTER, WORKLOAD_CERTIFICATE
from meshcore.xds.secret_names import ca_secret, is_builtin, key_pair_secret

_LISTENER_WAIT = duration_pb2.Duration(seconds=5)
"""A listener that waits for a secret holds back what else changes on its port, so the wait ends; connections to the
server without a certificate fail until it comes."""
_CLUSTER_WAIT = duration_pb2.Duration(seconds=1)
"""Envoy acknowledges no clusters while one of them waits."""

_FILE_SECRET_TIMEOUT = duration_pb2.Duration(seconds=1)


def sds_secret(name: str) -> secret_pb2.SdsSecretConfig:
    """One of the agent's secrets. Spelled as in the bootstrap: Envoy then opens one stream per name, not two.

    The workload's own pair and root are waited for. A file that a user names may never be there: Envoy acknowledges no
    clusters while one of them waits for a secret, so that wait must end; until the file comes, connections fail.
    """
    own = name in (WORKLOAD_CERTIFICATE, ROOT_CERTIFICATE)
    retry = base_pb2.RetryPolicy()
    retry.retry_back_off.base_interval.CopyFrom(duration_pb2.Duration(nanos=50_000_000))
    retry.retry_back_off.max_interval.CopyFrom(duration_pb2.Duration(nanos=500_000_000))
    service = grpc_service_pb2.GrpcService(
        envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=SDS_CLUSTER, retry_policy=retry)
    )
    source = config_source_pb2.ConfigSource(
        api_config_source=config_source_pb2.ApiConfigSource(
            api_type=config_source_pb2.ApiConfigSource.DELTA_GRPC,
            transport_api_version=config_source_pb2.ApiVersion.V3,
            set_node_on_first_message_only=True,
            grpc_services=[service],
        ),
        initial_fetch_timeout=duration_pb2.Duration() if own else _FILE_SECRET_TIMEOUT,
        resource_api_version=config_source_pb2.ApiVersion.V3,
    )
    return secret_pb2.SdsSecretConfig(name=name, sds_config=source)


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


def server_credentials(tls: ServerTlsSettings) -> tuple[str, ...]:
    """The `credentialName`s of a server."""
    return tls.credential_names or ((tls.credential_name,) if tls.credential_name else ())


def secrets_of_server(tls: ServerTlsSettings) -> tuple[str, ...]:
    """The names of the secrets that a server asks Pilot for."""
    if tls.mode not in (ServerTlsMode.SIMPLE, ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL):
        return ()
    credentials = server_credentials(tls)
    names = [key_pair_secret(name) for name in credentials]
    if tls.mode is not ServerTlsMode.SIMPLE:
        names += [ca_secret(name) for name in (tls.ca_cert_credential_name, *credentials)[:2] if name][:1]
    return tuple(names)


def secrets_of_client(tls: ClientTlsSettings) -> tuple[str, ...]:
    """The names of the secrets that the originator of TLS asks Pilot for."""
    if not tls.credential_name:
        return ()
    pair = (key_pair_secret(tls.credential_name),) if tls.mode is TlsMode.MUTUAL else ()
    return pair if tls.insecure_skip_verify else (*pair, ca_secret(tls.credential_name))
