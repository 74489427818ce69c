"""Pods, Nodes and Secrets (v1): what analysis reads of a cluster, and the certificates of gateways.

Of Pods and Nodes only what a mesh looks at is typed; everything else is kept as it came.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import ConfigDict, Field

from meshcore.model.base import Bool, Int32, MeshModel, MeshObject, StatusObject


class OpenModel(MeshModel):
    """A message of which only some fields are typed."""

    model_config = ConfigDict(extra="allow")


class ContainerPort(OpenModel):
    """A port that a container says it listens on."""

    name: str = ""
    container_port: Int32
    host_port: Int32 = 0
    protocol: str = "TCP"


class SecurityContext(OpenModel):
    """As whom a container runs."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: Bool | None = None
    privileged: Bool | None = None


class Container(OpenModel):
    """One container."""

    name: Annotated[str, Field(min_length=1)]
    image: str = ""
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    restart_policy: str | None = None
    security_context: SecurityContext | None = None


class PodSpec(OpenModel):
    """Containers, and where and as whom they run."""

    containers: Annotated[tuple[Container, ...], Field(min_length=1)]
    init_containers: tuple[Container, ...] = ()
    service_account_name: str = ""
    node_name: str = ""
    host_network: Bool = False
    restart_policy: str = "Always"
    security_context: SecurityContext | None = None


class Pod(StatusObject):
    """A workload's instance."""

    spec: PodSpec


class NodeSpec(OpenModel):
    """How a node is known to its cloud, and what it keeps off."""

    provider_id: Annotated[str, Field(alias="providerID")] = ""
    unschedulable: Bool = False


class Node(StatusObject):
    """A machine; its labels say in which region and zone it is."""

    spec: NodeSpec = NodeSpec()


class Secret(MeshObject):
    """Confidential bytes (base64) by key; no value is ever in a representation or a message."""

    type: str = "Opaque"
    data: Annotated[Mapping[str, str], Field(repr=False)] = {}
    string_data: Annotated[Mapping[str, str], Field(repr=False)] = {}
    immutable: Bool | None = None
