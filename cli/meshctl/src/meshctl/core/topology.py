"""Who has which loopback address on one machine.

Linux routes all of 127.0.0.0/8 to loopback, so each part has an address of its own with the standard port. Stack S owns
127.S.0.0/16: services at 127.S.255.x, workload N's Envoy at 127.S.0.N and its application at 127.S.1.N. Pure.
"""

from dataclasses import dataclass

DEFAULT_STACK = 1
MAX_STACK = 63
"""127.64.0.0 and above belongs to tests (meshcore.testing.addresses)."""
MAX_WORKLOAD = 254
PROXY_HTTP_PORT = 15002
"""The mesh HTTP proxy port of a sidecar (MeshConfig `proxyHttpPort`)."""

CONFIG_API_PORT = 8081
MCP_PORT = 9901
CA_PORT = 8060
XDS_PORT = 15012
XDS_PLAINTEXT_PORT = 15010
ADMIN_PORT = 15014
WEBHOOK_PORT = 15017
STATUS_PORT = 15020
HEALTH_PORT = 15021
ENVOY_STATS_PORT = 15090
NATS_PORT = 4222
NATS_MONITOR_PORT = 8222


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses of one stack; `number` is 1 to 254."""

    number: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= MAX_STACK:
            raise ValueError(f"stack must be 1 to {MAX_STACK}, got {self.number}")

    def _service(self, host: int) -> str:
        return f"127.{self.number}.255.{host}"

    @property
    def galley(self) -> str:
        """Galley's address."""
        return self._service(1)

    def pilot(self, index: int = 1) -> str:
        """The address of the `index`-th Pilot (from 1): .2, then .12, .13, ..."""
        return self._service(2 if index == 1 else 10 + index)

    @property
    def citadel(self) -> str:
        """Citadel's address."""
        return self._service(3)

    @property
    def injector(self) -> str:
        """The injector's address."""
        return self._service(4)

    @property
    def nats(self) -> str:
        """The NATS server's address."""
        return self._service(5)

    def proxy(self, workload: int) -> str:
        """Where the Envoy of workload `workload` listens, and from where it calls."""
        return f"127.{self.number}.0.{_checked(workload)}"

    def application(self, workload: int) -> str:
        """Where the application of workload `workload` listens."""
        return f"127.{self.number}.1.{_checked(workload)}"


def _checked(workload: int) -> int:
    if not 1 <= workload <= MAX_WORKLOAD:
        raise ValueError(f"a stack has room for {MAX_WORKLOAD} workloads, got number {workload}")
    return workload


def pilot_name(index: int) -> str:
    """The service name of the `index`-th Pilot, from 1."""
    return "pilot" if index == 1 else f"pilot-{index}"
