"""What a template may read: one flat map of names, all plain data. Pure.

Order of authority for each of them is Istio's: the pod's annotation, then ProxyConfig (merged in
`injector.core.proxy_config`), then the installation's values.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from injector.core import annotations as named
from injector.core.config import InjectionConfig
from injector.core.proxy_image import proxy_image
from injector.core.workload import Workload
from injector.core.workload_labels import mesh_labels
from injector.core.yaml_documents import read_document

PROXY_CONTAINER = "istio-proxy"
PROXY_ID = 1337
_NOT_A_LABEL_OF_THE_WORKLOAD = ("pod-template-hash",)


@dataclass(frozen=True)
class PodFacts:
    """A pod as the user wrote it, and what is known around it."""

    pod: Mapping[str, Any]
    namespace: str
    workload: Workload
    config: InjectionConfig
    network: str = ""
    cluster_id: str = ""

    @property
    def annotations(self) -> Mapping[str, str]:
        """The pod's annotations, validated before."""
        return (self.pod.get("metadata") or {}).get("annotations") or {}

    @property
    def labels(self) -> Mapping[str, str]:
        """The pod's labels."""
        return (self.pod.get("metadata") or {}).get("labels") or {}

    @property
    def spec(self) -> Mapping[str, Any]:
        """The pod's spec."""
        return self.pod.get("spec") or {}

    @cached_property
    def proxy_config(self) -> dict[str, Any]:
        """ProxyConfig of this pod, merged from all that have a say in it."""
        return self.config.proxy_configs.effective(
            self.namespace,
            self.labels,
            default=self.config.mesh.get("defaultConfig") or {},
            annotation=read_document(self.annotations.get(named.PROXY_CONFIG, "")) or {},
        )

    @property
    def status_port(self) -> int:
        """Port of the agent's status server; 0 when the pod wants none."""
        proxy = self.config.values["global"]["proxy"]
        fallback = self.proxy_config.get("statusPort", proxy["statusPort"])
        return int(self.annotations.get(named.STATUS_PORT, fallback))

    @property
    def metrics_port(self) -> int:
        """Port at which the agent has the merged metrics and takes orders, also where a pod wants no probes."""
        return int(self.proxy_config.get("statusPort") or 15020)

    @property
    def interception_mode(self) -> str:
        """REDIRECT, TPROXY or NONE."""
        fallback = self.proxy_config.get("interceptionMode", "REDIRECT")
        return str(self.annotations.get(named.INTERCEPTION_MODE, fallback))

    @property
    def native_sidecar(self) -> bool:
        """Whether the proxy is an init container that stays (Kubernetes 1.29 and later)."""
        fallback = bool(self.config.values["sidecarInjectorWebhook"]["nativeSidecars"])
        wish = self.annotations.get(named.SIDECAR + "nativeSidecar")
        return fallback if wish is None else wish == "true"

    @property
    def hold_application(self) -> bool:
        """Whether application containers start only behind a ready proxy."""
        fallback = self.config.values["global"]["proxy"]["holdApplicationUntilProxyStarts"]
        return bool(self.proxy_config.get("holdApplicationUntilProxyStarts", fallback))


def template_context(
    facts: PodFacts,
    *,
    app_probers: Mapping[str, Any] | None = None,
    prometheus: Mapping[str, Any] | None = None,
    own_proxy: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The names of `templates/*.yaml.j2`; `own_proxy` is what the user wrote under the proxy's container name."""
    config, given = facts.config, facts.annotations
    shared = config.values["global"]
    proxy, proxy_config = shared["proxy"], facts.proxy_config
    root_namespace = shared["istioNamespace"]
    security = (own_proxy or {}).get("securityContext") or {}
    uid = security.get("runAsUser", PROXY_ID)
    image_type = str((proxy_config.get("image") or {}).get("imageType", ""))
    app_containers = [
        container for container in facts.spec.get("containers") or () if container.get("name") != PROXY_CONTAINER
    ]
    return {
        "values": dict(config.values),
        "mesh": dict(config.mesh),
        "pod_labels": {
            key: value
            for key, value in sorted(mesh_labels(facts.labels, facts.workload.name, facts.network).items())
            if key not in _NOT_A_LABEL_OF_THE_WORKLOAD
        },
        "annotations": dict(given),
        "namespace": facts.namespace,
        "revision": config.revision,
        "trust_domain": config.trust_domain,
        "mesh_id": shared["meshID"] or config.trust_domain,
        "network": facts.network,
        "cluster_id": facts.cluster_id or shared["multiCluster"]["clusterName"] or config.cluster_id,
        "workload_name": facts.workload.name,
        "owner": facts.workload.owner_uri(facts.namespace),
        "service_account": facts.spec.get("serviceAccountName", ""),
        "proxy_image": proxy_image(
            shared["hub"], str(shared["tag"]), proxy["image"], variant=image_type, annotations=given
        ),
        "init_image": proxy_image(
            shared["hub"], str(shared["tag"]), shared["proxy_init"]["image"], variant=image_type, annotations=given
        ),
        "proxy_uid": uid,
        "proxy_gid": security.get("runAsGroup", PROXY_ID),
        "interception_mode": facts.interception_mode,
        "native_sidecar": facts.native_sidecar,
        "hold_application": facts.hold_application,
        "status_port": facts.status_port,
        "agent_port": facts.metrics_port,
        "traffic": _traffic(given, proxy, facts.status_port),
        "legacy_localhost": (config.mesh.get("inboundTrafficPolicy") or {}).get("mode") == "LOCALHOST",
        "readiness": {
            name: int(given.get(named.READINESS + name, proxy[fallback]))
            for name, fallback in (
                ("initialDelaySeconds", "readinessInitialDelaySeconds"),
                ("periodSeconds", "readinessPeriodSeconds"),
                ("failureThreshold", "readinessFailureThreshold"),
            )
        },
        "resources": _resources(given, proxy["resources"]),
        "log_level": given.get(named.SIDECAR + "logLevel", proxy["logLevel"]),
        "component_log_level": given.get(named.SIDECAR + "componentLogLevel", proxy["componentLogLevel"]),
        "agent_log_level": given.get(named.SIDECAR + "agentLogLevel", shared["logging"]["level"]),
        "ca_address": shared["caAddress"] or f"citadel.{root_namespace}.svc:8060",
        "pilot_address": proxy_config.get("discoveryAddress")
        or shared["pilotAddress"]
        or f"pilot.{root_namespace}.svc:15012",
        "proxy_config": proxy_config,
        "proxy_metadata": {
            str(name): _text(value) for name, value in (proxy_config.get("proxyMetadata") or {}).items()
        },
        "pod_ports": _pod_ports(app_containers),
        "app_containers": [str(container.get("name", "")) for container in app_containers],
        "app_probers": dict(app_probers or {}),
        "prometheus_annotations": dict(prometheus or {}),
        "bootstrap_override": given.get(named.SIDECAR + "bootstrapOverride", ""),
        "user_volumes": json.loads(given.get(named.SIDECAR + "userVolume", "{}")),
        "user_volume_mounts": json.loads(given.get(named.SIDECAR + "userVolumeMount", "{}")),
    }


def _traffic(given: Mapping[str, str], proxy: Mapping[str, Any], status_port: int) -> dict[str, str]:
    excluded = named.split_list(given.get(named.TRAFFIC + "excludeInboundPorts", str(proxy["excludeInboundPorts"])))
    own = () if status_port == 0 or str(status_port) in excluded else (str(status_port),)
    interfaces = given.get("istio.io/reroute-virtual-interfaces", given.get(named.TRAFFIC + "kubevirtInterfaces", ""))
    chosen = {
        "includeOutboundIPRanges": "includeIPRanges",
        "excludeOutboundIPRanges": "excludeIPRanges",
        "includeInboundPorts": "includeInboundPorts",
        "includeOutboundPorts": "includeOutboundPorts",
        "excludeOutboundPorts": "excludeOutboundPorts",
        "excludeInterfaces": "excludeInterfaces",
    }
    return {
        **{name: given.get(named.TRAFFIC + name, str(proxy[fallback])) for name, fallback in chosen.items()},
        # the proxy's own ports are never captured: kubelet and Prometheus speak to them
        "excludeInboundPorts": ",".join(("15090", "15021", *excluded, *own)),
        "virtualInterfaces": interfaces,
    }


def _resources(given: Mapping[str, str], fallback: Mapping[str, Any]) -> dict[str, Any]:
    """Any of the four annotations replaces the whole block by those given."""
    block: dict[str, dict[str, str]] = {}
    for name, kind, resource in (
        ("proxyCPU", "requests", "cpu"),
        ("proxyMemory", "requests", "memory"),
        ("proxyCPULimit", "limits", "cpu"),
        ("proxyMemoryLimit", "limits", "memory"),
    ):
        if named.SIDECAR + name in given:
            block.setdefault(kind, {})[resource] = given[named.SIDECAR + name]
    return block or dict(fallback)


def _pod_ports(containers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    fields = ("name", "containerPort", "protocol")
    return [
        {field: port[field] for field in fields if field in port}
        for container in containers
        for port in container.get("ports") or ()
    ]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
