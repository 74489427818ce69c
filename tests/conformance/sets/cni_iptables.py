"""cni-iptables: the rules of each case's pod, as the CNI plugin makes them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envoy_bootstrap.core.capture.config import HostFacts, build_config
from envoy_bootstrap.core.capture.pod import flags_of_pod, skip_reason

from tests.conformance.outcome import Outcome, failed
from tests.conformance.sets.iptables import compared, made_rules, read_rules

SET = "cni-iptables"


def run(directory: Path) -> Iterator[Outcome]:
    """One outcome for each case."""
    for case in json.loads((directory / "expected.json").read_text(encoding="utf-8")):
        pod = _pod(case)
        if (reason := skip_reason(pod)) is not None:
            yield failed(case["name"], f"the pod is skipped: {reason}")
            continue
        config = build_config(flags_of_pod(pod), HostFacts(("192.0.2.1",)))
        yield compared(case["name"], read_rules((directory / case["golden"]).read_text()), made_rules(config))


def _pod(case: Mapping[str, Any]) -> dict[str, Any]:
    security = {"runAsUser": case.get("proxy_uid"), "runAsGroup": case.get("proxy_gid")}
    proxy = {
        "name": "istio-proxy",
        "env": [{"name": name, "value": value} for name, value in case.get("proxy_env", {}).items()],
        "securityContext": {name: value for name, value in security.items() if value is not None},
    }
    return {"metadata": {"annotations": case["annotations"]}, "spec": {"containers": [{"name": "app"}, proxy]}}
