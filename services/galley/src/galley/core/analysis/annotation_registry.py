"""The annotations of Istio's API: how mature each is, whether it is deprecated, and what it applies to.

Source: the annotation registry of istio/api. `ANY` applies to every kind.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

ANY = "Any"


class Maturity(StrEnum):
    """The phase of the feature that an annotation belongs to; alpha where the registry says none."""

    ALPHA = "Alpha"
    BETA = "Beta"
    STABLE = "Stable"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation; `kinds` are those that it has a meaning on."""

    name: str
    kinds: tuple[str, ...] = ("Pod",)
    maturity: Maturity = Maturity.ALPHA
    deprecated: bool = False


_BETA, _STABLE = Maturity.BETA, Maturity.STABLE

_ALL = (
    Annotation("alpha.istio.io/canonical-serviceaccounts", ("Service",), deprecated=True),
    Annotation("alpha.istio.io/kubernetes-serviceaccounts", ("Service",), deprecated=True),
    Annotation("ambient.istio.io/bypass-inbound-capture"),
    Annotation("ambient.istio.io/dns-capture"),
    Annotation("ambient.istio.io/redirection", maturity=_BETA),
    Annotation("ambient.istio.io/waypoint-inbound-binding", ("GatewayClass", "Gateway")),
    Annotation("galley.istio.io/analyze-suppress", (ANY,)),
    Annotation("gateway.istio.io/controller-version", (ANY,)),
    Annotation("gateway.istio.io/name-override", ("Gateway",)),
    Annotation("gateway.istio.io/service-account", ("Gateway",)),
    Annotation("inject.istio.io/templates"),
    Annotation("istio.io/autoRegistrationGroup", ("WorkloadEntry",)),
    Annotation("istio.io/connectedAt", ("WorkloadEntry",)),
    Annotation("istio.io/disconnectedAt", ("WorkloadEntry",)),
    Annotation("istio.io/dry-run", ("AuthorizationPolicy",)),
    Annotation("istio.io/reroute-virtual-interfaces"),
    Annotation("istio.io/rev"),
    Annotation("istio.io/use-waypoint-canary-weight", ("Service", "ServiceEntry", "Namespace")),
    Annotation("istio.io/workloadController", ("WorkloadEntry",)),
    Annotation("kubernetes.io/ingress.class", ("Ingress",), _STABLE),
    Annotation("networking.istio.io/exportTo", ("Service",)),
    Annotation("networking.istio.io/service-type", ("Gateway",)),
    Annotation("networking.istio.io/traffic-distribution", ("Namespace", "Service", "ServiceEntry")),
    Annotation("prometheus.istio.io/merge-metrics"),
    Annotation("proxy.istio.io/config", maturity=_BETA),
    Annotation("proxy.istio.io/overrides"),
    Annotation("readiness.status.sidecar.istio.io/applicationPorts"),
    Annotation("readiness.status.sidecar.istio.io/failureThreshold"),
    Annotation("readiness.status.sidecar.istio.io/initialDelaySeconds"),
    Annotation("readiness.status.sidecar.istio.io/periodSeconds"),
    Annotation("sidecar.istio.io/agentLogLevel"),
    Annotation("sidecar.istio.io/bootstrapOverride"),
    Annotation("sidecar.istio.io/componentLogLevel"),
    Annotation("sidecar.istio.io/discoveryAddress", deprecated=True),
    Annotation("sidecar.istio.io/extraStatTags", deprecated=True),
    Annotation("sidecar.istio.io/inject", maturity=_BETA, deprecated=True),
    Annotation("sidecar.istio.io/interceptionMode"),
    Annotation("sidecar.istio.io/logLevel"),
    Annotation("sidecar.istio.io/nativeSidecar"),
    Annotation("sidecar.istio.io/proxyCPU"),
    Annotation("sidecar.istio.io/proxyCPULimit"),
    Annotation("sidecar.istio.io/proxyImage"),
    Annotation("sidecar.istio.io/proxyImageType"),
    Annotation("sidecar.istio.io/proxyMemory"),
    Annotation("sidecar.istio.io/proxyMemoryLimit"),
    Annotation("sidecar.istio.io/rewriteAppHTTPProbers"),
    Annotation("sidecar.istio.io/statsCompression", deprecated=True),
    Annotation("sidecar.istio.io/statsEvictionInterval"),
    Annotation("sidecar.istio.io/statsFlushInterval"),
    Annotation("sidecar.istio.io/statsHistogramBins"),
    Annotation("sidecar.istio.io/statsHistogramBuckets"),
    Annotation("sidecar.istio.io/statsInclusionPrefixes", deprecated=True),
    Annotation("sidecar.istio.io/statsInclusionRegexps", deprecated=True),
    Annotation("sidecar.istio.io/statsInclusionSuffixes", deprecated=True),
    Annotation("sidecar.istio.io/status"),
    Annotation("sidecar.istio.io/userVolume"),
    Annotation("sidecar.istio.io/userVolumeMount"),
    Annotation("status.sidecar.istio.io/port"),
    Annotation("topology.istio.io/controlPlaneClusters", ("Namespace",)),
    Annotation("traffic.istio.io/nodeSelector", ("Service",), _STABLE),
    Annotation("traffic.sidecar.istio.io/excludeInboundPorts"),
    Annotation("traffic.sidecar.istio.io/excludeInterfaces"),
    Annotation("traffic.sidecar.istio.io/excludeOutboundIPRanges"),
    Annotation("traffic.sidecar.istio.io/excludeOutboundPorts"),
    Annotation("traffic.sidecar.istio.io/includeInboundPorts"),
    Annotation("traffic.sidecar.istio.io/includeOutboundIPRanges"),
    Annotation("traffic.sidecar.istio.io/includeOutboundPorts"),
    Annotation("traffic.sidecar.istio.io/kubevirtInterfaces", deprecated=True),
)

ANNOTATIONS = MappingProxyType({annotation.name: annotation for annotation in _ALL})
"""Every annotation, by name."""

NEVER_REPORTED = frozenset({"sidecar.istio.io/status", "gateway.istio.io/controller-version", "istio.io/rev"})
"""Annotations that Istio writes itself."""


def is_istio_annotation(name: str) -> bool:
    """Whether the name is one of Istio's, known or not."""
    return name == "kubernetes.io/ingress.class" or name.split("/", 1)[0].endswith("istio.io")
