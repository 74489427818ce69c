"""Where one stack keeps its files. Pure: names only, nothing is opened here."""

from dataclasses import dataclass

SOCKET_PATH_LIMIT = 107
"""Longest Unix socket path on Linux, in bytes (sun_path less its end)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one stack under `root`, which is an absolute directory."""

    root: str

    @property
    def identities(self) -> str:
        """What `citadel init` writes."""
        return f"{self.root}/identity"

    @property
    def root_certificate(self) -> str:
        """The mesh root, public."""
        return f"{self.identities}/root-cert.pem"

    @property
    def admin_token(self) -> str:
        """The administrator's bearer token."""
        return f"{self.identities}/admin-token"

    @property
    def kubeconfig(self) -> str:
        """The kubeconfig that `up` writes, mode 0600."""
        return f"{self.root}/kubeconfig"

    @property
    def control_socket(self) -> str:
        """Where the supervisor takes orders."""
        return f"{self.root}/control.sock"

    @property
    def settings(self) -> str:
        """What the running stack was started with."""
        return f"{self.root}/stack.json"

    @property
    def workload_numbers(self) -> str:
        """Which workload has which number."""
        return f"{self.root}/workload-numbers.json"

    def pid_file(self, process: str) -> str:
        """Which process runs under this name."""
        return f"{self.root}/pids/{process}.json"

    @property
    def pid_files(self) -> str:
        """The folder of all pid files."""
        return f"{self.root}/pids"

    def log(self, process: str) -> str:
        """Standard output and error of a process."""
        return f"{self.root}/logs/{process}.log"

    def state(self, process: str) -> str:
        """A service's own state directory."""
        return f"{self.root}/state/{process}"

    def workload(self, number: int) -> str:
        """A sidecar's state directory; short, because its Unix sockets lie in it."""
        return f"{self.root}/w/{number}"

    def token(self, number: int) -> str:
        """A workload's token, mode 0600."""
        return f"{self.workload(number)}/token"

    def state_key(self, namespace: str, workload: str) -> str:
        """The key by which a workload's agent seals what it stores, mode 0400."""
        return f"{self.identities}/state-keys/{namespace}.{workload}.key"

    def envoy_admin_socket(self, number: int) -> str:
        """The admin socket of a workload's Envoy."""
        return f"{self.workload(number)}/admin.sock"

    def too_long_for_sockets(self) -> bool:
        """True when a Unix socket of a workload would not fit below `root`."""
        return len(self.envoy_admin_socket(254).encode()) + len("-overlap") > SOCKET_PATH_LIMIT
