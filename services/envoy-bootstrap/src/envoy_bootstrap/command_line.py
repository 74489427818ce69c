"""`python -m envoy_bootstrap proxy sidecar ...`: the shape of Istio's pilot-agent."""

import argparse
from collections.abc import Sequence

from envoy_bootstrap.core.environment import Arguments
from envoy_bootstrap.core.node import PROXY_TYPES


def parse_arguments(argv: Sequence[str]) -> tuple[Arguments, argparse.Namespace]:
    """The words that matter to the agent, and the switches of this program; exits 2 on anything unknown."""
    parser = argparse.ArgumentParser(prog="python -m envoy_bootstrap", allow_abbrev=False)
    proxy = parser.add_subparsers(dest="command", required=True).add_parser("proxy", allow_abbrev=False)
    proxy.add_argument("proxy_type", choices=PROXY_TYPES, nargs="?", default="sidecar")
    proxy.add_argument("--domain", default="")
    proxy.add_argument("--proxyLogLevel", dest="proxy_log_level", default="warning")
    proxy.add_argument("--proxyComponentLogLevel", dest="proxy_component_log_level", default="")
    proxy.add_argument("--log_output_level", default="", help="level of the agent: info, debug, warning, error")
    proxy.add_argument("--concurrency", type=int)
    proxy.add_argument("--outlierLogPath", dest="outlier_log", default="")
    proxy.add_argument("--state-key", default="", help="file with this workload's key for stored state")
    proxy.add_argument("--print-bootstrap", action="store_true", help="print Envoy's bootstrap and end")
    options = parser.parse_args(list(argv))
    arguments = Arguments(
        proxy_type=options.proxy_type,
        domain=options.domain,
        proxy_log_level=options.proxy_log_level,
        proxy_component_log_level=options.proxy_component_log_level,
        concurrency=options.concurrency,
        outlier_log=options.outlier_log,
    )
    return arguments, options
