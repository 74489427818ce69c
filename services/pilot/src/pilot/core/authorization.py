"""Whether a proxy may be who its node says: the certificate decides. Pure."""

from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId

from pilot.core.proxy import Proxy


def check_identity(proxy: Proxy, identity: SpiffeId | None, trust_domain: str) -> None:
    """PERMISSION_DENIED unless the certificate's namespace and service account are the node's.

    A node that names no service account is bound by its namespace alone, as in Istio.
    """
    if identity is None:
        raise _denied("the client certificate carries no workload identity")
    if identity.trust_domain != trust_domain:
        raise _denied(f"the certificate is of trust domain {identity.trust_domain}, this mesh is {trust_domain}")
    if proxy.namespace != identity.namespace:
        raise _denied(
            f"node {proxy.id} claims namespace {proxy.namespace}, its certificate is for {identity.namespace}"
        )
    if proxy.service_account and proxy.service_account != identity.service_account:
        raise _denied(
            f"node {proxy.id} claims service account {proxy.service_account}, "
            f"its certificate is for {identity.service_account}"
        )


def _denied(detail: str) -> MeshError:
    return MeshError(ErrorCode.PERMISSION_DENIED, detail)
