"""PeerAuthentication: which mTLS a workload asks of its callers (security.istio.io)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from meshcore.model.base import MeshModel, StatusObject
from meshcore.model.cel import Cel, has
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


def _is_port(key: str) -> bool:
    return key.isascii() and key.isdecimal() and 0 < int(key) <= 65535


_PORT_KEYS = Cel(
    "self.all(key, 0 < int(key) && int(key) <= 65535)",
    "port must be between 1-65535",
    lambda modes: all(map(_is_port, modes)),
)
_PORTS_OF_WORKLOADS = Cel(
    "has(self.portLevelMtls) ? (((has(self.selector) && has(self.selector.matchLabels)) ? "
    "self.selector.matchLabels : {}).size() > 0) : true",
    "portLevelMtls requires selector",
    lambda spec: not has(spec, "port_level_mtls") or bool(spec.selector and spec.selector.match_labels),
)


class PeerAuthenticationSpec(MeshModel):
    """Selector, mode, and modes by target port."""

    selector: PolicySelector | None = None
    mtls: PeerMtls | None = None
    port_level_mtls: Annotated[Mapping[str, PeerMtls], Field(min_length=1), _PORT_KEYS] = {}
    cel = (_PORTS_OF_WORKLOADS,)


class PeerAuthentication(StatusObject):
    """Which mTLS is asked of callers."""

    spec: PeerAuthenticationSpec = PeerAuthenticationSpec()
