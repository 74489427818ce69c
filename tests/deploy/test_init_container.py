"""What an injected pod's first container is told is what the agent's command understands."""

import subprocess
import sys

import pytest
from injector.core.config import parse_injection_config
from injector.core.context import PodFacts
from injector.core.inject import inject_pod
from injector.core.workload import workload_of_pod

TRAFFIC = "traffic.sidecar.istio.io/"
EVERYTHING = {
    "sidecar.istio.io/interceptionMode": "TPROXY",
    TRAFFIC + "includeOutboundIPRanges": "10.0.0.0/8, fd00::/8",
    TRAFFIC + "excludeOutboundIPRanges": "10.9.0.0/16",
    TRAFFIC + "includeInboundPorts": "80, 8080",
    TRAFFIC + "excludeInboundPorts": "9100",
    TRAFFIC + "includeOutboundPorts": "5432",
    TRAFFIC + "excludeOutboundPorts": "3306",
    TRAFFIC + "excludeInterfaces": "net1",
    "istio.io/reroute-virtual-interfaces": "virt0",
    "proxy.istio.io/config": "proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true', CAPTURE_ALL_DNS: 'true'}",
}


@pytest.mark.parametrize(
    ("annotations", "values", "rule"),
    [
        ({}, "", "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT"),
        (EVERYTHING, "", "-A ISTIO_OUTPUT_DNS -p udp --dport 53 -j REDIRECT --to-port 15053"),
        (EVERYTHING, "pilot: {cni: {enabled: true}}", "-I PREROUTING 1 -i virt0 -d 10.0.0.0/8 -j ISTIO_REDIRECT"),
        ({}, "global: {proxy_init: {forceApplyIptables: true}}", "-A ISTIO_OUTPUT -j ISTIO_REDIRECT"),
    ],
)
def test_the_agent_understands_what_the_injector_says(annotations, values, rule):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app", "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    }
    facts = PodFacts(pod, "shop", workload_of_pod(pod), parse_injection_config("", values))
    first = inject_pod(facts)["spec"]["initContainers"][0]
    environment = {item["name"]: item["value"] for item in first.get("env", ())}
    command = [sys.executable, "-m", "envoy_bootstrap", *first["args"], "--dry-run"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, rule in done.stdout.splitlines()) == (0, True), done.stderr or done.stdout
