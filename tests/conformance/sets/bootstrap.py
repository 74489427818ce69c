"""Envoy's bootstrap for a ProxyConfig and an environment, compared by meaning with Istio's."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envoy_bootstrap.adapters.bootstrap_source import ADMIN_SOCKET, bootstrap_text
from envoy_bootstrap.core.addresses import UnixSocket
from envoy_bootstrap.core.environment import Arguments, PodInfo, parse_environment
from meshcore.errors import MeshError

from tests.conformance.bootstrap_differences import unexpected
from tests.conformance.outcome import Outcome, failed, passed

SET = "bootstrap"


def run(directory: Path) -> Iterator[Outcome]:
    """One outcome for each case; what a case does not say of itself, all of them share."""
    corpus = json.loads((directory / "expected.json").read_text(encoding="utf-8"))
    for case in corpus["cases"]:
        wanted = json.loads((directory / case["golden"]).read_text(encoding="utf-8"))
        try:
            got = bootstrap_of({**corpus["common"], **case})
        except MeshError as error:
            yield failed(case["name"], f"{error.detail}: {'; '.join(map(str, error.violations))}")
            continue
        lines = unexpected(wanted, got)
        yield failed(case["name"], "\n".join(lines)) if lines else passed(case["name"])


def bootstrap_of(case: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the agent gives Envoy where it is started so."""
    environment = {
        "POD_NAME": "pod",
        "POD_NAMESPACE": "space",
        "SERVICE_ACCOUNT": "default",
        "ISTIO_META_ISTIO_VERSION": case["istio_version"],
        "COMPLIANCE_POLICY": case.get("compliance_policy", ""),
        "PROXY_CONFIG": json.dumps(case["proxyConfig"]),
        "PILOT_SAN": ",".join(case["pilot_san"]),
        "ENVOY_PROMETHEUS_PORT": str(case["envoy_prometheus_port"]),
        "ENVOY_STATUS_PORT": str(case["envoy_status_port"]),
        **case.get("env", {}),
        "INSTANCE_IPS": ",".join(case["instance_ips"]),
    }
    pod = PodInfo(annotations=case.get("annotations", {}))
    config = parse_environment(environment, Arguments(outlier_log=case["outlier_log_path"]), pod)
    state = Path("/etc/istio/proxy")
    made: dict[str, Any] = json.loads(bootstrap_text(config, state, UnixSocket(str(state / ADMIN_SOCKET), mode=0o600)))
    return made
