"""Where proxies take certificates from that have those of mesh mTLS from files, or files from a socket apart. Pure.

Nothing is looked at for a proxy that has all from the agent's one socket, as nearly all have.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from meshcore.xds.names import FILES_SDS_CLUSTER, ROOT_CERTIFICATE, WORKLOAD_CERTIFICATE
from meshcore.xds.secret_names import FILE_KEY_PAIR, FILE_ROOT

from pilot.core.certificate_sources import CertificateSources
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.tls_contexts import with_tls_contexts


def with_own_certificates(work: Compilation, compiled: Iterable[Compiled]) -> Iterator[Compiled]:
    """The resources with the secrets that this class has in the place of `default` and `ROOTCA`."""
    sources = work.proxy_class.certificates
    if sources is None:
        yield from compiled
        return
    yield from with_tls_contexts(work, compiled, "own-certificates", sources, partial(_lead_all, sources))


def _lead_all(sources: CertificateSources, common: Any, is_server: bool) -> None:
    pair, root = (sources.server_pair, sources.server_root) if is_server else (sources.client_pair, sources.client_root)
    names = {WORKLOAD_CERTIFICATE: pair, ROOT_CERTIFICATE: root}
    for secret in common.tls_certificate_sds_secret_configs:
        _lead(secret, names, sources.files_apart)
    if common.combined_validation_context.HasField("validation_context_sds_secret_config"):
        _lead(common.combined_validation_context.validation_context_sds_secret_config, names, sources.files_apart)


def _lead(secret: Any, names: Mapping[str, str], files_apart: bool) -> None:
    secret.name = names.get(secret.name, secret.name)
    if files_apart and secret.name.startswith((FILE_KEY_PAIR, FILE_ROOT)):
        for service in secret.sds_config.api_config_source.grpc_services:
            service.envoy_grpc.cluster_name = FILES_SDS_CLUSTER
