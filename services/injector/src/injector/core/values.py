"""The values that templates read, under the names of Istio's Helm chart. Pure data."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

DEFAULT_VALUES: Mapping[str, Any] = MappingProxyType(
    {
        "global": {
            "hub": "meshcore",
            "tag": "0.1.0",
            "imagePullPolicy": "",
            "imagePullSecrets": [],
            "istioNamespace": "istio-system",
            "meshID": "",
            "network": "",
            "multiCluster": {"clusterName": ""},
            "mountMtlsCerts": False,
            "caAddress": "",
            "pilotAddress": "",
            "logging": {"level": "default:info"},
            "proxy_init": {"image": "proxy", "forceApplyIptables": False},
            "proxy": {
                "image": "proxy",
                "clusterDomain": "cluster.local",
                "logLevel": "warning",
                "componentLogLevel": "misc:error",
                "privileged": False,
                "statusPort": 15020,
                "readinessInitialDelaySeconds": 0,
                "readinessPeriodSeconds": 15,
                "readinessFailureThreshold": 4,
                "startupProbe": {"enabled": True, "failureThreshold": 600},
                "includeIPRanges": "*",
                "excludeIPRanges": "",
                "includeInboundPorts": "*",
                "includeOutboundPorts": "",
                "excludeInboundPorts": "",
                "excludeOutboundPorts": "",
                "excludeInterfaces": "",
                "holdApplicationUntilProxyStarts": False,
                "resources": {
                    "requests": {"cpu": "100m", "memory": "128Mi"},
                    "limits": {"cpu": "2000m", "memory": "1024Mi"},
                },
            },
        },
        "pilot": {"cni": {"enabled": False}},
        "sidecarInjectorWebhook": {"rewriteAppHTTPProbe": True, "nativeSidecars": False},
    }
)
