"""`python -m envoy_bootstrap proxy sidecar ...`, `wait`, `request`: the shape of Istio's pilot-agent."""

import argparse
from collections.abc import Sequence

from envoy_bootstrap.core.environment import Arguments
from envoy_bootstrap.core.node import PROXY_TYPES


def parse_arguments(argv: Sequence[str]) -> tuple[Arguments, argparse.Namespace]:
    """The words that matter to the agent, and the switches of this program; exits 2 on anything unknown."""
    parser = argparse.ArgumentParser(prog="python -m envoy_bootstrap", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_proxy(commands.add_parser("proxy", allow_abbrev=False, help="run the agent"))
    _add_wait(commands.add_parser("wait", allow_abbrev=False, help="wait until the proxy is ready"))
    _add_request(commands.add_parser("request", allow_abbrev=False, help="ask Envoy's admin interface, or the agent"))
    options = parser.parse_args(list(argv))
    if options.command != "proxy":
        return Arguments(), options
    arguments = Arguments(
        proxy_type=options.proxy_type,
        domain=options.domain,
        proxy_log_level=options.proxy_log_level,
        proxy_component_log_level=options.proxy_component_log_level,
        concurrency=options.concurrency,
        outlier_log=options.outlier_log,
        takes_over=options.take_over,
    )
    return arguments, options


def _add_proxy(proxy: argparse.ArgumentParser) -> None:
    proxy.add_argument("proxy_type", choices=PROXY_TYPES, nargs="?", default="sidecar")
    proxy.add_argument("--domain", default="")
    proxy.add_argument("--proxyLogLevel", dest="proxy_log_level", default="warning")
    proxy.add_argument("--proxyComponentLogLevel", dest="proxy_component_log_level", default="")
    proxy.add_argument("--log_output_level", default="", help="level of the agent: info, debug, warning, error")
    proxy.add_argument("--concurrency", type=int)
    proxy.add_argument("--outlierLogPath", dest="outlier_log", default="")
    proxy.add_argument("--vm-dir", default="", help="folder with cluster.env, mesh.yaml, root-cert.pem and istio-token")
    proxy.add_argument("--take-over", action="store_true", help="follow the agent that runs in STATE_DIR, if one does")
    proxy.add_argument("--state-key", default="", help="file with this workload's key for stored state")
    proxy.add_argument("--print-bootstrap", action="store_true", help="print Envoy's bootstrap and end")


def _add_wait(wait: argparse.ArgumentParser) -> None:
    """Istio's words and defaults."""
    wait.add_argument("--url", default="", help="http://localhost:15021/healthz/ready, or the workload's own address")
    wait.add_argument("--timeoutSeconds", dest="timeout", type=float, default=60.0)
    wait.add_argument("--requestTimeoutMillis", dest="request_timeout", type=float, default=500.0)
    wait.add_argument("--periodMillis", dest="period", type=float, default=500.0)


def _add_request(request: argparse.ArgumentParser) -> None:
    request.add_argument(
        "--debug-port", type=int, help="of this machine, 15020 say; without it Envoy's admin interface"
    )
    request.add_argument("method")
    request.add_argument("path")
