"""`istio-cni`: the CNI plugin that captures a pod's traffic in place of its init container.

The runtime starts it behind the plugin that makes the pod's network. Standard output is the protocol's alone; what is
done or left is said on standard error.
"""

import json
import os
import sys
from collections.abc import Mapping

from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.adapters.capture.host import enter_network_namespace, host_facts
from envoy_bootstrap.adapters.capture.nft_capture import NftCapture
from envoy_bootstrap.adapters.capture.pod_source import fetch_pod
from envoy_bootstrap.adapters.capture.traffic_capture import TrafficCapture
from envoy_bootstrap.core.capture.cni import (
    VERSIONS,
    Attachment,
    CniError,
    PluginConfig,
    left_alone,
    parse_attachment,
    parse_command,
    parse_plugin_config,
    result,
    versions,
)
from envoy_bootstrap.core.capture.config import build_config
from envoy_bootstrap.core.capture.pod import flags_of_pod, skip_reason


def main() -> int:
    """The plugin as the runtime starts it."""
    code, answer = answered(os.environ, sys.stdin.read())
    sys.stdout.write(answer)
    return code


def answered(environment: Mapping[str, str], stdin: str) -> tuple[int, str]:
    """The exit code, and what goes to the runtime."""
    version = VERSIONS[-1]
    try:
        command = parse_command(environment)
        if command == "VERSION":
            return 0, versions(_asked_version(stdin))
        config = parse_plugin_config(stdin)
        version = config.version
        if command in ("ADD", "CHECK"):
            _capture(config, parse_attachment(environment), only_checks=command == "CHECK")
        # rules go with the namespace: there is nothing to do for DEL, GC and STATUS
        return 0, result(config) if command == "ADD" else ""
    except CniError as error:
        return 1, error.answer(version)
    except MeshError as error:
        return 1, CniError.of(error).answer(version)


def _asked_version(stdin: str) -> str:
    try:
        return str(json.loads(stdin)["cniVersion"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return VERSIONS[-1]


def _capture(config: PluginConfig, attachment: Attachment, *, only_checks: bool) -> None:
    name = f"{attachment.pod_namespace}/{attachment.pod_name}"
    if reason := left_alone(config, attachment):
        _say(f"{name} is left alone: {reason}")
        return
    pod = fetch_pod(config.kubeconfig, attachment.pod_namespace, attachment.pod_name)
    if reason := skip_reason(pod):
        _say(f"{name} is left alone: {reason}")
        return
    texts = flags_of_pod(pod)
    enter_network_namespace(attachment.network_namespace)
    # users of a pod are known by number: this machine's names are not theirs
    settings, say = build_config(texts, host_facts("")), lambda text: _say(f"{name}: {text}")
    capture = NftCapture(settings, say) if config.native_nftables else TrafficCapture(settings, say)
    if not only_checks:
        capture.apply()
    elif missing := capture.missing():
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"{name} is not captured: {'; '.join(missing)}")


def _say(text: str) -> None:
    sys.stderr.write(f"istio-cni: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
