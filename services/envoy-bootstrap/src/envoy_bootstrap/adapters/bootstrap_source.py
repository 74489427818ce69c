"""Where the bootstrap of each next Envoy comes from: the agent's settings, the operator's files, Pilot's patches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envoy_bootstrap.adapters.bootstrap_patch import BootstrapPatch
from envoy_bootstrap.adapters.operator_bootstrap import OperatorBootstrap, read_operator_bootstrap
from envoy_bootstrap.adapters.pilot_addresses import ENDPOINTS_FILE
from envoy_bootstrap.adapters.secret_sockets import FILES_SOCKET, SDS_SOCKET
from envoy_bootstrap.core.addresses import UnixSocket
from envoy_bootstrap.core.bootstrap import BootstrapInputs, customised, render_bootstrap, to_json
from envoy_bootstrap.core.environment import AgentConfig
from envoy_bootstrap.core.envoy_arguments import envoy_arguments

ADS_SOCKET = "ads.sock"
AUDIT_SOCKET = "audit.sock"
EXTENSIONS_SOCKET = "ecds.sock"
ADMIN_SOCKET = "admin.sock"


def bootstrap_text(
    config: AgentConfig, state_dir: Path, admin: UnixSocket, custom: Mapping[str, Any] | None = None
) -> str:
    """The bootstrap of this workload's Envoy with that admin socket, without patches."""
    return to_json(_bootstrap(config, state_dir, admin, custom))


class BootstrapSource:
    """One workload's."""

    def __init__(self, config: AgentConfig, state_dir: Path, operator: OperatorBootstrap) -> None:
        self._config = config
        self._state_dir = state_dir
        self._operator = operator
        self.patch = BootstrapPatch(state_dir)

    def render(self, admin: UnixSocket) -> str:
        """The text of the next Envoy's bootstrap."""
        plain = _bootstrap(self._config, self._state_dir, admin, self._operator.custom)
        return to_json(self.patch.applied(plain))

    def override(self) -> str:
        """What Envoy merges into it."""
        return self._operator.override

    def arguments(self, bootstrap: str) -> list[str]:
        """Envoy's command line for a bootstrap file."""
        config = self._config
        return envoy_arguments(
            bootstrap,
            drain=config.proxy.drain_duration,
            concurrency=config.concurrency,
            log_level=config.arguments.proxy_log_level,
            component_log_level=config.arguments.proxy_component_log_level,
            ipv6=":" in config.instance_ip,
            override=self._operator.override,
        )

    async def settle(self, envoy: str) -> None:
        """Wait for what Pilot has to say of the bootstrap, where the workload asks for it."""
        if self._config.asks_for_bootstrap:
            admin = UnixSocket(str(self._state_dir / ADMIN_SOCKET), mode=0o600)
            await self.patch.settle(envoy, _bootstrap(self._config, self._state_dir, admin, self._operator.custom))

    async def reload(self, envoy: str) -> None:
        """Read the operator's files again, and take Pilot's newest patches; INVALID leaves everything as it was."""
        self._operator = read_operator_bootstrap(self._config)
        await self.settle(envoy)


def _bootstrap(
    config: AgentConfig, state_dir: Path, admin: UnixSocket, custom: Mapping[str, Any] | None
) -> dict[str, Any]:
    inputs = BootstrapInputs(
        node=config.node,
        pilot=config.pilot,
        pilot_sans=config.pilot_sans,
        pilot_endpoints=str(state_dir / ENDPOINTS_FILE),
        agent_ads=UnixSocket(str(state_dir / ADS_SOCKET)),
        agent_sds=UnixSocket(str(state_dir / SDS_SOCKET)),
        foreign_sds=UnixSocket(config.foreign_sds) if config.foreign_sds else None,
        agent_files=UnixSocket(str(FILES_SOCKET.absolute())) if config.foreign_sds else None,
        agent_audit=UnixSocket(str(state_dir / AUDIT_SOCKET)),
        agent_extensions=UnixSocket(str(state_dir / EXTENSIONS_SOCKET)),
        admin=admin,
        status=config.status,
        listen_host=config.listen_host,
        health_port=config.health_port,
        prometheus_port=config.prometheus_port,
        stats=config.stats,
        runtime_values=config.proxy.runtime_values,
        max_connections=config.max_connections,
        reporting=config.proxy.reporting,
        lookup_family=config.lookup_family,
        outlier_log=config.arguments.outlier_log,
        load_stats=config.load_stats,
        compliance_policy=config.compliance_policy,
    )
    bootstrap = render_bootstrap(inputs)
    return bootstrap if custom is None else customised(bootstrap, custom)
