"""`python -m envoy_bootstrap.istio_cni_repair`: helps pods of a node that were started before its CNI plugin was."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from meshcore.errors import MeshError
from meshcore.http.kubeconfig import Access

from envoy_bootstrap.adapters.capture.pod_repair import PodRepair
from envoy_bootstrap.core.capture.repair import parse_repair

_PAUSE = 5.0
"""Seconds between two looks: the first container tries for as long."""


def main(environment: Mapping[str, str]) -> int:
    """Until it is stopped; 1 with what is wrong in its environment."""
    try:
        config = parse_repair(environment)
        access = Access.of_kubeconfig(Path(environment.get("KUBECONFIG") or "/etc/kubernetes/kubeconfig"))
    except MeshError as error:
        _say(str(error))
        return 1
    asyncio.run(PodRepair(config, access, _say).run(_PAUSE))
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(os.environ))
