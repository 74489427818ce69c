"""ProxyConfig: settings of the proxies themselves, by workload (networking.istio.io)."""

from collections.abc import Mapping
from typing import Annotated

from meshcore.model.base import Int32, MeshModel, StatusObject
from meshcore.model.cel import max_length, minimum
from meshcore.model.destination_rule import PolicySelector


class ProxyImage(MeshModel):
    """Which image of the proxy is injected."""

    image_type: str = ""


class ProxyConfigSpec(MeshModel):
    """Worker threads (0: one for each core, unset: the mesh's), environment and image of the selected proxies."""

    selector: PolicySelector | None = None
    concurrency: Annotated[Int32, minimum(0)] | None = None
    environment_variables: Mapping[str, Annotated[str, max_length(2048)]] = {}
    image: ProxyImage | None = None


class ProxyConfig(StatusObject):
    """Settings of proxies."""

    spec: ProxyConfigSpec = ProxyConfigSpec()
