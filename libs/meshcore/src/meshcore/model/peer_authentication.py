"""PeerAuthentication: which mTLS a workload asks of its callers (security.istio.io)."""

from collections.abc import Mapping
from enum import StrEnum

from meshcore.model.base import MeshModel, StatusObject
from meshcore.model.destination_rule import PolicySelector


class MtlsMode(StrEnum):
    """UNSET inherits: workload from namespace from mesh, and PERMISSIVE at last."""

    UNSET = "UNSET"
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class PeerMtls(MeshModel):
    """One mode."""

    mode: MtlsMode = MtlsMode.UNSET


class PeerAuthenticationSpec(MeshModel):
    """Selector, mode, and modes by target port."""

    selector: PolicySelector | None = None
    mtls: PeerMtls | None = None
    port_level_mtls: Mapping[str, PeerMtls] = {}


class PeerAuthentication(StatusObject):
    """Which mTLS is asked of callers."""

    spec: PeerAuthenticationSpec = PeerAuthenticationSpec()
