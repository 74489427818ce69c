"""The files with which a workload outside of the cluster joins the mesh: `cluster.env`, `mesh.yaml` and `hosts`, as
`istioctl x workload entry configure` writes them. The root and the token are added by who has them. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from injector.core.yaml_documents import read_document
from meshcore.model import WorkloadGroup
from meshcore.model.load import dump_object

NOT_CAPTURED = "22,15090,15021,15020"
"""Inbound ports that stay as they are: SSH, and the proxy's own."""
_NETWORK_LABEL = "topology.istio.io/network"


@dataclass(frozen=True, slots=True)
class VmOptions:
    """What the group does not say. Addresses are `host:port`.

    `control_plane` is an address for the names in them, where the workload's DNS does not know these.
    """

    pilot: str
    citadel: str
    cluster_id: str = "Kubernetes"
    auto_register: bool = True
    capture_dns: bool = True
    control_plane: str = ""
    internal_ip: str = ""


def vm_files(group: WorkloadGroup, config_map: Mapping[str, Any], options: VmOptions) -> Mapping[str, str]:
    """By name of the file. `config_map` is the mesh's; over its `defaultConfig` the group's probe is laid."""
    mesh = read_document((config_map.get("data") or {}).get("mesh") or "") or {}
    environment = _environment(group, str(mesh.get("trustDomain") or "cluster.local"), options)
    defaults = mesh.get("defaultConfig") or {}
    return {
        "cluster.env": "".join(f"{name}={_quoted(value)}\n" for name, value in sorted(environment.items())),
        "mesh.yaml": yaml.safe_dump({"defaultConfig": _proxy_config(group, defaults, options)}, sort_keys=True),
        "hosts": _hosts(options),
    }


def _environment(group: WorkloadGroup, trust_domain: str, options: VmOptions) -> dict[str, str]:
    namespace, name = group.metadata.namespace, group.metadata.name
    template = group.spec.template
    labels = {**(dict(group.spec.metadata.labels) if group.spec.metadata else {}), **dict(template.labels)}
    service = labels.get("service.istio.io/canonical-name") or labels.get("app") or name
    revision = labels.get("service.istio.io/canonical-revision") or labels.get("version") or "latest"
    labels |= {"service.istio.io/canonical-name": service, "service.istio.io/canonical-revision": revision}
    environment = {
        "CANONICAL_SERVICE": service,
        "CANONICAL_REVISION": revision,
        "CA_ADDR": options.citadel,
        "ISTIO_INBOUND_PORTS": "*",
        "ISTIO_LOCAL_EXCLUDE_PORTS": NOT_CAPTURED,
        "ISTIO_METAJSON_LABELS": json.dumps(labels, sort_keys=True, separators=(",", ":")),
        "ISTIO_META_CLUSTER_ID": options.cluster_id,
        "ISTIO_META_DNS_CAPTURE": "true" if options.capture_dns else "false",
        "ISTIO_META_MESH_ID": trust_domain,
        "ISTIO_META_NETWORK": template.network or labels.get(_NETWORK_LABEL, ""),
        "ISTIO_META_WORKLOAD_NAME": name,
        "ISTIO_NAMESPACE": namespace,
        "ISTIO_SERVICE": f"{service}.{namespace}",
        "ISTIO_SERVICE_CIDR": "*",
        "PILOT_ADDR": options.pilot,
        "POD_NAMESPACE": namespace,
        "SERVICE_ACCOUNT": template.service_account or "default",
        "TRUST_DOMAIN": trust_domain,
    }
    if options.auto_register:
        environment["ISTIO_META_AUTO_REGISTER_GROUP"] = name
    if options.internal_ip:
        environment["INSTANCE_IP"] = options.internal_ip
    return {name: value for name, value in environment.items() if value}


def _quoted(value: str) -> str:
    """One word of a shell's: the file is read by one, as root, before istio-iptables, and a WorkloadGroup says much."""
    inner = value.replace("'", "'\\''")
    return f"'{inner}'"


def _proxy_config(group: WorkloadGroup, defaults: Mapping[str, Any], options: VmOptions) -> dict[str, Any]:
    config = {**defaults, "discoveryAddress": options.pilot}
    if probe := dump_object(group)["spec"].get("probe"):
        config["readinessProbe"] = probe
    return config


def _hosts(options: VmOptions) -> str:
    if not options.control_plane:
        return ""
    names = dict.fromkeys(address.rpartition(":")[0] for address in (options.pilot, options.citadel))
    return "".join(f"{options.control_plane} {name}\n" for name in names)
