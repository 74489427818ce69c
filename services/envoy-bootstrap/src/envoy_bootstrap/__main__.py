"""`python -m envoy_bootstrap`: the composition roots of the agent and of the command that captures.

Only the module of the command that is run is loaded: a pod's first container must not wait for what the agent needs.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """The command's exit code."""
    if argv[:1] == ["istio-iptables"]:
        return int(import_module("envoy_bootstrap.istio_iptables").main(argv[1:], environment))
    return int(import_module("envoy_bootstrap.agent_command").main(argv, environment))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
