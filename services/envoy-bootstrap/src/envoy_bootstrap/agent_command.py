"""The agent, put together: `proxy`, and the commands that ask a running one."""

import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from meshcore.errors import MeshError
from meshcore.runtime import run

from envoy_bootstrap.adapters.agent import Agent
from envoy_bootstrap.adapters.bootstrap_source import ADMIN_SOCKET, bootstrap_text
from envoy_bootstrap.adapters.client_commands import run_client
from envoy_bootstrap.adapters.envoy_process import find_envoy
from envoy_bootstrap.adapters.foreign_sds import find_foreign_sds
from envoy_bootstrap.adapters.operator_bootstrap import OperatorBootstrap, read_operator_bootstrap, read_pod_info
from envoy_bootstrap.adapters.own_addresses import own_addresses
from envoy_bootstrap.adapters.vm_files import vm_environment
from envoy_bootstrap.command_line import parse_arguments
from envoy_bootstrap.core.addresses import UnixSocket
from envoy_bootstrap.core.environment import AgentConfig, parse_environment, with_foreign_sds
from envoy_bootstrap.settings import AgentSettings


def own_version() -> dict[str, str]:
    """The version that the proxy shows to Pilot, unless the environment says another."""
    try:
        return {"ISTIO_META_ISTIO_VERSION": metadata.version("envoy-bootstrap")}
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return {}


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the agent until it is told to stop; 2 when its command line or environment is wrong."""
    arguments, options = parse_arguments(argv)
    if options.command != "proxy":
        return run_client(options, environment)
    given = {**own_version(), **environment}
    if options.state_key:
        given["STATE_KEY_FILE"] = options.state_key
    try:
        if options.vm_dir:
            given = vm_environment(Path(options.vm_dir), given)
        if not (given.get("INSTANCE_IPS") or given.get("INSTANCE_IP")):
            given["INSTANCE_IPS"] = ",".join(own_addresses())
        pod = read_pod_info(Path(given.get("MESHCORE_POD_INFO") or "/etc/istio/pod"))
        config = parse_environment(given, arguments, pod)
        if config.has_envoy:
            config = with_foreign_sds(config, find_foreign_sds(config.identity_socket))
        operator = read_operator_bootstrap(config)
        state_dir = Path(config.state_dir).absolute()
        bootstrap = bootstrap_text(
            config, state_dir, UnixSocket(str(state_dir / ADMIN_SOCKET), mode=0o600), operator.custom
        )
        envoy = find_envoy(config.envoy_path) if config.has_envoy else ""
    except MeshError as error:
        for line in (error.detail, *(str(violation) for violation in error.violations)):
            sys.stderr.write(f"{line}\n")
        return 2
    if options.print_bootstrap:
        sys.stdout.write(bootstrap)
        return 0
    return run(AgentSettings, lambda runtime: _build(runtime, config, state_dir, envoy, operator), [])


async def _build(runtime: Any, config: AgentConfig, state_dir: Path, envoy: str, operator: OperatorBootstrap) -> None:
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    state_dir.chmod(0o700)
    await Agent(config, state_dir, envoy, operator).start(runtime)
