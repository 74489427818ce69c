"""`meshctl iptables`: the rules that send a workload's traffic through its proxy, printed, applied or taken away."""

import os
import sys

import typer


def iptables(context: typer.Context) -> None:
    """Capture a workload's traffic as istio-iptables does, with its options (--help shows them; --dry-run prints)."""
    sys.stdout.flush()
    # in place of this process: rules belong to the network namespace, and the exit code is the answer
    program = [sys.executable, "-m", "envoy_bootstrap.istio_iptables", *context.args]
    os.execv(sys.executable, program)  # noqa: S606 - an argument list, without a shell
