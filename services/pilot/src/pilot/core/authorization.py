"""Whether a proxy may be who its node says: what its client has proven decides. Pure."""

from collections.abc import Collection
from dataclasses import replace

from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId

from pilot.core.proxy import Proxy


def proven(proxy: Proxy, identity: SpiffeId, trust_domain: str, aliases: Collection[str] = ()) -> Proxy:
    """The proxy as its client is proven; PERMISSION_DENIED unless namespace and service account are the node's.

    `aliases` are names that the trust domain had before: identities of them are as good, and are kept as they are.
    A node that names no service account has the proven one: leaving it out opens nothing.
    """
    if identity.trust_domain != trust_domain and identity.trust_domain not in aliases:
        raise _denied(f"the client is of trust domain {identity.trust_domain}, this mesh is {trust_domain}")
    if proxy.namespace != identity.namespace:
        raise _denied(f"node {proxy.id} claims namespace {proxy.namespace}, it is proven to be of {identity.namespace}")
    if proxy.service_account and proxy.service_account != identity.service_account:
        raise _denied(
            f"node {proxy.id} claims service account {proxy.service_account}, "
            f"it is proven to be of {identity.service_account}"
        )
    return replace(proxy, service_account=identity.service_account, identity=str(identity))


def _denied(detail: str) -> MeshError:
    return MeshError(ErrorCode.PERMISSION_DENIED, detail)
