"""Istio's BLOCKED_CIDRS_IN_WASM_FETCH: from where no Wasm module is fetched. Pure."""

from meshcore.errors import ErrorCode, MeshError
from meshcore.fetch_guard import Network, parse_networks

NO_NETWORKS: tuple[Network, ...] = ()


def blocked_networks(text: str) -> tuple[Network, ...]:
    """`10.0.0.0/8,fd00::/8`; INVALID names the part that is no network."""
    try:
        return parse_networks(text)
    except ValueError as error:
        raise MeshError(ErrorCode.INVALID, str(error)) from None
